"""bfloat16 weights that are optimised by float32 copies of themselves."""

import json

import pytest
import torch
from objectives import build
from torch import nn
from torch.testing import assert_close

from gnomon.config import ModelSettings
from gnomon.models.lora import load_trainable
from gnomon.settings.base import OptimSettings
from gnomon.training.optim import adamw, clip

RATE = 1e-3
HALF_ULP = 2**-9
"""Of a bfloat16 just below 1: half the distance to the next."""


def stepped(dtype, steps, optimizer=adamw):
    """One weight of 1 whose gradient is 1, which Adam moves down by the rate each step."""
    weight = nn.Parameter(torch.ones(1, 1, dtype=dtype))
    made = optimizer([weight], OptimSettings(lr=RATE))
    for _ in range(steps):
        weight.grad = torch.ones_like(weight)
        made.step()
    return weight, made


def alone(parameters, settings):
    """What PyTorch does with bfloat16 weights."""
    return torch.optim.AdamW(list(parameters), lr=settings.lr, betas=settings.betas, weight_decay=0.0)


def test_a_bfloat16_weight_by_itself_loses_what_is_below_half_its_last_bit():
    assert RATE < HALF_ULP
    weight, _ = stepped(torch.bfloat16, 100, alone)
    assert weight.item() == 1.0


def test_with_its_copy_it_follows_float32_to_the_last_bit():
    for steps in (1, 10, 100):
        narrow, _ = stepped(torch.bfloat16, steps)
        exact, _ = stepped(torch.float32, steps)
        assert narrow.dtype == torch.bfloat16
        assert torch.equal(narrow, exact.to(torch.bfloat16))
    assert narrow.item() == pytest.approx(0.9, abs=2 * HALF_ULP)


def test_moments_and_copies_are_float32_and_the_gradient_is_used_up():
    weight, made = stepped(torch.bfloat16, 1)
    assert weight.grad is None
    assert {v.dtype for state in made.state.values() for v in state.values()} == {torch.float32}
    assert [copy.dtype for copy in made.state_dict()["masters"]] == [torch.float32]


def test_float32_weights_are_stepped_themselves():
    weight, made = stepped(torch.float32, 1)
    assert made.param_groups[0]["params"] == [weight]
    assert "masters" not in made.state_dict()


def test_narrow_and_wide_weights_go_together_each_in_its_group():
    """As a bfloat16 body under a score that is float32."""
    body, score = nn.Linear(2, 2, dtype=torch.bfloat16), nn.Linear(2, 1)
    made = adamw([*body.parameters(), *score.parameters()], OptimSettings(lr=RATE, weight_decay=0.5))
    matrices, vectors = (group["params"] for group in made.param_groups)
    assert [p.shape for p in matrices] == [(2, 2), (1, 2)]
    assert (matrices[1] is score.weight, vectors[1] is score.bias) == (True, True)
    assert {p.dtype for p in (*matrices, *vectors)} == {torch.float32}


def test_a_weight_without_a_gradient_stays():
    used, unused = (nn.Parameter(torch.ones(2, dtype=torch.bfloat16)) for _ in range(2))
    made = adamw([used, unused], OptimSettings(lr=0.1))
    used.grad = torch.ones_like(used)
    made.step()
    assert used.tolist() != [1.0, 1.0]
    assert unused.tolist() == [1.0, 1.0]


def test_the_state_carries_the_copies_exactly():
    """From the rounded weights alone another run would begin elsewhere."""
    whole, _ = stepped(torch.bfloat16, 9)
    _, half = stepped(torch.bfloat16, 5)
    again, made = stepped(torch.bfloat16, 0)
    made.load_state_dict(half.state_dict())
    assert again.item() == half.state_dict()["masters"][0].to(torch.bfloat16).item()
    for _ in range(4):
        again.grad = torch.ones_like(again)
        made.step()
    assert torch.equal(again, whole)
    assert half.state_dict()["masters"][0].item() == pytest.approx(1 - 5 * RATE, abs=1e-6)


def losses(folder, dtype, optimizer=adamw, steps=30, progress=None):
    """Full training on the tiny model at a rate that bfloat16 rounds away in all but its smallest weights."""
    built = build("sft", dtype=dtype, lora=None, optim={"lr": 1e-5, "schedule": "constant", "epochs": steps})
    trainer = built.trainer(folder, progress)
    if optimizer is not adamw:
        trainer.optimizer = optimizer(trainer.trained.values(), built.settings)
    trainer.run()
    return [json.loads(line)["loss"] for line in trainer.metrics.path.read_text().splitlines()]


def test_the_loss_follows_that_of_float32_training(tmp_path):
    exact = losses(tmp_path / "float32", "float32")
    masters = losses(tmp_path / "masters", "bfloat16")
    lost = losses(tmp_path / "alone", "bfloat16", alone)
    fall = exact[0] - exact[-1]
    assert fall > 0.05
    assert masters == pytest.approx(exact, abs=0.1 * fall)
    assert lost[0] - lost[-1] < 0.5 * fall


class CutError(Exception):
    """The machine was taken away."""


def test_a_run_that_was_cut_ends_as_one_that_was_not(tmp_path):
    def cut(done, total, note):
        if done == 5:
            raise CutError

    whole = losses(tmp_path / "whole", "bfloat16", steps=8)
    with pytest.raises(CutError):
        losses(tmp_path / "cut", "bfloat16", steps=8, progress=cut)
    assert losses(tmp_path / "cut", "bfloat16", steps=8) == whole
    ends = [torch.load(tmp_path / name / "checkpoint-00000008.pt") for name in ("whole", "cut")]
    for one, other in zip(*(end["optimizer"]["masters"] for end in ends), strict=True):
        assert torch.equal(one, other)


def test_weights_that_all_train_are_what_the_settings_say():
    for dtype in ("bfloat16", "float32"):
        lm = load_trainable("tiny:0", ModelSettings(ref="tiny:0", lora=None, dtype=dtype), seed=0)
        assert {p.dtype for p in lm.model.parameters()} == {getattr(torch, dtype)}


def gradients(dtype, *values):
    weights = [nn.Parameter(torch.zeros(len(value), dtype=dtype)) for value in values]
    for weight, value in zip(weights, values, strict=True):
        weight.grad = torch.tensor(value, dtype=dtype)
    return [*weights, nn.Parameter(torch.zeros(1))]


def test_gradients_are_clipped_by_a_norm_in_float32():
    """257 ones: 16.03, which lies between two bfloat16s."""
    weights = gradients(torch.bfloat16, [1.0] * 200, [1.0] * 57)
    norm = clip(weights, 4.0)
    assert norm.dtype == torch.float32
    assert norm.item() == pytest.approx(257**0.5, rel=1e-6)
    assert norm.item() != norm.to(torch.bfloat16).item()
    assert_close(weights[0].grad, torch.full((200,), 4 / 257**0.5).to(torch.bfloat16), rtol=2**-8, atol=0)


def test_clipping_float32_is_pytorch_s():
    ours, theirs = (gradients(torch.float32, [3.0, 0.1], [4.0]) for _ in range(2))
    assert clip(ours, 1.0).item() == nn.utils.clip_grad_norm_(theirs, 1.0).item()
    for one, other in zip(ours[:2], theirs[:2], strict=True):
        assert torch.equal(one.grad, other.grad)


def test_small_gradients_and_none_are_left_alone():
    weights = gradients(torch.float32, [0.3], [0.4])
    assert clip(weights, 1.0).item() == pytest.approx(0.5)
    assert weights[0].grad.item() == pytest.approx(0.3, rel=1e-5)
    assert clip(weights[2:], 1.0).item() == 0.0
