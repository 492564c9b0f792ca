"""The benchmark's own sides agree and its ratios are right; nothing here is a timing."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import torch

from gnomon.errors import ModelError

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "sampling_and_training" / "run.py"


@pytest.fixture(scope="module")
def run() -> ModuleType:
    spec = spec_from_file_location("sampling_and_training", SCRIPT)
    assert spec is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_sides_agree_and_every_pair_is_reported(run: ModuleType, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run, "NEW_TOKENS", 8)
    results = run.measure("tiny:0", dtype="float32", pairs=2, prompts=3, rows=4)
    assert set(results["sampling"]["tokens_per_second"]) == {"gnomon", "transformers"}
    assert len(results["sft"]["times_as_fast_as"]["transformers, our micro-batches"]["each"]) == 2
    assert results["sampling"]["differs"]["logps"] < 1e-5
    assert results["sft"]["differs"]["loss"] < 1e-5
    assert results["sft"]["differs"]["gradient norm"] < 1e-4


def test_a_side_that_computes_something_else_is_caught(run: ModuleType, monkeypatch: pytest.MonkeyPatch):
    right = run._plain_loss
    monkeypatch.setattr(run, "_plain_loss", lambda lm, batch: 1.01 * right(lm, batch))
    monkeypatch.setattr(run, "NEW_TOKENS", 4)
    with pytest.raises(ModelError, match=r"loss: the sides differ by 0\.99%"):
        run.measure("tiny:0", dtype="float32", pairs=1, prompts=2, rows=4)


def test_another_side_begins_each_round_and_the_first_rounds_do_not_count(run: ModuleType):
    calls: list[str] = []
    sides = {name: lambda name=name: calls.append(name) or 10 for name in ("gnomon", "other")}
    kept = run.take_turns(sides, pairs=1)
    assert calls == ["gnomon", "other", "other", "gnomon", "gnomon", "other"]
    assert {name: len(own) for name, own in kept.items()} == {"gnomon": 1, "other": 1}


def test_times_as_fast_is_the_median_of_the_pairs(run: ModuleType):
    ours = [run.Timing(100, seconds, 0.0) for seconds in (1.0, 1.0, 2.0)]
    theirs = [run.Timing(100, seconds, 0.0) for seconds in (4.0, 3.0, 4.0)]
    ratio = run._summary({"gnomon": ours, "other": theirs})["times_as_fast_as"]["other"]
    assert ratio == {"median": 3.0, "low": 2.0, "high": 4.0, "each": [4.0, 3.0, 2.0]}


def test_tokens_count_up_to_and_including_the_stop(run: ModuleType):
    assert run._until_stop([5, 6, 1, 0, 0], frozenset({1})) == [5, 6, 1]
    assert run._until_stop([5, 6], frozenset({1})) == [5, 6]


def test_adapters_are_away_from_their_start(run: ModuleType):
    lm = run.trainable(run.load("tiny:0", dtype="float32"))
    updates = [p for name, p in lm.model.named_parameters() if "lora_B" in name]
    assert updates
    assert all(float(p.abs().max()) > 0 for p in updates)
    assert not torch.equal(updates[0], updates[1])
