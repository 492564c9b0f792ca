"""A request and its constraints in words, put together in one of the ways people do."""

import re
from collections.abc import Callable, Sequence
from random import Random

from gnomon.data.composing.wordings import Constraint, listed, worded

SUBJECTS = (
    "Your answer must",
    "The answer should",
    "Your reply has to",
    "Your response should",
    "The text must",
)
HEADINGS = (
    "Requirements:",
    "Rules:",
    "Please note:",
    "Keep to this:",
    "What matters:",
    "Conditions:",
    "Make sure:",
)

_COMMAND = re.compile(
    r"^(?:explain|describe|write|tell|give|name|list|suggest|compare|draft|compose|recommend|summarise|invent"
    r"|retell|plan|make|outline)\b",
    re.I,
)
_ENDED = re.compile(r"[.?!:)\"']$")

Way = Callable[[str, Sequence[Constraint], Random], str | None]


def phrased(request: str, constraints: Sequence[Constraint], rng: Random, *, lines: bool = True) -> str:
    """The request with every constraint said once, in an order and a way chosen at random.

    `lines` allows a list of the constraints. A request in lower case gets constraints in lower case, mostly.
    """
    if not constraints:
        return request
    order = list(constraints)
    rng.shuffle(order)
    ways: list[Way] = [_below, _above] * 2
    if not any(mark in request for mark in '\n:"'):
        ways += [_after] * 3 + [_ruled] * 2
        ways += [_before, _bracketed, _tagged_after, _tagged_before, _woven]
    if len(order) > 1:
        ways += [_around, _ruled_below] + [_itemised] * (2 * lines)
    text = rng.choice(ways)(request, order, rng)
    return _below(request, order, rng) if text is None else text


def _sentences(request: str, constraints: Sequence[Constraint], rng: Random) -> str:
    """Each in a sentence of its own, as casual as the request."""
    said = [worded(constraint, "sentences", rng) or "" for constraint in constraints]
    if request[0].islower() and rng.random() < 0.75:
        return _casual(" ".join(_stopped(_casual(sentence)) for sentence in said))
    return " ".join(said)


def _casual(sentence: str) -> str:
    """Without a capital at the start and a full stop at the end, unless this belongs to what is copied."""
    keeps = re.match(r"(?:I\b|I'|[A-Z][A-Z])", sentence)
    lowered = sentence if keeps else sentence[0].lower() + sentence[1:]
    return lowered if ": " in lowered or re.search(r"\.[A-Z]?\.$", lowered) else lowered.removesuffix(".")


def _after(request: str, constraints: Sequence[Constraint], rng: Random) -> str:
    said = _sentences(request, constraints, rng)
    if _ENDED.search(request):
        return f"{request} {said}"
    return f"{request} - {said}" if said[0].islower() else f"{request}. {said}"


def _before(request: str, constraints: Sequence[Constraint], rng: Random) -> str:
    said = _sentences(request, constraints, rng)
    return f"{_stopped(said)} {request}"


def _below(request: str, constraints: Sequence[Constraint], rng: Random) -> str:
    gap = "\n\n" if "\n" in request else rng.choice(("\n", "\n\n"))
    return f"{request}{gap}{_sentences(request, constraints, rng)}"


def _above(request: str, constraints: Sequence[Constraint], rng: Random) -> str:
    gap = "\n\n" if "\n" in request else rng.choice(("\n", "\n\n"))
    return f"{_sentences(request, constraints, rng)}{gap}{request}"


def _around(request: str, constraints: Sequence[Constraint], rng: Random) -> str:
    return _above(_below(request, constraints[1:], rng), constraints[:1], rng)


def _rules(constraints: Sequence[Constraint], rng: Random) -> str | None:
    rules = [worded(constraint, "rules", rng) for constraint in constraints]
    said = [rule for rule in rules if rule]
    return _stopped(f"{rng.choice(SUBJECTS)} {listed(said)}") if len(said) == len(rules) else None


def _stopped(sentence: str) -> str:
    return sentence if re.search(r"[.?!][\"']?$", sentence) else f"{sentence}."


def _ruled(request: str, constraints: Sequence[Constraint], rng: Random) -> str | None:
    rules = _rules(constraints, rng)
    end = "" if _ENDED.search(request) else "."
    return rules and f"{request}{end} {rules}"


def _ruled_below(request: str, constraints: Sequence[Constraint], rng: Random) -> str | None:
    rules = _rules(constraints, rng)
    return rules and f"{request}\n\n{rules}"


def _itemised(request: str, constraints: Sequence[Constraint], rng: Random) -> str:
    said = [worded(constraint, "sentences", rng) or "" for constraint in constraints]
    numbered = rng.random() < 0.3
    listing = [f"{f'{n}.' if numbered else '-'} {sentence}" for n, sentence in enumerate(said, start=1)]
    return "\n".join([f"{request}\n\n{rng.choice(HEADINGS)}", *listing])


def _tags(constraints: Sequence[Constraint], rng: Random) -> str | None:
    tags = [worded(constraint, "tags", rng) for constraint in constraints]
    said = [tag for tag in tags if tag]
    return ", ".join(said) if len(said) == len(tags) else None


def _bracketed(request: str, constraints: Sequence[Constraint], rng: Random) -> str | None:
    tags = _tags(constraints, rng)
    return tags and f"{request} ({tags})"


def _tagged_after(request: str, constraints: Sequence[Constraint], rng: Random) -> str | None:
    tags = _tags(constraints, rng)
    if not tags:
        return None
    if not _ENDED.search(request):
        return f"{request}, {tags}"
    said = f"{tags[0].upper()}{tags[1:]}"
    return f"{request} {f'{said}, please.' if rng.random() < 0.3 else _stopped(said)}"


def _tagged_before(request: str, constraints: Sequence[Constraint], rng: Random) -> str | None:
    tags = _tags(constraints, rng)
    return tags and f"{tags[0].upper()}{tags[1:]}: {request}"


def _woven(request: str, constraints: Sequence[Constraint], rng: Random) -> str | None:
    """Within the sentence of a request that is one command."""
    tag = _tags(constraints, rng) if len(constraints) == 1 else None
    if not tag or not _COMMAND.match(request) or not request.endswith(".") or ". " in request:
        return None
    return _stopped(f"{request[:-1]}, {tag}")
