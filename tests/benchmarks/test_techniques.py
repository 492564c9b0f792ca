"""With a technique and without it, the same comes out."""

from types import ModuleType

import pytest

from gnomon.config import DataSettings, LoraSettings
from gnomon.data.sources import read_data
from gnomon.models.load import load
from gnomon.models.lora import add_lora
from techniques import run as script


@pytest.fixture(scope="module")
def run() -> ModuleType:
    script.ROWS, script.PROMPTS, script.SENTENCES, script.NEW_TOKENS = 4, 3, 5, 6
    return script


@pytest.fixture(scope="module")
def works(run: ModuleType):
    lm = add_lora(load("tiny:0", dtype="float32"), LoraSettings(), 0)
    return run.works(lm, read_data(DataSettings(limit=20), 0))


NAMES = (
    "the head's gradient in its forward pass",
    "the head only where a label is",
    "a part of the vocabulary at a time, in training",
    "rare words' pull taken together",
    "micro-batches of like length",
    "adapters fused into their layers",
    "attention as whole products",
    "queries held against what they see alone",
    "norms that keep their input alone",
    "passes side by side, in training",
    "passes side by side, in scoring",
    "a part of the vocabulary at a time, in sampling",
    "weights laid out once",
    "a cache that grows in place",
    "rows that are done leave",
    "prompts of like length read together",
)


def test_every_technique_is_tested(run: ModuleType):
    assert set(run.TECHNIQUES) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_work_is_the_same_without_it(run: ModuleType, works, name: str):
    technique = run.TECHNIQUES[name]
    wanted = works[technique.work]()
    with technique.off():
        assert works[technique.work]() == pytest.approx(wanted, rel=1e-5)
    assert works[technique.work]() == wanted


def test_micro_batches_as_rows_come(run: ModuleType):
    assert run.as_they_come([3, 5, 2, 9], 10) == [[0, 1], [2], [3]]


def test_seconds_and_ratios_of_every_technique(run: ModuleType):
    results = run.measure("tiny:0", 2, NAMES[:1])
    assert set(results) == set(NAMES[:1])
    assert len(results[NAMES[0]]["times_as_fast"]["each"]) == 2
