import math

import pytest
import torch
from objectives import DEMONSTRATIONS, build
from plain_losses import cross_entropy
from torch.testing import assert_close

from gnomon.data.collate import collate
from gnomon.errors import DataError
from gnomon.models.load import load
from gnomon.records import Conversation, Demonstration, Message
from gnomon.training.sft import encode_demonstrations, held_out_loss

FIVE = DEMONSTRATIONS[:5]


def plain_loss(lm, rows):
    """Log-softmax of the model's own logits, shifted by hand, mean over the response tokens of all rows."""
    batch = collate(rows, lm.pad_id)
    logits = lm.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask.long()).logits
    logps = torch.log_softmax(logits[:, :-1], dim=-1).gather(2, batch.input_ids[:, 1:, None]).squeeze(2)
    return cross_entropy(logps, batch.response_mask[:, 1:])


@pytest.mark.parametrize("micro_tokens", [1, 100_000])
def test_the_loss_is_the_mean_over_the_step_s_response_tokens(micro_tokens):
    """Ragged rows: a mean of the rows' means would be another number."""
    built = build("sft", dtype="float64", optim={"micro_tokens": micro_tokens})
    it = built.objective
    loss = sum(it.loss(micro)[0] for micro in it.prepare(0).micros)
    assert_close(loss, plain_loss(it.lm, it.data.rows).to(loss.dtype), rtol=1e-6, atol=0)
    each = [plain_loss(it.lm, [row]) for row in it.data.rows]
    assert abs(float(loss.detach() - sum(each).detach() / 8)) > 1e-4


def test_the_gradient_is_autograd_s():
    built, other = (build("sft", dtype="float64", lora=None) for _ in range(2))
    for micro in built.objective.prepare(0).micros:
        built.objective.loss(micro)[0].backward()
    plain_loss(other.objective.lm, other.objective.data.rows).backward()
    for ours, theirs in zip(built.module.parameters(), other.module.parameters(), strict=True):
        assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-8)


def test_what_fills_a_batch_does_not_move_the_loss_by_a_bit():
    built = build("sft")
    micro = max(built.objective.prepare(0).micros, key=lambda micro: len(micro.row_ids))
    loss, _ = built.objective.loss(micro)
    batch = micro.tensors.rows
    padding = batch.segments < 0
    assert bool(padding.any())
    batch.input_ids[padding] = 77
    again, _ = built.objective.loss(micro)
    assert again.item() == loss.item()


@pytest.mark.mistake("turn-end-lost")
def test_a_row_that_is_too_long_is_dropped_and_counted_never_cut():
    lm = load("tiny:0", dtype="float32")
    longest = max(len(lm.encode(row.conversation).ids) for row in FIVE)
    silent = Demonstration(
        "silent", Conversation((Message("user", "Hi"), Message("assistant", "x", trained=False)))
    )
    data = encode_demonstrations(lm, [*FIVE, silent], longest - 1)
    assert data.dropped == {f"longer than {longest - 1} tokens": 1, "no trained turn": 1}
    assert len(data.ids) == len(data.rows) == 4
    for row in data.rows:
        assert row.ids[-1] == 1
        assert row.response_mask[-1]
    assert encode_demonstrations(lm, FIVE, longest).dropped == {}


def test_nothing_to_train_on_says_why():
    lm = load("tiny:0", dtype="float32")
    with pytest.raises(
        DataError, match=r"no demonstration can be trained on \({'longer than 8 tokens': 5}\)"
    ):
        encode_demonstrations(lm, FIVE, 8)
    with pytest.raises(DataError, match="there is none"):
        encode_demonstrations(lm, [], 8)


def test_an_epoch_takes_every_row_once_in_an_order_of_its_own():
    it = build("sft", optim={"batch_size": 3, "epochs": 4.0}).objective
    assert it.steps == 12
    epochs = [
        tuple(
            name
            for step in range(start, start + 3)
            for micro in it.prepare(step).micros
            for name in micro.row_ids
        )
        for start in range(0, 12, 3)
    ]
    assert all(sorted(epoch) == [row.id for row in DEMONSTRATIONS] for epoch in epochs)
    assert len(set(epochs)) > 1
    assert it.prepare(4).metrics == {"epoch": 4 / 3}
    assert [m.row_ids for m in it.prepare(1).micros] == [m.row_ids for m in it.prepare(1).micros]


def test_part_of_an_epoch_is_some_of_its_steps():
    assert build("sft", optim={"batch_size": 2, "epochs": 0.5}).objective.steps == 2
    assert build("sft", optim={"batch_size": 8, "epochs": 0.1}).objective.steps == 1


def test_held_out_loss_is_the_mean_over_all_tokens_without_dropout():
    lm = load("tiny:0", dtype="float32")
    data = encode_demonstrations(lm, DEMONSTRATIONS, 200)
    lm.model.train()
    with torch.no_grad():
        wanted = float(plain_loss(lm, data.rows))
    assert held_out_loss(lm, data, 100_000) == pytest.approx(wanted, rel=1e-5)
    assert held_out_loss(lm, data, 1) == pytest.approx(wanted, rel=1e-5)
    assert lm.model.training
    assert wanted == pytest.approx(math.log(259), rel=0.05)  # a random model knows nothing
