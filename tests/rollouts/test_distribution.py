"""What training relies on: samples come from the distribution that their log-probs are of.

Each test is a mistake that others made and that no error tells.
"""

import math

import numpy as np
import pytest
import torch
from architectures import NAMES, language_model, random_model
from engines import engine, random_prompts, same
from objectives import build
from peft.tuners.lora import LoraLayer
from torch.testing import assert_close

from gnomon.config import LoraSettings
from gnomon.kernels.fused import weighted_nll
from gnomon.models.heads import body, hidden_states, output_head
from gnomon.models.load import DTYPES, load
from gnomon.models.logps import sequence_logps
from gnomon.models.lora import add_lora
from gnomon.records import Conversation, Message
from gnomon.rollouts.decoding import DEFAULT, Decoding, Limits
from gnomon.rollouts.engine import Sampling
from gnomon.rollouts.local import LocalEngine
from gnomon.settings.policy import PolicySettings

PROMPTS = random_prompts(3, 17, 1, 9, 17, 5)
SEEDS = list(range(40, 48))
SAMPLING = Sampling(max_new_tokens=12)


def by_the_model(it, sample, temperature=1.0):
    """Log-probs [response, vocabulary] by the model's own logits of the row alone, unpadded and uncached."""
    ids = torch.tensor([[*sample.prompt_ids, *sample.response_ids]])
    with torch.no_grad():
        logits = it.lm.model(input_ids=ids).logits[0, len(sample.prompt_ids) - 1 : -1]
    return torch.log_softmax(logits.double() / temperature, dim=-1)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.mistake("ratio-of-another-distribution")
def test_log_probs_are_those_of_the_training_forward(device, name, temperature):
    it = engine(model=random_model(name).to(device))
    samples = it.sample(PROMPTS, Sampling(12, temperature), SEEDS)
    wanted = sequence_logps(
        it.lm, [s.prompt_ids for s in samples], [s.response_ids for s in samples], temperature
    )
    for sample, logps in zip(samples, wanted, strict=True):
        assert sample.logps == pytest.approx(logps.tolist(), abs=1e-4)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.mistake("ratio-of-another-distribution")
def test_the_ratio_is_1_in_float64(temperature):
    """Also of rows that took a place in a batch under way."""
    it = engine("qwen3", Limits(rows=3), dtype=torch.float64)
    for sample in it.sample(PROMPTS, Sampling(12, temperature), SEEDS):
        ids = torch.tensor([[*sample.prompt_ids, *sample.response_ids]])
        mask = torch.arange(ids.shape[1])[None] >= len(sample.prompt_ids)
        hidden = hidden_states(it.lm.model, ids, torch.ones_like(mask))
        rows, targets = hidden[:, :-1][mask[:, 1:]], ids[:, 1:][mask[:, 1:]]
        weights = torch.ones(len(targets))
        _, logps = weighted_nll(rows, output_head(it.lm.model), targets, weights, temperature)
        ratio = (logps - torch.tensor(sample.logps, dtype=torch.float64)).exp()
        # the architecture itself computes some of its parts in float32
        assert_close(ratio, torch.ones_like(ratio), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("top_k", "top_p"), [(5, None), (None, 0.6), (20, 0.8)])
@pytest.mark.mistake("ratio-of-another-distribution")
def test_filtered_log_probs_are_of_the_tokens_that_were_kept(top_k, top_p):
    """By a sort of the model's own logits; settings that train on filtered samples are refused."""
    it, temperature = engine(dtype=torch.float64), 0.7
    for sample in it.sample(PROMPTS, Sampling(6, temperature, top_k, top_p), SEEDS):
        steps = zip(
            by_the_model(it, sample, temperature).exp(), sample.response_ids, sample.logps, strict=True
        )
        for probs, token, logp in steps:
            likeliest, order = probs.sort(descending=True)
            mass = likeliest[:top_k] / likeliest[:top_k].sum()
            if top_p is not None:
                mass = mass[: int((mass.cumsum(0) < top_p).sum()) + 1]
            kept = dict(zip(order[: len(mass)].tolist(), (mass / mass.sum()).tolist(), strict=True))
            assert logp == pytest.approx(math.log(kept[token]), abs=1e-5)


def test_greedy_log_probs_are_the_models_own_whatever_the_filters():
    it = engine(dtype=torch.float64)
    for sample in it.sample(PROMPTS, Sampling(6, 0.0, 3, 0.5), SEEDS):
        best = by_the_model(it, sample).max(dim=-1)
        assert sample.response_ids == tuple(best.indices.tolist())
        assert sample.logps == pytest.approx(best.values.tolist(), abs=1e-5)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3"])
def test_a_prompt_may_hold_the_token_that_fills_the_batch(name):
    """A tokenizer without padding fills with a turn's end, which is in earlier turns as well."""
    it = engine(name, dtype=torch.float64)
    it.lm.tokenizer.pad_token = None
    filler = it.lm.pad_id
    assert filler in it.lm.stop_ids
    prompts = [[2, filler, 50, 60, filler], [2, 70], [2, *range(90, 99)], [filler, filler]]
    for sample in it.sample(prompts, SAMPLING, range(4)):
        logps = by_the_model(it, sample).gather(1, torch.tensor(sample.response_ids)[:, None])
        assert sample.logps == pytest.approx(logps.squeeze(1).tolist(), abs=1e-5)


@pytest.mark.parametrize(
    "talk", [Conversation.of("Hi!"), Conversation.of("1+1?", "2", "Sure?"), Conversation.of("a", system="b")]
)
def test_the_prompt_sampled_from_is_the_one_trained_on_and_has_one_bos(talk):
    it = engine()
    (sample,) = it.answer([talk], SAMPLING)
    row, start = it.lm.encode(talk.then(Message("assistant", "Hello."))), len(sample.prompt_ids)
    assert row.ids[:start] == sample.prompt_ids
    assert row.response_mask[start - 1 : start + 1] == (False, True)
    assert (sample.prompt_ids[0], sample.prompt_ids.count(2)) == (2, 1)


def test_the_global_random_state_is_neither_read_nor_moved():
    """What a resumed run samples is what an uninterrupted one does."""
    it = engine()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        wanted = it.sample(PROMPTS, SAMPLING, SEEDS)
        torch.manual_seed(2)
        before = torch.get_rng_state(), np.random.get_state()[1].tolist()
        same(it.sample(PROMPTS, SAMPLING, SEEDS), wanted)
        assert torch.equal(torch.get_rng_state(), before[0])
        assert np.random.get_state()[1].tolist() == before[1]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_log_probs_are_float32_or_wider_whatever_the_weights_are(dtype):
    it = engine(dtype=dtype)
    logps = next(Decoding(it.lm, PROMPTS, SAMPLING, SEEDS, DEFAULT).steps()).logps[:, 0]
    assert logps.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert not torch.equal(logps, logps.to(torch.bfloat16).to(logps.dtype)), "not rounded on the way"


def policy_of(dtype):
    """A policy of one step as it is trained unless told otherwise; most of its weights are so large that they
    cannot hold a first update in bfloat16."""
    usual = PolicySettings().optim.model_dump() | {"batch_size": 8}
    return build(
        "policy",
        dtype=dtype,
        lora=LoraSettings(),
        base=lambda kind: language_model("llama", DTYPES[kind]),
        optim=usual,
        policy={"steps": 1},
    )


def alike(one, other):
    """How many tokens come before the first that differs."""
    pairs = enumerate(zip(one.response_ids, other.response_ids, strict=False))
    return next((k for k, (a, b) in pairs if a != b), min(len(one.response_ids), len(other.response_ids)))


@pytest.mark.mistake("adapters-merged-to-sample")
def test_the_sampler_follows_the_adapters_after_a_step(tmp_path):
    """One update at the usual rate: what sampler and training read of the same tokens changes by as much as
    float32 says. Rounding errors of bfloat16 do not point where the update does, and cancel."""
    policy, exact = policy_of("bfloat16"), policy_of("float32")
    lm, twin = policy.objective.lm, exact.objective.lm
    prompts = policy.objective.prompts.rows * 128
    drawn, read = [], []
    for steps in (0, 1):
        if steps:
            assert policy.trainer(tmp_path).run().steps == steps
        exact.module.load_state_dict(policy.module.state_dict())
        drawn.append(LocalEngine(lm).sample(prompts, Sampling(24), range(len(prompts))))
        ids = [s.prompt_ids for s in drawn[0]], [s.response_ids for s in drawn[0]]
        sampled = [torch.tensor(sample.logps) for sample in drawn[-1]]
        read.append((sampled, sequence_logps(lm, *ids), sequence_logps(twin, *ids)))
    counts = [alike(one, other) for one, other in zip(*drawn, strict=True)]
    assert sum(counts) > 300
    sampler, training, wanted = (
        torch.cat([new[:n] - old[:n] for old, new, n in zip(*rows, counts, strict=True)])
        for rows in zip(*read, strict=True)
    )
    for change in (sampler, training):
        assert float(change @ wanted / (wanted @ wanted)) == pytest.approx(1, abs=0.25)


@pytest.mark.mistake("adapters-merged-to-sample")
def test_adapters_are_on_and_unmerged_while_samples_are_drawn():
    """A sum with bfloat16 weights would be rounded to them: a first update is smaller than they can tell."""
    lm = add_lora(load("tiny:0", dtype="bfloat16"), LoraSettings(rank=2), seed=0)
    before = {name: p.clone() for name, p in lm.model.named_parameters()}
    layers = [m for m in lm.model.modules() if isinstance(m, LoraLayer)]
    seen = []
    body(lm.model).register_forward_hook(
        lambda *of: seen.append({(m.merged, m.disable_adapters, *m.active_adapters) for m in layers})
    )
    LocalEngine(lm).sample(PROMPTS, SAMPLING, SEEDS)
    assert len(seen) > 2
    assert all(state == {(False, False, "default")} for state in seen)
    assert all(torch.equal(p, before[name]) for name, p in lm.model.named_parameters())


def test_first_tokens_come_as_often_as_the_model_says():
    it = engine(stops=range(3, 259))
    draws = 3000
    samples = it.sample([PROMPTS[0]] * draws, Sampling(1), range(draws))
    best = max(samples, key=lambda sample: sample.logps[0])
    share = sum(sample.response_ids == best.response_ids for sample in samples) / draws
    expected = math.exp(best.logps[0])
    assert share == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / draws))
