import numpy as np
import pytest

from gnomon.errors import DataError
from gnomon.stats.lapses import lapse_rate


def test_of_known_pairs_it_is_the_share_that_is_wrong():
    found = lapse_rate(right=19, wrong=1, kept=0, changed=0)
    assert found.value == pytest.approx(0.05)
    assert found.n == 20
    # profile likelihood of 1 in 20: twice the fall of the log-likelihood is 3.84 at both ends
    for end in (found.low, found.high):
        fall = np.log(0.05 / end) + 19 * np.log(0.95 / (1 - end))
        assert 2 * fall == pytest.approx(3.84, abs=0.05)


def test_of_pairs_judged_again_both_judgements_may_be_lapses():
    # 2 e (1 - e) = 0.18 at e = 0.1
    assert lapse_rate(right=0, wrong=0, kept=82, changed=18).value == pytest.approx(0.1)


def test_both_kinds_are_weighed_together():
    known, again = lapse_rate(90, 10, 0, 0), lapse_rate(0, 0, 70, 30)
    both = lapse_rate(90, 10, 70, 30)
    assert known.value < both.value < again.value
    assert both.high - both.low < known.high - known.low


def test_none_in_twenty_is_none_within_what_chance_allows():
    found = lapse_rate(20, 0, 0, 0)
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(1 - np.exp(-3.841 / 40), abs=2e-4)  # (1 - e)^20 = e^(-3.84 / 2)


def test_more_changes_than_coins_make_are_half():
    assert lapse_rate(0, 0, 10, 90).value == 0.5


@pytest.mark.parametrize("counts", [(0, 0, 0, 0), (-1, 2, 0, 0)])
def test_nothing_judged_tells_nothing(counts):
    with pytest.raises(DataError, match="have known pairs judged"):
        lapse_rate(*counts)


def test_the_interval_covers_what_was_planted():
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        wrong = int(generator.binomial(30, 0.12))
        changed = int(generator.binomial(40, 2 * 0.12 * 0.88))
        found = lapse_rate(30 - wrong, wrong, 40 - changed, changed)
        covered += found.low <= 0.12 <= found.high
    assert 0.92 <= covered / 400 <= 0.98
