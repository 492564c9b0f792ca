import numpy as np
import pytest
import torch

from gnomon.data.collate import collate, epoch_batches
from gnomon.records import EncodedRow

ROWS = [EncodedRow((5, 6, 7), (False, True, True)), EncodedRow((8,), (True,))]


@pytest.mark.mistake("turn-end-untrained")
def test_rows_are_padded_on_the_right_and_padding_is_neither_attended_nor_trained():
    """Also where the padding is a token that rows hold."""
    batch = collate(ROWS, pad_id=7)
    assert batch.input_ids.tolist() == [[5, 6, 7], [8, 7, 7]]
    assert batch.attention_mask.tolist() == [[True, True, True], [True, False, False]]
    assert batch.response_mask.tolist() == [[False, True, True], [True, False, False]]
    assert (batch.input_ids.dtype, batch.response_mask.dtype) == (torch.long, torch.bool)


@pytest.mark.parametrize("rows", [1, 7, 8, 50, 100])
def test_an_epoch_is_every_row_once_in_batches_that_are_full_but_for_one(rows):
    batches = epoch_batches(list(range(rows)), 4, seed=0, epoch=0)
    assert sorted(i for batch in batches for i in batch) == list(range(rows))
    assert len(batches) == -(-rows // 4)
    assert sorted(map(len, batches))[1:] == [4] * (len(batches) - 1)


def test_the_order_follows_from_seed_and_epoch():
    lengths = list(range(200))
    order = epoch_batches(lengths, 4, seed=1, epoch=2)
    assert order == epoch_batches(lengths, 4, seed=1, epoch=2)
    assert order != epoch_batches(lengths, 4, seed=1, epoch=3)
    assert order != epoch_batches(lengths, 4, seed=2, epoch=2)


@pytest.mark.parametrize("rows", [5, 8, 12, 30, 32, 60])
def test_few_rows_are_not_in_the_same_batches_in_every_epoch(rows):
    lengths = list(range(rows))
    epochs = [epoch_batches(lengths, 4, seed=0, epoch=epoch) for epoch in range(4)]
    assert len({frozenset(map(frozenset, batches)) for batches in epochs}) > 1
    assert epochs[3] == epoch_batches(lengths, 4, seed=0, epoch=3)


def test_few_rows_are_still_with_those_of_like_length():
    """Lengths 1 to 64 in batches of eight: some 1600 places of padding at random, 224 all sorted."""
    lengths = list(range(1, 65))
    for epoch in range(10):
        batches = epoch_batches(lengths, 8, seed=0, epoch=epoch)
        padding = sum(len(batch) * max(lengths[i] for i in batch) for batch in batches) - sum(lengths)
        assert padding < 600


def test_rows_of_like_length_are_together_and_batches_in_no_order_of_length():
    rng = np.random.default_rng(0)
    lengths = rng.integers(10, 500, size=320).tolist()
    batches = epoch_batches(lengths, 8, seed=0, epoch=0)
    padded = sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)
    random = [sorted(range(320), key=lambda i: rng.random())[k : k + 8] for k in range(0, 320, 8)]
    unsorted = sum(8 * max(lengths[i] for i in batch) for batch in random)
    assert padded - sum(lengths) < 0.4 * (unsorted - sum(lengths))
    longest = [max(lengths[i] for i in batch) for batch in batches]
    assert abs(np.corrcoef(longest, range(len(longest)))[0, 1]) < 0.5
