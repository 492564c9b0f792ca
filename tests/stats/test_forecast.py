import math

import numpy as np
import pytest
from tilted import LENGTH, Table, clean, planted, points

from gnomon.errors import DataError
from gnomon.stats.forecast import Seen, Witness, foretell, look_ahead, witness
from gnomon.stats.overopt import fit

KNOWN = Witness(2.0, 0.5, (0.8, 0.8), 0.6, 0.7)


def test_gold_is_what_the_proxy_does_not_explain_of_the_second_score():
    """(3 - 0.5 * 2) / 2."""
    assert KNOWN.implied(np.array([2.0]), np.array([3.0])) == pytest.approx([1.0])


def test_pairs_tell_what_the_models_share():
    """proxy = g + e and second = g + e/2 + f, that is (g + proxy) / 2 + f, with g, e, f standard normal."""
    rng = np.random.default_rng(0)
    gold, error, own = rng.normal(size=(3, 200_000))
    seen = 0.6 * gold + 0.8 * rng.normal(size=(2, gold.size))
    found = witness(gold + error, gold + 0.5 * error + own, np.sign(seen).T)
    assert found.reliability == pytest.approx(0.6, abs=0.01)
    assert (found.by_gold, found.by_proxy) == (pytest.approx(0.5, abs=0.03), pytest.approx(0.5, abs=0.02))
    assert found.accuracy[0] == pytest.approx(0.75, abs=0.01)  # of a correlation of 1 / sqrt 2
    assert found.together == pytest.approx(1.5 / math.sqrt(2 * 2.25), abs=0.01)


def test_independent_errors_leave_nothing_to_the_proxy():
    rng = np.random.default_rng(1)
    gold, error, own = rng.normal(size=(3, 200_000))
    seen = 0.6 * gold + 0.8 * rng.normal(size=(2, gold.size))
    assert witness(gold + error, gold + own, np.sign(seen).T).by_proxy == pytest.approx(0, abs=0.04)


def test_what_cannot_be_known_is_said():
    margins = np.array([1.0, -1.0, 1.0, -1.0])
    apart = np.array([[1.0, -1.0]] * 4)
    with pytest.raises(DataError, match="no more than by chance"):
        witness(margins, margins, apart)
    with pytest.raises(DataError, match="no margins"):
        witness(margins, 0 * margins, np.ones((4, 2)))
    with pytest.raises(DataError, match="give each pair"):
        witness(margins, margins[:3], apart)
    with pytest.raises(DataError, match="knows nothing of gold"):
        Witness(0.0, 1.0, (0.8, 0.8), 1.0, 0.7).implied(margins, margins)
    with pytest.raises(DataError, match="1 points"):
        foretell([Seen(np.zeros((2, 2)), np.zeros((2, 2)), np.zeros((2, 2)))], KNOWN)


def test_looking_ahead_is_exact_where_the_climb_goes_on_by_the_proxy():
    """From half a nat, what weighed samples say of a policy a nat farther is what that policy is."""
    own = planted(3)
    table = Table(own.base, own.gold, own.proxy, second=own.gold)
    known = Witness(1.0, 0.0, (0.8, 0.8), 0.6, 0.7)
    rng = np.random.default_rng(0)
    start, now = (table.seen(strength, rng, samples=4000) for strength in (0.0, 0.5))
    ahead = look_ahead(start, now, known)
    strengths = np.linspace(0.5, 1.2, 50)
    distances, gold = table.path(strengths)
    gold = gold + LENGTH * (table.at(0.5) - table.base) @ table.gold
    told = np.interp(distances, ahead.distances, ahead.gold)
    assert abs(told - gold).max() < 0.05 * gold.max()
    assert ahead.distances[0] == pytest.approx(now.distance)


def test_a_peak_that_was_passed_is_told_as_such():
    """Implied gold, (second - 0.5 proxy) / 2, is 0, 1.25 and 0.5 at distances 0, 1 and 2, and level ahead."""
    level = np.ones((4, 4))
    seen = [Seen(p * level, s * level, d**2 * level) for p, s, d in ((0, 0, 0), (1, 3, 1), (2, 2, 2))]
    told = foretell(seen, KNOWN, resamples=3)
    assert (told.peak, told.low, told.high, told.sure) == (1.0, 1.0, 1.0, 1.0)


def online(table, seed):
    """What a user who follows the forecast comes to: the peak it puts first, where gold peaks, where the
    first one was made, and the share of the oracle's gain that stopping by it goes without."""
    rng = np.random.default_rng(seed)
    seen, distances, gold = points(table, rng)
    known = witness(*table.held_out(rng))
    first = stop = None
    for k in range(2, len(seen)):
        told = foretell(seen[: k + 1], known, resamples=20, seed=seed)
        if not (math.isfinite(told.peak) and told.sure >= 0.8):
            continue
        first = (told, distances[k]) if first is None else first
        if told.peak <= seen[k].distance:
            stop = k
            break
    best = int(gold.argmax())
    missed = 1 - gold[len(gold) - 1 if stop is None else stop] / gold[best]
    return first, distances[best], missed


def falls(seed):
    """Whether a planted table is one on which gold rises and falls, at a distance that takes some points."""
    distances, gold = planted(seed).path(np.geomspace(0.02, 30, 200))
    best = int(gold.argmax())
    return distances[best] > 0.8 and gold[-1] < 0.7 * gold[best]


FALLING = [seed for seed in range(80) if falls(seed)][:30]


def test_the_peak_is_foretold_before_it_and_without_gold():
    """Of 30 planted climbs: within a quarter of its distance in the median, made before it in most, and
    stopping by it costs a tenth at most of what an oracle would have gained."""
    found = [online(planted(seed), seed) for seed in FALLING]
    assert len(found) == 30
    told = [(first, best) for first, best, _ in found if first is not None]
    assert len(told) >= 27
    errors = [abs(one.peak - best) / best for (one, _), best in told]
    assert np.median(errors) <= 0.25
    assert np.mean([made < best for (_, made), best in told]) >= 0.8
    assert np.median([missed for *_, missed in found]) <= 0.1


def test_what_is_shared_has_to_be_taken_out():
    """Taking the second score for gold itself stops later, and costs more."""
    table = [planted(seed) for seed in FALLING[:12]]
    costs = []
    for plain in (False, True):
        missed = []
        for seed, own in zip(FALLING, table, strict=False):
            rng = np.random.default_rng(seed)
            seen, _, gold = points(own, rng)
            known = witness(*own.held_out(rng))
            known = known._replace(by_proxy=0.0, by_gold=1.0) if plain else known
            stop = next(
                (
                    k
                    for k in range(2, len(seen))
                    if foretell(seen[: k + 1], known, resamples=2).peak <= seen[k].distance
                ),
                len(seen) - 1,
            )
            missed.append(1 - gold[stop] / gold.max())
        costs.append(np.mean(missed))
    assert costs[0] < costs[1]


def test_where_gold_only_rises_no_peak_is_foretold_early():
    """On a clean reward gold levels off; a stop by the forecast costs next to nothing."""
    assert np.median([online(clean(seed), seed)[2] for seed in range(10)]) < 0.05


def test_gao_s_form_foretells_less_than_looking_ahead():
    """Fitted to implied gold up to 70 % of the way, and extrapolated."""
    errors = []
    for seed in FALLING:
        rng = np.random.default_rng(seed)
        seen, distances, gold = points(planted(seed), rng)
        known = witness(*planted(seed).held_out(rng))
        best = float(distances[gold.argmax()])
        near = [point for point, distance in zip(seen, distances, strict=True) if distance <= 0.7 * best]
        told = known.implied(
            np.array([point.proxy.mean() for point in near[1:]]) - near[0].proxy.mean(),
            np.array([point.second.mean() for point in near[1:]]) - near[0].second.mean(),
        )
        curve = fit("best_of_n", np.array([point.distance for point in near[1:]]), told)
        ahead = foretell(near, known, resamples=2).peak
        errors.append([abs(min(peak, 99.0) - best) / best for peak in (curve.peak, ahead)])
    by_form, by_ahead = np.median(errors, axis=0)
    assert by_ahead < by_form
