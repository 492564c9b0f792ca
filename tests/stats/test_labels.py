import numpy as np
import pytest
from planted import planted
from scipy.special import expit

from gnomon.errors import DataError
from gnomon.stats.crowd import Habits
from gnomon.stats.labels import (
    AGGREGATES,
    Labels,
    by_annotator_model,
    by_dawid_skene,
    by_majority,
    sides_taken,
)
from gnomon.stats.votes import Pairs, Votes

SEEDS = range(5)
NOISY = Habits(reliability=(1.7, 0.5), spam=0.2)
"""Of 13 annotators three do not read; the others flip one vote in four between answers of unit spread."""
FIRST, TIE, SECOND = 2, 1, 0


def votes_of(*said: tuple[int, int, int], **more) -> Votes:
    """From (pair, annotator, outcome)."""
    pairs, annotators, outcomes = zip(*said, strict=True)
    return Votes.of(pairs, annotators, outcomes, **more)


def test_sides_of_a_scale_of_strength():
    strengths = Votes.of(range(5), range(5), range(5), 5)
    assert sides_taken(strengths).tolist() == [-1, -1, 0, 1, 1]
    assert sides_taken(Votes.of([0, 1], [0, 0], [0, 1], 2)).tolist() == [-1, 1]


def test_majorities_say_where_they_tie_and_weigh_the_same():
    votes = votes_of(
        (0, 0, FIRST), (0, 1, FIRST), (0, 2, SECOND), (1, 0, FIRST), (1, 1, SECOND), (2, 0, TIE), (2, 1, TIE),
        (2, 2, FIRST), (3, 0, SECOND),
    )  # fmt: skip
    found = by_majority(votes, Pairs.of(4))
    assert found.preferences.tolist() == [1, 0.5, 0.5, 0]
    assert found.weights.tolist() == [1, 1, 1, 1]


def test_flips_behind_the_agreement_of_majorities_by_hand():
    # Four pairs agree and one does not: 0.8 = (1 - e)^2 + e^2, so e = (1 - sqrt(0.6)) / 2. Ties do not count.
    said = [(pair, who, FIRST) for pair in range(4) for who in range(2)]
    votes = votes_of(*said, (4, 0, FIRST), (4, 1, SECOND), (5, 0, TIE), (5, 1, FIRST))
    flips = by_majority(votes, Pairs.of(6)).flips
    assert flips.value == pytest.approx((1 - 0.6**0.5) / 2)
    assert 0 <= flips.low < flips.value < flips.high <= 0.5


def test_nothing_tells_flips_where_nobody_judges_after_somebody_else():
    votes = votes_of((0, 0, FIRST), (1, 1, SECOND), (2, 0, FIRST))
    assert by_majority(votes, Pairs.of(3)).flips is None
    assert by_dawid_skene(votes_of((0, 0, FIRST), (0, 1, FIRST)), Pairs.of(1)).flips is None, "one pair"
    assert by_majority(votes_of((0, 0, TIE), (0, 1, TIE)), Pairs.of(1)).flips is None, "nobody decides"


def test_votes_that_are_alone_on_their_pairs_do_not_tell_whom_to_rely_on():
    votes = planted(0, NOISY, size=13, pairs=60, overlap=1).votes
    with pytest.raises(DataError, match=r"nobody judged a pair after somebody else.*overlap=2"):
        by_dawid_skene(votes, Pairs.of(60))
    with pytest.raises(DataError, match=r"take the majority .data.labels.method=majority"):
        by_annotator_model(votes, Pairs.of(60))
    gold = np.where(np.arange(60) < 30, np.sign(planted(0, NOISY, size=13, pairs=60).differences), 0)
    assert by_annotator_model(votes, Pairs.of(60, gold=gold)).preferences[30:].std() > 0.05
    assert set(by_majority(votes, Pairs.of(60)).preferences) == {0, 0.5, 1}


@pytest.mark.parametrize("method", AGGREGATES)
def test_a_pair_nobody_judged_is_refused(method):
    with pytest.raises(DataError, match="votes on 1 pairs of 2"):
        AGGREGATES[method](votes_of((0, 0, FIRST), (0, 1, FIRST)), Pairs.of(2))


@pytest.mark.parametrize("method", AGGREGATES)
def test_answers_that_change_names_mirror_the_labels_and_nothing_else(method):
    found = planted(0, NOISY, size=13, pairs=100)
    labels = AGGREGATES[method](found.votes, found.pairs)
    mirrored = AGGREGATES[method](found.votes.mirrored(), found.pairs.mirrored())
    assert mirrored.preferences == pytest.approx(1 - labels.preferences, abs=2e-3)
    assert mirrored.weights == pytest.approx(labels.weights, abs=2e-3)
    assert mirrored.flips.value == pytest.approx(labels.flips.value, abs=2e-3)


def test_a_vote_against_a_label_by_hand():
    labels = Labels(np.array([0.9, 0.2]), np.ones(2), np.ones(1), None)
    votes = votes_of((0, 0, FIRST), (0, 0, SECOND), (1, 0, FIRST), (1, 0, TIE))
    assert labels.against(votes) == pytest.approx([0.1, 0.9, 0.8, np.nan], nan_ok=True)


@pytest.mark.parametrize("aggregate", [by_dawid_skene, by_annotator_model])
def test_who_tells_nothing_gives_no_weight(aggregate):
    found = planted(1, NOISY, size=13, pairs=300)
    labels = aggregate(found.votes, found.pairs)
    spam = found.crowd.spam.astype(bool)
    assert labels.telling[spam].max() < labels.telling[~spam].min()
    honest = np.bincount(found.votes.pairs, ~spam[found.votes.annotators], 300)
    assert labels.weights[honest == 5].min() > labels.weights[honest <= 2].max()
    assert (labels.weights > 0).all()
    assert (labels.weights < 1).all()


def test_weights_are_what_is_left_untold_by_hand():
    # Two annotators who agree on everything tell all there is to tell; one of two halves tells less.
    said = [(pair, who, FIRST if pair % 2 else SECOND) for pair in range(40) for who in range(2)]
    labels = by_dawid_skene(votes_of(*said, *((pair, 2, FIRST) for pair in range(40))), Pairs.of(40))
    assert labels.telling[:2].min() > 0.9
    assert labels.telling[2] == pytest.approx(0, abs=0.01)
    one = labels.telling[0]
    assert labels.weights == pytest.approx(
        np.full(40, 1 - (1 - one) ** 2 * (1 - labels.telling[2])), abs=1e-6
    )


@pytest.mark.parametrize("method", AGGREGATES)
def test_the_share_of_flips_is_about_the_true_one(method):
    errors = []
    for seed in SEEDS:
        found = planted(seed, NOISY, size=13, pairs=400)
        side, better = sides_taken(found.votes), np.sign(found.differences)[found.votes.pairs]
        truth = np.mean(side[side != 0] != better[side != 0])
        errors.append(AGGREGATES[method](found.votes, found.pairs).flips.value - truth)
    assert np.mean(errors) == pytest.approx(0, abs=0.05)


def learnt(features: np.ndarray, labels: Labels) -> np.ndarray:
    """A reward model of features: Bradley and Terry's loss on soft labels, by Newton's steps."""
    scores, weights = np.zeros(features.shape[1]), labels.weights / labels.weights.mean()
    for _ in range(20):
        chance = expit(features @ scores)
        slope = features.T @ (weights * (labels.preferences - chance)) - scores
        curve = (features.T * (weights * chance * (1 - chance))) @ features + np.eye(len(scores))
        scores = scores + np.linalg.solve(curve, slope)
    return scores


def log_loss(chance: np.ndarray, truth: np.ndarray) -> float:
    """Against what is true, no chance being taken for more than 99 %."""
    bounded = np.clip(chance, 0.01, 0.99)
    return float(-np.log(np.where(truth, bounded, 1 - bounded)).mean())


def scaled_loss(margins: np.ndarray, truth: np.ndarray) -> float:
    """The same of margins at their best scale: against labels without noise steep ones would always win."""
    return min(log_loss(expit(scale * margins), truth) for scale in np.geomspace(0.25, 16, 25))


def compared(seed: int) -> dict[str, dict[str, float]]:
    """Each way's labels against what is true, and a reward model of them on pairs nobody voted on."""
    found = planted(seed, NOISY, size=13, pairs=300, overlap=3)
    random = np.random.default_rng([seed, 2])
    features, unseen = random.normal(size=(2, 300, 12))
    features[:, 0] = found.differences  # what makes an answer better, among eleven things that do not
    true, better = found.differences > 0, unseen[:, 0] > 0
    results = {}
    for method, aggregate in AGGREGATES.items():
        labels = aggregate(found.votes, found.pairs)
        margins = unseen @ learnt(features, labels)
        results[method] = {
            "labels/accuracy": float(
                np.where(labels.preferences == 0.5, 0.5, (labels.preferences > 0.5) == true).mean()
            ),
            "labels/log_loss": log_loss(labels.preferences, true),
            "reward/accuracy": float(np.mean((margins > 0) == better)),
            "reward/log_loss": scaled_loss(margins, better),
        }
    return results


def test_the_annotator_model_is_not_below_majority_or_dawid_and_skene():
    """13 annotators of whom a fifth spam and the others flip a quarter, three votes a pair, five seeds."""
    seeds = [compared(seed) for seed in SEEDS]
    mean = {
        (method, name): np.mean([found[method][name] for found in seeds])
        for method in AGGREGATES
        for name in seeds[0][method]
    }
    for other in ("majority", "dawid_skene"):
        for what in ("labels", "reward"):
            assert mean["annotator_model", f"{what}/accuracy"] >= mean[other, f"{what}/accuracy"]
            assert mean["annotator_model", f"{what}/log_loss"] <= mean[other, f"{what}/log_loss"]
