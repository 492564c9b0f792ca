import pytest

from gnomon.errors import DataError
from gnomon.stats.proportion import wilson


def test_the_interval_of_15_in_20():
    found = wilson(15, 20)
    assert (found.value, found.n) == (0.75, 20)
    # Centre (0.75 + 3.8415 / 40) / 1.19207, half 1.95996 sqrt(0.75 * 0.25 / 20 + 3.8415 / 1600) / 1.19207.
    assert found.low == pytest.approx(0.5313, abs=1e-4)
    assert found.high == pytest.approx(0.8881, abs=1e-4)


def test_no_failure_still_leaves_doubt():
    assert wilson(30, 30).high == 1
    assert wilson(30, 30).low == pytest.approx(30 / (30 + 1.959964**2))
    assert wilson(0, 30).low == 0
    assert wilson(0, 30).high == pytest.approx(1 - wilson(30, 30).low)


def test_a_lower_level_is_narrower():
    assert wilson(15, 20, level=0.5).low > wilson(15, 20).low


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 2)])
def test_impossible_counts_are_refused(successes, n):
    with pytest.raises(DataError, match="counts"):
        wilson(successes, n)
