"""The published row shapes: how each is told from the others, and how its rows become records."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gnomon.data.battles import (
    compared,
    fits_arena,
    fits_numbered,
    fits_steered,
    parse_arena,
    parse_numbered,
    parse_outputs,
    parse_steered,
    parse_votes,
)
from gnomon.data.checks import usable
from gnomon.data.exported import fits_vote, parse_vote
from gnomon.data.fields import (
    ANSWER,
    ANSWERS,
    ELSEWHERE,
    PROMPT,
    RANKS,
    SCORE,
    SCORES,
    TURNS,
    Row,
    annotator_of,
    answer_of,
    conversation_of,
    facts_of,
    family_of,
    has,
    is_list_of,
    key_of,
    number_of,
    prompt_of,
    stated_source,
    truth_of,
)
from gnomon.data.files import BadRow
from gnomon.data.transcripts import shared_turns, text_of, turns_of_messages, turns_of_transcript
from gnomon.errors import DataError
from gnomon.records import (
    Comparison,
    Conversation,
    Critique,
    Demonstration,
    Label,
    Prompt,
    Ranking,
    Rating,
    Record,
    from_json,
)

Parse = Callable[[Row, str], Sequence[Record]]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One published shape: `fits` looks at a row's keys and types, `parse` makes records or raises BadRow.

    `names_judge` says whether a row, or its shape, tells who judged. One that does not counts as `ai`,
    because only what is known to be a person's judgement may be called one.
    """

    name: str
    shape: str
    fits: Callable[[Row], bool]
    parse: Parse
    names_judge: Callable[[Row], bool] = lambda row: True


def later_turns(row: Row) -> int:
    """How many turns of a row of MT-Bench's shape no record carries: all after the first."""
    return len(row["turns"]) - 1 if _fits_turns(row) else 0


def _own_kind(row: Row) -> type[Record] | None:
    """Which kind of record `to_json` wrote, by the keys that only this kind has."""
    if isinstance(row.get("conversation"), Mapping):
        messages = row["conversation"].get("messages")
        answered = is_list_of(messages, Mapping) and messages[-1].get("role") == "assistant"
        return Demonstration if answered and "checks" not in row else Prompt
    if not isinstance(row.get("prompt"), Mapping):
        return None
    kinds: dict[str, type[Record]] = {
        "first": Comparison,
        "responses": Ranking,
        "desirable": Rating,
        "principle": Critique,
    }
    return next((kinds[key] for key in kinds if key in row), None)


def _parse_own(row: Row, id: str) -> Sequence[Record]:
    try:
        record: Record = from_json(_own_kind(row) or Prompt, {**row, "id": id})
    except DataError as problem:
        raise BadRow("not a record", str(problem)) from problem
    return [usable(record)]


def _parse_prompt(row: Row, id: str) -> Sequence[Record]:
    checks = row.get("checks") or []
    if checks and not is_list_of(checks, Mapping):
        raise BadRow("checks are not objects", "'checks' is not a list of objects")
    return [usable(Prompt(id, prompt_of(row), family_of(row), tuple(checks), facts_of(row)))]


def _parse_first_turn(row: Row, id: str) -> Sequence[Record]:
    return _parse_prompt({**row, "prompt": row["turns"][0]}, id)


def _parse_answered(row: Row, id: str) -> Sequence[Record]:
    """A prompt with its answer: Alpaca, prompt and completion, question and response."""
    field = key_of(row, ANSWER) or next(name for name in ANSWER if name in row)
    answered = prompt_of(row).then(*answer_of(row[field]))
    return [usable(Demonstration(id, answered, family_of(row)), field)]


def _parse_instances(row: Row, id: str) -> Sequence[Record]:
    records: list[Record] = []
    for number, instance in enumerate(row["instances"]):
        own = id if len(row["instances"]) == 1 else f"{id}/{number}"
        records += _parse_answered({"output": "", **instance, "instruction": row["instruction"]}, own)
    return records


def _parse_messages(row: Row, id: str) -> Sequence[Record]:
    field = key_of(row, TURNS) or TURNS[0]
    turns = turns_of_messages(row[field])
    return [usable(Demonstration(id, conversation_of(row, turns), family_of(row)), field)]


def _speaks(name: str) -> Callable[[Row], bool]:
    """Whether a row's turns say under this name who speaks."""

    def fits(row: Row) -> bool:
        key = key_of(row, TURNS)
        return key is not None and is_list_of(row[key], Mapping) and name in row[key][0]

    return fits


def _parse_preference(row: Row, id: str) -> Sequence[Record]:
    """Chosen and rejected below a prompt or turns, or as conversations that share their beginning."""
    chosen, rejected = answer_of(row["chosen"]), answer_of(row["rejected"])
    shared = shared_turns(chosen, rejected)
    label = Label(1.0, stated_source(row) or "ai", annotator=annotator_of(row))
    if shared:
        prompt = conversation_of(row, chosen[:shared])
    elif key_of(row, PROMPT):
        prompt = prompt_of(row)
    elif field := key_of(row, TURNS):
        prompt = conversation_of(row, turns_of_messages(row[field]))
    else:
        raise BadRow("prompts differ", "'chosen' and 'rejected' do not begin with the same prompt")
    record = Comparison(id, prompt, chosen[shared:], rejected[shared:], label)
    return [usable(record, "chosen", "rejected")]


def _parse_constructed(row: Row, id: str) -> Sequence[Record]:
    label = Label(1.0, stated_source(row) or "constructed", text_of(row["reason"]))
    return compared(row, id, ("chosen", "rejected"), label)


def _parse_hh(row: Row, id: str) -> Sequence[Record]:
    chosen, rejected = (turns_of_transcript(text_of(row[key]), key) for key in ("chosen", "rejected"))
    if chosen[:-1] != rejected[:-1]:
        raise BadRow("prompts differ", "the turns before the last differ between 'chosen' and 'rejected'")
    label = Label(1.0, stated_source(row) or "person")
    record = Comparison(id, Conversation(chosen[:-1]), chosen[-1:], rejected[-1:], label)
    return [usable(record, "chosen", "rejected")]


def _parse_hhh(row: Row, id: str) -> Sequence[Record]:
    sides = {"chosen": row["text_correct"], "rejected": row["text_incorrect"]}
    return _parse_hh({**row, **sides}, id)


def _parse_rating(row: Row, id: str) -> Sequence[Record]:
    field = key_of(row, ANSWER) or next(name for name in ANSWER if name in row)
    answer = answer_of(row[field])
    if len(answer) != 1:
        raise BadRow("several turns in a rated answer", f"{field!r} must be one assistant turn")
    desirable, source = bool(truth_of(row["label"])), stated_source(row) or "ai"
    return [usable(Rating(id, prompt_of(row), answer[0].content, desirable, source), field)]


def _fits_rating(row: Row) -> bool:
    return has(PROMPT, ANSWER, "label")(row) and truth_of(row["label"]) is not None


def _parse_ranking(row: Row, id: str) -> Sequence[Record]:
    """Answers with ranks (1 is the best) or scores (more is better), beside them or inside each."""
    answers = row[key_of(row, ANSWERS) or ANSWERS[0]]
    if _are_scored(answers):
        field = key_of(answers[0], (*RANKS, *SCORE)) or SCORE[0]
        values = [answer.get(field) for answer in answers]
    else:
        field = key_of(row, (*RANKS, *SCORES)) or SCORES[0]
        values = row[field]
    numbers = [number_of(value, field) for value in values]
    scores = tuple(len(numbers) - rank for rank in numbers) if field in RANKS else tuple(numbers)
    texts = tuple(_ranked_text(answer) for answer in answers)
    return [usable(Ranking(id, prompt_of(row), texts, scores, stated_source(row) or "ai"))]


def _parse_answers(row: Row, id: str) -> Sequence[Record]:
    """Answers that wait for somebody to rank them."""
    texts = tuple(_ranked_text(answer) for answer in row["answers"])
    origins = row.get("origins") or ()
    if origins and not is_list_of(origins, str):
        raise BadRow("origins are not texts", "'origins' is not a list of the models' names")
    return [usable(Ranking(id, prompt_of(row), texts, origins=tuple(origins)))]


def _fits_answers(row: Row) -> bool:
    listed = any(is_list_of(row.get("answers"), kind) for kind in (str, Mapping))
    return has(PROMPT)(row) and listed


def _ranked_text(answer: Any) -> str:
    key = key_of(answer, (*ANSWER, "text", "content")) if isinstance(answer, Mapping) else None
    return text_of(answer[key] if key else answer)


def _fits_ranking(row: Row) -> bool:
    key = key_of(row, ANSWERS)
    answers = row[key] if key else None
    beside = key_of(row, (*RANKS, *SCORES))
    listed = isinstance(answers, list) and beside is not None and isinstance(row[beside], list)
    return has(PROMPT)(row) and (listed or _are_scored(answers))


def _are_scored(answers: Any) -> bool:
    return is_list_of(answers, Mapping) and bool({*RANKS, *SCORE} & answers[0].keys())


def _fits_ultrafeedback(row: Row) -> bool:
    return has("instruction", "completions")(row) and _are_scored(row["completions"])


def _fits_turns(row: Row) -> bool:
    return is_list_of(row.get("turns"), str) and not key_of(row, PROMPT)


def _fits_instances(row: Row) -> bool:
    return has("instruction")(row) and is_list_of(row.get("instances"), Mapping)


def _fits_sides(kind: type) -> Callable[[Row], bool]:
    """Whether a row is nothing but two sides of this type; an empty cell fits either."""
    return lambda row: (
        has("chosen", "rejected")(row)
        and all(isinstance(row[side], (kind, type(None))) for side in ("chosen", "rejected"))
    )


def _fits_preference(row: Row) -> bool:
    """A prompt and two sides, or a conversation and two messages that would follow it."""
    sides = has("chosen", "rejected")(row)
    followed = bool(key_of(row, TURNS)) and isinstance(row.get("chosen"), Mapping)
    return sides and (has(PROMPT)(row) or followed)


def _fits_prompt(row: Row) -> bool:
    key = key_of(row, PROMPT)
    said = key is not None and (isinstance(row[key], str) or is_list_of(row[key], Mapping))
    return said and not row.keys() & {*ANSWER, *ANSWERS, *ELSEWHERE}


def _says_who(row: Row) -> bool:
    return stated_source(row) is not None


DIALECTS: tuple[Dialect, ...] = (
    Dialect("gnomon", "the records Gnomon writes", lambda row: _own_kind(row) is not None, _parse_own),
    Dialect(
        "labels",
        "item, annotator, outcome, preferred, purpose, prompt, responses (what gnomon label exports)",
        fits_vote,
        parse_vote,
    ),
    Dialect("mt_bench", "turns [text, ...]", _fits_turns, _parse_first_turn),
    Dialect("self_instruct", "instruction, instances [{input, output}]", _fits_instances, _parse_instances),
    Dialect(
        "pandalm",
        "instruction, response1, response2, annotator1 ... with votes 0, 1, 2",
        has("instruction", "response1", "response2", "annotator1"),
        parse_votes,
    ),
    Dialect(
        "alpaca_eval",
        "instruction, output_1, output_2, preference",
        has("instruction", "output_1", "output_2", "preference"),
        parse_outputs,
        lambda row: isinstance(row.get("annotator"), str) or _says_who(row),
    ),
    Dialect(
        "arena",
        "conversation_a, conversation_b [{role, content}], winner (model_a, model_b, tie)",
        fits_arena,
        parse_arena,
    ),
    Dialect(
        "pku_saferlhf",
        "prompt, response_0, response_1, better_response_id",
        fits_numbered,
        parse_numbered,
        names_judge=_says_who,
    ),
    Dialect(
        "helpsteer",
        "prompt or context, response_1, response_2, preference_strength (-3 to 3)",
        fits_steered,
        parse_steered,
    ),
    Dialect(
        "ultrafeedback",
        "instruction, completions [{response, overall_score}]",
        _fits_ultrafeedback,
        _parse_ranking,
    ),
    Dialect(
        "ranking",
        "prompt, responses or answers or completions, rank (1 is best) or scores",
        _fits_ranking,
        _parse_ranking,
        names_judge=_says_who,
    ),
    Dialect(
        "answers",
        "prompt, answers [text, ...], origins [name, ...] where known: they wait for somebody to rank them",
        _fits_answers,
        _parse_answers,
    ),
    Dialect(
        "unpaired",
        "prompt, completion, label (true or false)",
        _fits_rating,
        _parse_rating,
        names_judge=_says_who,
    ),
    Dialect(
        "constructed",
        "id, prompt, chosen, rejected, reason",
        has("id", "prompt", "chosen", "rejected", "reason"),
        _parse_constructed,
    ),
    Dialect(
        "preferences",
        "prompt, chosen, rejected (texts or messages)",
        _fits_preference,
        _parse_preference,
        names_judge=_says_who,
    ),
    Dialect(
        "hh", "chosen, rejected (transcripts of Human: and Assistant: turns)", _fits_sides(str), _parse_hh
    ),
    Dialect(
        "hhh",
        "text_correct, text_incorrect (transcripts)",
        has("text_correct", "text_incorrect"),
        _parse_hhh,
    ),
    Dialect(
        "implicit_preferences",
        "chosen, rejected (messages that share their beginning)",
        _fits_sides(list),
        _parse_preference,
        names_judge=_says_who,
    ),
    Dialect("sharegpt", "conversations [{from, value}]", _speaks("from"), _parse_messages),
    Dialect("messages", "messages [{role, content}]", _speaks("role"), _parse_messages),
    Dialect("alpaca", "instruction, input, output", has("instruction", ANSWER), _parse_answered),
    Dialect("prompt_completion", "prompt, completion", has((*PROMPT, "input"), ANSWER), _parse_answered),
    Dialect("prompts", "prompt or instruction", _fits_prompt, _parse_prompt),
)
"""In the order of asking: a shape stands before those that its rows would also fit."""
