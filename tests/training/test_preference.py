import json
import math
from dataclasses import replace

import pytest
import torch
from architectures import random_model
from objectives import COMPARISONS, build, move
from torch.testing import assert_close

from gnomon.config import LoraSettings
from gnomon.errors import ModelError
from gnomon.models import branches
from gnomon.models.load import LanguageModel, load
from gnomon.models.logps import sequence_logps
from gnomon.models.lora import REFERENCE, add_lora, freeze_reference
from gnomon.models.templates import Template
from gnomon.models.tiny import tiny_tokenizer
from gnomon.settings.preference import PreferenceSettings
from gnomon.training import logps
from gnomon.training.pairs import encode_comparisons
from gnomon.training.preference import PreferenceOptimisation

WAYS = pytest.mark.parametrize("lora", [LoraSettings(rank=2, dropout=0.3), None], ids=["adapters", "full"])


def rows(tmp_path):
    return [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]


def total(built):
    """The step's loss and metrics, summed over its micro-batches."""
    loss, sums = 0.0, {}
    for micro in built.objective.prepare(0).micros:
        share, metrics = built.objective.loss(micro)
        loss += share.item()
        sums = {name: sums.get(name, 0.0) + float(value) for name, value in metrics.items()}
    return loss, sums


def answer_ids(lm):
    """Ids of prompts and of all first and all second answers after them, in turn."""
    return [
        (lm.encode_prompt(row.prompt), lm.encode(row.prompt.then(*answer)).ids)
        for row in COMPARISONS
        for answer in (row.first, row.second)
    ]


def answer_logps(lm):
    """Log-probs of all first and all second answers, one by one."""
    ids = answer_ids(lm)
    found = [float(sequence_logps(lm, [p], [w[len(p) :]])[0].sum()) for p, w in ids]
    return found[::2], found[1::2]


def by_hand(policy, reference, beta=0.1, smoothing=0.0):
    (first, second), (ref_first, ref_second) = answer_logps(policy), answer_logps(reference)
    names = ["loss", "reward/accuracy", "reward/margin", "reward/chosen", "reward/rejected"]
    names += ["logps/chosen", "logps/rejected", "logps/moved", "loss/sft", "length/difference"]
    sums = dict.fromkeys(names, 0.0)
    tokens = [len(whole) - len(prompt) for prompt, whole in answer_ids(policy)]
    lengths = zip(tokens[::2], tokens[1::2], strict=True)
    whole = sum(row.label.weight for row in COMPARISONS)
    each = zip(first, second, ref_first, ref_second, lengths, COMPARISONS, strict=True)
    for a, b, c, d, (long, short), row in each:
        raw, weight = row.label.preference, row.label.weight / whole
        p = raw * (1 - smoothing) + (1 - raw) * smoothing
        better = 1 / (1 + math.exp(-beta * ((a - c) - (b - d))))
        found = {
            "loss": -p * math.log(better) - (1 - p) * math.log(1 - better),
            "reward/accuracy": (better > 0.5) == (raw > 0.5),
            "reward/margin": beta * (a - c - b + d) * (2 * raw - 1),
            "reward/chosen": beta * (a - c),
            "reward/rejected": beta * (b - d),
            "logps/chosen": a,
            "logps/rejected": b,
            "logps/moved": (abs(a - c) + abs(b - d)) / 2,
            "loss/sft": -p * a / long - (1 - p) * b / short,
            "length/difference": long - short,
        }
        sums = {name: value + weight * found[name] for name, value in sums.items()}
    return sums.pop("loss"), sums


@WAYS
@pytest.mark.parametrize("micro_tokens", [1, 300, 100_000])
def test_a_policy_that_is_its_reference_pays_ln_2_exactly(lora, micro_tokens):
    """In training mode, adapters' dropout and all: both go through the same forward pass."""
    built = build("preference", lora=lora, optim={"micro_tokens": micro_tokens})
    built.module.train()
    loss, metrics = total(built)
    assert loss == pytest.approx(math.log(2), abs=1e-6)
    assert metrics["logps/moved"] == metrics["reward/margin"] == metrics["reward/chosen"] == 0.0
    assert metrics["reward/accuracy"] == pytest.approx(0.5)
    assert metrics["logps/chosen"] < -10


@WAYS
@pytest.mark.parametrize("micro_tokens", [1, 100_000])
def test_the_loss_is_the_weighted_mean_over_the_step_s_pairs(lora, micro_tokens):
    built = build("preference", dtype="float64", lora=lora, optim={"micro_tokens": micro_tokens})
    move(built.module)
    loss, metrics = total(built)
    wanted, others = by_hand(built.objective.lm, load("tiny:0", dtype="float64"))
    assert loss == pytest.approx(wanted, rel=1e-6)
    assert metrics == pytest.approx(others, rel=1e-5)
    assert abs(loss - math.log(2)) > 1e-3
    assert 0 < metrics["reward/accuracy"] < 1


def test_beta_and_smoothing_are_as_set():
    built = build("preference", dtype="float64")
    built.objective.settings = PreferenceSettings(beta=0.7, label_smoothing=0.2)
    move(built.module)
    loss, metrics = total(built)
    wanted, others = by_hand(built.objective.lm, load("tiny:0", dtype="float64"), 0.7, 0.2)
    assert loss == pytest.approx(wanted, rel=1e-6)
    assert metrics == pytest.approx(others, rel=1e-5)


@pytest.mark.usefixtures("float64_throughout")
@WAYS
def test_the_gradient_is_that_of_the_whole_model_under_autograd(lora):
    """Log-probs by log_softmax over all logits, eq. 7 written out, one pair at a time."""
    built = build("preference", dtype="float64", lora=lora, optim={"micro_tokens": 300})
    move(built.module)
    for micro in built.objective.prepare(0).micros:
        built.objective.loss(micro)[0].backward()
    trained = [p for p in built.module.parameters() if p.requires_grad]
    ours = [p.grad.clone() for p in trained]
    built.module.zero_grad()
    reference, lm = load("tiny:0", dtype="float64"), built.objective.lm

    def ratio(row, answer):
        ids = torch.tensor([lm.encode(row.prompt.then(*answer)).ids])
        start = len(lm.encode_prompt(row.prompt))
        own, ref = (
            torch.log_softmax(model(input_ids=ids).logits[0, start - 1 : -1], dim=-1)
            .gather(1, ids[0, start:, None])
            .sum()
            for model in (lm.model.eval(), reference.model)
        )
        return own - ref.detach()

    loss, whole = 0.0, sum(row.label.weight for row in COMPARISONS)
    for row in COMPARISONS:
        d, p = 0.1 * (ratio(row, row.first) - ratio(row, row.second)), row.label.preference
        each = -p * torch.sigmoid(d).log() - (1 - p) * torch.sigmoid(-d).log()
        loss = loss + row.label.weight / whole * each
    loss.backward()
    assert max(float(p.grad.abs().max()) for p in trained) > 1e-3
    for mine, parameter in zip(ours, trained, strict=True):
        assert_close(mine, parameter.grad, rtol=1e-5, atol=1e-7)  # weights of pairs are float32


@pytest.mark.usefixtures("float64_throughout")
@WAYS
def test_pairs_in_one_row_have_the_loss_and_gradient_of_separate_rows(lora, monkeypatch):
    built = build("preference", dtype="float64", lora=lora, optim={"micro_tokens": 100_000})
    move(built.module)
    results = []
    for longest in (1024, 0):
        monkeypatch.setattr(branches, "LONGEST", longest)
        built.objective.ref_logps.fill_(torch.nan)
        loss = 0.0
        for micro in built.objective.prepare(0).micros:
            assert micro.tensors.rows.shared == bool(longest)
            share, _ = built.objective.loss(micro)
            share.backward()
            loss += share.item()
        gradient = torch.cat([p.grad.flatten() for p in built.module.parameters() if p.requires_grad])
        results.append((loss, gradient))
        built.module.zero_grad()
    (shared, ours), (apart, theirs) = results
    assert shared == pytest.approx(apart, rel=1e-11)
    assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    assert float(theirs.abs().max()) > 1e-3


def test_swapped_pairs_are_the_same_loss():
    """Answers the other way round, and 1 - p for every soft label p."""
    built, other = build("preference", dtype="float64"), build("preference", dtype="float64")
    other.objective.pairs = encode_comparisons(
        other.objective.lm, [row.swap() for row in COMPARISONS], 200
    ).pairs
    for it in (built, other):
        move(it.module)
    (loss, metrics), (swapped, others) = total(built), total(other)
    assert swapped == pytest.approx(loss, rel=1e-6)
    assert others == pytest.approx(metrics, rel=1e-5)


@WAYS
def test_it_learns_which_answers_are_better(tmp_path, lora):
    optim = {"epochs": 25, "checkpoint_every": 1000, "lr": 1e-2 if lora else 1e-3}
    built = build("preference", lora=lora, optim=optim)
    built.trainer(tmp_path).run()
    first, *_, last = rows(tmp_path)
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert last["loss"] < 0.57  # 0.51 is the labels' own entropy
    assert last["reward/accuracy"] == pytest.approx(1.0)
    assert last["reward/chosen"] - last["reward/rejected"] > 0.8
    assert last["logps/moved"] > 1


@WAYS
@pytest.mark.mistake("wrong-reference")
def test_the_reference_is_the_policy_as_it_was_in_memory(lora):
    """Weights changed and never saved: the reference is not read from anywhere else."""
    lm = load("tiny:0", dtype="float32")
    lm = lm if lora is None else add_lora(lm, lora, seed=1)
    move(lm.model)
    reference = None
    if lora is None:
        reference = load("tiny:0", dtype="float32")
        move(reference.model)
    else:
        freeze_reference(lm.model)
    data = encode_comparisons(lm, COMPARISONS, 200)
    objective = PreferenceOptimisation(lm, data.pairs, PreferenceSettings(), 0, reference)
    for micro in objective.prepare(0).micros:
        _, metrics = objective.loss(micro)
        assert metrics["logps/moved"] == 0.0
    wanted = torch.tensor(answer_logps(lm)).T
    assert_close(objective.ref_logps, wanted, rtol=1e-4, atol=1e-4)
    base = torch.tensor(answer_logps(load("tiny:0", dtype="float32"))).T
    assert float((base - wanted).abs().max()) > 0.1


def test_a_model_handed_in_is_the_reference_even_where_adapters_are_frozen():
    built = build("preference")
    other = move(load("tiny:0", dtype="float32").model)
    handed = replace(load("tiny:0", dtype="float32"), model=other)
    it = built.objective
    data = encode_comparisons(it.lm, COMPARISONS, 200)
    objective = PreferenceOptimisation(it.lm, data.pairs, it.settings, 0, handed)
    objective.prepare(0)
    assert_close(objective.ref_logps, torch.tensor(answer_logps(handed)).T, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("lora", [LoraSettings(rank=2), None])
def test_a_policy_without_any_reference_is_refused(lora):
    lm = load("tiny:0", dtype="float32")
    lm = lm if lora is None else add_lora(lm, lora, seed=1)
    data = encode_comparisons(lm, COMPARISONS, 200)
    with pytest.raises(ModelError, match="call freeze_reference before it is trained, or hand in"):
        PreferenceOptimisation(lm, data.pairs, PreferenceSettings(), 0)


@pytest.fixture
def asked(monkeypatch):
    """How many rows each forward pass without gradient had: those are the reference's."""
    counts = []
    plain = logps.answer_logps

    def counting(lm, rows, response_masks):
        counts.append(len(rows.places))
        return plain(lm, rows, response_masks)

    monkeypatch.setattr(logps, "answer_logps", counting)
    return counts


class CutError(Exception):
    """The machine was taken away."""


def test_the_reference_is_asked_once_for_each_answer(tmp_path, asked):
    """Over three epochs, and over an interruption after the first: it is in the checkpoint."""

    def cut(done, total, note):
        if done == 4:
            raise CutError

    settings = {"batch_size": 4, "epochs": 3}
    with pytest.raises(CutError):
        build("preference", optim=settings).trainer(tmp_path, cut).run()
    assert sum(asked) == 16
    again = build("preference", optim=settings)
    again.trainer(tmp_path).run()
    assert len(rows(tmp_path)) == 6
    assert sum(asked) == 16
    assert not again.objective.ref_logps.isnan().any()


def test_the_reference_is_still_what_it_was_after_training(tmp_path):
    built = build("preference", optim={"epochs": 4})
    built.objective.prepare(0)
    known = built.objective.ref_logps.clone()
    built.trainer(tmp_path).run()
    assert torch.equal(built.objective.ref_logps, known)
    built.objective.ref_logps.fill_(torch.nan)
    built.objective.prepare(0)
    assert torch.equal(built.objective.ref_logps, known)
    frozen = [p for n, p in built.module.named_parameters() if f".{REFERENCE}." in n]
    assert not any(p.requires_grad for p in frozen)


def learned_positions():
    tokenizer = tiny_tokenizer()
    return LanguageModel(
        random_model("gpt2", dtype=torch.float64), tokenizer, Template(tokenizer), "path:gpt2"
    )


@pytest.mark.usefixtures("float64_throughout")
@pytest.mark.parametrize("make", [lambda: load("tiny:0", dtype="float64"), learned_positions])
@pytest.mark.mistake("padding-moves-positions")
def test_a_pair_s_log_probs_do_not_depend_on_its_batch_mates(make):
    lm = make()
    data = encode_comparisons(lm, COMPARISONS, 200)
    alone, together = (
        PreferenceOptimisation(
            lm, data.pairs, PreferenceSettings(optim={"micro_tokens": size, "batch_size": 8}), 0, lm
        )
        for size in (1, 100_000)
    )
    assert len(alone.prepare(0).micros) == 8 > 2 * len(together.prepare(0).micros)
    assert_close(alone.ref_logps, together.ref_logps, rtol=1e-11, atol=1e-11)
    assert_close(alone.ref_logps, torch.tensor(answer_logps(lm)).double().T, rtol=1e-6, atol=1e-6)


def test_what_fills_the_batch_changes_nothing_bit_by_bit():
    built = build("preference", optim={"micro_tokens": 100_000})
    move(built.module)
    micros = built.objective.prepare(0).micros
    padded = 0
    for micro in micros:
        batch = micro.tensors.rows
        padding = batch.segments < 0
        padded += int(padding.sum())
        changed = torch.where(padding, 77, batch.input_ids)
        other = replace(micro, tensors=micro.tensors._replace(rows=replace(batch, input_ids=changed)))
        assert built.objective.loss(other)[0].item() == built.objective.loss(micro)[0].item()
    assert padded > 0
