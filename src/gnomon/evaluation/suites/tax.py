"""What alignment costs of plain language modelling: the loss on text that nothing was trained on."""

import math
from pathlib import Path
from typing import Any

from gnomon.evaluation.examine import Suite
from gnomon.evaluation.suites.rows import builtin_rows, file_rows, needed
from gnomon.evaluation.tasks import Likelihoods, Read, Reply, Task


def passages(file: Path | None = None) -> Suite:
    """Rows with `id` and `text` of a file, or the built-in passages."""
    rows = builtin_rows("passages") if file is None else file_rows(file)
    for row in rows:
        needed(row, "passages", "id", "text")
    tasks = [Read(row["id"], row["id"], "passages", row["text"]) for row in rows]
    return Suite("passages", tuple(tasks), judge, frozenset())


def judge(task: Task, reply: Reply) -> dict[str, Any]:
    """Nats a token, for models of one tokenizer, and bits a byte, by which any two can be compared."""
    assert isinstance(task, Read)
    assert isinstance(reply, Likelihoods)
    nats = -reply.logps["text"][0]
    bits = nats / math.log(2)
    return {"loss": nats / reply.tokens[0], "bits_per_byte": bits / len(task.text.encode())}
