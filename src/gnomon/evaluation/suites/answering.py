"""Whether a model answers, ends its turn and does what was asked: held-out prompts, and dialogues of two
turns whose second refers back."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gnomon.data.reader import BUILTIN, Reader
from gnomon.data.splits import named_clusters, opening
from gnomon.evaluation.examine import Suite
from gnomon.evaluation.prompts import checked
from gnomon.evaluation.suites.rows import builtin_rows, file_rows, needed
from gnomon.evaluation.tasks import Answers, Ask, Reply, Task
from gnomon.judges import counting, text
from gnomon.judges.verifiable import run_checks, validate_checks
from gnomon.records import Message, Prompt

SHARES = frozenset({"ends_turn", "answers", "checks", "checks_each", "role_leak"})


def answering(file: Path | None = None) -> Suite:
    """Prompts of a file, or the built-in ones that nothing was ever tuned on."""
    prompts = checked(Reader().read("evaluation", Prompt, [BUILTIN if file is None else str(file)]))
    clusters = named_clusters([p.id for p in prompts], [opening(p.conversation) for p in prompts])
    tasks = [
        Ask.of(prompt, own, checks=[list(prompt.checks)])
        for prompt, own in zip(prompts, clusters, strict=True)
    ]
    return Suite("answering", tuple(tasks), judge, SHARES)


def dialogue(file: Path | None = None) -> Suite:
    """Dialogues of a file (ours, or MT-bench's questions), or the built-in ones."""
    rows = builtin_rows("dialogues") if file is None else file_rows(file)
    tasks = [_dialogue(row, str(file or "dialogues")) for row in rows]
    clusters = named_clusters([task.id for task in tasks], [task.turns[0] for task in tasks])
    named = tuple(replace(task, cluster=own) for task, own in zip(tasks, clusters, strict=True))
    return Suite("dialogue", named, judge, SHARES | {"checks_second"})


def judge(task: Task, reply: Reply) -> dict[str, Any]:
    """Everything that texts and checks alone can tell; checks of all turns, and of those after the first."""
    assert isinstance(task, Ask)
    assert isinstance(reply, Answers)
    passed = [run_checks(said, own) for said, own in zip(reply.texts, task.facts["checks"], strict=True)]
    each = [float(one) for turn in passed for one in turn]
    asked = zip(task.turns, reply.texts, reply.ended, strict=True)
    values: dict[str, Any] = {
        "ends_turn": [float(ended) for ended in reply.ended],
        "answers": [float(text.answers(turn, said, ended=ended)) for turn, said, ended in asked],
        "role_leak": [float(text.role_leak(said)) for said in reply.texts],
        "repetition": [text.repetition(said) for said in reply.texts],
        "length/tokens": [float(count) for count in reply.tokens if count is not None],
        "length/words": [float(counting.words(said)) for said in reply.texts],
        "checks_each": each,
    }
    if each:
        values["checks"] = float(all(each))
    if any(passed[1:]):
        values["checks_second"] = float(all(one for turn in passed[1:] for one in turn))
    return values


def _dialogue(row: Mapping[str, Any], where: str) -> Ask:
    needed(dict(row), where, "turns")
    turns = [turn if isinstance(turn, dict) else {"content": turn} for turn in row["turns"]]
    checks = [list(turn.get("checks", ())) for turn in turns]
    for own in checks:
        validate_checks(own)
    system = row.get("system") or ""
    name, family = str(row.get("id", row.get("question_id"))), str(row.get("category", "dialogues"))
    history = (Message("system", system),) if system else ()
    return Ask(name, name, family, tuple(turn["content"] for turn in turns), history, {"checks": checks})
