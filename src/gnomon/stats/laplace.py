"""How uncertain annotators' traits are: the inverse curvature of the log posterior where it is highest."""

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotri
from scipy.sparse import coo_array, csr_array, diags_array

from gnomon.stats.evidence import (
    CORE,
    Point,
    Seen,
    blocks,
    complete_information,
    factors,
    mean,
    missing_information,
    slopes,
    stiffness,
)
from gnomon.stats.units import Floats
from gnomon.stats.votes import Pairs, Votes

_LARGEST = 3_000
"""Traits and weights whose curvature is inverted as a whole; of more, each annotator's by itself."""
_MOST_MISSING = 0.95


def covariances(
    votes: Votes, pairs: Pairs, point: Point, seen: Seen, precisions: tuple[Floats, Floats]
) -> Floats:
    """Of each annotator's traits, [crowd, 4, 4]; `precisions` are the priors', of traits and of weights.

    The curvature is Louis' (1982): complete information less the variance of the slopes. Two annotators'
    slopes vary together as far as both follow the difference of a pair they share; that part is taken to
    be linear in it. Spreads of the population and gaps between cuts are taken for known. Beyond 3,000
    unknowns, and where the whole has no inverse, others' traits and the weights are taken for known too.
    """
    scaled = factors(votes, pairs)
    complete = complete_information(seen)
    exact = complete.copy()
    exact[:, 2, 2] -= slopes(seen)[:, 2]
    missing = missing_information(seen)
    alone = inverse_less(blocks(votes, complete, scaled) + precisions[0], blocks(votes, missing, scaled))
    size = len(CORE) * votes.crowd
    if size + pairs.design.shape[1] > _LARGEST:
        return alone
    centre = mean(seen.shares, seen.differences)[:, None]
    error = np.sqrt(mean(seen.shares, (seen.differences - centre) ** 2))[:, None]
    places = np.divide(seen.differences - centre, error, out=np.zeros_like(seen.differences), where=error > 0)
    followed = _along(votes, seen, places)
    through = _by_trait(votes, scaled * followed[:, CORE], pairs.count)
    own = blocks(votes, exact - missing + followed[:, :, None] * followed[:, None, :], scaled)
    curvature = _diagonal(own + precisions[0]) - (through.T @ through).toarray()
    if pairs.design.shape[1]:
        curvature = _with_weights(votes, pairs, point, seen, (curvature, complete, precisions[1]))
    upper, failed = dpotrf(curvature)
    if failed:
        return alone
    inverse, _ = dpotri(upper)
    found = np.stack([inverse[k : k + 4, k : k + 4] for k in range(0, size, 4)])
    return np.triu(found) + np.triu(found, 1).transpose(0, 2, 1)


def inverse_less(complete: Floats, missing: Floats) -> Floats:
    """The inverses of complete - missing, [crowd, 4, 4]; no direction is said to miss more than 95 %."""
    half = np.linalg.inv(np.linalg.cholesky(complete))
    share, axes = np.linalg.eigh(half @ missing @ half.transpose(0, 2, 1))
    turned = axes.transpose(0, 2, 1) @ half
    kept = 1 - np.clip(share, 0, _MOST_MISSING)
    found: Floats = turned.transpose(0, 2, 1) @ (turned / kept[:, :, None])
    return found


def _with_weights(
    votes: Votes, pairs: Pairs, point: Point, seen: Seen, known: tuple[Floats, Floats, Floats]
) -> Floats:
    """The curvature of traits bordered by that of the design's weights."""
    by_traits, complete, precisions = known
    reliability = point.traits[votes.annotators, :1]
    crossed = reliability * complete[:, :, 1] - _along(votes, seen, seen.pull)
    crossed[:, 0] -= slopes(seen)[:, 1]
    border = _by_trait(votes, factors(votes, pairs) * crossed[:, CORE], pairs.count).T @ pairs.design
    pulled = mean(seen.shares, seen.pull)
    varied = mean(seen.shares, seen.pull**2) - pulled**2
    stiff = diags_array(stiffness(votes, pairs, point, seen) - varied)
    corner = (pairs.design.T @ stiff @ pairs.design).toarray() + np.diag(precisions)
    return np.block([[by_traits, border.toarray()], [border.toarray().T, corner]])


def _along(votes: Votes, seen: Seen, values: Floats) -> Floats:
    """Posterior covariances, [votes, 3], of each vote's slopes with its pair's values, [pairs, nodes]."""
    centred = seen.shares * (values - mean(seen.shares, values)[:, None])
    own = centred[votes.pairs]
    steep = seen.slope * seen.own
    return np.column_stack([mean(own, x) for x in (steep, seen.slope, seen.bend)])


def _by_trait(votes: Votes, values: Floats, count: int) -> csr_array:
    """[votes, 4] by pairs and traits, [pairs, 4 crowd]."""
    columns = len(CORE) * votes.annotators[:, None] + np.arange(len(CORE))
    rows = np.repeat(votes.pairs, len(CORE))
    shape = (count, len(CORE) * votes.crowd)
    return csr_array(coo_array((values.ravel(), (rows, columns.ravel())), shape=shape))


def _diagonal(parts: Floats) -> Floats:
    """A matrix of blocks [crowd, 4, 4] along its diagonal."""
    crowd, width, _ = parts.shape
    whole = np.zeros((crowd, width, crowd, width))
    whole[np.arange(crowd), :, np.arange(crowd)] = parts
    return whole.reshape(crowd * width, crowd * width)
