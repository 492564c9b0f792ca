"""Our suites in the form of other harnesses: files that these read, with nothing to fetch."""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gnomon.evaluation.examine import Suite
from gnomon.evaluation.suites.answering import answering
from gnomon.evaluation.suites.choices import ONLY, knowledge, statements
from gnomon.evaluation.suites.tax import passages
from gnomon.evaluation.tasks import Ask, Choose, Read
from gnomon.runs import storing, write_text

HERE = Path(__file__).parent

TASK = """\
# {about}
task: gnomon_{name}
tag: gnomon
custom_dataset: !function gnomon_rows.beside
dataset_kwargs: {{file: {name}.jsonl}}
test_split: test
{asked}
num_fewshot: 0
metric_list:
{metrics}
metadata: {{version: 1}}
"""

CHOICES = """\
output_type: multiple_choice
doc_to_text: question
doc_to_choice: choices
doc_to_target: right"""

ROLLING = """\
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: text"""

METRICS: Mapping[str, Mapping[str, tuple[str, bool]]] = {
    CHOICES: {"acc": ("mean", True), "acc_norm": ("mean", True), "acc_bytes": ("mean", True)},
    ROLLING: {
        "bits_per_byte": ("bits_per_byte", False),
        "byte_perplexity": ("weighted_perplexity", False),
        "word_perplexity": ("weighted_perplexity", False),
    },
}
"""Of each kind of task the metrics: how rows are put together, and whether more is better."""


def export(out: Path) -> list[Path]:
    """Write `lm_eval/` with tasks of multiple choice and of whole texts, and `inspect/` with the prompts that
    have checks; the files that were written."""
    with storing(out):
        return [*_for_lm_eval(out / "lm_eval"), *_for_inspect(out / "inspect")]


def _for_lm_eval(folder: Path) -> list[Path]:
    choosing = [
        _task(folder, suite, CHOICES, about, [_choice(task) for task in suite.tasks])
        for suite, about in (
            (knowledge(), "Questions with four choices."),
            (statements(), "Statements that are true or false."),
        )
    ]
    texts = [{"id": task.id, "text": task.text} for task in passages().tasks if isinstance(task, Read)]
    reading = _task(folder, passages(), ROLLING, "Prose that nothing was tuned on.", texts)
    written = [path for pair in [*choosing, reading] for path in pair]
    return [*written, _copied("lm_eval_rows.py", folder / "gnomon_rows.py")]


def _for_inspect(folder: Path) -> list[Path]:
    asks = [task for task in answering().tasks if isinstance(task, Ask) and task.facts["checks"][0]]
    rows = folder / "answering.jsonl"
    _write_lines(rows, map(_sample, asks))
    return [rows, _copied("inspect_answering.py", folder / "gnomon_answering.py")]


def _task(
    folder: Path, suite: Suite, kind: str, about: str, rows: Sequence[Mapping[str, Any]]
) -> tuple[Path, Path]:
    metrics = "\n".join(
        f"  - {{metric: {name}, aggregation: {how}, higher_is_better: {str(more).lower()}}}"
        for name, (how, more) in METRICS[kind].items()
    )
    paths = (folder / f"gnomon_{suite.name}.yaml", folder / f"{suite.name}.jsonl")
    write_text(paths[0], TASK.format(name=suite.name, about=about, asked=kind, metrics=metrics))
    _write_lines(paths[1], rows)
    return paths


def _choice(task: Any) -> dict[str, Any]:
    """A question, its choices in the order they are asked in, and the place of the right one."""
    assert isinstance(task, Choose)
    (question,) = task.frames[ONLY].messages
    return {
        "id": task.id,
        "family": task.family,
        "cluster": task.cluster,
        "question": question.content,
        "choices": list(task.choices),
        "right": task.facts["right"],
    }


def _sample(task: Ask) -> dict[str, Any]:
    """A prompt as inspect_ai's sample; what is right is in its checks."""
    turns = [*((message.role, message.content) for message in task.history), ("user", task.turns[0])]
    return {
        "id": task.id,
        "input": [{"role": role, "content": content} for role, content in turns],
        "metadata": {"family": task.family, "cluster": task.cluster, "checks": task.facts["checks"][0]},
    }


def _copied(module: str, target: Path) -> Path:
    """A module of this package, which needs none of its neighbours, as a file of its own."""
    shutil.copyfile(HERE / module, target)
    return target


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
