"""What the best of n samples is worth, and how far it lies from what was sampled."""

import math

import numpy as np

from gnomon.errors import DataError
from gnomon.stats.units import Floats


def best_of_n(proxy: Floats, gold: Floats, n: int) -> float:
    """Mean gold of the sample with the highest proxy among n, over all choices of n of the N samples.

    sum_{i >= n} C(i - 1, n - 1) / C(N, n) gold_(i), in rising order of the proxy: without bias for n draws of
    the policy (arXiv:2112.09332, appendix I). Samples of equal proxy share their mean gold, as one of them
    is taken at random. DataError where n is not between 1 and N or the lists differ in length.
    """
    if len(proxy) != len(gold) or not 1 <= n <= len(gold):
        raise DataError(f"best of {n} of {len(proxy)} proxy scores and {len(gold)} gold ones: n is 1 to N")
    order = np.argsort(proxy, kind="stable")
    _, group = np.unique(np.asarray(proxy)[order], return_inverse=True)
    sums = np.bincount(group, weights=np.asarray(gold, dtype=float)[order])
    shared = (sums / np.bincount(group))[group]
    count = len(gold)
    weights = np.zeros(count)
    weights[n - 1] = 1.0
    for i in range(n, count):  # C(i, n - 1) from C(i - 1, n - 1), from C(n - 1, n - 1) = 1
        weights[i] = weights[i - 1] * i / (i - n + 1)
        if weights[i] > HUGE:
            weights /= HUGE
    return float(weights @ shared / weights.sum())


HUGE = 1e200
"""Binomials are kept below this; only their shares matter."""


def best_of_n_kl(n: int) -> float:
    """ln n - (n - 1)/n nats: at most so far is the best of n from what was sampled (arXiv:2401.01879)."""
    if n < 1:
        raise DataError(f"best of {n}: n is 1 or more")
    return math.log(n) - (n - 1) / n
