"""Models examined by suites: replies are kept by the content of what was asked, figures lead back to rows."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from gnomon.runs import AGAIN, storing
from gnomon.store import content_id

BATCH = 64
"""Tasks asked at once; what is interrupted loses at most so many replies."""

Judge = Callable[[Task, Reply], Values]
"""What a reply is worth, by metric; a metric that does not apply to it is left out."""

Progress = Callable[[int, int], None]
"""Called with the tasks done and those there are."""


@dataclass(frozen=True)
class Suite:
    """Tasks of one kind and how replies to them are judged.

    `shares` are the metrics that are shares of outcomes, `whole` adds figures that only all rows of a model
    together have (calibration, say).
    """

    name: str
    tasks: tuple[Task, ...]
    judge: Judge
    shares: frozenset[str]
    whole: Callable[[Sequence["Row"]], Mapping[str, float]] | None = None


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
    """Replies by the id of what was asked of whom, in a file that is only ever added to.

    A line that a kill or a full disk cut short counts as not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        content = path.read_bytes() if path.exists() else b""
        self._whole = not content or content.endswith(b"\n")
        self.replies: dict[str, Reply] = {}
        for line in content.splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            try:
                self.replies[row["id"]] = reply_from_json(row)
            except (AttributeError, KeyError, TypeError) as problem:
                raise StorageError(f"{path} holds other things than replies; remove it {AGAIN}") from problem

    def add(self, replies: Mapping[str, Reply]) -> None:
        """Keep replies; they are in the file when this returns."""
        self.replies |= replies
        lines = [json.dumps({"id": key, **reply_to_json(reply)}) + "\n" for key, reply in replies.items()]
        text = ("" if self._whole else "\n") + "".join(lines)
        with storing(self.path.parent, len(text)):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._whole = False
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text)
            self._whole = True


def sliced(suite: Suite, limit: int | None, seed: int) -> Suite:
    """The suite with a seeded slice of its tasks, every family in proportion; as it is where None."""
    tasks = take(suite.tasks, limit, seed, lambda task: task.family)
    return Suite(suite.name, tuple(tasks), suite.judge, suite.shares, suite.whole)


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
    found: dict[int, Reply] = {}

    def of(kind: type) -> Iterator[int]:
        return (i for i, task in enumerate(tasks) if isinstance(task, kind))

    asks, choices, texts = list(of(Ask)), list(of(Choose)), list(of(Read))
    if asks:
        answers = subject.answer([tasks[i] for i in asks], sampling, seed)  # type: ignore[misc]
        found |= dict(zip(asks, answers, strict=True))
    if choices:
        found |= dict(zip(choices, subject.choose([tasks[i] for i in choices]), strict=True))  # type: ignore[misc]
    if texts:
        found |= dict(zip(texts, subject.read([tasks[i] for i in texts]), strict=True))  # type: ignore[misc]
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
