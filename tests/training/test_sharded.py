"""Processes that share out the layers of a model train what one process would, each holding its part."""

import signal

import pytest
import torch
from ranks import close, fine, saved, together
from safetensors.torch import load_file
from sharded import CASES, NARROW, SAVED, read, trained
from torch.testing import assert_close

from gnomon.errors import DivergenceError
from gnomon.models.load import load
from gnomon.models.reward_model import HEAD_FILE, load_scorer
from gnomon.training import checkpoint


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The folder of two processes that trained every case."""
    folder = tmp_path_factory.mktemp("two")
    fine(together("sharded.steps", folder))
    return folder


def same(ours, theirs):
    """To the bit."""
    assert ours["weights"].keys() == theirs["weights"].keys()
    assert all(torch.equal(value, theirs["weights"][name]) for name, value in ours["weights"].items())
    assert len(ours["moments"]) == len(theirs["moments"]) > 0
    assert all(map(torch.equal, ours["moments"], theirs["moments"]))
    assert torch.equal(ours["rng"], theirs["rng"])
    assert (ours["tokens"], ours["step"]) == (theirs["tokens"], theirs["step"])


def files(folder):
    return sorted(path.name for path in folder.glob("*checkpoint*"))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.mistake("short-batches-weigh-more")
def test_gradients_and_weights_are_those_of_one_process(case, two, tmp_path):
    alone, pair = trained(case, tmp_path), saved(two / f"{case}-0.pt")
    assert len(alone["gradients"]) == len(pair["gradients"]) == 6
    for ours, theirs in zip(pair["gradients"], alone["gradients"], strict=True):
        close(ours, theirs)
    close(pair["weights"], alone["weights"])
    assert (pair["tokens"], pair["step"]) == (alone["tokens"], alone["step"])


@pytest.mark.parametrize("case", CASES)
def test_micro_batches_were_shared_out_unequally(case, two):
    """Or the passes that a process takes for the others' sake would not have been tried."""
    assert any(count % 2 for count in saved(two / f"{case}-0.pt")["micros"])


@pytest.mark.parametrize("case", [*CASES, NARROW])
def test_both_processes_hold_the_same_outside_the_layers_and_other_halves_inside(case, two):
    first, second = (saved(two / f"{case}-{i}.pt") for i in range(2))
    for name, weight in first["weights"].items():
        assert torch.equal(weight, second["weights"][name])
        halves = [part["own"][name] for part in (first, second)]
        inside = ".layers." in name
        assert torch.equal(torch.cat(halves) if inside else halves[0], weight)


@pytest.mark.parametrize("case", ["sft", NARROW])
def test_each_process_holds_half_of_the_layers_and_of_their_optimiser_s_state(case, two, tmp_path):
    alone = trained(case, tmp_path)["held"]
    assert [saved(two / f"{case}-{i}.pt")["held"] for i in range(2)] == [alone / 2] * 2


def test_what_is_read_is_read_as_by_one_process(two):
    """Samples and their log-ratios, scores, a held-out loss."""
    alone = read()
    for i in range(2):
        found = saved(two / f"read-{i}.pt")
        assert found["samples"] == alone["samples"]
        assert found["loss"] == pytest.approx(alone["loss"], rel=1e-9)
        assert found["one score"] == pytest.approx(alone["one score"])
        assert found["scores"] == [pytest.approx(own) for own in alone["scores"]]
        for ours, theirs in zip(found["numbers"], alone["numbers"], strict=True):
            assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", SAVED)
def test_the_first_process_saves_whole_weights_once(case, two):
    weights, folder = saved(two / f"{case}-0.pt")["weights"], two / f"{case}-model"
    assert (folder / "README.md").read_text() == "card"
    if case == "adapters":
        found = load_file(folder / "adapter_model.safetensors")
        assert found.keys() == {name.replace(".default.", ".") for name in weights}
        assert all(torch.equal(found[name.replace(".default.", ".")], p) for name, p in weights.items())
    elif case == "reward":
        assert (folder / HEAD_FILE).exists()
        found = dict(load_scorer(folder, dtype="float64").model.named_parameters())
        assert all(torch.equal(found[name], weight) for name, weight in weights.items())
    else:
        found = dict(load(f"path:{folder}", dtype="float64").model.named_parameters())
        assert found.keys() == weights.keys()
        assert all(torch.equal(found[name], weight) for name, weight in weights.items())


def test_a_checkpoint_has_a_part_of_each_process_and_two_are_kept(two):
    steps, parts = (4, 6), (1, 2)
    assert files(two / "sft") == [f"checkpoint-{s:08d}-{i}-of-2.pt" for s in steps for i in parts]


@pytest.mark.parametrize("case", ["adapters", pytest.param(NARROW, marks=pytest.mark.slow)])
@pytest.mark.mistake("resume-differs")
def test_resumed_by_as_many_processes_is_never_interrupted(case, two, tmp_path):
    ended = together("sharded.cut_short", case, tmp_path / "cut")
    assert [process.code for process in ended] == [1, 3], ended
    fine(together("sharded.whole", case, tmp_path / "cut", tmp_path))
    for i in range(2):
        found = saved(tmp_path / f"{i}.pt")
        assert len(found["gradients"]) == 4  # from the checkpoint after step 2
        same(found, saved(two / f"{case}-{i}.pt"))


@pytest.mark.parametrize("case", ["sft", "rloo", NARROW])
@pytest.mark.mistake("resume-differs")
def test_one_process_takes_up_what_two_left_to_the_bit(case, two):
    """With no step to come, whatever differs was lost on the way."""
    found = trained(case, two / case)
    assert found["gradients"] == []
    same(found, saved(two / f"{case}-0.pt"))


@pytest.mark.slow
@pytest.mark.mistake("resume-differs")
def test_three_processes_go_on_where_two_were_cut(two, tmp_path):
    """Of 32 rows three processes hold 11, 11 and 10."""
    together("sharded.cut_short", "untied head", tmp_path / "cut")
    fine(together("sharded.whole", "untied head", tmp_path / "cut", tmp_path, count=3))
    alone = saved(two / "untied head-0.pt")
    for i in range(3):
        found = saved(tmp_path / f"{i}.pt")
        assert len(found["gradients"]) == 4
        close(found["weights"], alone["weights"])


@pytest.mark.slow
@pytest.mark.mistake("resume-differs")
def test_two_processes_go_on_where_one_was_cut(two, tmp_path):
    assert trained("sft", tmp_path / "cut", stop=True)["step"] == 3
    assert files(tmp_path / "cut") == ["checkpoint-00000002.pt"]
    fine(together("sharded.whole", "sft", tmp_path / "cut", tmp_path))
    for i in range(2):
        close(saved(tmp_path / f"{i}.pt")["weights"], saved(two / f"sft-{i}.pt")["weights"])


@pytest.mark.mistake("resume-differs")
def test_a_process_killed_while_it_writes_its_part_leaves_the_checkpoint_before(two, tmp_path):
    first, second = together("sharded.killed_writing", tmp_path / "cut")
    assert second.code == -signal.SIGKILL
    assert first.code == 1
    assert "another process is gone" in first.err
    assert "checkpoint-00000004-1-of-2.pt" in files(tmp_path / "cut")
    state, damaged = checkpoint.latest(tmp_path / "cut")
    assert (state["step"], damaged) == (2, [])
    assert files(tmp_path / "cut") == [f"checkpoint-00000002-{i}-of-2.pt" for i in (1, 2)]
    fine(together("sharded.whole", "sft", tmp_path / "cut", tmp_path))
    same(saved(tmp_path / "0.pt"), saved(two / "sft-0.pt"))


@pytest.mark.slow
@pytest.mark.mistake("resume-differs")
def test_a_process_killed_amid_a_pass_ends_the_other_and_both_go_on_from_a_checkpoint(two, tmp_path):
    first, second = together("sharded.killed", tmp_path / "cut")
    assert (first.code, second.code) == (1, -signal.SIGKILL)
    assert "another process is gone" in first.err
    fine(together("sharded.whole", "reward", tmp_path / "cut", tmp_path))
    found = saved(tmp_path / "0.pt")
    assert len(found["gradients"]) in (2, 4)  # what was being written when the process died may be lost
    same(found, saved(two / "reward-0.pt"))


def test_a_loss_that_is_no_number_in_one_process_stops_both(tmp_path):
    first, second = together("sharded.diverging", tmp_path)
    assert [first.code, second.code] == [1, DivergenceError.exit_code]
    path = tmp_path / "diverged-at-step-1-in-process-1.pt"
    (row,) = saved(path)["row_ids"]
    assert f"DivergenceError: step 1: loss is nan, on rows {row}; the batch is in {path}" in first.err


@pytest.mark.slow
def test_a_mistake_amid_a_pass_is_said_where_it_happens_and_the_other_does_not_wait(tmp_path):
    first, second = together("sharded.broken", tmp_path)
    assert [first.code, second.code] == [1, 1]
    assert "another process is gone" in first.err
    assert "process 1 of 2 failed" in second.err
    assert "no_such_thing" in second.err


@pytest.mark.slow
def test_layers_that_differ_are_not_shared_out(tmp_path):
    first, _ = together("sharded.other_layers", tmp_path)
    assert "ModelError: processes 1 of 2 would train other weights than process 0" in first.err
