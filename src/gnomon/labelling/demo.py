"""A project to try things out with: pairs of the built-in data, some with a known answer."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from random import Random

from gnomon.data.formats import load
from gnomon.data.reader import FOLDER
from gnomon.labelling.items import Item, items_of
from gnomon.labelling.settings import ProjectSettings
from gnomon.labelling.store import projects
from gnomon.labelling.store.database import Store
from gnomon.labelling.store.projects import Project
from gnomon.records import Comparison

SLUG = "demo"
PAIRS, GOLD = 100, 10
KINDS = ("wrong", "unhelpful", "padded", "evasive", "ignores_format", "sycophantic", "shallow", "incoherent")
GUIDELINES = """\
# How to choose

Take the answer you would rather have been given.

1. Is it **true**? A wrong answer in good words is still wrong.
2. Does it do **what was asked**, in the form that was asked for?
3. Is it as long as it needs to be, and no longer?

If both are equally good, say *tie*; if neither is any use, say *both bad*. If you cannot tell, *skip*:
somebody else will be asked. Flags are for what an answer is, whichever is better.
"""


def fill(store: Store) -> Project:
    """Make the project, with its guidelines and items."""
    with store.write() as tx:
        settings = ProjectSettings(gold_rate=0.1, repeat_rate=0.05)
        project = projects.create(tx, SLUG, "Which answer would you rather have?", settings)
        projects.write_guidelines(tx, project.id, GUIDELINES)
        projects.add_items(tx, project.id, sample())
    return project


def fill_dialogue(store: Store) -> Project:
    """Make a project in which one talks with the model."""
    with store.write() as tx:
        settings = ProjectSettings(kind="dialogue")
        project = projects.create(tx, f"{SLUG}-dialogue", "Talk with the model", settings)
        projects.write_guidelines(tx, project.id, GUIDELINES)
    return project


def sample() -> Iterator[Item]:
    """Built-in comparisons of several kinds, mixed; the last few are gold."""
    files = [Path(FOLDER) / "comparisons" / f"{kind}.jsonl" for kind in KINDS]
    records = [record for file in files for record in load(file).records]
    drawn = Random(0).sample([record for record in records if isinstance(record, Comparison)], PAIRS + GOLD)
    return chain(items_of(drawn[:PAIRS]), items_of(drawn[PAIRS:], "gold"))
