"""Conversations of inspect_ai, answered under a model's template; those of like settings together."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from gnomon.errors import ConfigError
from gnomon.evaluation.adapters.continued import continued
from gnomon.records import Conversation, Message
from gnomon.rollouts.engine import Sampling
from gnomon.rollouts.local import LocalEngine

DEFAULT_TOKENS = 256
"""The longest answer where a task does not say."""

WORDS = frozenset({"text", "reasoning"})
"""Parts of a message that are read, or that may be left out."""

COUNTS = ("num_choices", "best_of")
LACKING = (
    *COUNTS,
    *("logprobs", "top_logprobs", "prompt_logprobs", "frequency_penalty", "presence_penalty", "logit_bias"),
    *("response_schema", "modalities"),
)
"""Settings that would change an answer, and that we have not got; of counts, more than 1."""


class Request(NamedTuple):
    """A prompt's ids, and how it is answered; None where the context has no room for an answer."""

    prompt: tuple[int, ...]
    sampling: Sampling | None
    stops: tuple[str, ...]
    seed: int


class Answer(NamedTuple):
    """What was said, why it ended, and the tokens that were read and sampled."""

    text: str
    why: Literal["stop", "max_tokens", "model_length"]
    read: int
    sampled: int


def conversation(messages: Sequence[Any]) -> Conversation:
    """inspect_ai's messages as ours; ConfigError for what is not text, and for calls of tools."""
    turns = []
    for message in messages:
        parts = [] if isinstance(message.content, str) else message.content
        strange = sorted({part.type for part in parts} - WORDS)
        if message.role not in ("system", "user", "assistant") or getattr(message, "tool_calls", None):
            strange.append("calls of tools")
        if strange:
            raise ConfigError(f"Gnomon's models read text, no {', '.join(strange)}; ask them another task")
        turns.append(Message(message.role, message.text))
    return Conversation(tuple(turns))


def request(engine: LocalEngine, messages: Sequence[Any], config: Any, seed: int) -> Request:
    """What is asked by messages under inspect_ai's settings: greedy, unless they name a temperature.

    ConfigError for messages or settings that we have not got; ModelError where the template refuses them.
    """
    wanted = {name: getattr(config, name, None) for name in LACKING}
    lacking = [name for name, value in wanted.items() if value and not (name in COUNTS and value == 1)]
    if lacking:
        raise ConfigError(f"Gnomon's models answer without {', '.join(lacking)}; leave it out of the task")
    prompt = tuple(engine.encode(conversation(messages)))
    longest = config.max_tokens or DEFAULT_TOKENS
    room = longest if engine.context is None else min(longest, engine.context - len(prompt))
    sampling = Sampling(room, config.temperature or 0.0, config.top_k, config.top_p) if room > 0 else None
    return Request(prompt, sampling, tuple(stop for stop in config.stop_seqs or () if stop), seed)


def answers(engine: LocalEngine, requests: Sequence[Request]) -> list[Answer]:
    """The answers to requests, in their order."""
    alike: dict[tuple[Sampling, tuple[str, ...]], list[int]] = {}
    found: dict[int, Answer] = {}
    for i, own in enumerate(requests):
        if own.sampling is None:
            found[i] = Answer("", "model_length", len(own.prompt), 0)
        else:
            alike.setdefault((own.sampling, own.stops), []).append(i)
    for (sampling, stops), places in alike.items():
        prompts, seeds = [requests[i].prompt for i in places], [requests[i].seed for i in places]
        for i, said in zip(places, continued(engine, prompts, sampling, seeds, stops), strict=True):
            why: Literal["stop", "max_tokens"] = "stop" if said.ended else "max_tokens"
            found[i] = Answer(said.text.strip(), why, len(requests[i].prompt), said.tokens)
    return [found[i] for i in range(len(requests))]
