"""A model as the judge of two answers by what it writes: on a server it tells no likelihoods of letters."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from gnomon.judges.asking import asked_again
from gnomon.judges.judgement import Abstention, Criterion, Judgement, Said
from gnomon.judges.pairwise import lettered
from gnomon.records import Comparison, Conversation
from gnomon.rollouts.engine import Engine, Sampling

SAMPLING = Sampling(max_new_tokens=512, temperature=0.0)
"""Greedy, with room for reasons before the verdict."""

UNPARSABLE = "unparsable"

_OPEN, _CLOSE = r"[\s:=\[(\"'*_`-]*", r"[\])\"'*_`.!]*"
_SAID = rf"(?:(?i:answer|option)\s+)?{_OPEN}(A|B|(?:[Aa]\s+)?(?i:tie))"
_BETTER = (
    r"(?:wins|is (?:(?:the|clear|clearly|overall|much|far|slightly|marginally|significantly) )*"
    r"(?:better|best|stronger|superior|preferable|preferred|winner))\b"
)
_BEATEN = r"\b(?:than|over) (?:(?i:answer|option) )?\(?[AB]\b"
_TURN = r"\b(?:but|however|although|though|yet|[AB])\b"
_CONFIRMED = rf"{_BETTER}(?:{_BEATEN}|(?!{_TURN}).)*"
_VERDICT = re.compile(rf"(?i:\bverdict\b){_OPEN}{_SAID}{_CLOSE}\s*(?:{_CONFIRMED})?$", re.M)
_BARE = re.compile(rf"\s*{_OPEN}{_SAID}{_CLOSE}\s*")
_WORTH = {"A": 1.0, "B": 0.0}


@dataclass(frozen=True)
class WrittenJudge:
    """Asks for reasons and a verdict, in both orders; a reply without one is counted, never guessed at.

    Where `retries` are set it is first asked for again so many times, and drawn at temperature 1: greedy, it
    would be what it was.
    """

    engine: Engine
    criterion: Criterion
    retries: int = 0
    ordered: ClassVar[bool] = True
    probabilistic: ClassVar[bool] = False

    def prefer(self, comparisons: Sequence[Comparison]) -> list[Said]:
        """Both orders of every comparison at once."""
        asked = [
            Conversation.of(written_request(order, self.criterion))
            for comparison in comparisons
            for order in (comparison, comparison.swap())
        ]
        replies = asked_again(
            self._replies, asked, lambda text: parse_verdict(text) is not None, self.retries
        )
        return [self._said(*both) for both in zip(replies[::2], replies[1::2], strict=True)]

    def _replies(self, asked: Sequence[Conversation], attempt: int) -> list[str]:
        sampling = replace(SAMPLING, temperature=1.0) if attempt else SAMPLING
        seeds = [attempt] * len(asked)  # not by its place, which hangs on what else was silent
        return [sample.text for sample in self.engine.answer(asked, sampling, seeds)]

    def _said(self, one: str, swapped: str) -> Said:
        first, second = parse_verdict(one), parse_verdict(swapped)
        if first is None or second is None:
            return Abstention(UNPARSABLE, (one, swapped))
        return Judgement.of(first, 1 - second, self.criterion.id, (one, swapped))


def written_request(comparison: Comparison, criterion: Criterion) -> str:
    """The request, both answers by letter, the question, and the form of the reply."""
    return (
        f"{lettered(comparison)}\n\n{criterion.question} Say why in a sentence or two. Then end with a line "
        'of its own that is "Verdict: A", "Verdict: B" or "Verdict: tie".'
    )


def parse_verdict(reply: str) -> float | None:
    """1 for A, 0 for B, a half for a tie; None where it is not said, or said in two ways.

    A verdict is a line that ends with the word and what it is, or a reply that is nothing else but that. The
    line may confirm it, as in "A is better than B"; one that goes on in another way, with a "but" or to a
    letter again, is no verdict. What reasons say of letters before it is not read.
    """
    said = {found[1] for found in _VERDICT.finditer(reply)}
    if not said and (bare := _BARE.fullmatch(reply)):
        said = {bare[1]}
    worths = {_WORTH.get(name, 0.5) for name in said}
    return worths.pop() if len(worths) == 1 else None
