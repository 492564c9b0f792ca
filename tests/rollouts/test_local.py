import math

import pytest
import torch
from architectures import NAMES, random_model
from torch.testing import assert_close

from gnomon.config import LoraSettings
from gnomon.errors import DataError
from gnomon.kernels.head import labelled, weighted_nll
from gnomon.models.heads import body, hidden_states, output_head
from gnomon.models.load import LanguageModel, load
from gnomon.models.logps import sequence_logps
from gnomon.models.lora import add_lora
from gnomon.models.templates import Template
from gnomon.records import Conversation
from gnomon.rollouts.engine import Sampling
from gnomon.rollouts.local import LocalEngine

GENERATOR = torch.Generator().manual_seed(0)
PROMPTS = [[2, *torch.randint(3, 259, (n,), generator=GENERATOR).tolist()] for n in (3, 17, 1, 9, 17, 5)]
PROMPTS += [PROMPTS[1], PROMPTS[0]]
SEEDS = list(range(40, 48))
SAMPLING = Sampling(max_new_tokens=12)


def language_model(name="llama", *, stops=(), dtype=torch.float32):
    tokenizer = load("tiny:0").tokenizer
    return LanguageModel(random_model(name, dtype=dtype), tokenizer, Template(tokenizer, stops), "tiny:0")


def engine(name="llama", *, stops=range(3, 40), dtype=torch.float32):
    """With many stop tokens, so that rows end at different times."""
    return LocalEngine(language_model(name, stops=stops, dtype=dtype))


def shapes(engine):
    """The shapes of ids that go through the body from now on."""
    seen = []
    body(engine.lm.model).register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    return seen


def same(ours, theirs):
    assert [sample.response_ids for sample in ours] == [sample.response_ids for sample in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one.logps == pytest.approx(other.logps, abs=1e-5)
        assert (one.text, one.ended, one.prompt_ids) == (other.text, other.ended, other.prompt_ids)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_is_sampled_alike_alone_and_among_others(name):
    """Left padding with rotary, learned and sliding-window positions; prompts longer than the window."""
    it = engine(name)
    together = it.sample(PROMPTS, SAMPLING, SEEDS)
    alone = [it.sample([prompt], SAMPLING, [seed])[0] for prompt, seed in zip(PROMPTS, SEEDS, strict=True)]
    same(together, alone)
    assert len({len(sample.response_ids) for sample in together}) > 2


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("name", NAMES)
def test_log_probs_are_those_of_the_training_forward(name, temperature):
    it = engine(name)
    samples = it.sample(PROMPTS, Sampling(12, temperature), SEEDS)
    wanted = sequence_logps(
        it.lm, [s.prompt_ids for s in samples], [s.response_ids for s in samples], temperature
    )
    for sample, logps in zip(samples, wanted, strict=True):
        assert sample.logps == pytest.approx(logps.tolist(), abs=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_greedy_answers_are_those_of_generate(name):
    it = engine(name, stops=())
    ours = it.sample(PROMPTS, Sampling(8, temperature=0.0), SEEDS)
    for prompt, sample in zip(PROMPTS, ours, strict=True):
        ids = it.lm.model.generate(
            torch.tensor([prompt]), max_new_tokens=8, do_sample=False, pad_token_id=0, eos_token_id=1
        )
        assert sample.response_ids == tuple(ids[0, len(prompt) :].tolist())


def test_the_ratio_is_1_in_float64():
    it = engine("qwen3", dtype=torch.float64)
    (sample,) = it.sample(PROMPTS[:1], SAMPLING, SEEDS[:1])
    ids = torch.tensor([[*sample.prompt_ids, *sample.response_ids]])
    mask = torch.arange(ids.shape[1])[None] >= len(sample.prompt_ids)
    hidden = hidden_states(it.lm.model, ids, torch.ones_like(mask))
    rows, targets = labelled(hidden, ids, mask)
    _, logps = weighted_nll(rows, output_head(it.lm.model), targets, torch.ones(len(targets)))
    # the architecture itself computes some of its parts in float32
    assert_close(
        (logps - torch.tensor(sample.logps, dtype=torch.float64)).exp(),
        torch.ones_like(logps),
        atol=1e-6,
        rtol=0,
    )


def test_the_same_seed_gives_the_same_answer_and_another_seed_another():
    it = engine(stops=())
    same(it.sample(PROMPTS, SAMPLING, SEEDS), it.sample(PROMPTS, SAMPLING, SEEDS))
    one, other = it.sample([PROMPTS[0]] * 2, SAMPLING, [1, 2])
    assert one.response_ids != other.response_ids


def test_samples_of_one_prompt_share_its_prefill():
    it = engine(stops=())
    seen = shapes(it)
    it.sample([PROMPTS[1]] * 5 + [PROMPTS[0]] * 3, SAMPLING, SEEDS)
    assert seen[0] == (2, 18)
    assert seen[1:] == [(8, 1)] * 11


def test_no_step_is_taken_once_every_row_ended():
    it = engine(stops=range(3, 259))
    seen = shapes(it)
    samples = it.sample(PROMPTS, SAMPLING, SEEDS)
    assert [len(sample.response_ids) for sample in samples] == [1] * 8
    assert len(seen) == 1


def test_a_response_ends_with_its_first_stop_token_or_at_the_limit():
    it = engine()
    samples = it.sample(PROMPTS * 4, SAMPLING, range(32))
    assert {sample.ended for sample in samples} == {True, False}
    for sample in samples:
        stops = [token in it.lm.stop_ids for token in sample.response_ids]
        assert not any(stops[:-1])
        assert stops[-1] == sample.ended
        assert sample.ended or len(sample.response_ids) == 12
        assert len(sample.logps) == len(sample.response_ids)
        kept = sample.response_ids[: len(stops) - sample.ended]
        assert sample.text == it.lm.tokenizer.decode(list(kept), skip_special_tokens=True).strip()


def test_one_token_may_be_all():
    samples = engine().sample(PROMPTS, Sampling(max_new_tokens=1), SEEDS)
    assert {len(sample.response_ids) for sample in samples} == {1}


def test_nothing_to_do_is_nothing_done():
    assert engine().sample([], SAMPLING, []) == []


def test_a_prompt_that_leaves_no_room_is_refused_before_anything_is_sampled():
    it = engine()
    longest = [2] * (256 - 12)
    assert len(it.sample([longest], SAMPLING, [0])) == 1
    message = r"prompt 1 has 245 tokens and may get 12 more, beyond the model's context of 256; shorten it"
    with pytest.raises(DataError, match=message):
        it.sample([longest, [*longest, 5]], SAMPLING, [0, 1])
    with pytest.raises(DataError, match="beyond the model's context"):
        list(it.stream(Conversation.of("x" * 300), SAMPLING))
    with pytest.raises(DataError, match="prompt 0 is empty"):
        it.sample([[]], SAMPLING, [0])


def test_dropout_is_off_and_the_mode_comes_back():
    it = engine("gpt2")
    wanted = it.sample(PROMPTS, SAMPLING, SEEDS)
    it.lm.model.train()
    same(it.sample(PROMPTS, SAMPLING, SEEDS), wanted)
    assert it.lm.model.training


def test_conversations_are_answered_under_the_template():
    it = engine()
    talks = [Conversation.of("Hi!"), Conversation.of("1+1?", "2", "Sure?")]
    answers = it.answer(talks, SAMPLING, seed=5)
    assert [list(a.prompt_ids) for a in answers] == [it.lm.encode_prompt(talk) for talk in talks]
    same(answers, it.sample([it.lm.encode_prompt(talk) for talk in talks], SAMPLING, [5, 6]))


def test_raw_text_is_continued_as_it_is():
    it = engine()
    (answer,) = it.answer([Conversation.of("Once upon")], SAMPLING, raw=True)
    assert list(answer.prompt_ids) == it.lm.template.encode_raw("Once upon")
    assert it.lm.tokenizer.decode(list(answer.prompt_ids)) == "Once upon"


@pytest.mark.parametrize("seed", range(6))
def test_a_stream_is_the_answer_in_pieces(seed):
    """Random bytes: many characters lack a byte when their first comes, and the last may lack it for good."""
    it = engine(stops=())
    talk, sampling = Conversation.of("Hi!"), Sampling(40)
    pieces = list(it.stream(talk, sampling, seed))
    assert "".join(pieces) == it.answer([talk], sampling, seed)[0].text
    assert sum(map(bool, pieces)) > 3


def test_the_sampler_follows_the_adapters_after_a_step():
    """Adapters are not merged: no rounding keeps a small update from the sampler."""
    lm = add_lora(load("tiny:0", dtype="bfloat16"), LoraSettings(rank=2), seed=0)
    before = LocalEngine(lm).sample(PROMPTS, Sampling(12), SEEDS)
    with torch.no_grad():
        for name, parameter in lm.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.05, generator=torch.Generator().manual_seed(1))
    after = LocalEngine(lm).sample(PROMPTS, Sampling(12), SEEDS)
    ids = [s.prompt_ids for s in after], [s.response_ids for s in after]
    off = [
        abs(a - b)
        for s, ref in zip(after, sequence_logps(lm, *ids), strict=True)
        for a, b in zip(s.logps, ref.tolist(), strict=True)
    ]
    assert sum(off) / len(off) < 0.03
    assert [s.logps for s in after] != [s.logps for s in before]


def test_first_tokens_come_as_often_as_the_model_says():
    it = engine(stops=range(3, 259))
    draws = 3000
    samples = it.sample([PROMPTS[0]] * draws, Sampling(1), range(draws))
    best = max(samples, key=lambda sample: sample.logps[0])
    share = sum(sample.response_ids == best.response_ids for sample in samples) / draws
    expected = math.exp(best.logps[0])
    assert share == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / draws))
