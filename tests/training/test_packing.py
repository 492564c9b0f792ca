"""Rows packed into one are, each of them, what they are alone."""

import pytest
import torch
from architectures import NAMES, random_model
from objectives import DEMONSTRATIONS
from torch.testing import assert_close

from gnomon.kernels.fused import head_pass
from gnomon.models import branches
from gnomon.models.branches import branch_states
from gnomon.models.load import LanguageModel, load
from gnomon.records import Conversation, Demonstration, EncodedRow, Message
from gnomon.settings.base import OptimSettings
from gnomon.training.sft import EncodedRows, InstructionTuning, encode_demonstrations

ROWS = [
    *DEMONSTRATIONS[:5],
    # its second turn is read by nothing that is trained
    Demonstration(
        "half",
        Conversation(
            (
                Message("user", "Hi"),
                Message("assistant", "Yes?"),
                Message("user", "Bye"),
                Message("assistant", "Ciao", trained=False),
            )
        ),
    ),
]


def tuning(name, *, packed, dtype=torch.float64, micro_tokens=150):
    tiny = load("tiny:0")
    lm = LanguageModel(random_model(name, dtype=dtype), tiny.tokenizer, tiny.template, "tiny:0")
    settings = OptimSettings(batch_size=len(ROWS), micro_tokens=micro_tokens)
    return InstructionTuning(lm, encode_demonstrations(lm, ROWS, 200), settings, seed=0, packed=packed)


def learnt(it):
    """The step's loss, its rows' log-probs by id, and all gradients."""
    total, logps = 0.0, {}
    for micro in it.prepare(0).micros:
        loss, _ = it.loss(micro)
        loss.backward()
        total += loss.item()
        batch = micro.tensors
        with torch.no_grad():
            states = branch_states(it.lm.model, batch.rows)[batch.before]
            each = head_pass(states, it.head, batch.labels).logps
        counts = [sum(it.data.rows[it.data.ids.index(name)].response_mask[1:]) for name in micro.row_ids]
        logps |= dict(zip(micro.row_ids, torch.split(each, counts), strict=True))
    return total, logps, {n: p.grad for n, p in it.lm.model.named_parameters() if p.grad is not None}


@pytest.mark.usefixtures("float64_throughout")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.mistake("mask-ignored")
def test_loss_log_probs_and_gradients_are_those_of_rows_apart(name):
    packed, apart = tuning(name, packed=True), tuning(name, packed=False)
    packs = [micro.tensors.rows for micro in packed.prepare(0).micros]
    assert all(rows.shared for rows in packs)
    assert not any(micro.tensors.rows.shared for micro in apart.prepare(0).micros)
    (loss, logps, grads), (wanted, each, others) = learnt(packed), learnt(apart)
    assert loss == pytest.approx(wanted, rel=1e-9)
    assert logps.keys() == each.keys() == {row.id for row in ROWS}
    for row in each:
        assert_close(logps[row], each[row], rtol=1e-9, atol=1e-9)
    assert grads.keys() == others.keys()
    for parameter, grad in others.items():
        assert_close(
            grads[parameter],
            grad,
            rtol=0,
            atol=1e-9 * float(grad.abs().max()),
            msg=lambda m, p=parameter: f"{p}: {m}",
        )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.mistake("mask-ignored")
def test_another_document_of_the_pack_does_not_move_a_state_by_a_bit(name):
    it = tuning(name, packed=True, dtype=torch.float32)
    rows = it.prepare(0).micros[-1].tensors.rows
    assert len(rows.places) > 1
    before = branch_states(it.lm.model, rows)
    for changed in rows.places:
        kept = rows.input_ids.clone()
        rows.input_ids.view(-1)[rows.places[changed]] = 200
        after = branch_states(it.lm.model, rows)
        rows.input_ids.copy_(kept)
        for other, places in rows.places.items():
            assert torch.equal(after[places], before[places]) == (other != changed)


@pytest.mark.mistake("mask-ignored")
def test_labels_that_are_masked_do_not_move_the_loss_by_a_bit():
    """They end a row that lies within a pack, so what comes next belongs to another."""
    it = tuning("llama", packed=True)
    which = it.data.ids.index("half")
    row = it.data.rows[which]
    assert not any(row.response_mask[-4:])

    def loss(ids):
        rows = list(it.data.rows)
        rows[which] = EncodedRow(ids, row.response_mask)
        other = InstructionTuning(
            it.lm, EncodedRows(it.data.ids, tuple(rows)), it.settings, seed=0, packed=True
        )
        return [other.loss(micro)[0].item() for micro in other.prepare(0).micros]

    assert loss((*row.ids[:-4], 77, 78, 79, 80)) == loss(row.ids)
    assert loss((row.ids[0], 77, *row.ids[2:])) != loss(row.ids)


def test_a_pack_ends_at_the_micro_batch_and_saves_padding():
    sizes = []
    for packed in (True, False):
        micros = tuning("llama", packed=packed, micro_tokens=150).prepare(0).micros
        ids = [micro.tensors.rows.input_ids for micro in micros]
        assert all(rows.numel() <= 150 for rows in ids)
        assert sorted(name for micro in micros for name in micro.row_ids) == sorted(row.id for row in ROWS)
        sizes.append(sum(rows.numel() for rows in ids))
    real = sum(len(row.ids) for row in tuning("llama", packed=True).data.rows)
    assert real <= sizes[0] < sizes[1]


def test_a_model_that_cannot_be_packed_is_trained_all_the_same(monkeypatch):
    monkeypatch.setattr(branches, "_agrees", lambda model: False)
    it = tuning("llama", packed=True)
    assert not any(micro.tensors.rows.shared for micro in it.prepare(0).micros)
