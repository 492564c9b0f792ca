"""A model as the judge of two answers by a stated criterion: by letters in both orders, or by contrast."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from gnomon.errors import ModelError
from gnomon.judges.judgement import Criterion, Judgement, answer_text, sigmoid
from gnomon.models.load import LanguageModel
from gnomon.models.logps import choice_logps, sequence_logps
from gnomon.records import Comparison, Conversation, Message

Ids = Sequence[int]
Rows = Sequence[Sequence[float]] | Sequence[torch.Tensor] | torch.Tensor

REPLY = "Reply with (A) or (B)."


@dataclass(frozen=True)
class MultipleChoiceJudge:
    """P(A) against P(B) as the next token after both answers and a question, in both orders.

    `encode` gives the ids of a request up to where the letter comes, `letters` the ids of A and B, `choice`
    the log-probs [prompts, 2] of these as the next token (`models.logps.choice_logps`).
    """

    criterion: Callable[[Comparison], Criterion]
    encode: Callable[[str], Ids]
    letters: tuple[int, int]
    choice: Callable[[Sequence[Ids], Sequence[int]], Rows]
    ordered: ClassVar[bool] = True
    probabilistic: ClassVar[bool] = True

    def prefer(self, comparisons: Sequence[Comparison]) -> list[Judgement]:
        """Both orders of every comparison in one batch; the criterion is the same in both."""
        if not comparisons:
            return []
        criteria = [self.criterion(c) for c in comparisons]
        requests = [
            choice_request(order, criterion)
            for c, criterion in zip(comparisons, criteria, strict=True)
            for order in (c, c.swap())
        ]
        logps = self.choice([self.encode(request) for request in requests], self.letters)
        says_a = [sigmoid(float(row[0]) - float(row[1])) for row in logps]
        pairs = zip(says_a[::2], says_a[1::2], criteria, strict=True)
        return [Judgement.of(first, 1 - swapped, criterion.id) for first, swapped, criterion in pairs]


@dataclass(frozen=True)
class ContrastJudge:
    """How much likelier an answer is when the principle is asked for than when its breach is.

    The log-likelihood ratio of the framings for one answer, minus that for the other, through the logistic
    function: the probability that the first comes from the affirming framing and the second from the
    violating one, rather than the reverse. Every answer is read alone, so the order cannot matter. For models
    too small to work with letters. `encode` gives the ids of a prompt and of an answer after it, `logps` the
    log-probs of each answer's tokens (`models.logps.sequence_logps`).
    """

    criterion: Callable[[Comparison], Criterion]
    encode: Callable[[Conversation, tuple[Message, ...]], tuple[Ids, Ids]]
    logps: Callable[[Sequence[Ids], Sequence[Ids]], Rows]

    def prefer(self, comparisons: Sequence[Comparison]) -> list[Judgement]:
        """Four sequences a comparison, all in one batch."""
        if not comparisons:
            return []
        criteria = [self.criterion(c) for c in comparisons]
        rows = [
            self.encode(framed(c.prompt, criterion, affirm=affirm), answer)
            for c, criterion in zip(comparisons, criteria, strict=True)
            for answer in (c.first, c.second)
            for affirm in (True, False)
        ]
        ratios = framing_ratios(rows, self.logps)
        first = [sigmoid(one - other) for one, other in zip(ratios[::2], ratios[1::2], strict=True)]
        return [Judgement.of(p, p, criterion.id) for p, criterion in zip(first, criteria, strict=True)]


def framing_ratios(
    rows: Sequence[tuple[Ids, Ids]], logps: Callable[[Sequence[Ids], Sequence[Ids]], Rows]
) -> list[float]:
    """In nats, how much likelier an answer is under the first of two framings than under the second.

    `rows` are a prompt and an answer, each answer under both framings in turn; `logps` as `ContrastJudge`
    has it.
    """
    told = logps([prompt for prompt, _ in rows], [answer for _, answer in rows])
    totals = [float(sum(row)) for row in told]
    return [kept - broken for kept, broken in zip(totals[::2], totals[1::2], strict=True)]


def multiple_choice_judge(
    lm: LanguageModel, criterion: Callable[[Comparison], Criterion]
) -> MultipleChoiceJudge:
    """The judge that asks a language model for a letter, under its chat template."""
    opening, letters = letters_of(lm)
    return MultipleChoiceJudge(
        criterion,
        lambda request: [*lm.encode_prompt(Conversation.of(request)), *opening],
        letters,
        lambda prompts, choices: choice_logps(lm, prompts, choices),
    )


def letters_of(lm: LanguageModel) -> tuple[list[int], tuple[int, int]]:
    """The ids that open an answer of (A) or (B), and the one id each that is then the letter.

    They are those of whole texts: alone, a letter may be given a space that is not there in one. ModelError
    where the two answers differ in more than one id.
    """
    one, other = (lm.tokenizer.encode(f" ({letter}", add_special_tokens=False) for letter in "AB")
    if not one or len(one) != len(other) or one[:-1] != other[:-1] or one[-1] == other[-1]:
        raise ModelError(
            f"{lm.ref}: its tokenizer writes ' (A' as {one} and ' (B' as {other}, which do not differ in the "
            "last id alone, so it cannot choose by letters; judge by contrast, or take another model"
        )
    return one[:-1], (one[-1], other[-1])


def contrast_judge(lm: LanguageModel, criterion: Callable[[Comparison], Criterion]) -> ContrastJudge:
    """The judge that reads each answer under two framings with a language model."""

    def encode(prompt: Conversation, answer: tuple[Message, ...]) -> tuple[Ids, Ids]:
        ids = lm.encode_prompt(prompt)
        return ids, lm.encode(prompt.then(*answer)).ids[len(ids) :]

    return ContrastJudge(criterion, encode, lambda prompts, answers: sequence_logps(lm, prompts, answers))


def lettered(comparison: Comparison) -> str:
    """The request, and both answers by letter."""
    first, second = answer_text(comparison.first), answer_text(comparison.second)
    return f"Request: {comparison.prompt.text}\n\n(A) {first}\n\n(B) {second}"


def choice_request(comparison: Comparison, criterion: Criterion) -> str:
    """The request, both answers by letter, and the question."""
    return f"{lettered(comparison)}\n\n{criterion.question} {REPLY}"


def framed(prompt: Conversation, criterion: Criterion, *, affirm: bool) -> Conversation:
    """The prompt under a system message that asks to keep the principle, or to break it."""
    framing = f"{'Keep to' if affirm else 'Go against'} this rule in your answer: {criterion.text}"
    head, rest = "", prompt.messages
    if rest[0].role == "system":
        head, rest = f"{rest[0].content}\n\n", rest[1:]
    return Conversation((Message("system", head + framing), *rest), prompt.tools)
