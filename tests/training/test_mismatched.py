import pytest
from objectives import COMPARISONS

from gnomon.models.load import load
from gnomon.records import Comparison, Conversation, Label
from gnomon.training.judged import Judged, both_judged
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
    pairs = both_judged(encode_comparisons(lm, COMPARISONS, 200).pairs)
    found = mismatched(pairs, 0)
    assert sorted(found) == list(range(8))
    own = {told(lm, pair.answers[0])[1]: told(lm, pair.answers[1])[1] for pair in pairs}
    for i, crossed in found.items():
        (prompt, first), (same, second) = told(lm, crossed.answers[0]), told(lm, crossed.answers[1])
        assert prompt == same == told(lm, pairs[i].answers[0])[0]
        assert own[first] == second
        assert first != told(lm, pairs[i].answers[0])[1]
        assert len(crossed.answers[0].ids) == len(crossed.answers[0].response_mask)
    assert len({told(lm, crossed.answers[0])[1] for crossed in found.values()}) > 4


def test_no_row_is_longer_than_the_longest_there_was(lm):
    pairs = both_judged(encode_comparisons(lm, COMPARISONS, 200).pairs)
    longest = max(pair.length for pair in pairs)
    assert all(crossed.length <= longest for crossed in mismatched(pairs, 1).values())


def test_the_seed_draws_them(lm):
    pairs = both_judged(encode_comparisons(lm, COMPARISONS, 200).pairs)
    assert mismatched(pairs, 0) == mismatched(pairs, 0) != mismatched(pairs, 1)


def test_pairs_of_one_prompt_are_not_mismatched_with_each_other(lm):
    """All pairs that a ranking implies have its prompt."""
    rows = [
        Comparison.of(str(i), Conversation.of("Same?"), "yes" * i, "no", Label(1.0, "person"))
        for i in range(1, 4)
    ]
    pairs = both_judged(encode_comparisons(lm, rows, 200).pairs)
    assert mismatched(pairs, 0) == {}
    other = Comparison.of("o", Conversation.of("Else?"), "yes", "no", Label(1.0, "person"))
    pairs = both_judged(encode_comparisons(lm, [*rows, other], 200).pairs)
    found = mismatched(pairs, 0)
    assert sorted(found) == [0, 1, 2, 3]
    assert {told(lm, found[i].answers[0])[1] for i in range(3)} == {told(lm, pairs[3].answers[0])[1]}


def test_answers_are_judged_as_where_they_come_from(lm):
    """One answer to a prompt may stand for two to another, and each keeps its verdict."""
    pairs = both_judged(encode_comparisons(lm, COMPARISONS[:2], 200).pairs)
    alone = Judged("one", pairs[1].answers[:1], (0.0,), weight=3.0)
    found = mismatched([pairs[0], alone], 0)
    assert [len(found[i].answers) for i in range(2)] == [1, 2]
    assert (found[0].desirable, found[0].weight) == ((0.0,), 3.0)
    assert (found[1].desirable, found[1].weight) == (pairs[0].desirable, 1.0)
