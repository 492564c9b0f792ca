"""Comparisons as they are published where two answers stand by number and a verdict says which won."""

from collections.abc import Sequence

from gnomon.data.checks import usable
from gnomon.data.fields import (
    INPUT,
    PROMPT,
    Row,
    annotator_of,
    answer_of,
    conversation_of,
    has,
    is_list_of,
    key_of,
    number_of,
    prompt_of,
    stated_source,
)
from gnomon.data.files import BadRow
from gnomon.data.transcripts import shared_turns, turns_of_messages
from gnomon.records import Comparison, Label, Record, Source

SIDES = ("conversation_a", "conversation_b")
WINNERS = {"model_a": 1.0, "model_b": 0.0, "tie": 0.5, "tie (bothbad)": 0.5, "both_bad": 0.5}
"""How likely the first is the better, by what an arena says."""

ANSWERS = ("response_0", "response_1")
BETTER = "better_response_id"

STEERED = (("response_1", "response_2"), ("response1", "response2"))
STRENGTHS = ("preference_strength", "overall_preference")
STRONGEST = 3
"""Points of HelpSteer's scale to either side of a tie."""


def fits_arena(row: Row) -> bool:
    """Whether a row is a battle of two models in an arena."""
    return "winner" in row and all(is_list_of(row.get(side), dict) for side in SIDES)


def parse_arena(row: Row, id: str) -> Sequence[Record]:
    """Both conversations after what they share, which is at least the user's first turn."""
    said = str(row["winner"]).strip().lower()
    if said not in WINNERS:
        raise BadRow("unknown winner", f"'winner' is {row['winner']!r}; it must be {', '.join(WINNERS)}")
    first, second = (turns_of_messages(row[side]) for side in SIDES)
    shared = shared_turns(first, second)
    if not shared:
        raise BadRow("prompts differ", "the two conversations do not begin with the same prompt")
    judge = None if row.get("judge") is None else str(row["judge"])
    label = Label(WINNERS[said], stated_source(row) or "person", annotator=annotator_of(row) or judge)
    prompt = conversation_of(row, first[:shared])
    return [usable(Comparison(id, prompt, first[shared:], second[shared:], label), *SIDES)]


def fits_numbered(row: Row) -> bool:
    """Whether a row's answers are numbered from 0 and the better one is named (PKU-SafeRLHF)."""
    return has(PROMPT, *ANSWERS, BETTER)(row)


def parse_numbered(row: Row, id: str) -> Sequence[Record]:
    """By which is the better, not by which is the safer."""
    better = number_of(row[BETTER], BETTER)
    if better not in (0, 1):
        raise BadRow("unknown answer", f"{BETTER!r} is {better:g}; it must be 0 or 1")
    return compared(row, id, ANSWERS, Label(1 - better, stated_source(row) or "ai"))


def fits_steered(row: Row) -> bool:
    """Whether a row tells on a scale from -3 to 3 which of two answers is the better (HelpSteer)."""
    return key_of(row, STRENGTHS) is not None and any(
        has((*PROMPT, *INPUT), *sides)(row) for sides in STEERED
    )


def parse_steered(row: Row, id: str) -> Sequence[Record]:
    """Below 0 the first answer is the better."""
    field = key_of(row, STRENGTHS) or STRENGTHS[0]
    points = number_of(row[field], field)
    if abs(points) > STRONGEST:
        raise BadRow("unknown preference", f"{field!r} is {points:g}; it must be from -3 to 3")
    preference = 0.5 if not points else float(points < 0)
    source: Source = stated_source(row) or "person"
    sides = next(sides for sides in STEERED if has(*sides)(row))
    return compared(row, id, sides, Label(preference, source, strength=abs(points) / STRONGEST or None))


def parse_votes(row: Row, id: str) -> Sequence[Record]:
    """PandaLM: each person's vote is 1 or 2 for the better response, 0 for a tie; the label is their mean."""
    worth = {0: 0.5, 1: 1.0, 2: 0.0}
    votes = [number_of(value, key) for key, value in row.items() if _is_vote(key) and value is not None]
    if not votes or any(vote not in worth for vote in votes):
        raise BadRow("unknown vote", f"the votes are {votes}; each must be 0 (a tie), 1 or 2")
    label = Label(sum(worth[int(vote)] for vote in votes) / len(votes), stated_source(row) or "person")
    return compared(row, id, ("response1", "response2"), label)


def _is_vote(key: str) -> bool:
    return key.startswith("annotator") and key.removeprefix("annotator").isdigit()


def parse_outputs(row: Row, id: str) -> Sequence[Record]:
    """AlpacaEval: the preference runs from 1 (the first output) to 2 (the second); 0 and 1.5 are ties."""
    said = number_of(row["preference"], "preference")
    if said != 0 and not 1 <= said <= 2:
        raise BadRow("unknown preference", f"'preference' is {said:g}; it must be 0 or from 1 to 2")
    label = Label(2 - said if said else 0.5, stated_source(row) or "ai", annotator=annotator_of(row))
    return compared(row, id, ("output_1", "output_2"), label)


def compared(row: Row, id: str, fields: tuple[str, str], label: Label) -> Sequence[Record]:
    """The row's prompt with its answers in two fields."""
    first, second = (answer_of(row[field]) for field in fields)
    return [usable(Comparison(id, prompt_of(row), first, second, label), *fields)]
