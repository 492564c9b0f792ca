"""What training relies on, for every architecture and every objective."""

import math

import pytest
import torch
from architectures import NAMES, language_model, random_model
from objectives import COMPARISONS, DEMONSTRATIONS, KINDS, architecture, build, move
from torch.testing import assert_close

from gnomon.config import LoraSettings
from gnomon.kernels import batching
from gnomon.models.heads import body
from gnomon.models.lora import REFERENCE, TRAINED, add_lora
from gnomon.records import Conversation, Demonstration
from gnomon.settings.base import OptimSettings
from gnomon.training.sft import InstructionTuning, encode_demonstrations

CASES = [(kind, "rloo") for kind in KINDS] + [("policy", "grpo"), ("policy", "dr_grpo")]
CUTS = {
    "sft": (1, 80, 100_000),
    "reward": (1, 150, 100_000),
    "preference": (1, 150, 100_000),
    "policy": (1, 80, 100_000),
}
"""micro_tokens: eight micro-batches of one row or pair, some of some, one of eight."""
FEW = [
    pytest.param(name, marks=[] if name in ("gpt2", "gemma2", "mistral") else pytest.mark.slow)
    for name in NAMES
]
"""Learned positions, a cap and a window of their own; the others in their own time."""
EVEN = ("2+2?", "5-1?", "Hi !", "Why?")
"""Prompts of one length: Gemma 2's attention to padding on the left is no number in float64."""
DROPOUT = LoraSettings(rank=2, dropout=0.3)


def built(name, kind, **more):
    return build(kind, base=architecture(name), prompts=EVEN, **({"dtype": "float64", "lora": None} | more))


def gradients(it, micros=None):
    """Of every trained weight, after one step's micro-batches."""
    it.module.zero_grad()
    for micro in it.objective.prepare(0).micros if micros is None else micros:
        it.objective.loss(micro)[0].backward()
    return {n: p.grad.clone() for n, p in it.module.named_parameters() if p.grad is not None}


def close(ours, theirs, rtol):
    """Whatever a weight's gradient is, the errors of its elements are small beside its largest."""
    assert ours.keys() == theirs.keys()
    for name, wanted in theirs.items():
        atol = rtol * float(wanted.abs().max()) + 1e-12
        assert_close(ours[name], wanted, rtol=0, atol=atol, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.usefixtures("float64_throughout")
@pytest.mark.parametrize("case", CASES, ids="-".join)
@pytest.mark.parametrize("name", FEW)
@pytest.mark.mistake("short-batches-weigh-more")
def test_a_step_s_gradient_does_not_depend_on_how_its_rows_are_cut(name, case, monkeypatch):
    monkeypatch.setattr(batching, "SLACK", 1.0)  # ragged rows in one micro-batch too, for the test's sake
    kind, algorithm = case
    found, counts = [], []
    for size in CUTS[kind]:
        it = built(name, kind, optim={"micro_tokens": size}, policy={"algorithm": algorithm})
        micros = it.objective.prepare(0).micros
        counts.append(len(micros))
        found.append(gradients(it, micros))
    assert (counts[0], counts[2]) == (8, 1)
    assert 1 < counts[1] < 8
    assert max(float(gradient.abs().max()) for gradient in found[0].values()) > 1e-3
    for other in found[1:]:
        close(other, found[0], 1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.mistake("mask-ignored")
def test_what_fills_a_batch_moves_neither_loss_nor_gradient_by_a_bit(name, kind):
    it = built(name, kind, dtype="float32")
    micros = [micro for micro in it.objective.prepare(0).micros if len(micro.row_ids) > 1]
    before = [it.objective.loss(micro)[0].item() for micro in micros], gradients(it, micros)
    filled = 0
    for micro in micros:
        batch = micro.tensors.rows
        padding = batch.segments < 0
        batch.input_ids[padding] = 77
        filled += int(padding.sum())
    assert filled > 0
    after = [it.objective.loss(micro)[0].item() for micro in micros], gradients(it, micros)
    assert after[0] == before[0]
    assert all(torch.equal(gradient, before[1][name]) for name, gradient in after[1].items())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.mistake("mask-ignored")
def test_labels_that_are_not_trained_on_do_not_move_the_loss_by_a_bit(name):
    """Of two rows the last turns are the user's: nothing that is trained on sees them."""
    lm = language_model(name)
    rows = [Demonstration(name, Conversation.of("Hi!", answer, "Bye!")) for answer in ("Hello.", "Yes?")]
    it = InstructionTuning(lm, encode_demonstrations(lm, rows, 200), OptimSettings(batch_size=2), seed=0)
    (micro,) = it.prepare(0).micros
    loss = it.loss(micro)[0].item()
    batch, masks = micro.tensors.rows, [it.data.rows[i].response_mask for i in it.order.at(0)]
    last = [max(k for k, trained in enumerate(mask) if trained) for mask in masks]
    ids = batch.input_ids.view(-1)
    later = [place for i, places in batch.places.items() for place in places[last[i] + 1 :]]
    assert len(later) > 20
    ids[later] = 77
    assert it.loss(micro)[0].item() == loss
    ids[[places[last[i]] for i, places in batch.places.items()]] = 77  # only what comes after sees it
    assert it.loss(micro)[0].item() == loss
    ids[[places[last[i] - 1] for i, places in batch.places.items()]] = 77
    assert it.loss(micro)[0].item() != loss


@pytest.mark.usefixtures("float64_throughout")
@pytest.mark.parametrize("lora", [DROPOUT, None], ids=["adapters", "full"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.mistake("kl-not-zero-at-the-start")
def test_before_the_first_update_the_ratio_is_1_and_the_kl_0(name, lora):
    """In training mode, whatever dropout the architecture and its adapters have."""
    it = built(name, "policy", lora=lora, policy={"temperature": 0.7})
    it.module.train()
    work = it.objective.prepare(0)
    assert work.metrics["kl/reference"] == pytest.approx(0.0, abs=1e-9)
    assert 0 <= work.metrics["kl/k3"] < 1e-12
    off = sum(float(it.objective.loss(micro)[1]["sampler/logp_error"]) for micro in work.micros)
    assert off < 1e-6  # what was sampled is kept in float32


@pytest.mark.parametrize("lora", [DROPOUT, None], ids=["adapters", "full"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.mistake("kl-not-zero-at-the-start")
def test_before_the_first_update_no_answer_is_preferred(name, lora):
    """Of adapters that say something: what dropout takes from fresh ones, which are zero, changes nothing."""
    it = built(name, "preference", lora=lora, dtype="float32")
    for adapter in () if lora is None else (TRAINED, REFERENCE):
        move(it.module, adapter=adapter)
    it.module.train()
    done = [it.objective.loss(micro) for micro in it.objective.prepare(0).micros]
    assert sum(loss.item() for loss, _ in done) == pytest.approx(math.log(2), abs=1e-6)
    assert {float(metrics["logps/moved"]) for _, metrics in done} == {0.0}


def whole(lm, ids, start, temperature=1.0):
    """Log-probs of a row's tokens from `start` on, by the model's own logits of the row alone."""
    logits = lm.model(input_ids=torch.tensor([ids])).logits[0, start - 1 : -1] / temperature
    labels = torch.tensor(ids[start:])[:, None]
    return torch.log_softmax(logits, dim=-1).gather(1, labels).squeeze(1)


def sft_loss(it):
    lm = it.objective.lm
    pairs = [(lm.encode(row.conversation).ids, len(lm.encode_prompt(row.prompt))) for row in DEMONSTRATIONS]
    return -torch.cat([whole(lm, ids, start) for ids, start in pairs]).mean()


def answers():
    """Of each comparison: its share of the step, its preference, its prompt and both answers."""
    total = sum(row.label.weight for row in COMPARISONS)
    return [(r.label.weight / total, r.label.preference, r.prompt, r.first, r.second) for r in COMPARISONS]


def reward_loss(it):
    scorer = it.objective.scorer

    def score(prompt, answer):
        ids = torch.tensor([scorer.lm.encode(prompt.then(*answer)).ids])
        return scorer.model.score(body(scorer.lm.model)(input_ids=ids).last_hidden_state[0, -1])[0]

    loss = 0.0
    for share, p, prompt, first, second in answers():
        one, other = score(prompt, first), score(prompt, second)
        better = torch.sigmoid(one - other)
        each = -p * better.log() - (1 - p) * (1 - better).log() + 0.01 * (one + other) ** 2
        loss = loss + share * each
    return loss


def preference_loss(it):
    lm, reference = it.objective.lm, it.objective.reference

    def ratio(prompt, answer):
        ids, start = lm.encode(prompt.then(*answer)).ids, len(lm.encode_prompt(prompt))
        return whole(lm, ids, start).sum() - whole(reference, ids, start).sum().detach()

    loss = 0.0
    for share, p, prompt, first, second in answers():
        better = torch.sigmoid(0.1 * (ratio(prompt, first) - ratio(prompt, second)))
        loss = loss + share * (-p * better.log() - (1 - p) * (1 - better).log())
    return loss


def policy_loss(it):
    """RLOO: of two samples each is measured against the other."""
    rollouts = it.objective.roll_out(0)
    worth = rollouts.paid - it.objective.settings.beta * rollouts.kl
    loss = 0.0
    for i, sample in enumerate(rollouts.samples):
        advantage = float(worth[i] - worth[i ^ 1])
        ids = [*sample.prompt_ids, *sample.response_ids]
        loss = loss - advantage * whole(it.objective.lm, ids, len(sample.prompt_ids), 0.7).sum() / 8
    assert len({len(sample.response_ids) for sample in rollouts.samples}) > 1
    return loss


BY_HAND = {"sft": sft_loss, "reward": reward_loss, "preference": preference_loss, "policy": policy_loss}


def moved(model):
    """Not its reference any more."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            parameter.add_(noise, alpha=0.01)


@pytest.mark.usefixtures("float64_throughout")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.mistake("logits-not-a-product")
def test_the_gradient_is_that_of_the_model_s_own_logits_under_autograd(name, kind):
    """The fused head and shared prompts against whole rows one by one; policy and reference apart."""
    it = built(name, kind, policy={"temperature": 0.7})
    moved(it.module)
    ours = gradients(it)
    it.module.zero_grad()
    BY_HAND[kind](it).backward()
    theirs = {n: p.grad.clone() for n, p in it.module.named_parameters() if p.grad is not None}
    assert max(float(gradient.abs().max()) for gradient in theirs.values()) > 1e-3
    close(ours, theirs, 1e-6)  # weights of rows are float32


@pytest.mark.parametrize(
    ("name", "kind"), [*((name, "policy") for name in NAMES), *(("llama", kind) for kind in KINDS[:3])]
)
@pytest.mark.mistake("rounded-or-unseeded")
def test_what_is_trained_summed_and_remembered_is_float32_on_a_bfloat16_model(name, kind, tmp_path):
    it = built(name, kind, dtype="bfloat16", lora=LoraSettings(rank=2), optim={"epochs": 1, "lr": 1e-4})
    it.objective.steps = 1
    losses, plain = [], it.objective.loss
    it.objective.loss = lambda micro: losses.append(plain(micro)) or losses[-1]
    trainer = it.trainer(tmp_path)
    trainer.run()
    assert {loss.dtype for loss, _ in losses} == {torch.float32}
    assert {p.dtype for p in trainer.trained.values()} == {torch.float32}
    moments = [m for state in trainer.optimizer.state.values() for m in state.values()]
    assert {moment.dtype for moment in moments} == {torch.float32}
    frozen = [
        p for n, p in it.module.named_parameters() if n not in trainer.trained and ".reference." not in n
    ]
    assert {p.dtype for p in frozen} == {torch.bfloat16}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.mistake("rounded-or-unseeded")
def test_two_models_of_one_seed_are_one(name):
    """Adapters too, whatever random numbers were drawn before."""
    found = []
    for draws in (1, 2):
        torch.manual_seed(draws)
        lm = add_lora(language_model(name), LoraSettings(rank=2), seed=7)
        found.append(lm.model.state_dict())
    assert any("lora_A" in key for key in found[0])
    assert all(torch.equal(value, found[1][key]) for key, value in found[0].items())
    assert not torch.equal(
        random_model(name).get_input_embeddings().weight,
        random_model(name, seed=1).get_input_embeddings().weight,
    )
