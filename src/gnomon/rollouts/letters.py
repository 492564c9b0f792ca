"""What a server tells of the letter that an answer begins with: the log-prob of each of some letters."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gnomon.errors import ModelError
from gnomon.models.reference import EndpointRef

TOLD = {"max_tokens": 4, "temperature": 0.0, "logprobs": True, "top_logprobs": 20}
"""Greedy, with the likeliest tokens at each place: as many as OpenAI's format gives. A bracket or a quotation
mark may stand before the letter."""

_OPENING = " \t\n([{\"'*_`"
_CLOSING = " \t\n)]}\"'*_`.:,"


@dataclass(frozen=True, slots=True)
class Letters:
    """The log-prob in nats of each letter that was asked for, in their order; none where no letter is likely.

    `text` is what the server would have said.
    """

    logps: tuple[float, ...]
    text: str


def read_letters(reply: Mapping[str, Any], letters: Sequence[str], ref: EndpointRef) -> Letters:
    """The letters' log-probs where the answer has its letter, or else at the first place that knows any.

    A letter that is not among the tokens told there is as likely as the last that is: an upper bound. Tokens
    that differ by brackets, quotes and space are one letter. ModelError where no likelihoods are told.
    """
    choice = reply["choices"][0]
    text, told = choice["message"]["content"] or "", (choice.get("logprobs") or {}).get("content")
    if not told or not all("top_logprobs" in place for place in told):
        raise ModelError(
            f"{ref} does not tell the log-probs of its answers' tokens, by which it would choose; serve the "
            "model with vLLM, which does, or name another labeller"
        )
    found: tuple[float, ...] = ()
    for place in told:
        here = _at(place["top_logprobs"], letters)
        if place["token"].strip(_OPENING).rstrip(_CLOSING) in letters:
            return Letters(here, text)
        found = found or here
        if place["token"].strip(_OPENING):
            break
    return Letters(found, text)


def _at(tokens: Iterable[Mapping[str, Any]], letters: Sequence[str]) -> tuple[float, ...]:
    """The log-prob of each letter at one place; nothing where none is told."""
    listed = [(token["token"].strip(_OPENING).rstrip(_CLOSING), float(token["logprob"])) for token in tokens]
    own = {letter: [logp for text, logp in listed if text == letter] for letter in letters}
    if not any(own.values()):
        return ()
    least = min(logp for _, logp in listed)
    return tuple(_log_sum(logps) if logps else least for logps in own.values())


def _log_sum(logps: Sequence[float]) -> float:
    largest = max(logps)
    return largest + math.log(sum(math.exp(logp - largest) for logp in logps))
