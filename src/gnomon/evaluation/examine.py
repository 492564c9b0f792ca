"""Models examined by suites: replies are kept by the content of what was asked, figures lead back to rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

from gnomon.data.splits import take
from gnomon.errors import DataError, StorageError
from gnomon.evaluation.subjects import Subject
from gnomon.evaluation.tasks import (
    Answers,
    Ask,
    Choose,
    Likelihoods,
    Read,
    Reply,
    Task,
    Values,
    reply_from_json,
    reply_to_json,
)
from gnomon.rollouts.engine import Sampling
from gnomon.runs import AGAIN
from gnomon.store import KeptRows, content_id

BATCH = 256
"""Tasks asked at once, so that those that wait fill the places of short answers; what is interrupted loses at
most so many replies."""

Judge = Callable[[Task, Reply], Values]
"""What a reply is worth, by metric; a metric that does not apply to it is left out."""

Progress = Callable[[int, int], None]
"""Called with the tasks done and those there are."""


@dataclass(frozen=True)
class Suite:
    """Tasks of one kind and how replies to them are judged.

    `shares` are the metrics that are shares of outcomes. Rows of a `calibrated` suite have the `confidence`
    in a choice beside its `accuracy`: all of a model together tell its calibration error, `ece`.
    """

    name: str
    tasks: tuple[Task, ...]
    judge: Judge
    shares: frozenset[str]
    calibrated: bool = False


class Row(TypedDict):
    """One reply, judged."""

    suite: str
    id: str
    cluster: str
    family: str
    model: str
    prompt: str
    answer: str
    values: dict[str, Any]


class Kept:
    """Replies by the id of what was asked of whom, those of earlier processes too; without a path nothing
    outlives this one."""

    def __init__(self, path: Path | None = None) -> None:
        self._kept = KeptRows(path)
        self.replies: dict[str, Reply] = {}
        for row in self._kept.rows:
            try:
                self.replies[row["id"]] = reply_from_json(row)
            except (AttributeError, KeyError, TypeError) as problem:
                raise StorageError(f"{path} holds other things than replies; remove it {AGAIN}") from problem

    def add(self, replies: Mapping[str, Reply]) -> None:
        """Keep replies; they are in the file when this returns."""
        self.replies |= replies
        self._kept.add({key: reply_to_json(reply) for key, reply in replies.items()})


def sliced(suite: Suite, limit: int | None, seed: int) -> Suite:
    """The suite with a seeded slice of its tasks, every family in proportion; as it is where None."""
    return replace(suite, tasks=tuple(take(suite.tasks, limit, seed, lambda task: task.family)))


def examine(
    subject: Subject,
    suite: Suite,
    kept: Kept,
    sampling: Sampling,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Row]:
    """The subject's judged replies to all tasks, in their order; what `kept` has is not asked again.

    DataError for a suite without tasks or with an id twice.
    """
    if not suite.tasks:
        raise DataError(f"suite {suite.name} has no tasks; check its file")
    if len({task.id for task in suite.tasks}) < len(suite.tasks):
        raise DataError(f"suite {suite.name} has an id twice; give each row its own")
    how = [sampling.max_new_tokens, sampling.temperature, seed]
    drawn = sampling.temperature > 0  # the same question again is another draw then
    keys = [
        content_id([subject.id, task.asked, [*how, i * drawn] if isinstance(task, Ask) else []])
        for i, task in enumerate(suite.tasks)
    ]
    missing = [i for i, key in enumerate(keys) if key not in kept.replies]
    done = len(keys) - len(missing)
    for start in range(0, len(missing), BATCH):
        places = missing[start : start + BATCH]
        replies = asked(subject, [suite.tasks[i] for i in places], sampling, seed + start)
        kept.add({keys[i]: reply for i, reply in zip(places, replies, strict=True)})
        done += len(places)
        if progress:
            progress(done, len(keys))
    given = zip(suite.tasks, keys, strict=True)
    return [row_of(suite, task, kept.replies[key], subject.name) for task, key in given]


def asked(subject: Subject, tasks: Sequence[Task], sampling: Sampling, seed: int) -> list[Reply]:
    """Replies to tasks of any kinds, in their order."""
    ways: dict[type, Callable[[Any], Sequence[Reply]]] = {
        Ask: lambda own: subject.answer(own, sampling, seed),
        Choose: subject.choose,
        Read: subject.read,
    }
    found: dict[int, Reply] = {}
    for kind, ask in ways.items():
        places = [i for i, task in enumerate(tasks) if isinstance(task, kind)]
        if places:
            found |= dict(zip(places, ask([tasks[i] for i in places]), strict=True))
    return [found[i] for i in range(len(tasks))]


def row_of(suite: Suite, task: Task, reply: Reply, model: str) -> Row:
    """A judged reply, with all that is needed to see why it was judged so."""
    return {
        "suite": suite.name,
        "id": task.id,
        "cluster": task.cluster,
        "family": task.family,
        "model": model,
        "prompt": task.shown,
        "answer": said(task, reply),
        "values": dict(suite.judge(task, reply)),
    }


def said(task: Task, reply: Reply) -> str:
    """What a reader sees of a reply: its texts, or the likeliest choice in each frame."""
    if isinstance(reply, Answers):
        return "\n\n".join(reply.texts)
    if isinstance(task, Choose) and isinstance(reply, Likelihoods):
        best = {name: task.choices[reply.best(name)] for name in task.frames}
        return "\n".join(choice if len(best) == 1 else f"{name}: {choice}" for name, choice in best.items())
    return ""
