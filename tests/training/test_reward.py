import math

import pytest
import torch
from objectives import COMPARISONS, build

from gnomon.config import RewardSettings
from gnomon.training.pairs import encode_comparisons
from gnomon.training.reward import score_comparisons
from gnomon.training.units import units_of


def total(built):
    """The step's loss and metrics, summed over its micro-batches."""
    loss, sums = 0.0, {}
    for micro in built.objective.prepare(0).micros:
        share, metrics = built.objective.loss(micro)
        loss += share.item()
        sums = {name: sums.get(name, 0.0) + float(value) for name, value in metrics.items()}
    return loss, sums


def scored(scorer, rows=COMPARISONS):
    """Scores of both answers of each row."""
    return ([score.value for score in scores] for scores in score_comparisons(scorer, rows))


def by_hand(scorer, centring=0.01, smoothing=0.0):
    first, second = scored(scorer)
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


def test_smoothing_and_centring_are_as_set():
    built = build("reward", dtype="float64")
    built.objective.settings = RewardSettings(centring=0.3, label_smoothing=0.2)
    assert total(built)[0] == pytest.approx(by_hand(built.objective.scorer, 0.3, 0.2)[0], rel=1e-6)


def test_swapped_pairs_are_the_same_loss():
    built, other = build("reward", dtype="float64"), build("reward", dtype="float64")
    lm = other.objective.scorer.lm
    swapped = encode_comparisons(lm, [row.swap() for row in COMPARISONS], 200).pairs
    other.objective.units = units_of(swapped, "pairs")
    (loss, metrics), (same, others) = total(built), total(other)
    assert same == pytest.approx(loss, rel=1e-6)
    assert others == pytest.approx(metrics, rel=1e-5)


@pytest.mark.parametrize("turned", [False, True])
def test_equal_scores_are_half_right_whichever_answer_stands_first(turned):
    """Heads begin at zero, so that at the first step all scores are equal."""
    built = build("reward", dtype="float64")
    scorer = built.objective.scorer
    torch.nn.init.zeros_(scorer.model.score.weight)
    rows = [row.swap() if turned else row for row in COMPARISONS]
    built.objective.units = units_of(encode_comparisons(scorer.lm, rows, 200).pairs, "pairs")
    assert total(built)[1]["reward/accuracy"] == pytest.approx(0.5)


def test_it_learns_which_answers_are_better(tmp_path):
    built = build("reward", optim={"epochs": 25, "checkpoint_every": 1000})
    trainer = built.trainer(tmp_path)
    trainer.run()
    first, second = scored(built.objective.scorer)
    assert all(a > b for a, b in zip(first, second, strict=True))
    assert abs(sum(first) + sum(second)) / 16 < 0.5  # centred


def test_scores_are_returned_in_order():
    built = build("reward")
    first, second = scored(built.objective.scorer)
    again, _ = scored(built.objective.scorer, COMPARISONS[::-1])
    assert again[::-1] == pytest.approx(first, abs=1e-5)
    assert first != second
    assert torch.tensor(first).isfinite().all()
