"""The sampling protocol: prompts in, samples with the log-probs of what was sampled out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gnomon.errors import ConfigError
from gnomon.records import Conversation

UNKNOWN = -1
"""The id of a token that a server counts but does not tell."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample. Temperature 0 is greedy; the log-probs returned are those of the distribution used.

    `top_k` keeps the likeliest k tokens, `top_p` the likeliest that together have this probability, of what
    top_k kept; both are for answers to be read. Samples that are trained on must come from the whole
    distribution: tokens that a filter took out count in the policy's gradient and never come.
    """

    max_new_tokens: int = 96
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"top_k is {self.top_k}; keep at least 1 token, or leave it out")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p is {self.top_p}; it is a probability above 0, or left out")


@dataclass(frozen=True, slots=True)
class Sample:
    """One response: its ids end with the stop token where `ended`; `text` leaves the stop token out.

    A server that answers conversations tells neither the ids it read nor log-probs: `prompt_ids` and `logps`
    are empty then, and `response_ids` are so many times `UNKNOWN`.
    """

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    logps: tuple[float, ...]
    text: str
    ended: bool


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
        seed: int = 0,
        *,
        raw: bool = False,
    ) -> list[Sample]:
        """Answer conversations under the chat template, or (`raw`) continue their last turn as plain text.

        Row i draws by `seed` + i, so that batches of a job can follow one another; jobs' seeds lie far apart.
        """
        ...
