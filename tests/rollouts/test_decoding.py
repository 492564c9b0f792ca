"""Rows come and go; what each of them says depends on neither."""

import engines
import pytest
import torch
from architectures import NAMES
from engines import passes, random_prompts
from transformers import Lfm2Config, Lfm2ForCausalLM

from gnomon.rollouts import decoding
from gnomon.rollouts.decoding import DEFAULT, Limits
from gnomon.rollouts.engine import Sampling

PROMPTS = random_prompts(3, 17, 1, 9, 17, 5, 30, 2, 2, 11, 24, 8, seed=3)
SEEDS = list(range(60, 60 + len(PROMPTS)))
SAMPLING = Sampling(max_new_tokens=12)


def engine(name="llama", limits=DEFAULT, **more):
    """In float64, so that a sample is the same to the last token.

    Gemma 2's own attention to padding is not a number in float64.
    """
    dtype = torch.float32 if name == "gemma2" else torch.float64
    return engines.engine(name, limits, dtype=dtype, **more)


def same(ours, theirs, off=1e-9):
    engines.same(ours, theirs, off)


def alone(it):
    pairs = zip(PROMPTS, SEEDS, strict=True)
    return [it.sample([prompt], SAMPLING, [seed])[0] for prompt, seed in pairs]


@pytest.mark.parametrize("name", NAMES)
def test_a_row_that_takes_a_place_is_sampled_as_if_alone(name):
    """Caches of different widths joined and trimmed, beyond a sliding window of 6 and within it."""
    it = engine(name)
    wanted, seen = alone(it), passes(it)
    for it.limits in (Limits(rows=4), Limits(rows=5, tokens=130)):
        del seen[:]
        same(it.sample(PROMPTS, SAMPLING, SEEDS), wanted, 1e-5 if name == "gemma2" else 1e-9)
        assert len([length for _, length, _ in seen if length > 1]) > 2, "the batch was refilled"


@pytest.mark.parametrize("name", ["gpt2", "gemma3"])
def test_the_order_of_the_prompts_changes_nothing(name):
    it = engine(name, Limits(rows=3))
    back = it.sample(PROMPTS[::-1], SAMPLING, SEEDS[::-1])
    same(it.sample(PROMPTS, SAMPLING, SEEDS), back[::-1])


def test_places_are_filled_while_others_go_on():
    """Two of eight rows are free: what waits is read together, then all go on in one batch."""
    it = engine(limits=Limits(rows=8))
    seen = passes(it)
    it.sample(PROMPTS * 4, SAMPLING, range(len(PROMPTS) * 4))
    decoded = [rows for rows, length, _ in seen if length == 1]
    read = [rows for rows, length, _ in seen if length > 1]
    assert max(decoded) == 8
    assert sum(decoded[:-12]) / len(decoded[:-12]) > 6, "it stays nearly full up to the end"
    assert len(read) < len(PROMPTS) * 4 / 1.5, "not row by row"


def test_fewer_steps_are_taken_than_batch_after_batch():
    it = engine(limits=Limits(rows=4))
    seen = passes(it)
    samples = it.sample(PROMPTS, SAMPLING, SEEDS)
    order = sorted(samples, key=lambda sample: len(sample.prompt_ids))
    apart = sum(max(len(s.response_ids) for s in order[i : i + 4]) - 1 for i in range(0, len(order), 4))
    assert len([1 for _, length, _ in seen if length == 1]) < apart


def test_finished_rows_leave_the_batch_and_the_others_do_not_notice(monkeypatch):
    it = engine()
    seen = passes(it)
    left = it.sample(PROMPTS, SAMPLING, SEEDS)
    rows = [rows for rows, length, _ in seen if length == 1]
    assert rows[0] > rows[-1]
    monkeypatch.setattr(decoding, "REFILL", 0.0)
    seen.clear()
    same(left, it.sample(PROMPTS, SAMPLING, SEEDS))
    assert len({rows for rows, length, _ in seen if length == 1}) == 1


def test_the_cache_stays_within_its_tokens():
    """However long rows wait for others to end, and long prompts come where short ones were."""
    it = engine(limits=Limits(tokens=200))
    seen = passes(it)
    it.sample(PROMPTS * 3, SAMPLING, range(len(PROMPTS) * 3))
    assert max(rows * columns for rows, _, columns in seen) <= 200
    assert max(rows for rows, _, _ in seen) > 5


@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_prompts_are_read_so_many_tokens_at_a_time_and_go_on_together(name):
    it = engine(name)
    wanted, seen = alone(it), passes(it)
    it.limits = Limits(read=40)
    same(it.sample(PROMPTS, SAMPLING, SEEDS), wanted)
    read = [(rows, length) for rows, length, _ in seen if length > 1]
    assert sum(rows for rows, _ in read) >= len({tuple(prompt) for prompt in PROMPTS if len(prompt) > 1})
    assert all(rows * length <= 40 for rows, length in read)
    assert max(rows for rows, length, _ in seen if length == 1) == len(PROMPTS)


def test_a_prompt_longer_than_all_tokens_is_taken_alone():
    it = engine(limits=Limits(tokens=20))
    seen = passes(it)
    same(it.sample(PROMPTS, SAMPLING, SEEDS), alone(it))
    assert {rows for rows, _, columns in seen if columns > 20} == {1}


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3"])
def test_columns_go_with_the_row_they_were_for(name):
    """One prompt is long, and its row is done before the others: they do not carry its columns along."""
    it = engine(name, stops=range(3, 90))
    samples = it.sample([PROMPTS[2]] * 6 + [PROMPTS[6]], SAMPLING, range(7))
    longest = max(len(sample.prompt_ids) + len(sample.response_ids) for sample in samples[:6])
    seen = passes(it)
    assert len(samples[6].response_ids) < max(len(sample.response_ids) for sample in samples)
    it.sample([PROMPTS[2]] * 6 + [PROMPTS[6]], SAMPLING, range(7))
    assert seen[0][2] == 31
    assert seen[-1][2] <= longest


def test_a_row_that_waits_for_others_never_passes_the_context():
    """Learned positions have no more than 256 entries, and some rows use up all of them."""
    it = engine("gpt2", Limits(rows=12), stops=range(3, 20))
    samples = it.sample([[2] * (256 - 12)] * 40, SAMPLING, range(40))
    assert {len(sample.response_ids) for sample in samples} > {3, 6, 9, 12}


def conv_model():
    """Layers of attention and of convolutions, whose state is no columns."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Lfm2ForCausalLM(
            Lfm2Config(
                vocab_size=259,
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=256,
                full_attn_idxs=[1],
                pad_token_id=0,
                eos_token_id=1,
                bos_token_id=2,
            )
        )
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                torch.nn.init.normal_(parameter, std=0.3)
    return model.to(torch.float64).eval()


def test_caches_that_cannot_be_joined_are_decoded_batch_after_batch():
    it = engine(limits=Limits(rows=4), model=conv_model())
    seen = passes(it)
    together = it.sample(PROMPTS, SAMPLING, SEEDS)
    same(together, alone(it))
    del seen[:]
    it.sample(PROMPTS, SAMPLING, SEEDS)
    read = [i for i, (_, length, _) in enumerate(seen) if length > 1]
    assert [seen[i][0] for i in read] == [4, 4, 3, 2], "two of the prompts are one"
    assert {seen[i - 1][0] for i in read[1:]} <= {1, 2, 3}, "each batch dwindles before the next begins"
