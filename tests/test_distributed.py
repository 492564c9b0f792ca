import json

import pytest
import torch
from ranks import fine, together

from gnomon.distributed import add_up, agreed, gather, leads, processes, rank, share_out, size, spread


def test_one_process_is_all_of_them():
    with processes():
        assert (rank(), size(), leads()) == (0, 1, True)
        assert gather("own") == ["own"]
        assert agreed("own") == "own"
        assert spread([3, 1], lambda places: [place * 10 for place in places]) == [0, 10]
        tensor = torch.tensor([1.0])
        add_up([tensor])
        assert tensor.item() == 1.0


def test_work_is_shared_out_by_its_cost():
    """8 alone; 5 and 3 together; then 2 goes to the first as sums are equal, and 1 to the other."""
    assert share_out([1, 8, 2, 3, 5], 2) == [[1, 2], [0, 3, 4]]
    assert share_out([1, 1, 1, 1], 2) == [[0, 2], [1, 3]]
    assert share_out([7], 3) == [[0], [], []]
    assert share_out([2, 9, 4], 1) == [[0, 1, 2]]


def test_what_one_process_fails_at_goes_through():
    with pytest.raises(ZeroDivisionError), processes():
        spread([1], lambda places: [1 / 0])


def test_what_two_processes_say_to_each_other(tmp_path):
    fine(together("exchanges", tmp_path))
    first, second = (json.loads((tmp_path / f"{i}.json").read_text()) for i in range(2))
    assert first == second
    assert first["size"] == 2
    assert first["gathered"] == ["of 0", "of 1"]
    assert first["spread"] == ["0 in 0", "1 in 1", "2 in 1", "3 in 1", "4 in 1"]
    assert first["few"] == [0]
    assert first["sums"] == [[3.0], [3.0], [3.0] * 5, [3.0] * 5, [3.0] * 2, [3.0] * 2, [[3.0] * 3] * 4]
