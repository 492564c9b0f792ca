import pytest
from objectives import COMPARISONS

from gnomon.errors import DataError
from gnomon.kernels import batching
from gnomon.models import branches
from gnomon.models.load import load
from gnomon.records import Comparison, Conversation, Label, Message
from gnomon.training.pairs import encode_comparisons, pair_micros

SURE = Label(1.0, "person")


@pytest.mark.mistake("turn-end-lost")
def test_pairs_without_label_or_too_long_are_dropped_and_counted():
    lm = load("tiny:0", dtype="float32")
    waiting = Comparison("w", Conversation.of("Hi"), COMPARISONS[0].first, COMPARISONS[0].second)
    long = [
        Comparison.of("l", Conversation.of("Hi"), *answers, SURE)
        for answers in (("x" * 99, "y"), ("y", "x" * 99))
    ]
    data = encode_comparisons(lm, [*COMPARISONS, waiting, *long], 100)
    assert data.dropped == {"no label": 1, "longer than 100 tokens": 2}
    assert [pair.id for pair in data.pairs] == [row.id for row in COMPARISONS]
    with pytest.raises(DataError, match=r"no comparison can be trained on \({'no label': 1}\)"):
        encode_comparisons(lm, [waiting], 100)


def test_an_encoded_pair_ends_where_its_answers_end():
    lm = load("tiny:0", dtype="float32")
    (pair,) = encode_comparisons(lm, COMPARISONS[:1], 100).pairs
    row = COMPARISONS[0]
    assert pair.first == lm.encode(row.prompt.then(*row.first))
    assert pair.second.ids[-1] == 1
    assert pair.length == max(len(pair.first.ids), len(pair.second.ids))


def test_the_mask_covers_the_answer_and_its_end_not_the_assistant_s_earlier_turns():
    lm = load("tiny:0", dtype="float32")
    row = Comparison.of("m", Conversation.of("Hi", "Hello!", "2+2?"), "4", "Five", SURE)
    (pair,) = encode_comparisons(lm, [row], 200).pairs
    for encoded, text in ((pair.first, " 4"), (pair.second, " Five")):
        trained = [token for token, on in zip(encoded.ids, encoded.response_mask, strict=True) if on]
        assert trained == [*lm.tokenizer.encode(text, add_special_tokens=False), 1]
    prompt = lm.encode_prompt(row.prompt)
    assert list(pair.first.ids[: len(prompt)]) == list(pair.second.ids[: len(prompt)]) == prompt
    assert sum(lm.encode(row.prompt.then(*row.first)).response_mask) > sum(pair.first.response_mask)


def test_an_answer_that_trains_nothing_or_is_not_the_assistant_s_is_dropped_and_counted():
    lm = load("tiny:0", dtype="float32")
    good, prompt = (Message("assistant", "yes"),), Conversation.of("Hi")
    silent = Comparison("s", prompt, good, (Message("assistant", "no", trained=False),), SURE)
    other = Comparison("o", prompt, (Message("tool", "42"), *good), good, SURE)
    data = encode_comparisons(lm, [COMPARISONS[0], silent, other], 200)
    assert data.dropped == {"an answer without a trained turn of the assistant": 2}
    assert [pair.id for pair in data.pairs] == ["c0"]


def step(micro_tokens, chosen=range(8)):
    """The comparisons encoded, and a step of those `chosen`."""
    lm = load("tiny:0", dtype="float32")
    pairs = encode_comparisons(lm, COMPARISONS, 200).pairs
    return pairs, pair_micros(lm, pairs, chosen, micro_tokens)


@pytest.mark.parametrize("micro_tokens", [1, 150, 100_000])
def test_micro_batches_hold_every_pair_once_with_its_share(micro_tokens):
    pairs, micros = step(micro_tokens, [7, 2, 5, 0])
    assert sorted(i for micro in micros for i in micro.tensors.indices) == [0, 2, 5, 7]
    for micro in micros:
        batch = micro.tensors
        own = [pairs[i] for i in batch.indices]
        rows = [row for pair in own for row in (pair.first, pair.second)]
        assert micro.row_ids == tuple(pair.id for pair in own)
        # weights of the comparisons are 1 + their place
        assert batch.weights.tolist() == pytest.approx([(1 + i) / 18 for i in batch.indices])
        assert batch.preference.tolist() == pytest.approx([1 - 0.05 * i for i in batch.indices])
        ids = batch.rows.input_ids.flatten()
        assert [tuple(ids[places].tolist()) for places in batch.rows.places.values()] == [r.ids for r in rows]
        assert batch.response_masks == tuple(row.response_mask for row in rows)
        assert micro.tokens == sum(len(row.ids) for row in rows)
    assert sum(float(micro.tensors.weights.sum()) for micro in micros) == pytest.approx(1.0)


def test_a_pair_is_one_row_where_it_fits_and_two_where_it_does_not(monkeypatch):
    """A row of both is longer than the longer of them."""
    monkeypatch.setattr(batching, "SLACK", 1.0)
    assert [micro.tensors.rows.input_ids.shape[0] for micro in step(100_000)[1]] == [8]
    assert [micro.tensors.rows.input_ids.shape[0] for micro in step(1)[1]] == [2] * 8


@pytest.mark.parametrize(("longest", "tokens"), [(1024, 80), (0, 150)])
def test_micro_batches_hold_no_more_tokens_than_they_may(longest, tokens, monkeypatch):
    """Some pairs in one row and some in two, and all in two."""
    monkeypatch.setattr(branches, "LONGEST", longest)
    batches = [micro.tensors.rows for micro in step(tokens)[1]]
    assert {batch.shared for batch in batches} == ({True, False} if longest else {False})
    assert all(batch.input_ids.numel() <= tokens or len(batch.places) == 2 for batch in batches)
