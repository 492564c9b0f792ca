"""What is computed in which precision: weights may be bfloat16, sums and what is remembered are not."""

import pytest
import torch
from objectives import ADAPTERS, KINDS, build

SETUPS = {"adapters on bfloat16": ADAPTERS, "bfloat16 with masters": None}


@pytest.mark.parametrize("kind", [*KINDS, "kto", "orpo"])
@pytest.mark.parametrize("setup", SETUPS)
def test_a_step_on_bfloat16_weights(kind, setup, tmp_path):
    built = build(kind, dtype="bfloat16", lora=SETUPS[setup], optim={"epochs": 1}, policy={"steps": 1})
    trainer = built.trainer(tmp_path)
    frozen = {n: p.detach().clone() for n, p in built.module.named_parameters() if not p.requires_grad}
    losses, loss = [], built.objective.loss

    def watched(micro):
        value, metrics = loss(micro)
        losses.append(value)
        return value, metrics

    built.objective.loss = watched
    trainer.run()
    assert {value.dtype for value in losses} == {torch.float32}
    trained = {name: parameter.dtype for name, parameter in trainer.trained.items()}
    kept = [value for state in trainer.optimizer.state.values() for value in state.values()]
    assert {value.dtype for value in kept} == {torch.float32}
    if setup == "adapters on bfloat16":
        assert set(trained.values()) == {torch.float32}
        base = {n: p for n, p in built.module.named_parameters() if n in frozen and ".reference." not in n}
        assert {p.dtype for p in base.values()} == {torch.bfloat16}
        assert all(torch.equal(p, frozen[n]) for n, p in base.items())
    else:
        score = {name for name in trained if name.startswith("score.")}
        assert {trained[name] for name in score} <= {torch.float32}
        assert {dtype for name, dtype in trained.items() if name not in score} == {torch.bfloat16}


def test_what_is_known_of_the_reference_and_of_samples_is_float32():
    """bfloat16 log-probs of a sequence would be off by nats."""
    built = build("preference", dtype="bfloat16")
    built.objective.prepare(0)
    assert built.objective.ref_logps.dtype == torch.float32
    rollouts = build("policy", dtype="bfloat16").objective.roll_out(0)
    for values in (rollouts.scores, rollouts.kl, rollouts.paid, *rollouts.log_ratios):
        assert values.dtype == torch.float32
