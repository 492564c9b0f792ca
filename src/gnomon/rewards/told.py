"""What a reward tells of a sample beside a number: how sure it is, and what of it nobody could read."""

from collections.abc import Hashable, Sequence
from statistics import fmean
from typing import NamedTuple, Protocol, runtime_checkable

from gnomon.rollouts.engine import Sample


class Told(NamedTuple):
    """What one reward says of one sample.

    `spread` is the standard deviation over the members of an ensemble, None where there is none. Of the
    verdicts that it consists of, where it consists of any, `read` is how many could be read and `unread` what
    was said in place of the others.
    """

    value: float
    spread: float | None = None
    read: int = 0
    unread: tuple[str, ...] = ()


@runtime_checkable
class Telling(Protocol):
    """A reward that tells more of a sample than a number."""

    def told(self, samples: Sequence[Sample]) -> list[Told]:
        """All that there is to tell, one for each sample."""
        ...


def unreadable(told: Sequence[Told]) -> float | None:
    """The share of all verdicts on some samples that could not be read; None where there are none."""
    unread = sum(len(one.unread) for one in told)
    verdicts = unread + sum(one.read for one in told)
    return unread / verdicts if verdicts else None


def filled(scores: Sequence[float | None], groups: Sequence[Hashable]) -> list[float]:
    """Scores with the mean of its group's others in place of each None, which then pays neither more nor less
    than its group; 0 where no score of a group is known."""
    known: dict[Hashable, list[float]] = {}
    for group, score in zip(groups, scores, strict=True):
        known.setdefault(group, []).extend([] if score is None else [score])
    means = {group: fmean(own) if own else 0.0 for group, own in known.items()}
    return [means[group] if score is None else score for group, score in zip(groups, scores, strict=True)]
