import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gnomon.kernels.branches import Group, lay_out, packing, sharing, visible

PAIR = [[7, 8, 30, 31], [7, 8, 40]]
BOTH = Group(((0,), (1,)), 7, 2)


def test_a_pair_in_five_tokens(device):
    batch = lay_out(PAIR, [BOTH], pad_id=0, device=device)
    assert BOTH.length == 5
    assert batch.input_ids.tolist() == [[7, 8, 30, 31, 40]]
    assert batch.positions.tolist() == [[0, 1, 2, 3, 2]]
    assert batch.segments.tolist() == [[0, 0, 1, 1, 2]]
    assert batch.places == {0: [0, 1, 2, 3], 1: [0, 1, 4]}
    assert visible(batch.segments, batch.positions)[0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],
    ]


def test_a_window_of_two_counts_positions_not_places(device):
    batch = lay_out(PAIR, [BOTH], pad_id=0, device=device)
    assert visible(batch.segments, batch.positions, window=2)[0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 1, 1, 0, 0],
        [0, 0, 1, 1, 0],
        [0, 1, 0, 0, 1],  # three places from the prompt's end, and one position
    ]


def test_padding_is_seen_by_nothing_real_and_sees_something(device):
    """A row of a mask that is False throughout makes a softmax of nothing."""
    rows = [*PAIR, [9, 9]]
    batch = lay_out(rows, [BOTH, Group(((2,),), 2, 2)], pad_id=0, device=device)
    assert batch.input_ids.tolist() == [[7, 8, 30, 31, 40], [9, 9, 0, 0, 0]]
    assert batch.segments.tolist()[1] == [0, 0, -1, -1, -1]
    for window in (None, 1):
        seen = visible(batch.segments, batch.positions, window)[1]
        assert not seen[:2, 2:].any()
        assert bool(seen.any(dim=1).all())
    assert batch.places[2] == [5, 6]


def test_labels_are_predicted_by_what_comes_before_them(device):
    batch = lay_out(PAIR, [BOTH], pad_id=0, device=device)
    before, labels = batch.after([2, 2])
    assert before.tolist() == [1, 2, 1]  # the prompt's end predicts the first token of both
    assert labels.tolist() == [30, 31, 40]
    assert batch.ends().tolist() == [3, 4]
    before, labels = batch.after([4, 1])
    assert before.tolist() == [0, 1]
    assert labels.tolist() == [8, 40]


def test_trained_tokens_may_lie_apart_and_in_what_is_shared(device):
    batch = lay_out(PAIR, [BOTH], pad_id=0, device=device)
    before, labels = batch.trained([[False, True, False, True], [False, True, True]])
    assert before.tolist() == [0, 2, 0, 1]
    assert labels.tolist() == [8, 31, 8, 40]


def test_rows_that_are_the_same_are_one_and_a_row_may_end_within_another():
    rows = [[5, 6, 7], [5, 6], [5, 6, 7]]
    groups = sharing(rows, longest=9)
    assert groups == [Group(((1,), (0, 2)), 5, 2)]
    batch = lay_out(rows, groups, pad_id=0)
    assert batch.input_ids.tolist() == [[5, 6, 7]]
    assert batch.places == {0: [0, 1, 2], 1: [0, 1], 2: [0, 1, 2]}
    assert batch.shared
    assert not lay_out(rows, sharing(rows, longest=0), pad_id=0).shared


def test_rows_of_one_prompt_come_together_wherever_they_are():
    one, other = list(range(50, 80)), list(range(150, 180))
    rows = [[2, *prompt, *answer] for answer in ([1], [2, 3], [4]) for prompt in (one, other)]
    groups = sharing(rows, longest=1000)
    members = [sorted(i for same in group.members for i in same) for group in groups]
    assert sorted(members) == [[0, 2, 4], [1, 3, 5]]
    assert [group.common for group in groups] == [31, 31]


def test_a_beginning_that_two_answers_share_too_does_not_part_them_from_the_third():
    prompt = list(range(50, 80))
    rows = [[*prompt, 1, 2, 3], [*prompt, 1, 2, 4], [*prompt, 9]]
    (group,) = sharing(rows, longest=1000)
    assert (group.common, group.length) == (30, 30 + 3 + 3 + 1)


def test_a_group_is_split_where_it_would_be_too_long():
    prompt = list(range(50, 80))
    rows = [[*prompt, i, i, i] for i in range(5)]
    groups = sharing(rows, longest=30 + 2 * 3)
    assert sorted(len(group.members) for group in groups) == [1, 2, 2]
    assert all(group.length <= 36 for group in groups if len(group.members) > 1)
    assert [len(group.members) for group in sharing(rows, longest=0)] == [1] * 5


@pytest.mark.parametrize(
    ("answer", "one", "two", "together"),
    [
        (20, 52.5, 61.8, True),  # 50 tokens that see 50, instead of twice 30 that see 30
        (60, 146.9, 149.8, False),  # cheaper by less than padding may cost
        (100, 254.1, 244.2, False),  # the answers are masked for one another, which is not free
    ],
)
def test_a_prompt_of_ten_tokens_is_shared_where_that_pays(answer, one, two, together):
    assert Group(((0,), (1,)), 2 * (10 + answer), 10).cost == pytest.approx(one)
    assert 2 * Group(((0,),), 10 + answer, 10 + answer).cost == pytest.approx(two)
    rows = [[*range(10), *[token] * answer] for token in (50, 60)]
    assert (len(sharing(rows, longest=10_000)) == 1) == together


ROW = st.lists(st.integers(0, 2), min_size=1, max_size=8)


@given(st.lists(ROW, min_size=1, max_size=12), st.integers(0, 40))
def test_every_row_is_found_again_and_sees_what_it_sees_alone(rows, longest):
    groups = sharing(rows, longest)
    members = [i for group in groups for same in group.members for i in same]
    assert sorted(members) == list(range(len(rows)))
    assert all(group.length <= longest for group in groups if len(group.members) > 1)
    batch = lay_out(rows, groups, pad_id=9)
    assert (batch.segments < 0).sum() == batch.input_ids.numel() - sum(group.length for group in groups)
    assert list(batch.places) == list(range(len(rows)))
    seen = torch.block_diag(*visible(batch.segments, batch.positions))
    for i, row in enumerate(rows):
        places = torch.tensor(batch.places[i])
        assert batch.input_ids.flatten()[places].tolist() == row
        assert batch.positions.flatten()[places].tolist() == list(range(len(row)))
        among = seen[places]
        assert torch.equal(among[:, places], torch.ones(len(row), len(row)).tril())
        assert int(among.sum()) == len(row) * (len(row) + 1) // 2  # and nothing else


def test_three_documents_in_a_pack_share_nothing():
    rows = [[5, 6], [7, 8, 9], [3]]
    groups = packing([2, 3, 1], longest=6)
    assert groups == [Group(((1,), (0,), (2,)), 6, 0)]
    batch = lay_out(rows, groups, pad_id=0)
    assert batch.shared
    assert batch.input_ids.tolist() == [[7, 8, 9, 5, 6, 3]]
    assert batch.positions.tolist() == [[0, 1, 2, 0, 1, 0]]
    seen = visible(batch.segments, batch.positions)[0]
    assert torch.equal(seen, torch.block_diag(*(torch.ones(n, n).tril() for n in (3, 2, 1))).bool())


def test_the_first_token_of_a_document_is_predicted_by_nothing(device):
    """Not even where it is marked as trained and another document lies before it."""
    batch = lay_out([[5, 6], [7, 8, 9]], packing([2, 3], longest=6), pad_id=0, device=device)
    before, labels = batch.trained([[True, True], [True, False, True]])
    assert labels.tolist() == [6, 9]
    assert before.tolist() == [3, 1]


@pytest.mark.parametrize(
    ("longest", "packs"),
    [(10, [[7, 3], [6, 4], [5]]), (7, [[7], [6], [5], [4, 3]]), (4, [[7], [6], [5], [4], [3]])],
)
def test_a_pack_takes_the_longest_that_fits(longest, packs):
    lengths = [3, 7, 5, 4, 6]
    made = [[lengths[i] for same in group.members for i in same] for group in packing(lengths, longest)]
    assert made == packs


@given(st.lists(st.integers(1, 20), max_size=30), st.integers(0, 40))
def test_a_pack_is_never_too_long_and_holds_every_row_once(lengths, longest):
    groups = packing(lengths, longest)
    assert sorted(i for group in groups for same in group.members for i in same) == list(range(len(lengths)))
    for group in groups:
        assert group.length == sum(lengths[i] for same in group.members for i in same)
        assert group.length <= longest or len(group.members) == 1
    assert not lay_out([[1] * n for n in lengths], packing(lengths, 0), 0).shared if lengths else groups == []
