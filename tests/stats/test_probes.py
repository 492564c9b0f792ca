import numpy as np
import pytest
from simulated import coverage

from gnomon.errors import DataError
from gnomon.stats.crowd import Habits, Shown, chances, hire, vote
from gnomon.stats.probes import Probed, shift, slope, turned

KINDS = 9


def probed(towards, away, doses=2.0, kinds=3) -> Probed:
    return Probed(
        np.array(towards), np.array(away), np.broadcast_to(np.float64(doses), np.shape(towards)), kinds
    )


def test_a_shift_and_what_turned_by_hand():
    # Strengths 1, 0, 1, -1 where the cue is for the first answer, -1, 0, 1, 1 where it is for the second.
    found = probed([2, 1, 2, 0], [0, 1, 2, 2])
    assert shift(found).value == pytest.approx((1 + 0 + 0 - 1) / 4)
    assert turned(found) == (1, 1)
    assert shift(probed([8, 8], [0, 4], kinds=9)).value == pytest.approx((1 + 0.5) / 2)


def test_a_slope_by_hand():
    """Six cuts part the versions with the cue and two against it: log 3 for a dose of one, half for two."""
    found = probed([2, 2, 1, 1, 0], [0, 0, 0, 0, 2])
    assert slope(found).value == pytest.approx(np.log(6 / 2) / 2)
    one = probed([2, 2, 1, 1, 0], [0, 0, 0, 0, 2], doses=1.0)
    assert slope(one).value == pytest.approx(np.log(3))
    # doses 1 and 2, x the odds ratio of one: 1 - 2 x/(1 + x) + 2 (3 - 4 x^2/(1 + x^2)) = 0 at its root
    mixed = slope(probed([1, 0, 1, 1, 1, 0], [0, 1, 0, 0, 0, 1], doses=[1, 1, 2, 2, 2, 2])).value
    odds = np.exp(mixed)
    assert 1 - 2 * odds / (1 + odds) + 2 * (3 - 4 * odds**2 / (1 + odds**2)) == pytest.approx(0, abs=1e-9)


def test_the_other_way_round_is_the_negative():
    one = probed([2, 2, 1, 1, 0, 1], [0, 1, 0, 0, 2, 1], doses=[1, 2, 1, 3, 2, 1])
    other = Probed(one.away, one.towards, one.doses, one.kinds)
    for measure in (shift, slope):
        found, back = measure(one), measure(other)
        assert (back.value, back.low, back.high) == pytest.approx((-found.value, -found.high, -found.low))


def test_what_cannot_be_told_is_said():
    with pytest.raises(DataError, match="too few judgements changed"):
        slope(probed([2, 1], [0, 1]))
    still = shift(probed([1] * 20, [1] * 20))
    assert (still.value, -1 < still.low < -0.1, 0.1 < still.high < 1) == (0, True, True)
    alone = shift(probed([2, 1], [0, 1]), ["a", "a"])
    assert (alone.low, alone.high) == (-1, 1)
    for bad in (([], []), ([3], [0]), ([1], [-1])):
        with pytest.raises(DataError, match="probes: "):
            probed(*bad)
    with pytest.raises(DataError, match="doses above 0"):
        probed([1], [0], doses=0.0)


def judged(seed: int, habits: Habits, size: int = 14, probes: int = 20):
    """Both versions of so many probes, of a belief and of a length, judged by everybody; who judged each."""
    crowd, random = hire(size, habits, seed), np.random.default_rng([seed, 7])
    who, which = np.repeat(np.arange(size), probes), np.tile(np.arange(probes), size)
    quality, side = random.normal(size=probes)[which], random.choice([-1.0, 1.0], probes)[which]
    plain, more = random.normal(0, 0.3, probes)[which], random.uniform(0.4, 1.2, probes)[which]
    still, index = np.zeros(len(who)), np.arange(len(who))
    versions = [Shown(quality, side, plain, still + belief) for belief in (1, -1)]
    versions += [Shown(quality, side, plain + sign * more, still) for sign in (1, -1)]
    said = [
        vote(crowd, who, index + place * len(who), shown, KINDS).outcomes
        for place, shown in enumerate(versions)
    ]
    belief = Probed(said[0], said[1], still + 2, KINDS)
    return belief, Probed(said[2], said[3], 2 * more, KINDS), who.tolist()


def expected_shift(habits: Habits) -> float:
    """The mean shift of beliefs in a large crowd: exact chances, no draws of votes."""
    crowd, random = hire(4_000, habits, 99), np.random.default_rng(98)
    who, still = np.repeat(np.arange(4_000), 10), np.zeros(40_000)
    quality, side = random.normal(size=40_000), random.choice([-1.0, 1.0], 40_000)
    first, second = (
        chances(crowd, who, np.zeros(40_000), Shown(quality, side, still, still + belief), KINDS)
        for belief in (1, -1)
    )
    return float(((first - second) @ np.arange(KINDS)).mean() / (KINDS - 1))


PLANTED = Habits(sycophancy=(0.8, 0.2), length=(0.5, 0.15))
HONEST = Habits(length=(0.0, 0.0))


@pytest.mark.parametrize("habits", [PLANTED, HONEST], ids=["planted", "honest"])
def test_planted_biases_come_back_within_their_intervals_and_nobody_is_accused_without(habits):
    beliefs, lengths, shifts = [], [], []
    for seed in range(120):
        belief, length, who = judged(seed, habits)
        beliefs.append(slope(belief, who))
        lengths.append(slope(length, who))
        shifts.append(shift(belief, who))
    truths = (habits.sycophancy[0], habits.length[0], expected_shift(habits))
    for truth, found in zip(truths, (beliefs, lengths, shifts), strict=True):
        assert 0.89 <= coverage(truth, found) <= 1.0
        assert np.mean([one.value for one in found]) == pytest.approx(truth, abs=0.06)
    accused = np.mean([one.low > 0 for one in (*beliefs, *lengths)])
    assert accused > 0.9 if habits is PLANTED else accused < 0.06


def test_a_slope_does_not_depend_on_how_close_the_pairs_are():
    """Clear pairs hide a bias from the shift, not from the slope."""
    dull, sharp = (
        [judged(seed, Habits(reliability=(mean, 0.2), sycophancy=(0.8, 0.1)))[0] for seed in range(40)]
        for mean in (0.3, 4.0)
    )
    near, far = (np.mean([slope(one).value for one in found]) for found in (dull, sharp))
    assert near == pytest.approx(0.8, abs=0.06)
    assert far == pytest.approx(0.8, abs=0.06)
    small, large = (np.mean([shift(one).value for one in found]) for found in (sharp, dull))
    assert small < 0.7 * large
