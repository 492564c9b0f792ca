"""What prompts for practice ask for: every topic in every frame of its class."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Literal, NamedTuple, cast

import yaml

Shape = Literal["prose", "verse", "list", "letter", "polar"]
"""What sort of answer is asked for; `polar` is a yes or no with what there is to say for it."""

APART = 8
"""Of so many topics one is kept apart, so that there are prompts of topics that nothing trained on."""


class Task(NamedTuple):
    """A request without constraints, the shape of what answers it, and its topic."""

    request: str
    shape: Shape
    topic: str


def tasks(*, apart: bool) -> list[Task]:
    """Every topic in every frame of its class, in the file's order: of topics kept apart, or the others."""
    found = []
    for kind in _CLASSES.values():
        frames, topics = kind["frames"].splitlines(), kind["topics"].splitlines()
        chosen = [topic for place, topic in enumerate(topics) if (place % APART == APART - 1) == apart]
        found += [_task(frame, topic) for frame in frames for topic in chosen]
    return found


def _task(frame: str, topic: str) -> Task:
    shape, _, request = frame.partition(": ")
    return Task(request.format(topic), cast(Shape, shape), topic)


def _read() -> Mapping[str, Mapping[str, str]]:
    text = files("gnomon.data.practice").joinpath("tasks.yaml").read_text(encoding="utf-8")
    classes: Mapping[str, Mapping[str, str]] = yaml.safe_load(text)
    return classes


_CLASSES = _read()
