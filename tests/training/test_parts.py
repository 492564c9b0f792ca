"""A state written in parts is put together again, and cut as weights are."""

import pytest
import torch

from gnomon.training import parts
from gnomon.training.parts import Pieces, joined, own_part, taken


def rows(*values):
    return torch.tensor(values)[:, None]


def test_a_state_that_is_not_shared_out_is_written_as_it_is():
    state = {"weights": {"w": torch.ones(2)}, "betas": (0.9, 0.99), "steps": [1, None], "name": "a"}
    assert own_part(state) == state


def test_all_but_the_first_leave_out_what_is_whole(monkeypatch):
    monkeypatch.setattr(parts, "leads", lambda: False)
    assert own_part({"w": torch.ones(2), "betas": (0.9, torch.ones(1)), "step": 3}) == {
        "w": None,
        "betas": (0.9, None),
        "step": 3,
    }


def test_parts_are_joined_where_each_has_rows_and_the_first_has_the_rest():
    first = {"w": rows(1, 2), "state": [{"step": torch.tensor(4.0)}], "tokens": 7}
    second = {"w": rows(3), "state": [{"step": None}], "tokens": 7}
    whole = joined([first, second])
    assert isinstance(whole["w"], Pieces)
    assert taken(whole["w"], torch.zeros(3, 1)).tolist() == [[1], [2], [3]]
    assert (whole["state"], whole["tokens"]) == ([{"step": torch.tensor(4.0)}], 7)


def test_five_rows_of_two_pieces_for_three_processes(monkeypatch):
    monkeypatch.setattr(parts, "is_part", lambda tensor: True)
    monkeypatch.setattr(parts, "size", lambda: 3)
    pieces = Pieces((rows(1, 2, 3), rows(4, 5)))
    found = []
    for i in range(3):
        monkeypatch.setattr(parts, "rank", lambda i=i: i)
        found.append(taken(pieces, torch.zeros(2, 1)).flatten().tolist())
        assert taken(torch.tensor(4.0), torch.zeros(2, 1)).item() == 4.0  # a step count has no rows
    assert found == [[1, 2], [3, 4], [5]]


@pytest.mark.parametrize("count", [1, 2, 7, 12])
@pytest.mark.parametrize("after", [1, 2, 3, 5])
@pytest.mark.parametrize("before", [1, 2, 4])
def test_rows_are_cut_as_torch_cuts_them_and_some_get_none(count, before, after, monkeypatch):
    whole = torch.arange(count)[:, None]
    pieces = Pieces(tuple(whole.chunk(before)) + (whole[:0],) * (before - len(whole.chunk(before))))
    expected = list(whole.chunk(after)) + [whole[:0]] * (after - len(whole.chunk(after)))
    monkeypatch.setattr(parts, "is_part", lambda tensor: True)
    monkeypatch.setattr(parts, "size", lambda: after)
    for i in range(after):
        monkeypatch.setattr(parts, "rank", lambda i=i: i)
        assert torch.equal(taken(pieces, whole), expected[i])
