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
    gap_slopes,
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
MEANS_PRECISION = np.array([0.25, 0.25, 1e12, 0.25])
"""Of the population's means before anyone votes; that of length slopes is 0 by convention."""


def covariances(
    votes: Votes, pairs: Pairs, point: Point, seen: Seen, precisions: tuple[Floats, Floats]
) -> Floats:
    """Of each annotator's traits, [crowd, 4, 4]; `precisions` are the priors', of traits and of weights.

    The curvature is Louis' (1982): complete information less the variance of the slopes. Two annotators'
    slopes vary together as far as both follow the difference of a pair they share; that part is taken to
    be linear and square in it. Gaps between cuts enter by the outer products of the pairs' slopes (Berndt
    et al., 1974). The population's means are integrated out, its spreads are taken for known. Beyond 3,000
    unknowns, and where the whole has no inverse, so are its means, others' traits, weights and gaps.
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
    own, between = exact - missing, np.zeros((size, size))
    for direction in _directions(seen):
        followed = _along(votes, seen, direction)
        own = own + followed[:, :, None] * followed[:, None, :]
        through = _by_trait(votes, scaled * followed[:, CORE], pairs.count)
        between += (through.T @ through).toarray()
    own = blocks(votes, own, scaled) + precisions[0]
    curvature = _diagonal(own) - between - _shared(precisions[0])
    if pairs.design.shape[1]:
        curvature = _with_weights(votes, pairs, point, seen, (curvature, complete, precisions[1]))
    if point.gaps.size:
        curvature = _with_gaps(votes, pairs, point, seen, curvature)
    upper, failed = dpotrf(curvature)
    if failed:
        return alone
    inverse, _ = dpotri(upper)
    found = np.stack([inverse[k : k + 4, k : k + 4] for k in range(0, size, 4)])
    whole: Floats = np.triu(found) + np.triu(found, 1).transpose(0, 2, 1)
    return whole


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


def _with_gaps(votes: Votes, pairs: Pairs, point: Point, seen: Seen, others: Floats) -> Floats:
    """The curvature of all others bordered by that of the gaps between cuts."""
    own = gap_slopes(votes, point, seen)
    by_pair = np.column_stack([np.bincount(votes.pairs, column, pairs.count) for column in own.T])
    traits = _by_trait(votes, factors(votes, pairs) * slopes(seen)[:, CORE], pairs.count)
    weights = pairs.design.T @ (mean(seen.shares, seen.pull)[:, None] * by_pair)
    border = np.concatenate([traits.T @ by_pair, weights])
    return np.block([[others, border], [border.T, by_pair.T @ by_pair + np.eye(own.shape[1])]])


def _directions(seen: Seen) -> tuple[Floats, ...]:
    """Each pair's difference and its square, orthonormal over its posterior, [pairs, nodes] each.

    None where differences are known.
    """
    if seen.shares.shape[1] == 1:
        return ()

    def scaled(values: Floats) -> Floats:
        size = np.sqrt(mean(seen.shares, values**2))[:, None]
        return np.divide(values, size, out=np.zeros_like(values), where=size > 1e-9)

    line = scaled(seen.differences - mean(seen.shares, seen.differences)[:, None])
    square = line**2 - mean(seen.shares, line**2)[:, None]
    return line, scaled(square - mean(seen.shares, square * line)[:, None] * line)


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


def _shared(precisions: Floats) -> Floats:
    """What not knowing the population's means takes off its members' precisions, [4 crowd, 4 crowd]."""
    own = np.diagonal(precisions[0])
    taken = own**2 / (len(precisions) * own + MEANS_PRECISION)
    return np.tile(np.diag(taken), (len(precisions), len(precisions)))


def _diagonal(parts: Floats) -> Floats:
    """A matrix of blocks [crowd, 4, 4] along its diagonal."""
    crowd, width, _ = parts.shape
    whole = np.zeros((crowd, width, crowd, width))
    whole[np.arange(crowd), :, np.arange(crowd)] = parts
    return whole.reshape(crowd * width, crowd * width)
