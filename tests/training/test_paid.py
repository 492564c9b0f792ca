"""What a sampled response is paid: its score, less KL, less what a missing end costs; by hand."""

from statistics import fmean

import pytest
import torch
from architectures import drawn_head
from objectives import architecture, build

from gnomon.config import LoraSettings
from gnomon.losses.advantages import rloo
from gnomon.models.heads import body
from gnomon.models.reward_model import Scorer
from gnomon.records import Conversation
from gnomon.rewards.combine import ModelReward

BASE = architecture("llama")
EVEN = ("2+2?", "5-1?", "Hi !", "Why?")


def built(reward, **policy):
    own = {"samples": 4, "max_new_tokens": 8} | policy
    optim = {"batch_size": 16}
    it = build("policy", dtype="float64", base=BASE, prompts=EVEN, reward=reward, policy=own, optim=optim)
    with torch.no_grad():
        for name, parameter in it.module.named_parameters():
            if "lora_B.default" in name:
                parameter.normal_(std=0.1, generator=torch.Generator().manual_seed(2))
    return it.objective


def logp(model, sample):
    """Of the whole response, by the model's own logits of the row alone."""
    ids = torch.tensor([[*sample.prompt_ids, *sample.response_ids]])
    with torch.no_grad():
        logps = torch.log_softmax(model(input_ids=ids).logits[0, :-1], dim=-1)
    start = len(sample.prompt_ids)
    return float(logps[torch.arange(start - 1, len(logps)), ids[0, start:]].sum())


@pytest.mark.mistake("score-after-the-end")
def test_a_response_is_paid_its_score_less_kl_less_what_a_missing_end_costs():
    """The score is read at the last token that was sampled, the turn's end where there is one."""
    judge, reference = BASE("float64"), BASE("float64")
    scorer = Scorer(judge, drawn_head(judge))
    it = built(ModelReward(scorer), beta=0.3, missing_end=2.0)
    rollouts, work = it.roll_out(0), it.prepare(0)
    ends, worth = [], []
    for sample in rollouts.samples:
        stops = [token in it.lm.stop_ids for token in sample.response_ids]
        assert not any(stops[:-1])
        ends.append(stops[-1])
        ids = torch.tensor([[*sample.prompt_ids, *sample.response_ids]])
        with torch.no_grad():
            last = body(judge.model)(input_ids=ids).last_hidden_state[0, -1]
            score = float(scorer.model.score(last)[0])
        kl = logp(it.lm.model, sample) - logp(reference.model, sample)
        assert abs(kl) > 1e-3
        worth.append(score - 0.3 * kl - (0.0 if stops[-1] else 2.0))
    assert set(ends) == {True, False}
    assert work.metrics["reward/penalised"] == pytest.approx(fmean(worth), abs=1e-4)
    advantages = [float(own[0]) for own in it.lesson.advantages]
    assert advantages == pytest.approx(rloo(torch.tensor(worth).view(-1, 4)).flatten().tolist(), abs=2e-4)


@pytest.mark.parametrize("algorithm", ["rloo", "grpo", "dr_grpo"])
@pytest.mark.mistake("score-after-the-end")
def test_where_nothing_else_differs_a_response_that_ends_is_made_likelier(algorithm):
    it = built(lambda samples: [0.0] * len(samples), beta=0.0, missing_end=1.0, algorithm=algorithm)
    rollouts = it.roll_out(0)
    (micro,) = it.prepare(0).micros
    weights = micro.tensors.weights.split([len(sample.response_ids) for sample in rollouts.samples])
    mixed = 0
    for start in range(0, 16, 4):
        group = [(rollouts.samples[i].ended, float(weights[i].sum())) for i in range(start, start + 4)]
        if len({ended for ended, _ in group}) == 2:
            mixed += 1
            assert all((weight > 0) == ended for ended, weight in group)
        else:
            assert [weight for _, weight in group] == [0.0] * 4
    assert mixed > 1


@pytest.mark.parametrize("algorithm", ["rloo", "grpo", "raft"])
@pytest.mark.mistake("equal-rewards")
def test_a_group_with_equal_scores_teaches_nothing_whatever_length_is_worth_elsewhere(algorithm):
    """Longer answers are paid more after all prompts but one, whose answers are of several lengths too."""
    dull = tuple(BASE("float32").encode_prompt(Conversation.of(EVEN[0])))

    def reward(samples):
        longer = (len(s.response_ids) + s.response_ids[0] / 259 for s in samples)
        return [0.3 if s.prompt_ids == dull else paid for s, paid in zip(samples, longer, strict=True)]

    it = built(reward, beta=0.0, algorithm=algorithm, length_neutral=True)
    work, lesson = it.prepare(0), it.lesson
    assert len({len(s.response_ids) for s in it.roll_out(0).samples if s.prompt_ids == dull}) > 1
    worth = {dull: []}
    for row, start, advantages in zip(lesson.rows, lesson.starts, lesson.advantages, strict=True):
        worth.setdefault(tuple(row[:start]), []).extend(advantages.tolist())
    assert not any(worth.pop(dull))
    assert len(worth) == 3
    assert all(any(values) for values in worth.values())
    assert work.metrics["reward/equal"] == 0.25


@pytest.mark.mistake("wrong-reference")
@pytest.mark.parametrize("lora", [LoraSettings(rank=2), None], ids=["adapters", "full"])
def test_a_policy_changed_in_memory_is_its_own_reference(lora):
    """Weights that are in no file: a reference read from one would be another model."""

    def changed(dtype):
        lm = BASE(dtype)
        with torch.no_grad():
            for parameter in lm.model.parameters():
                noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(4))
                parameter.add_(noise.to(parameter.dtype), alpha=0.05)
        return lm

    it = build("policy", dtype="float64", base=changed, lora=lora, prompts=EVEN).objective
    rollouts = it.roll_out(0)
    assert rollouts.kl.abs().max() < 1e-4
    stored = BASE("float64").model
    off = [logp(it.lm.model, sample) - logp(stored, sample) for sample in rollouts.samples]
    assert max(map(abs, off)) > 0.1
