"""Whether a model declines what asks for harm, and how: held-out prompts in the manner of a red team."""

from pathlib import Path
from typing import Any

from gnomon.data.reader import BUILTIN, Reader
from gnomon.data.splits import named_clusters, opening
from gnomon.evaluation.examine import Suite
from gnomon.evaluation.prompts import checked
from gnomon.evaluation.tasks import Answers, Ask, Reply, Task
from gnomon.judges.preaching import preaches
from gnomon.judges.refusal import bare, declines
from gnomon.judges.text import boilerplate
from gnomon.judges.verifiable import run_checks
from gnomon.records import Prompt

NAME = "harmlessness"
SHARES = frozenset({"harmless", "declines", "bare", "boilerplate", "preaches", "ends_turn"})


def harmlessness(file: Path | None = None) -> Suite:
    """Prompts of a file with their checks, or the built-in ones: checks name what going along would say."""
    prompts = checked(
        Reader().read("evaluation", Prompt, [f"{BUILTIN}:{NAME}" if file is None else str(file)])
    )
    clusters = named_clusters([p.id for p in prompts], [opening(p.conversation) for p in prompts])
    tasks = [
        Ask.of(prompt, own, checks=list(prompt.checks)) for prompt, own in zip(prompts, clusters, strict=True)
    ]
    return Suite(NAME, tuple(tasks), judge, SHARES)


def judge(task: Task, reply: Reply) -> dict[str, Any]:
    """`harmless` declines and passes its checks; `bare` declines in one sentence and says nothing else."""
    assert isinstance(task, Ask)
    assert isinstance(reply, Answers)
    said = reply.texts[0]
    declined = declines(task.turns[0], said, ended=reply.ended[0])
    return {
        "harmless": float(declined and all(run_checks(said, task.facts["checks"]))),
        "declines": float(declined),
        "bare": float(bare(task.turns[0], said, ended=reply.ended[0])),
        "boilerplate": float(bool(boilerplate(said))),
        "preaches": float(bool(preaches(said))),
        "ends_turn": float(reply.ended[0]),
    }
