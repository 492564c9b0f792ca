import json
from collections import Counter

import numpy as np
import pytest
from scipy.special import ndtri
from simulated import alike_within, assert_covers, mean_width

from gnomon.errors import DataError
from gnomon.stats.clustered import mean_clustered
from gnomon.stats.prediction_powered import prediction_powered_mean

GOLD, JUDGED, OTHERS = [1, 0, 1, 1], [1, 0, 0, 1], [1, 0, 1, 1, 1, 0, 1, 1]


def test_at_weight_one_the_judges_mean_is_less_its_bias():
    found = prediction_powered_mean(GOLD, JUDGED, OTHERS, weight=1)
    # The judge's 6/8, less its bias of 2/4 - 3/4.
    assert found.value == pytest.approx(0.75 + 0.25)
    assert found.n == 4
    # Squares add up to 3/4 about the bias, over 4 * 3, and to 1.5 about the judge's mean, over 8 * 7.
    half = 3.182446 * (0.75 / 12 + 1.5 / 56) ** 0.5
    assert found.high - found.value == pytest.approx(half, abs=1e-5)


def test_at_weight_none_people_stand_alone():
    found = prediction_powered_mean(GOLD, JUDGED, OTHERS, weight=0)
    alone = mean_clustered(GOLD)
    assert (found.value, found.low, found.high) == pytest.approx((alone.value, alone.low, alone.high))


def test_the_tuned_weight_by_hand():
    # Products of people and judge add up to 1/2, its squares to 1, over 4 * 3; elsewhere to 1.5, over 8 * 7.
    weight = (0.5 / 12) / (1 / 12 + 1.5 / 56)
    found = prediction_powered_mean(GOLD, JUDGED, OTHERS)
    assert found.value == pytest.approx(0.75 - weight * (0.5 - 0.75))
    variance = 0.75 / 12 - weight * 0.5 / 12
    # One degree of freedom of three is spent: t of 2 is 4.302653.
    assert found.high - found.value == pytest.approx(4.302653 * (variance * 3 / 2) ** 0.5, abs=1e-5)


def test_a_judge_that_sees_nothing_is_given_no_weight():
    found = prediction_powered_mean(GOLD, [1, 1, 1, 1], [1] * 8)
    assert found.value == 0.75
    assert found.high == pytest.approx(0.75 + 4.302653 * (0.75 / 12 * 3 / 2) ** 0.5, abs=1e-5)


def test_scale_and_bias_of_the_judge_do_not_matter():
    found = prediction_powered_mean(GOLD, JUDGED, OTHERS)
    other = prediction_powered_mean(GOLD, 7 - 3 * np.array(JUDGED), 7 - 3 * np.array(OTHERS))
    assert (other.value, other.low) == pytest.approx((found.value, found.low))


def test_copies_within_clusters_add_no_certainty():
    twice = [np.repeat(x, 2) for x in (GOLD, JUDGED, OTHERS)]
    keys = (np.repeat(np.arange(4), 2).tolist(), np.repeat(np.arange(4, 12), 2).tolist())
    found, single = prediction_powered_mean(*twice, keys), prediction_powered_mean(GOLD, JUDGED, OTHERS)
    assert (found.value, found.low, found.high) == pytest.approx((single.value, single.low, single.high))


def test_a_cluster_of_both_kinds_of_rows_is_one_cluster():
    """What people say of it and what the judge says of its other rows go up and down together."""
    apart = prediction_powered_mean(GOLD, JUDGED, OTHERS, ([0, 1, 2, 3], range(4, 12)), weight=1)
    shared = prediction_powered_mean(
        GOLD, JUDGED, OTHERS, ([0, 1, 2, 3], [0, 1, 2, 3, *range(8, 12)]), weight=1
    )
    # What the sum's square has besides: twice the products of the clusters' parts of both errors.
    errors, others = np.array([-1, -1, 3, -1]) / 4, np.array([1, -3, 1, 1]) / 4
    change = 2 * (errors @ others) / (12 * 56) ** 0.5
    t = 3.182446
    assert ((shared.high - 1) / t) ** 2 == pytest.approx(((apart.high - 1) / t) ** 2 + change, abs=1e-6)


@pytest.mark.parametrize("weight", [None, 1.0])
@pytest.mark.parametrize("right", [0.5, 0.75, 0.95])
@pytest.mark.parametrize("people", [30, 200])
def test_means_are_covered_whatever_the_judge(people, right, weight):
    random = np.random.default_rng(1)
    gold = (random.random((1_500, people + 500)) < 0.6) * 1.0
    judged = np.where(random.random(gold.shape) < right, gold, 1 - gold)
    rows = zip(gold[:, :people], judged[:, :people], judged[:, people:], strict=True)
    found = [prediction_powered_mean(*row, weight=weight) for row in rows]
    assert_covers(0.6, found)


@pytest.mark.parametrize("weight", [None, 1.0])
def test_means_of_clusters_are_covered(weight):
    """Twenty clusters with gold, half of which have rows without."""
    random = np.random.default_rng(2)
    clusters = np.concatenate([np.repeat(np.arange(20), 3), np.repeat(np.arange(10, 110), 4)])
    keys = (clusters[:60].tolist(), clusters[60:].tolist())
    gold = (alike_within(random, clusters, 0.5)[:1_500] < ndtri(0.6)) * 1.0
    judged = np.where(random.random(gold.shape) < 0.85, gold, 1 - gold)
    rows = zip(gold[:, :60], judged[:, :60], judged[:, 60:], strict=True)
    assert_covers(0.6, [prediction_powered_mean(*row, keys, weight) for row in rows])


def votes(published):
    """PandaLM's 999 pairs: what three people say, 1 where the first answer wins and 1/2 for ties; which is
    longer, in the same way; and what was asked."""
    rows = json.loads(published("pandalm/testset-v1.json").read_text(encoding="utf-8"))
    people = np.array([[{0: 0.5, 1: 1.0, 2: 0.0}[row[f"annotator{k}"]] for k in (1, 2, 3)] for row in rows])
    longer = np.array(
        [np.sign(len(str(row["response1"])) - len(str(row["response2"]))) / 2 + 0.5 for row in rows]
    )
    return people, longer, [f"{row['instruction']} {row['input']}" for row in rows]


@pytest.mark.parametrize("judge", ["another person", "longer wins"])
def test_few_votes_of_people_and_many_of_a_judge_cover_what_all_people_say(published, judge):
    people, longer, _ = votes(published)
    gold, judged = people[:, 0], people[:, 1] if judge == "another person" else longer
    random = np.random.default_rng(3)
    drawn = random.integers(0, gold.size, size=(1_500, 1_000))
    few, many = drawn[:, :60], drawn[:, 60:]
    found = [prediction_powered_mean(gold[i], judged[i], judged[j]) for i, j in zip(few, many, strict=True)]
    alone = [mean_clustered(gold[i]) for i in few]
    assert_covers(gold.mean(), found)
    assert_covers(gold.mean(), alone)
    if judge == "another person":
        assert mean_width(found) < 0.6 * mean_width(alone)
    else:
        assert mean_width(found) < mean_width(alone)


def test_votes_on_few_instructions_cover_what_all_people_say(published):
    people, _, instructions = votes(published)
    rows = {key: np.flatnonzero([key == other for other in instructions]) for key in Counter(instructions)}
    groups, random, found, alone = list(rows.values()), np.random.default_rng(4), [], []
    for _ in range(1_000):
        drawn = [groups[k] for k in random.integers(0, len(groups), size=200)]
        few, many = np.concatenate(drawn[:40]), np.concatenate(drawn[40:])
        keys = np.repeat(np.arange(200), [len(x) for x in drawn]).tolist()
        keys = (keys[: few.size], keys[few.size :])
        found.append(prediction_powered_mean(people[few, 0], people[few, 1], people[many, 1], keys))
        alone.append(mean_clustered(people[few, 0], keys[0]))
    assert_covers(people[:, 0].mean(), found)
    assert mean_width(found) < 0.85 * mean_width(alone)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 0, 1], [1, 0], [1]), "3 values against 2"),
        (([1, 0], [1, 0], [1, 0]), "at least three clusters"),
        (([1, 0, 1], [1, 0, 1], [1, 0], (["a", "a", "b"], ["c", "d"])), "at least three clusters"),
        (([1, 0, 1], [1, 0, 1], [1, 0], (["a", "b", "c"], ["d"])), "3 and 1 cluster keys for 3 rows"),
        (([1, 0, 1], [1, 0, 1], [1, 0], (["a", "b", "c"], ["d", "d"])), "rows without of two"),
        (([1, 0, 1], [1, 0, 1], []), "others must be a non-empty"),
    ],
)
def test_what_no_mean_follows_from_is_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        prediction_powered_mean(*arguments)
