"""Samples of a batch, and what is known of them before anything is learnt."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from gnomon.errors import DataError, DivergenceError
from gnomon.judges.verifiable import Check
from gnomon.models.logps import Reading
from gnomon.rewards.combine import Said, Terms
from gnomon.rewards.told import unreadable
from gnomon.rollouts.engine import Sample


@dataclass(frozen=True)
class PolicyPrompts:
    """Encoded prompts and their ids; the checks of those that a program can tell a right answer of."""

    ids: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]
    checks: Mapping[tuple[int, ...], Sequence[Check]] = field(default_factory=dict)


class Drawn(NamedTuple):
    """A sample, what rewards say of it, the share of checks passed, its tokens' log-ratios to the reference;
    where a batch has several updates, how the training forward reads it; a critic's values."""

    sample: Sample
    said: Said
    passed: float | None
    log_ratio: Tensor
    reading: Reading | None
    values: Tensor | None


@dataclass(frozen=True)
class Rollouts:
    """Samples of one batch, `samples` neighbours to a prompt, with what they are worth.

    `terms` [samples, rewards] are what each reward says, `scores` their sum made ready, `paid` with the
    checks `passed`; `costs` are how far each is beyond the thresholds. `log_ratios` are log pi - log pi_ref
    of each response's tokens, `kl` their sums. `replaced` prompts gave way to others. `second` are the scores
    of a model that only watches.
    """

    ids: tuple[str, ...]
    drawn: Sequence[Drawn]
    terms: Tensor
    scores: Tensor
    paid: Tensor
    kl: Tensor
    costs: tuple[Tensor, ...]
    replaced: int
    second: tuple[float, ...] | None = None

    @property
    def samples(self) -> list[Sample]:
        """The samples themselves."""
        return [each.sample for each in self.drawn]

    @property
    def passed(self) -> list[float | None]:
        """The share of its checks that each passes."""
        return [each.passed for each in self.drawn]

    @property
    def spreads(self) -> list[float]:
        """By how much ensembles differ on each sample; none where there is no ensemble."""
        return [each.said.spread for each in self.drawn if each.said.spread is not None]

    @property
    def log_ratios(self) -> list[Tensor]:
        """Of each sample's tokens."""
        return [each.log_ratio for each in self.drawn]

    @property
    def tokens(self) -> int:
        """Response tokens of all samples."""
        return sum(len(each.log_ratio) for each in self.drawn)


def finite(rewards: Sequence[float], ids: Sequence[str], step: int) -> list[float]:
    """The same rewards; DivergenceError where one of them is no number, naming the prompts."""
    wrong = [i for i, value in enumerate(rewards) if not math.isfinite(value)]
    if wrong:
        names = ", ".join(dict.fromkeys(ids[i] for i in wrong))
        raise DivergenceError(
            f"step {step}: {len(wrong)} of {len(rewards)} samples have a reward of {rewards[wrong[0]]}, for "
            f"the prompts {names}; nothing was learnt from this step. Look at what the reward model (or the "
            "reward function) makes of those prompts"
        )
    return list(rewards)


def readable(terms: Terms, drawn: Sequence[Drawn], ids: Sequence[str], step: int) -> None:
    """DataError where more of a reward's verdicts on a batch cannot be read than its settings let pass."""
    for k, term in enumerate(terms.terms):
        told = [each.said.told[k] for each in drawn]
        share, most = unreadable(told), term.settings.unreadable
        if share is None or share <= most:
            continue
        silent = {prompt: own.unread[0] for prompt, own in zip(ids, told, strict=True) if own.unread}
        raise DataError(
            f"step {step}: {share:.1%} of the verdicts of reward {term.settings.called} cannot be read, "
            f"though asked for again, and {most:.1%} may be; they are about answers to the prompts "
            f"{', '.join(silent)}, and of the last there is: {[*silent.values()][-1]}. Nothing was learnt "
            "from this batch. Name a judge that keeps to the form it is asked for, or raise `unreadable` of "
            "this reward"
        )
