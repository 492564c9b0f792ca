"""The sampling protocol: prompts in, samples with the log-probs of what was sampled out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gnomon.errors import ConfigError
from gnomon.records import Conversation

UNKNOWN = -1
"""The id of a token that a server counts but does not tell."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample: from the model's distribution at a temperature, or greedily at temperature 0.

    `top_k` keeps the likeliest k tokens, `top_p` the likeliest that together have this probability, of what
    top_k kept; both are for answers to be read. Samples that are trained on must come from the whole
    distribution: tokens that a filter took out count in the policy's gradient and never come.
    ConfigError for values that no distribution has.
    """

    max_new_tokens: int = 96
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens is {self.max_new_tokens}; an answer has at least 1 token")
        if not 0 <= self.temperature < math.inf:
            raise ConfigError(f"temperature is {self.temperature}; it is 0 (greedy) or above")
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"top_k is {self.top_k}; keep at least 1 token, or leave it out")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p is {self.top_p}; it is a probability above 0, or left out")

    @property
    def plain(self) -> bool:
        """Whether `Sample.logps` are the model's own: untempered and unfiltered, or greedy."""
        whole = self.temperature == 1 and self.top_k is None and self.top_p in (None, 1)
        return whole or self.temperature == 0


@dataclass(frozen=True, slots=True)
class Sample:
    """One response: its ids end with the stop token where `ended`; `text` leaves the stop token out.

    `logps` are the tokens' log-probs in nats under the distribution they were drawn from, tempered and
    filtered; of greedy ones under the model's own. A server that answers conversations tells neither the ids
    it read nor log-probs: `prompt_ids` and `logps` are empty then, and `response_ids` are so many times
    `UNKNOWN`.
    """

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    logps: tuple[float, ...]
    text: str
    ended: bool

    @property
    def length(self) -> int:
        """Tokens of prompt and response."""
        return len(self.prompt_ids) + len(self.response_ids)


class Engine(Protocol):
    """Anything that answers: a local model or an endpoint. One seed per row: a row's sample depends on
    its own prompt and seed, not on its batch mates."""

    def sample(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling, seeds: Sequence[int]
    ) -> list[Sample]:
        """Sample one response for each prompt of token ids."""
        ...

    def answer(
        self,
        conversations: Sequence[Conversation],
        sampling: Sampling,
        seed: int | Sequence[int] = 0,
        *,
        raw: bool = False,
    ) -> list[Sample]:
        """Answer conversations under the chat template, or (`raw`) continue their last turn as plain text.

        Row i draws by `seed` + i, so that batches of a job can follow one another; jobs' seeds lie far apart.
        Or each row draws by a seed of its own.
        """
        ...


def seeds_of(seed: int | Sequence[int], rows: int) -> Sequence[int]:
    """What each row draws by: `seed` and those that follow it, or the seeds themselves."""
    return seed if isinstance(seed, Sequence) else range(seed, seed + rows)
