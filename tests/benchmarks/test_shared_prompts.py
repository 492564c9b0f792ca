"""Both sides compute the same, and one of them shares; nothing here is a timing."""

from types import ModuleType

import pytest

from gnomon.errors import ModelError
from shared_prompts import run as script


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    for name, value in {
        "PAIRS": {"long prompts": (16, 4), "short prompts": (3, 12)},
        "ROWS": 4,
        "PROMPTS": 2,
        "PROMPT": 8,
        "ANSWER": 8,
    }.items():
        monkeypatch.setattr(script, name, value)
    return script


def test_every_kind_of_step_is_measured_and_the_sides_agree(run: ModuleType):
    results = run.measure("tiny:0", dtype="float32", rounds=2)
    assert set(results) == {"long prompts", "short prompts", "4 samples"}
    for found in results.values():
        assert len(found["times_as_fast"]["each"]) == 2
        assert max(found["differs"].values()) < 1e-4
    assert run.report(results)[0].startswith("long prompts: shared rows are ")


def test_one_side_shares_and_the_other_does_not(run: ModuleType):
    for _, objective in run.objectives("tiny:0", "float32"):

        def tokens(objective=objective) -> int:
            return sum(micro.tensors[0].input_ids.numel() for micro in objective.prepare(0).micros)

        with run.apart():
            plain = tokens()
        assert tokens() < plain


def test_sides_that_differ_are_not_timed(run: ModuleType, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run, "agreement", lambda objective: {"loss": 0.01})
    with pytest.raises(ModelError, match=r"long prompts: loss differs by 0\.01"):
        run.measure("tiny:0", dtype="float32", rounds=1)


def test_the_ratio_is_the_median_of_the_rounds_and_the_first_do_not_count(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch
):
    # shared and plain take turns at going first: s p, p s, s p, p s
    seconds = iter([9, 9, 4, 1, 1, 3, 4, 2])
    monkeypatch.setattr(run, "timed", lambda work: float(next(seconds)))
    found = run.compared(lambda: None, rounds=3)
    assert found["seconds"]["shared"]["each"] == [1.0, 1.0, 2.0]
    assert found["times_as_fast"] == {"median": 3.0, "low": 2.0, "high": 4.0, "each": [4.0, 3.0, 2.0]}
