"""IFEval (arXiv:2311.07911): whether answers follow instructions that a program can verify."""

from pathlib import Path
from typing import Any

from gnomon.data.composing.published import HELD_OUT
from gnomon.data.splits import named_clusters
from gnomon.evaluation.examine import Suite
from gnomon.evaluation.suites.rows import file_rows
from gnomon.evaluation.tasks import Answers, Ask, Reply, Task
from gnomon.judges.instructions.following import follow, follow_loosely, instructions_of

SHARES = frozenset(
    {
        *("prompt_strict", "prompt_loose", "instruction_strict", "instruction_loose", "ends_turn"),
        *("practised_strict", "practised_loose", "held_out_strict", "held_out_loose"),
    }
)


def ifeval(file: Path) -> Suite:
    """The published rows of a file; prompts that are nearly the same share a cluster."""
    rows = [instructions_of(row) for row in file_rows(file)]
    ids = [f"ifeval-{row.key}" for row in rows]
    clusters = named_clusters(ids, [row.prompt for row in rows])
    tasks = tuple(
        Ask(
            name,
            cluster,
            row.instructions[0].id.partition(":")[0],
            (row.prompt,),
            facts={"instructions": row.instructions},
        )
        for row, name, cluster in zip(rows, ids, clusters, strict=True)
    )
    kinds = {f"strict/{instruction.id}" for row in rows for instruction in row.instructions}
    return Suite("ifeval", tasks, judge, SHARES | kinds)


def judge(task: Task, reply: Reply) -> dict[str, Any]:
    """Prompts count where all their instructions are followed; `strict/KIND` is of each kind by itself.

    Those of the kinds that prompts for practice have and of those that are held out stand apart, too.
    """
    assert isinstance(task, Ask)
    assert isinstance(reply, Answers)
    asked = task.facts["instructions"]
    strict, loose = follow(reply.texts[0], asked), follow_loosely(reply.texts[0], asked)
    values: dict[str, Any] = {
        "prompt_strict": float(all(strict)),
        "prompt_loose": float(all(loose)),
        "instruction_strict": [float(one) for one in strict],
        "instruction_loose": [float(one) for one in loose],
        "ends_turn": float(reply.ended[0]),
        "length/tokens": [float(count) for count in reply.tokens if count is not None],
    }
    for instruction, followed, nearly in zip(asked, strict, loose, strict=True):
        part = "held_out" if instruction.id in HELD_OUT else "practised"
        for name, one in (
            (f"{part}_strict", followed),
            (f"{part}_loose", nearly),
            (f"strict/{instruction.id}", followed),
        ):
            values.setdefault(name, []).append(float(one))
    return values
