import pytest
from objectives import COMPARISONS

from gnomon.models.load import load
from gnomon.records import Comparison, Conversation, Label
from gnomon.training.mismatched import mismatched
from gnomon.training.pairs import encode_comparisons


@pytest.fixture(scope="module")
def lm():
    return load("tiny:0", dtype="float32")


def told(lm, row):
    """Prompt and answer of a row of ids, as text."""
    start = row.response_mask.index(True)
    return lm.tokenizer.decode(row.ids[:start]), lm.tokenizer.decode(row.ids[start:])


def test_each_prompt_stands_before_both_answers_of_another_pair(lm):
    pairs = encode_comparisons(lm, COMPARISONS, 200).pairs
    found = mismatched(pairs, 0)
    assert sorted(found) == list(range(8))
    own = {told(lm, pair.first)[1]: told(lm, pair.second)[1] for pair in pairs}
    for i, crossed in found.items():
        (prompt, first), (same, second) = told(lm, crossed.first), told(lm, crossed.second)
        assert prompt == same == told(lm, pairs[i].first)[0]
        assert own[first] == second
        assert first != told(lm, pairs[i].first)[1]
        assert len(crossed.first.ids) == len(crossed.first.response_mask)
    assert len({told(lm, crossed.first)[1] for crossed in found.values()}) > 4


def test_no_row_is_longer_than_the_longest_there_was(lm):
    pairs = encode_comparisons(lm, COMPARISONS, 200).pairs
    longest = max(pair.length for pair in pairs)
    assert all(crossed.length <= longest for crossed in mismatched(pairs, 1).values())


def test_the_seed_draws_them(lm):
    pairs = encode_comparisons(lm, COMPARISONS, 200).pairs
    assert mismatched(pairs, 0) == mismatched(pairs, 0) != mismatched(pairs, 1)


def test_pairs_of_one_prompt_are_not_mismatched_with_each_other(lm):
    """All pairs that a ranking implies have its prompt."""
    rows = [
        Comparison.of(str(i), Conversation.of("Same?"), "yes" * i, "no", Label(1.0, "person"))
        for i in range(1, 4)
    ]
    pairs = encode_comparisons(lm, rows, 200).pairs
    assert mismatched(pairs, 0) == {}
    other = Comparison.of("o", Conversation.of("Else?"), "yes", "no", Label(1.0, "person"))
    pairs = encode_comparisons(lm, [*rows, other], 200).pairs
    found = mismatched(pairs, 0)
    assert sorted(found) == [0, 1, 2, 3]
    assert {told(lm, found[i].first)[1] for i in range(3)} == {told(lm, pairs[3].first)[1]}
