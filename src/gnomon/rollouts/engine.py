"""The sampling protocol: prompts in, samples with the log-probs of what was sampled out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gnomon.records import Conversation


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample. Temperature 0 is greedy; the log-probs returned are those of the distribution used."""

    max_new_tokens: int = 96
    temperature: float = 1.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One response: its ids end with the stop token where `ended`; `text` leaves the stop token out."""

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    logps: tuple[float, ...]
    text: str
    ended: bool


class Engine(Protocol):
    """Anything that answers: a local model, later an endpoint. One seed per row: a row's sample depends on
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
