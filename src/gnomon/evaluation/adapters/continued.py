"""What a model goes on with, up to a text to stop at."""

from collections.abc import Sequence
from typing import NamedTuple

from gnomon.rollouts.engine import Sampling
from gnomon.rollouts.local import LocalEngine


class Continued(NamedTuple):
    """A text up to what ended it, spaces at its edges kept; `ended` where the model or a text to stop at did.

    `tokens` counts what was sampled, the end of the turn and what was cut off with it.
    """

    text: str
    ended: bool
    tokens: int


def continued(
    engine: LocalEngine,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    seeds: Sequence[int],
    stops: Sequence[str] = (),
) -> list[Continued]:
    """What follows each prompt of token ids, up to the first of the `stops`, which may not be empty texts."""
    found = []
    for sample in engine.sample(prompts, sampling, seeds, stops):
        kept = sample.response_ids[: len(sample.response_ids) - sample.ended]
        text = str(engine.lm.tokenizer.decode(list(kept), skip_special_tokens=True))
        end = min((text.find(stop) for stop in stops if stop in text), default=len(text))
        found.append(Continued(text[:end], sample.ended or end < len(text), len(sample.response_ids)))
    return found
