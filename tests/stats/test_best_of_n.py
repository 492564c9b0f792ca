import math
from itertools import combinations

import numpy as np
import pytest

from gnomon.errors import DataError
from gnomon.stats.best_of_n import best_of_n, best_of_n_kl

PROXY = np.array([0.3, -1.0, 2.0, 0.9, 0.1])
GOLD = np.array([1.0, 0.0, -4.0, 3.0, 2.0])


@pytest.mark.parametrize("n", range(1, 6))
def test_it_is_the_mean_over_all_choices(n):
    best = [GOLD[max(chosen, key=lambda i: PROXY[i])] for chosen in combinations(range(5), n)]
    assert best_of_n(PROXY, GOLD, n) == pytest.approx(sum(best) / len(best))


def test_worked_numbers():
    """Gold in the order of the proxy 0, 2, 1, 3, -4; of two the best is the i-th in i - 1 of 10 pairs."""
    assert best_of_n(PROXY, GOLD, 2) == pytest.approx((1 * 2 + 2 * 1 + 3 * 3 + 4 * -4) / 10)
    assert best_of_n(PROXY, GOLD, 1) == pytest.approx(GOLD.mean())
    assert best_of_n(PROXY, GOLD, 5) == pytest.approx(-4.0)


def test_equal_proxies_share_their_gold():
    proxy, gold = np.array([0.0, 1.0, 1.0]), np.array([5.0, 2.0, 4.0])
    assert best_of_n(proxy, gold, 3) == pytest.approx(3.0)
    assert best_of_n(proxy, gold, 3) == pytest.approx(best_of_n(proxy, gold[[0, 2, 1]], 3))
    assert best_of_n(proxy, gold, 2) == pytest.approx((1 * 3.0 + 2 * 3.0) / 3)


def test_many_samples_overflow_nothing():
    """Uniform proxies as their own gold: the best of n of them is n (N + 1) / (n + 1) / N on average."""
    values = np.arange(1, 4001) / 4000
    assert best_of_n(values, values, 1000) == pytest.approx(1000 * 4001 / 1001 / 4000)


def test_it_has_no_bias():
    """Of six draws at a time, on average what the best of two of endless draws is: 0.564 of a normal."""
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(4000, 6))
    found = np.mean([best_of_n(row, row, 2) for row in draws])
    assert found == pytest.approx(1 / math.sqrt(math.pi), abs=0.02)


def test_what_cannot_be_asked_is_refused():
    for n, gold in ((0, GOLD), (6, GOLD), (2, GOLD[:3])):
        with pytest.raises(DataError, match=r"n is 1 to N"):
            best_of_n(PROXY, gold, n)
    with pytest.raises(DataError, match=r"n is 1 or more"):
        best_of_n_kl(0)


def test_the_bound_on_its_distance():
    assert best_of_n_kl(1) == 0.0
    assert best_of_n_kl(4) == pytest.approx(math.log(4) - 0.75)
