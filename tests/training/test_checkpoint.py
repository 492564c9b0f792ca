import pytest
import torch

from gnomon.training import checkpoint


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


def test_what_a_killed_process_left_half_written_is_not_read(tmp_path):
    save(tmp_path, 2)
    (tmp_path / ".checkpoint.123.tmp").write_bytes(b"half")
    assert newest(tmp_path) == 2


def test_a_write_that_fails_leaves_the_older_ones(tmp_path):
    save(tmp_path, 2, 4)
    with pytest.raises(TypeError, match="pickle"):
        checkpoint.save(tmp_path, 6, {"weights": (i for i in ())})
    assert newest(tmp_path) == 4
    assert len(stored(tmp_path)) == 2
