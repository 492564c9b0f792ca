"""Every loss of preferences through the model: loss and gradient of its formula, however rows are cut."""

from collections.abc import Callable
from typing import Any

import plain_losses as plain
import pytest
import torch
from objectives import ADAPTERS, COMPARISONS, OFFLINE, Built, build, move
from plain_losses import Answer
from torch import Tensor
from torch.testing import assert_close

from gnomon.config import LoraSettings
from gnomon.errors import ModelError
from gnomon.kernels import batching
from gnomon.models.load import load
from gnomon.runs import read_metrics
from gnomon.settings.preference import OWN, REFERENCE_FREE, PreferenceSettings
from gnomon.training import logps
from gnomon.training.pairs import encode_comparisons
from gnomon.training.preference import PreferenceOptimisation

CUTS = {1: 8, 150: None, 100_000: 1}
"""micro_tokens: eight micro-batches of a pair, some of some, one of eight."""
Cost = Callable[[Answer, Answer, float], Tensor]
CASES: dict[str, tuple[dict[str, Any], Cost]] = {
    "dpo": ({"beta": 0.3}, lambda b, w, z: plain.dpo(b, w, 0.3)),
    "dpo, smoothed": (
        {"beta": 0.3, "label_smoothing": 0.2},
        lambda b, w, z: 0.8 * plain.dpo(b, w, 0.3) + 0.2 * plain.dpo(w, b, 0.3),
    ),
    "dpo, with cross-entropy": (
        {"beta": 0.3, "sft_weight": 0.4},
        lambda b, w, z: plain.dpo(b, w, 0.3) + 0.4 * plain.preferred_nll(b, w),
    ),
    "robust_dpo": (
        {"beta": 0.3, "label_smoothing": 0.2},
        lambda b, w, z: plain.robust_dpo(b, w, 0.3, 0.2),
    ),
    "ipo": ({"beta": 0.2}, lambda b, w, z: plain.ipo(b, w, 0.2, average=False)),
    "ipo, average": ({"beta": 1.5, "average": True}, lambda b, w, z: plain.ipo(b, w, 1.5, average=True)),
    "hinge": ({"beta": 0.3}, lambda b, w, z: plain.hinge(b, w, 0.3)),
    "slic": ({"delta": 3.0}, lambda b, w, z: plain.slic(b, w, 3.0) + 0.1 * plain.preferred_nll(b, w)),
    "kto": (
        {"beta": 0.3, "desirable_weight": 1.3, "undesirable_weight": 0.6},
        lambda b, w, z: plain.kto(b, w, z, 0.3, 1.3, 0.6),
    ),
    "orpo": (
        {"odds_weight": 0.5},
        lambda b, w, z: plain.odds_ratio(b, w, 0.5) + plain.preferred_nll(b, w),
    ),
    "simpo": ({"beta": 2.5, "gamma": 0.7}, lambda b, w, z: plain.simpo(b, w, 2.5, 0.7)),
    "cpo": (
        {"beta": 0.2, "sft_weight": 0.4},
        lambda b, w, z: plain.cpo(b, w, 0.2) + 0.4 * plain.preferred_nll(b, w),
    ),
    "ld_dpo": ({"beta": 0.3, "tail_weight": 0.4}, lambda b, w, z: plain.dpo(b, w, 0.3)),
    "r_dpo": (
        {"beta": 0.3, "length_penalty": 0.2},
        lambda b, w, z: plain.r_dpo(b, w, 0.3, 0.2),
    ),
    "apo_zero": ({"beta": 0.3}, lambda b, w, z: plain.apo_zero(b, w, 0.3)),
    "apo_down": ({"beta": 0.3}, lambda b, w, z: plain.apo_down(b, w, 0.3)),
}


def loss_of(case: str) -> str:
    return case.split(",", maxsplit=1)[0]


def kind_of(case: str) -> str:
    return "preference" if loss_of(case) == "dpo" else loss_of(case)


def test_every_loss_is_tried():
    assert {loss_of(case) for case in CASES} == set(OWN)


def built(case: str, micro_tokens: int = 100_000, lora: LoraSettings | None = ADAPTERS) -> Built:
    """The objective of a case, its policy no longer its reference."""
    settings, _ = CASES[case]
    optim = {"micro_tokens": micro_tokens}
    made = build(kind_of(case), dtype="float64", lora=lora, optim=optim, preference=settings)
    move(made.module)
    return made


def tokens_of(model: Any, ids: tuple[int, ...], start: int) -> Tensor:
    """Log-probs of a row's tokens from `start` on, by log_softmax over all logits of the row alone."""
    logits = model.eval()(input_ids=torch.tensor([ids])).logits[0, start - 1 : -1]
    return torch.log_softmax(logits, dim=-1).gather(1, torch.tensor(ids[start:])[:, None]).squeeze(1)


def sums(each: list[Tensor], tail_weight: float) -> list[Tensor]:
    shared = min(map(len, each))
    return [own[:shared].sum() + tail_weight * own[shared:].sum() for own in each]


def by_hand(it: Built, case: str, baseline: float) -> Tensor:
    """The weighted mean over the comparisons of the formula, soft labels by both verdicts."""
    settings, cost = CASES[case]
    lm, reference = it.objective.lm, load("tiny:0", dtype="float64")
    free, tail_weight = loss_of(case) in REFERENCE_FREE, settings.get("tail_weight", 1.0)
    loss, total = torch.zeros(()), sum(row.label.weight for row in COMPARISONS)
    for row in COMPARISONS:
        start = len(lm.encode_prompt(row.prompt))
        ids = [lm.encode(row.prompt.then(*answer)).ids for answer in (row.first, row.second)]
        own = sums([tokens_of(lm.model, each, start) for each in ids], tail_weight)
        known = [torch.zeros(())] * 2
        if not free:
            known = sums([tokens_of(reference.model, each, start).detach() for each in ids], tail_weight)
        one, other = (Answer(a, b, len(each) - start) for a, b, each in zip(own, known, ids, strict=True))
        p = row.label.preference
        each = p * cost(one, other, baseline) + (1 - p) * cost(other, one, baseline)
        loss = loss + row.label.weight / total * each
    return loss


def step(it: Built) -> tuple[float, Tensor, dict[str, float], int]:
    """Loss, gradient, metrics and micro-batches of the first step."""
    it.module.zero_grad()
    work = it.objective.prepare(0)
    loss, totals = 0.0, dict(work.metrics)
    for micro in work.micros:
        share, metrics = it.objective.loss(micro)
        share.backward()
        loss += share.item()
        totals |= {name: totals.get(name, 0.0) + float(value) for name, value in metrics.items()}
    gradient = torch.cat([p.grad.flatten() for p in it.module.parameters() if p.requires_grad])
    return loss, gradient, totals, len(work.micros)


def near(gradient: Tensor, theirs: Tensor) -> None:
    """The same, but for weights of pairs, which are float32."""
    assert_close(gradient, theirs, rtol=1e-5, atol=1e-6 * float(theirs.abs().max()))


@pytest.mark.usefixtures("float64_throughout")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.mistake("short-batches-weigh-more")
def test_loss_and_gradient_are_those_of_the_formula_however_rows_are_cut(case, monkeypatch):
    monkeypatch.setattr(batching, "SLACK", 1.0)  # ragged rows in one micro-batch too, for the test's sake
    wanted = None
    for micro_tokens, count in CUTS.items():
        it = built(case, micro_tokens)
        loss, gradient, metrics, micros = step(it)
        if wanted is None:
            it.module.zero_grad()
            wanted = by_hand(it, case, metrics.get("kl/baseline", 0.0))
            wanted.backward()
            theirs = torch.cat([p.grad.flatten() for p in it.module.parameters() if p.requires_grad])
        assert micros == count or 1 < micros < 8
        assert loss == pytest.approx(wanted.item(), rel=1e-6)
        assert theirs.abs().max() > 1e-3
        near(gradient, theirs)


@pytest.mark.usefixtures("float64_throughout")
@pytest.mark.parametrize("case", ["kto", "orpo", "ld_dpo"])
def test_where_every_weight_trains_too(case):
    it = built(case, lora=None)
    loss, gradient, metrics, _ = step(it)
    it.module.zero_grad()
    wanted = by_hand(it, case, metrics.get("kl/baseline", 0.0))
    wanted.backward()
    theirs = torch.cat([p.grad.flatten() for p in it.module.parameters() if p.requires_grad])
    assert loss == pytest.approx(wanted.item(), rel=1e-6)
    near(gradient, theirs)


@pytest.mark.usefixtures("float64_throughout")
@pytest.mark.parametrize("micro_tokens", CUTS)
@pytest.mark.parametrize("seed", range(4))
def test_the_baseline_of_kto_is_over_the_whole_step_and_not_below_0(micro_tokens, seed):
    """Answers after other prompts, read one by one with both models."""
    it = build("kto", dtype="float64", optim={"micro_tokens": micro_tokens})
    move(it.module, seed)
    reference = load("tiny:0", dtype="float64")
    ratios = [
        tokens_of(it.objective.lm.model, row.ids, row.response_mask.index(True)).sum()
        - tokens_of(reference.model, row.ids, row.response_mask.index(True)).sum()
        for crossed in it.objective.mismatched.judged.values()
        for row in crossed.answers
    ]
    assert len(ratios) == 16
    wanted = max(0.0, float(torch.stack(ratios).mean().detach()))
    work = it.objective.prepare(0)
    assert work.metrics["kl/baseline"] == pytest.approx(wanted, rel=1e-6, abs=1e-9)
    assert {micro.tensors.baseline for micro in work.micros} == {work.metrics["kl/baseline"]}


def test_before_the_first_update_kto_pays_half_of_every_weight():
    settings = {"desirable_weight": 1.5, "undesirable_weight": 0.5}
    it = build("kto", dtype="float64", preference=settings)
    loss, _, metrics, _ = step(it)
    assert metrics["kl/baseline"] == 0.0
    assert loss == pytest.approx((1.5 + 0.5) / 2 / 2, rel=1e-6)


@pytest.mark.parametrize("loss", REFERENCE_FREE)
def test_without_a_reference_none_is_needed_and_none_is_asked(loss, monkeypatch):
    monkeypatch.setattr(logps, "answer_logps", None)  # what the reference would be read with
    lm = load("tiny:0", dtype="float32")
    data = encode_comparisons(lm, COMPARISONS, 200)
    objective = PreferenceOptimisation(lm, data.pairs, PreferenceSettings(loss=loss), 0)
    for micro in objective.prepare(0).micros:
        _, metrics = objective.loss(micro)
        assert "logps/moved" not in metrics
    with pytest.raises(ModelError, match="call freeze_reference"):
        PreferenceOptimisation(lm, data.pairs, PreferenceSettings(), 0)


@pytest.mark.parametrize("loss", [loss for loss in OFFLINE if loss != "kto"])
def test_the_rewards_of_pairs_are_those_that_are_logged(loss):
    """Also of pairs that are not trained on, and however a loss sees answers."""
    it = build(loss, dtype="float64")
    move(it.module)
    _, _, metrics, _ = step(it)
    first, second = it.objective.rewards(it.objective.pairs)
    total = sum(row.label.weight for row in COMPARISONS)
    margins = [
        row.label.weight / total * (2 * row.label.preference - 1) * (a - b)
        for row, a, b in zip(COMPARISONS, first, second, strict=True)
    ]
    assert sum(margins) == pytest.approx(metrics["reward/margin"], rel=1e-5)
    assert len(set(first)) == 8


def test_an_average_is_in_the_rewards_and_so_is_what_length_is_worth():
    it = built("simpo")
    lm, row = it.objective.lm, COMPARISONS[2]
    ids, start = lm.encode(row.prompt.then(*row.first)).ids, len(lm.encode_prompt(row.prompt))
    mean = float(tokens_of(lm.model, ids, start).mean())
    assert it.objective.rewards(it.objective.pairs)[0][2] == pytest.approx(2.5 * mean, rel=1e-5)
    plain_rewards, priced = (built(case).objective for case in ("dpo", "r_dpo"))
    difference = [
        theirs - ours
        for ours, theirs in zip(
            plain_rewards.rewards(plain_rewards.pairs)[0], priced.rewards(priced.pairs)[0], strict=True
        )
    ]
    lengths = [sum(pair.first.response_mask) for pair in priced.pairs]
    assert difference == pytest.approx([0.2 * length for length in lengths], rel=1e-6)


@pytest.mark.parametrize(("loss", "settings"), [("orpo", {"odds_weight": 10.0}), ("simpo", {})])
def test_without_a_reference_the_better_answers_gain_on_the_others(loss, settings, tmp_path):
    it = build(loss, optim={"epochs": 10, "checkpoint_every": 1000}, preference=settings)
    it.trainer(tmp_path).run()
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert rows[-1]["reward/margin"] > rows[0]["reward/margin"]


@pytest.mark.parametrize("loss", ["ipo", "hinge"])
def test_it_learns_which_answers_are_better(loss, tmp_path):
    it = build(loss, optim={"epochs": 25, "checkpoint_every": 1000})
    it.trainer(tmp_path).run()
    first, second = it.objective.rewards(it.objective.pairs)
    assert all(a > b for a, b in zip(first, second, strict=True))
