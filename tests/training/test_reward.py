import math

import pytest
import torch
from objectives import COMPARISONS, build

from gnomon.config import RewardSettings
from gnomon.errors import DataError
from gnomon.kernels import batching
from gnomon.models import branches
from gnomon.models.load import load
from gnomon.records import Comparison, Conversation, Label
from gnomon.training.reward import encode_comparisons, score_comparisons


def pairwise(places):
    """The places of both answers of each pair of a micro-batch."""
    own = list(places.values())
    return zip(own[::2], own[1::2], strict=True)


def total(built):
    """The step's loss and metrics, summed over its micro-batches."""
    loss, sums = 0.0, {}
    for micro in built.objective.prepare(0).micros:
        share, metrics = built.objective.loss(micro)
        loss += share.item()
        sums = {name: sums.get(name, 0.0) + value for name, value in metrics.items()}
    return loss, sums


def by_hand(scorer, centring=0.01, smoothing=0.0):
    first, second = score_comparisons(scorer, COMPARISONS)
    loss = accuracy = margin = 0.0
    weights = [row.label.weight / sum(row.label.weight for row in COMPARISONS) for row in COMPARISONS]
    for a, b, row, weight in zip(first, second, COMPARISONS, weights, strict=True):
        raw = row.label.preference
        p = raw * (1 - smoothing) + (1 - raw) * smoothing
        better = 1 / (1 + math.exp(b - a))
        loss += weight * (-p * math.log(better) - (1 - p) * math.log(1 - better) + centring * (a + b) ** 2)
        accuracy += weight * ((a > b) == (raw > 0.5))
        margin += weight * (a - b) * (2 * raw - 1)
    return loss, {"reward/accuracy": accuracy, "reward/margin": margin}


@pytest.mark.parametrize("micro_tokens", [1, 100_000])
def test_the_loss_is_the_weighted_mean_over_the_step_s_pairs(micro_tokens):
    built = build("reward", dtype="float64", optim={"micro_tokens": micro_tokens})
    loss, metrics = total(built)
    wanted, others = by_hand(built.objective.scorer)
    assert loss == pytest.approx(wanted, rel=1e-6)
    assert metrics == pytest.approx(others, rel=1e-5)
    assert 0 < metrics["reward/accuracy"] < 1


def test_a_pair_is_one_row_where_it_fits(monkeypatch):
    """And two where it does not: a row of both is longer than the longer of them."""
    monkeypatch.setattr(batching, "SLACK", 1.0)
    whole, cut = build("reward"), build("reward", optim={"micro_tokens": 1})
    (micro,) = whole.objective.prepare(0).micros
    batch = micro.tensors[0]
    assert batch.input_ids.shape[0] == 8
    assert micro.tokens == sum(len(row.ids) for p in whole.objective.pairs for row in (p.first, p.second))
    assert [micro.tensors[0].input_ids.shape[0] for micro in cut.objective.prepare(0).micros] == [2] * 8
    for built in (whole, cut):
        rows = {
            name: [micro.tensors[0].input_ids.flatten()[places].tolist() for places in own]
            for micro in built.objective.prepare(0).micros
            for name, own in zip(micro.row_ids, pairwise(micro.tensors[0].places), strict=True)
        }
        assert rows == {p.id: [list(p.first.ids), list(p.second.ids)] for p in built.objective.pairs}


@pytest.mark.parametrize(("longest", "tokens"), [(1024, 80), (0, 150)])
def test_micro_batches_hold_no_more_tokens_than_they_may(longest, tokens, monkeypatch):
    """Some pairs in one row and some in two, and all in two."""
    monkeypatch.setattr(branches, "LONGEST", longest)
    micros = build("reward", optim={"micro_tokens": tokens}).objective.prepare(0).micros
    batches = [micro.tensors[0] for micro in micros]
    assert {batch.shared for batch in batches} == ({True, False} if longest else {False})
    assert all(batch.input_ids.numel() <= tokens or len(batch.places) == 2 for batch in batches)
    assert sorted(name for micro in micros for name in micro.row_ids) == [row.id for row in COMPARISONS]


def test_smoothing_and_centring_are_as_set():
    built = build("reward", dtype="float64")
    built.objective.settings = RewardSettings(centring=0.3, label_smoothing=0.2)
    assert total(built)[0] == pytest.approx(by_hand(built.objective.scorer, 0.3, 0.2)[0], rel=1e-6)


def test_swapped_pairs_are_the_same_loss():
    built, other = build("reward", dtype="float64"), build("reward", dtype="float64")
    lm = other.objective.scorer.lm
    other.objective.pairs = encode_comparisons(lm, [row.swap() for row in COMPARISONS], 200).pairs
    (loss, metrics), (swapped, others) = total(built), total(other)
    assert swapped == pytest.approx(loss, rel=1e-6)
    assert others == pytest.approx(metrics, rel=1e-5)


def test_it_learns_which_answers_are_better(tmp_path):
    built = build("reward", optim={"epochs": 25, "checkpoint_every": 1000})
    trainer = built.trainer(tmp_path)
    trainer.run()
    first, second = score_comparisons(built.objective.scorer, COMPARISONS)
    assert all(a > b for a, b in zip(first, second, strict=True))
    assert abs(sum(first) + sum(second)) / 16 < 0.5  # centred


def test_pairs_without_label_or_too_long_are_dropped_and_counted():
    lm = load("tiny:0", dtype="float32")
    waiting = Comparison("w", Conversation.of("Hi"), COMPARISONS[0].first, COMPARISONS[0].second)
    label = Label(1.0, "person")
    long = [
        Comparison.of("l", Conversation.of("Hi"), *answers, label)
        for answers in (("x" * 99, "y"), ("y", "x" * 99))
    ]
    data = encode_comparisons(lm, [*COMPARISONS, waiting, *long], 100)
    assert data.dropped == {"no label": 1, "longer than 100 tokens": 2}
    assert [pair.id for pair in data.pairs] == [row.id for row in COMPARISONS]
    with pytest.raises(DataError, match=r"no comparison can be trained on \({'no label': 1}\)"):
        encode_comparisons(lm, [waiting], 100)


def test_an_encoded_pair_ends_where_its_answers_end():
    lm = load("tiny:0", dtype="float32")
    (pair,) = encode_comparisons(lm, COMPARISONS[:1], 100).pairs
    row = COMPARISONS[0]
    assert pair.first == lm.encode(row.prompt.then(*row.first))
    assert pair.second.ids[-1] == 1
    assert pair.length == max(len(pair.first.ids), len(pair.second.ids))


def test_scores_are_returned_in_order():
    built = build("reward")
    first, second = score_comparisons(built.objective.scorer, COMPARISONS)
    again, _ = score_comparisons(built.objective.scorer, COMPARISONS[::-1])
    assert again[::-1] == pytest.approx(first, abs=1e-5)
    assert first != second
    assert torch.tensor(first).isfinite().all()
