"""KTO on answers that are judged one by one, alone and beside comparisons."""

import pytest
import torch
from objectives import ADAPTERS, COMPARISONS, DEMONSTRATIONS, build, move
from torch.testing import assert_close

from gnomon.config import LoraSettings
from gnomon.models.load import load
from gnomon.models.lora import add_lora, freeze_reference
from gnomon.records import Conversation, Rating
from gnomon.runs import MetricsLog, read_metrics
from gnomon.settings.preference import PreferenceSettings
from gnomon.training.judged import both_judged, usable_ratings
from gnomon.training.kto import KahnemanTverskyOptimisation
from gnomon.training.loop import Trainer
from gnomon.training.pairs import encode_comparisons

GOOD = (1, 4, 5, 7)
RATINGS = [
    Rating(row.id, row.prompt, row.response, desirable=i in GOOD) for i, row in enumerate(DEMONSTRATIONS)
]


def objective(judged=None, lora: LoraSettings | None = ADAPTERS, moved=True, **own):
    """On all ratings, or on what `judged` makes of the model."""
    lm = load("tiny:0", dtype="float64")
    reference = load("tiny:0", dtype="float64") if lora is None else None
    if lora is not None:
        lm = add_lora(lm, lora, seed=1)
        freeze_reference(lm.model)
    optim = {"lr": 1e-2, "batch_size": 8, "epochs": 1} | own.pop("optim", {})
    settings = PreferenceSettings(loss="kto", optim=optim, **own)
    rows = usable_ratings(lm, RATINGS, 200).judged if judged is None else judged(lm)
    made = KahnemanTverskyOptimisation(lm, rows, settings, 0, reference)
    if moved:
        move(lm.model)
    return made


def log_prob(model, row):
    """Of what is trained of a row, by log_softmax over its own logits."""
    start = row.response_mask.index(True)
    logits = model.eval()(input_ids=torch.tensor([row.ids])).logits[0, start - 1 : -1]
    return torch.log_softmax(logits, dim=-1).gather(1, torch.tensor(row.ids[start:])[:, None]).sum()


def by_hand(it, judged, beta, good, bad, baseline):
    """Equations 7 and 8 of the paper, an answer at a time."""
    reference = load("tiny:0", dtype="float64").model
    losses = []
    for one in judged:
        for row, q in zip(one.answers, one.desirable, strict=True):
            with torch.no_grad():
                known = log_prob(reference, row)
            ratio = log_prob(it.lm.model, row) - known
            value = good * torch.sigmoid(beta * (ratio - baseline))
            other = bad * torch.sigmoid(beta * (baseline - ratio))
            losses.append(q * (good - value) + (1 - q) * (bad - other))
    return torch.stack(losses).mean()


def step(it):
    it.lm.model.zero_grad()
    work = it.prepare(0)
    loss, totals = 0.0, dict(work.metrics)
    for micro in work.micros:
        share, figures = it.loss(micro)
        share.backward()
        loss += share.item()
        totals |= {name: totals.get(name, 0.0) + float(value) for name, value in figures.items()}
    gradient = torch.cat([p.grad.flatten() for p in it.lm.model.parameters() if p.requires_grad])
    return loss, gradient, totals, len(work.micros)


@pytest.mark.usefixtures("float64_throughout")
@pytest.mark.parametrize("lora", [ADAPTERS, None], ids=["adapters", "full"])
@pytest.mark.parametrize("micro_tokens", [1, 150, 100_000])
def test_loss_and_gradient_are_the_paper_s_however_rows_are_cut(lora, micro_tokens):
    weights = {"beta": 0.3, "desirable_weight": 1.3, "undesirable_weight": 0.6}
    it = objective(lora=lora, optim={"micro_tokens": micro_tokens}, **weights)
    loss, gradient, totals, micros = step(it)
    assert micros == {1: 8}.get(micro_tokens, micros)
    it.lm.model.zero_grad()
    wanted = by_hand(it, it.own.judged.values(), 0.3, 1.3, 0.6, totals["kl/baseline"])
    wanted.backward()
    theirs = torch.cat([p.grad.flatten() for p in it.lm.model.parameters() if p.requires_grad])
    assert loss == pytest.approx(wanted.item(), rel=1e-6)
    assert_close(gradient, theirs, rtol=1e-5, atol=1e-6 * float(theirs.abs().max()))


@pytest.mark.usefixtures("float64_throughout")
def test_comparisons_and_ratings_are_learnt_from_together():
    """A comparison is two verdicts, each as weighty as one that stands alone."""

    def mixed(lm):
        pairs = encode_comparisons(lm, [row for row in COMPARISONS if row.label.weight == 1], 200).pairs
        return [*both_judged(pairs), *usable_ratings(lm, RATINGS[3:6], 200).judged]

    it = objective(mixed, beta=0.3)
    loss, _, totals, _ = step(it)
    judged = it.own.judged.values()
    assert sum(len(one.answers) for one in judged) == 2 + 3
    wanted = by_hand(it, judged, 0.3, 1.0, 1.0, totals["kl/baseline"])
    assert loss == pytest.approx(wanted.item(), rel=1e-6)


@pytest.mark.usefixtures("float64_throughout")
def test_figures_are_of_what_is_desirable_and_of_what_is_not():
    it = objective(beta=0.5)
    _, _, totals, _ = step(it)
    rewards = it.rewards_of(list(it.own.judged.values()))
    good = [reward for i, reward in enumerate(rewards) if i in GOOD]
    bad = [reward for i, reward in enumerate(rewards) if i not in GOOD]
    assert totals["reward/chosen"] == pytest.approx(sum(good) / len(good), rel=1e-6)
    assert totals["reward/rejected"] == pytest.approx(sum(bad) / len(bad), rel=1e-6)
    assert totals["reward/margin"] == pytest.approx(totals["reward/chosen"] - totals["reward/rejected"])
    z = 0.5 * totals["kl/baseline"]
    sides = [reward > z if i in GOOD else reward < z for i, reward in enumerate(rewards)]
    assert totals["reward/accuracy"] == pytest.approx(sum(sides) / len(sides))


@pytest.mark.parametrize("verdict", [True, False])
def test_a_step_of_one_verdict_says_nothing_of_the_other(verdict):
    same = [Rating(row.id, row.prompt, row.response, desirable=verdict) for row in RATINGS]
    it = objective(lambda lm: usable_ratings(lm, same, 200).judged, sft_weight=0.5)
    loss, _, totals, _ = step(it)
    assert torch.isfinite(torch.tensor(loss))
    assert ("reward/chosen" in totals, "reward/rejected" in totals) == (verdict, not verdict)
    assert "reward/margin" not in totals


@pytest.mark.usefixtures("float64_throughout")
def test_the_cross_entropy_beside_it_is_of_desirable_answers_alone():
    plain, beside = objective(beta=0.3), objective(beta=0.3, sft_weight=0.4)
    (one, _, totals, _), (other, _, _, _) = step(plain), step(beside)
    judged = list(plain.own.judged.values())
    rows = [judged[i].answers[0] for i in GOOD]
    nll = [-float(log_prob(plain.lm.model, row).detach()) / sum(row.response_mask) for row in rows]
    assert totals["loss/sft"] == pytest.approx(sum(nll) / len(nll), rel=1e-6)
    assert other - one == pytest.approx(0.4 * sum(nll) / len(nll), rel=1e-6)


def test_it_learns_what_is_desirable(tmp_path):
    it = objective(moved=False, optim={"epochs": 20, "checkpoint_every": 1000})
    log = MetricsLog(tmp_path / "metrics.jsonl")
    Trainer(it.lm.model, it, it.settings.optim, work=tmp_path, metrics=log).run()
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert rows[0]["loss"] == pytest.approx(0.5)
    assert rows[-1]["loss"] < 0.4
    rewards = it.rewards_of(list(it.own.judged.values()))
    assert min(r for i, r in enumerate(rewards) if i in GOOD) > max(
        r for i, r in enumerate(rewards) if i not in GOOD
    )


def test_the_reference_of_either_kind_of_row_is_read_once():
    it = objective(moved=False)
    it.prepare(0)
    known = {name: value.clone() for name, value in it.state_dict().items()}
    assert not any(value.isnan().any() for value in known.values())
    move(it.lm.model)
    it.prepare(0)
    for name, value in it.state_dict().items():
        assert torch.equal(value, known[name])


def test_what_cannot_be_used_is_counted():
    lm = load("tiny:0", dtype="float32")
    long = Rating("long", Conversation.of("Say much."), "much " * 300, desirable=True)
    usable = usable_ratings(lm, [*RATINGS, long], 200)
    assert len(usable.judged) == 8
    assert usable.dropped == {"longer than 200 tokens": 1}


def test_the_rewards_of_pairs_are_those_of_their_answers():
    it = build("kto", dtype="float64")
    move(it.module)
    pairs = encode_comparisons(it.objective.lm, COMPARISONS, 200).pairs
    first, second = it.objective.rewards(pairs)
    each = it.objective.rewards_of(both_judged(pairs))
    assert (first, second) == (each[::2], each[1::2])
    assert len(set(each)) == 16
