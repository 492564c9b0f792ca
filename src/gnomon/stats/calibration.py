"""How far stated probabilities are from what happened."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gnomon.errors import DataError

Floats = npt.NDArray[np.float64]


def expected_calibration_error(
    probabilities: Sequence[float] | Floats, outcomes: Sequence[bool] | Floats, bins: int = 10
) -> float:
    """ECE: over bins of equal width, the mean of |share that happened - mean probability|, by bin size.

    A probability on an edge belongs to the bin above it, and 1 to the last (arXiv:1706.04599, eq. 3).
    DataError for nothing at all, NaN, probabilities outside [0, 1] or lengths that differ.
    """
    stated = np.asarray(probabilities, dtype=np.float64)
    happened = np.asarray(outcomes, dtype=np.float64)
    if stated.size == 0 or stated.shape != happened.shape:
        raise DataError(f"calibration: {stated.size} probabilities against {happened.size} outcomes")
    if not (((stated >= 0) & (stated <= 1)).all() and np.isin(happened, (0.0, 1.0)).all()):
        raise DataError(
            "calibration: probabilities lie in [0, 1] and outcomes are true or false; found others"
        )
    which = np.minimum((stated * bins).astype(int), bins - 1)
    gaps = np.bincount(which, weights=happened - stated, minlength=bins)
    return float(np.abs(gaps).sum() / stated.size)
