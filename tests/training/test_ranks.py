"""Two processes take the steps of one, and what happens to one of them happens to both."""

import json
import signal

import pytest
import torch
from ranks import CASES, close, drawn, fine, saved, together, trained
from torch.testing import assert_close

from gnomon.errors import INTERRUPTED, DivergenceError, GnomonError


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The folder of two processes that trained every objective."""
    folder = tmp_path_factory.mktemp("two")
    fine(together("steps", folder))
    return folder


def log(folder):
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.mark.parametrize("case", CASES)
def test_gradients_and_weights_are_those_of_one_process(case, two, tmp_path):
    alone, pair = trained(case, tmp_path), saved(two / f"{case}-0.pt")
    assert len(alone["gradients"]) == len(pair["gradients"]) == 6
    for ours, theirs in zip(pair["gradients"], alone["gradients"], strict=True):
        close(ours, theirs)
    close(pair["weights"], alone["weights"])
    assert pair["tokens"] == alone["tokens"]
    for ours, theirs in zip(log(two / case), log(tmp_path), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_both_processes_hold_the_same_bits(case, two):
    first, second = (saved(two / f"{case}-{i}.pt") for i in range(2))
    assert all(torch.equal(value, second["weights"][name]) for name, value in first["weights"].items())


def test_samples_are_those_of_one_process_in_both(two):
    alone = drawn()
    for i in range(2):
        found = saved(two / f"drawn-{i}.pt")
        assert found["ids"] == alone["ids"]
        for ours, theirs in zip(found["samples"], alone["samples"], strict=True):
            assert (ours[0], ours[1], ours[3]) == (theirs[0], theirs[1], theirs[3])
            assert ours[2] == pytest.approx(theirs[2], abs=1e-9)
        for ours, theirs in zip(found["numbers"], alone["numbers"], strict=True):
            assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_one_process_goes_on_where_two_were_cut(tmp_path):
    """The cut of one is told to both; dropout and all, the end is that of one process from the start."""
    alone = trained("sft", tmp_path / "alone")
    ended = together("cut_short", "sft", tmp_path / "cut")
    assert [process.code for process in ended] == [1, 3]
    assert "CutError: cut" in ended[0].err
    assert log(tmp_path / "cut")[-1]["step"] == 3
    found = trained("sft", tmp_path / "cut")
    assert len(found["gradients"]) == 4  # from the checkpoint after step 2
    close(found["weights"], alone["weights"])
    assert [row["step"] for row in log(tmp_path / "cut")] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_two_processes_go_on_where_one_was_cut(tmp_path):
    alone = trained("sft", tmp_path / "alone")
    assert trained("sft", tmp_path / "cut", stop=True)["step"] == 3
    fine(together("whole", "sft", tmp_path / "cut", tmp_path))
    for i in range(2):
        found = saved(tmp_path / f"{i}.pt")
        assert len(found["gradients"]) == 4
        close(found["weights"], alone["weights"])
    assert [row["step"] for row in log(tmp_path / "cut")] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_a_killed_process_ends_the_other_and_both_go_on_from_a_checkpoint(tmp_path):
    alone = trained("reward", tmp_path / "alone")
    first, second = together("killed", tmp_path / "cut")
    assert second.code == -signal.SIGKILL
    assert first.code == 1
    assert f"{GnomonError.__name__}: another process is gone" in first.err
    assert "start all of them and run the same command again" in first.err
    fine(together("whole", "reward", tmp_path / "cut", tmp_path))
    found = saved(tmp_path / "0.pt")
    assert len(found["gradients"]) in (2, 4)  # what was being written when the process died may be lost
    close(found["weights"], alone["weights"])


def test_a_loss_that_is_no_number_in_one_process_stops_both(tmp_path):
    first, second = together("diverging", tmp_path)
    assert [first.code, second.code] == [1, DivergenceError.exit_code]
    path = tmp_path / "diverged-at-step-1-in-process-1.pt"
    (row,) = saved(path)["row_ids"]
    assert f"DivergenceError: step 1: loss is nan, on rows {row}; the batch is in {path}" in first.err
    assert [row["step"] for row in log(tmp_path)] == [1]


@pytest.mark.slow
def test_a_mistake_in_one_process_is_told_with_its_traceback(tmp_path):
    first, second = together("broken", tmp_path)
    assert [first.code, second.code] == [1, 1]
    assert "RuntimeError: process 1 of 2 failed:" in first.err
    assert "no_such_thing" in first.err


def test_a_signal_to_one_process_stops_both_after_the_step(tmp_path):
    """Both leave as interrupted, and the checkpoint is that of the step the signal came in."""
    first, second = together("terminated", tmp_path)
    assert [first.code, second.code] == [-signal.SIGINT, INTERRUPTED]  # Python's way with KeyboardInterrupt
    assert [row["step"] for row in log(tmp_path)] == [1, 2, 3]
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*"))[-1] == "checkpoint-00000003.pt"


@pytest.mark.slow
def test_processes_with_other_weights_do_not_train(tmp_path):
    first, _ = together("other_weights", tmp_path)
    assert "ModelError: processes 1 of 2 would train other weights than process 0" in first.err
    assert not (tmp_path / "metrics.jsonl").exists()
