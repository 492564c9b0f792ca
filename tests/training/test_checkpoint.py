import os
import signal
import threading

import pytest
import torch

from gnomon.errors import StorageError
from gnomon.training import checkpoint
from gnomon.training.checkpoint import Part


def stored(folder):
    return sorted(path.name for path in folder.iterdir())


def save(folder, *steps):
    for step in steps:
        checkpoint.save(folder, step, {"weights": torch.full((1000,), float(step)), "tokens": step})


def newest(folder):
    state, _ = checkpoint.latest(folder)
    return state["step"]


def test_the_newest_is_read_and_two_are_kept(tmp_path):
    save(tmp_path / "work", 2, 4, 10)
    assert stored(tmp_path / "work") == ["checkpoint-00000004.pt", "checkpoint-00000010.pt"]
    state, damaged = checkpoint.latest(tmp_path / "work")
    assert (state["step"], state["tokens"], damaged) == (10, 10, [])
    assert torch.equal(state["weights"], torch.full((1000,), 10.0))


def test_those_that_are_asked_for_are_kept_beside_the_newest(tmp_path):
    for step in (1, 2, 3, 4, 5):
        checkpoint.save(tmp_path, step, {"tokens": step}, keep={1, 3})
    assert stored(tmp_path) == [f"checkpoint-0000000{step}.pt" for step in (1, 3, 4, 5)]
    assert newest(tmp_path) == 5
    assert checkpoint.read(tmp_path, 1)["tokens"] == 1
    save(tmp_path, 6)
    assert stored(tmp_path) == [f"checkpoint-0000000{step}.pt" for step in (5, 6)]


def test_there_is_none_at_first(tmp_path):
    assert checkpoint.latest(tmp_path) == (None, [])
    assert checkpoint.latest(tmp_path / "nowhere") == (None, [])


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [lambda c: c[: len(c) // 2], lambda c: b"", lambda c: b"not a checkpoint", lambda c: c[:-1], flipped],
    ids=["half", "empty", "other", "last byte missing", "one bit"],
)
def test_a_damaged_one_is_passed_over_and_named(tmp_path, damage):
    save(tmp_path, 2, 4)
    path = tmp_path / "checkpoint-00000004.pt"
    path.write_bytes(damage(path.read_bytes()))
    state, damaged = checkpoint.latest(tmp_path)
    assert state["step"] == 2
    assert len(damaged) == 1
    assert damaged[0].startswith(f"{path} is damaged (")
    assert damaged[0].endswith("was passed over; training resumes from before it")


def test_where_all_are_damaged_training_starts_again(tmp_path):
    save(tmp_path, 2, 4)
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    state, damaged = checkpoint.latest(tmp_path)
    assert state is None
    assert len(damaged) == 2


def test_what_a_killed_process_left_half_written_is_not_read_and_goes(tmp_path):
    save(tmp_path, 2)
    draft = tmp_path / ".checkpoint.123.tmp"
    draft.write_bytes(b"half")
    assert newest(tmp_path) == 2
    assert not draft.exists()


class Deadly:
    """Kills the process that writes it down."""

    def __reduce__(self):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.mistake("resume-differs")
def test_a_process_killed_while_it_writes_leaves_the_checkpoint_before_and_no_other(tmp_path):
    save(tmp_path, 2)
    child = os.fork()
    if child == 0:
        checkpoint.save(tmp_path, 4, {"weights": torch.zeros(1000), "tokens": Deadly()})
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    state, damaged = checkpoint.latest(tmp_path)
    assert (state["step"], damaged) == (2, [])
    assert stored(tmp_path) == ["checkpoint-00000002.pt"]


def test_a_write_that_fails_leaves_the_older_ones(tmp_path):
    save(tmp_path, 2, 4)
    with pytest.raises(TypeError, match="pickle"):
        checkpoint.save(tmp_path, 6, {"weights": (i for i in ())})
    assert newest(tmp_path) == 4
    assert len(stored(tmp_path)) == 2


def save_parts(folder, step, *numbers, of=2):
    """Parts of a checkpoint: each has a row of the weights, the first the rest."""
    for number in numbers:
        state = {"weights": torch.full((1, 1000), float(10 * step + number)), "tokens": step}
        checkpoint.save(folder, step, state, Part(number, of))


def test_parts_are_read_as_one_once_the_last_is_there(tmp_path):
    save_parts(tmp_path, 2, 0, 1)
    save_parts(tmp_path, 4, 1)
    assert newest(tmp_path) == 2
    save_parts(tmp_path, 4, 0, 1)
    state, damaged = checkpoint.latest(tmp_path)
    assert (state["step"], state["tokens"], damaged) == (4, 4, [])
    assert [piece.tolist() for piece in state["weights"].tensors] == [[[40.0] * 1000], [[41.0] * 1000]]
    assert checkpoint.read(tmp_path, 2)["weights"].tensors[1].tolist() == [[21.0] * 1000]


def test_parts_that_are_left_alone_are_not_taken_for_parts_of_what_comes(tmp_path):
    """The second of three processes wrote step 4 and died; what it left must not complete another step 4."""
    save_parts(tmp_path, 2, 0, 1, 2, of=3)
    save_parts(tmp_path, 4, 1, of=3)
    assert newest(tmp_path) == 2
    assert stored(tmp_path) == [f"checkpoint-00000002-{i}-of-3.pt" for i in (1, 2, 3)]


def test_two_that_are_complete_are_kept_while_another_is_written(tmp_path):
    for step in (2, 4, 6):
        save_parts(tmp_path, step, 0, 1)
    save_parts(tmp_path, 8, 0)
    both = [f"checkpoint-0000000{step}-{i}-of-2.pt" for step in (4, 6) for i in (1, 2)]
    assert stored(tmp_path) == [*both, "checkpoint-00000008-1-of-2.pt"]


def test_a_damaged_part_damages_all_of_it(tmp_path):
    save_parts(tmp_path, 2, 0, 1)
    save_parts(tmp_path, 4, 0, 1)
    path = tmp_path / "checkpoint-00000004-2-of-2.pt"
    path.write_bytes(flipped(path.read_bytes()))
    state, damaged = checkpoint.latest(tmp_path)
    assert state["step"] == 2
    assert [text.startswith(f"{path} is damaged (") for text in damaged] == [True]


def test_whole_ones_and_parts_follow_each_other(tmp_path):
    save(tmp_path, 2)
    save_parts(tmp_path, 4, 0, 1)
    assert newest(tmp_path) == 4
    save(tmp_path, 6)
    assert newest(tmp_path) == 6
    assert len(stored(tmp_path)) == 3


def drawn_again(folder, device):
    """Two draws from one state: the second after a checkpoint of it was written and read back."""
    checkpoint.save(folder, 1, checkpoint.random_state())
    first = torch.rand(8, device=device)
    state, _ = checkpoint.latest(folder)
    checkpoint.restore_random_state(state)
    return first, torch.rand(8, device=device)


def test_random_draws_go_on_from_a_checkpoint(tmp_path, device):
    torch.rand(1, device=device)
    first, again = drawn_again(tmp_path, device)
    assert torch.equal(first, again)


def test_a_gpu_in_use_has_its_state_in_the_checkpoint(tmp_path, monkeypatch):
    """With a stand-in for the driver, so that this runs anywhere."""
    given = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda: torch.arange(16, dtype=torch.uint8))
    monkeypatch.setattr(torch.cuda, "set_rng_state", given.append)
    drawn_again(tmp_path, "cpu")
    assert [state.tolist() for state in given] == [list(range(16))]


def test_the_random_state_does_not_start_a_gpu_that_is_not_in_use():
    before = torch.cuda.is_initialized()
    assert ("rng_cuda" in checkpoint.random_state()) == before
    assert torch.cuda.is_initialized() == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_checkpoint_of_a_gpu_is_taken_up_without_one():
    state = checkpoint.random_state() | {"rng_cuda": torch.zeros(16, dtype=torch.uint8)}
    first = torch.rand(8)
    checkpoint.restore_random_state(state)
    assert torch.equal(first, torch.rand(8))


def test_what_is_written_is_the_state_as_it_was_put(tmp_path, monkeypatch):
    changed = threading.Event()
    slowly(monkeypatch, [], changed)
    weights, moments = torch.zeros(3), {0: {"exp_avg": torch.ones(2)}}
    with checkpoint.writing(tmp_path) as writer:
        writer.put(1, {"trained": {"w": weights}, "state": moments, "tokens": 5})
        weights += 1
        moments[0]["exp_avg"].zero_()
        changed.set()
    state, _ = checkpoint.latest(tmp_path)
    assert state["trained"]["w"].tolist() == [0.0] * 3
    assert state["state"][0]["exp_avg"].tolist() == [1.0] * 2
    assert (state["step"], state["tokens"]) == (1, 5)


def slowly(monkeypatch, events, wait):
    """Make writing wait, and note when it begins and ends."""
    save = checkpoint.save

    def slow(folder, step, *rest):
        events.append(f"begin {step}")
        wait.wait(10)
        save(folder, step, *rest)
        events.append(f"end {step}")

    monkeypatch.setattr(checkpoint, "save", slow)


def test_training_goes_on_while_one_is_written_and_the_next_waits(tmp_path, monkeypatch):
    events, wait = [], threading.Event()
    slowly(monkeypatch, events, wait)
    with checkpoint.writing(tmp_path) as writer:
        writer.put(1, {})
        writer.check()
        events.append("trained on")
        threading.Timer(0.1, wait.set).start()
        writer.put(2, {})
        events.append("put")
    assert events.index("trained on") < events.index("end 1") < events.index("put")
    assert events[-1] == "end 2"
    assert newest(tmp_path) == 2


def test_what_was_put_is_written_when_training_fails(tmp_path, monkeypatch):
    events, wait = [], threading.Event()
    slowly(monkeypatch, events, wait)

    def failing():
        with checkpoint.writing(tmp_path) as writer:
            writer.put(3, {})
            threading.Timer(0.1, wait.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failing()
    assert newest(tmp_path) == 3


@pytest.mark.parametrize("call", ["check", "put", "leave"])
def test_what_writing_fails_at_is_raised_by_the_next_call(tmp_path, call):
    (tmp_path / "file").write_text("in the way")
    written = threading.Event()

    def train():
        with checkpoint.writing(tmp_path / "file") as writer:
            writer.put(1, {})
            writer._writing.add_done_callback(lambda _: written.set())
            assert written.wait(10)
            if call == "check":
                writer.check()
            if call == "put":
                writer.put(2, {})
            reached.append(call)

    reached = []
    with pytest.raises(StorageError, match=r"Not a directory|File exists"):
        train()
    assert reached == (["leave"] if call == "leave" else [])
