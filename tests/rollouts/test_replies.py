import resource

import pytest

from gnomon.errors import StorageError
from gnomon.rollouts.engine import Sample
from gnomon.rollouts.replies import Replies

ONE = Sample((2, 5), (7, 1), (-0.1234567890123456, -1e-300), 'a "line"\nand é', ended=True)
TWO = Sample((), (-1, -1), (), "", ended=False)


def test_replies_come_back_as_they_were(tmp_path):
    path = tmp_path / "new" / "kept.jsonl"
    replies = Replies(Sample, path)
    replies.add("one", ONE)
    replies.add("two", TWO)
    again = Replies(Sample, path)
    assert (again["one"], again["two"]) == (ONE, TWO)
    assert "three" not in again


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_line_cut_short_is_not_there_and_hides_no_other(tmp_path, cut):
    path = tmp_path / "kept.jsonl"
    replies = Replies(Sample, path)
    replies.add("one", ONE)
    whole = path.read_bytes()
    replies.add("two", TWO)
    path.write_bytes(path.read_bytes()[: len(whole) + cut])
    torn = Replies(Sample, path)
    assert ("one" in torn, "two" in torn) == (True, False)
    torn.add("three", TWO)
    again = Replies(Sample, path)
    assert ("one" in again, "two" in again, "three" in again) == (True, False, True)


def test_after_a_full_disk_a_line_begins_anew(tmp_path):
    """A limit on the file's size is met like a full disk: half a line is there."""
    path = tmp_path / "kept.jsonl"
    replies = Replies(Sample, path)
    replies.add("one", ONE)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, hard))
    try:
        with pytest.raises(StorageError, match="File too large"):
            replies.add("two", TWO)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not path.read_bytes().endswith(b"\n")
    replies.add("three", TWO)
    again = Replies(Sample, path)
    assert ("one" in again, "two" in again, "three" in again) == (True, False, True)


def test_another_kind_of_file_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a"}\n')
    with pytest.raises(StorageError, match="holds something else than an endpoint's replies"):
        Replies(Sample, path)
    assert path.read_text() == '{"prompt": "a"}\n'
    with pytest.raises(StorageError, match="Is a directory"):
        Replies(Sample, tmp_path)


def test_without_a_path_replies_are_remembered_all_the_same():
    replies = Replies(Sample)
    replies.add("one", ONE)
    assert replies["one"] == ONE
