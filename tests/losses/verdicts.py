"""A loss of single answers as one of pairs, to be held against those."""

from typing import Any

from torch import Tensor

from gnomon.losses.anchored import kto
from gnomon.losses.preference import PairLogps


def kto_of_pairs(pair: PairLogps, preference: Tensor, **given: Any) -> Tensor:
    """The mean of both answers' losses: as likely as one is the better it is desirable."""
    first = kto(pair.first_ratio, preference, **given)
    return (first + kto(pair.second_ratio, 1 - preference, **given)) / 2
