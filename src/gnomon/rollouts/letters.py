"""What a server tells of the letter that an answer begins with: the log-prob of each of some letters."""

import math
from collections.abc import Mapping, Sequence
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
    that differ by brackets, quotes and space are one letter. Of numbers, 10 may be told as 1 and then 0: see
    `_split`. ModelError where no likelihoods are told.
    """
    choice = reply["choices"][0]
    text, told = choice["message"]["content"] or "", (choice.get("logprobs") or {}).get("content")
    if not told or not all("top_logprobs" in place for place in told):
        raise ModelError(
            f"{ref} does not tell the log-probs of its answers' tokens, by which it would choose; serve the "
            "model with vLLM, which does, or name another labeller"
        )
    found: tuple[float, ...] = ()
    for place, following in zip(told, [*told[1:], None], strict=True):
        here = _at(place, following, letters)
        if _bare(place["token"]) in letters:
            return Letters(here, text)
        found = found or here
        if place["token"].strip(_OPENING):
            break
    return Letters(found, text)


def _at(
    place: Mapping[str, Any], following: Mapping[str, Any] | None, letters: Sequence[str]
) -> tuple[float, ...]:
    """The log-prob of each letter at one place; nothing where none is told."""
    listed = _listed(place)
    own = {letter: [logp for text, logp in listed if text == letter] for letter in letters}
    if not any(own.values()):
        return ()
    least = min(logp for _, logp in listed)
    logps = {letter: _log_sum(told) if told else least for letter, told in own.items()}
    for letter in letters:
        if len(letter) > 1 and not own[letter] and own.get(letter[0]):
            said = following if _bare(place["token"]) == letter[0] else None
            logps[letter[0]], logps[letter] = _split(logps[letter[0]], letter[1:], said)
    return tuple(logps.values())


def _split(logp: float, rest: str, following: Mapping[str, Any] | None) -> tuple[float, float]:
    """The log-probs of 1 and of 10, from that of the token 1, which begins both.

    How likely a 0 follows is told where the answer went on from that 1; where it did not, nobody knows, and
    the two halves are alike, which leaves their mean in the middle.
    """
    if following is None:
        return logp - math.log(2), logp - math.log(2)
    found = [own for text, own in _listed(following) if text == rest]
    goes_on = min(math.exp(_log_sum(found)), 1.0) if found else 0.0
    return logp + _log(1 - goes_on), logp + _log(goes_on)


def _listed(place: Mapping[str, Any]) -> list[tuple[str, float]]:
    """The tokens told at a place, bare of what stands around letters, with their log-probs."""
    return [(_bare(token["token"]), float(token["logprob"])) for token in place["top_logprobs"]]


def _bare(token: str) -> str:
    return token.strip(_OPENING).rstrip(_CLOSING)


def _log(share: float) -> float:
    """The logarithm, and what no reply is as unlikely as where the share is 0."""
    return math.log(max(share, 1e-12))


def _log_sum(logps: Sequence[float]) -> float:
    largest = max(logps)
    return largest + math.log(sum(math.exp(logp - largest) for logp in logps))
