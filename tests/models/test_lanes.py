import time
from unittest.mock import patch

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from gnomon.config import LoraSettings
from gnomon.models import lanes as own
from gnomon.models import logps
from gnomon.models.lanes import cut, lanes, side_by_side
from gnomon.models.load import load
from gnomon.models.logps import choice_logps, sequence_logps
from gnomon.models.lora import add_lora
from gnomon.models.passes import read_each


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def any_size(monkeypatch):
    monkeypatch.setattr(own, "WORTH", 0)


def adapted(**settings):
    return add_lora(load("tiny:0", dtype="float32"), LoraSettings(**settings), 0)


def test_small_models_have_one_lane():
    assert lanes(adapted().model) == 1


def test_two_lanes_where_adapters_are_trained_or_nothing_is(any_size):
    lm = adapted(rank=1)
    assert lanes(lm.model) == 2
    assert lanes(lm.model.requires_grad_(False)) == 2


@pytest.mark.parametrize(("threads", "count"), [(1, 1), (3, 1), (4, 2)])
def test_lanes_share_all_threads(any_size, threads, count):
    torch.set_num_threads(threads)
    assert lanes(adapted(rank=1).model) == count


def test_one_lane_for_a_model_trained_in_full(any_size):
    assert lanes(load("tiny:0").model.requires_grad_(True)) == 1


def test_one_lane_for_a_model_that_draws(any_size):
    """Random numbers come from one stream: two lanes would take each other's."""
    assert lanes(adapted(rank=1, dropout=0.1).model) == 1
    sizes = {"n_embd": 8, "n_layer": 1, "n_head": 1, "vocab_size": 16}
    assert lanes(GPT2LMHeadModel(GPT2Config(**sizes)).requires_grad_(False)) == 1
    still = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "summary_first_dropout": 0.0}
    assert lanes(GPT2LMHeadModel(GPT2Config(**sizes, **still)).requires_grad_(False)) == 2


@pytest.mark.parametrize("rope_type", ["dynamic", "longrope"])
def test_one_lane_for_a_model_that_turns_by_its_longest_row(any_size, rope_type):
    """What the frequencies are is said by one pass and read by the other."""
    own = {"rope_type": rope_type, "rope_theta": 1e4, "factor": 2.0}
    if rope_type == "longrope":
        own |= {"short_factor": [1.0] * 2, "long_factor": [2.0] * 2, "original_max_position_embeddings": 16}
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    for rope, wanted in ((own, 1), ({"rope_type": "default", "rope_theta": 1e4}, 2)):
        config = LlamaConfig(**sizes, vocab_size=16, max_position_embeddings=32, rope_parameters=rope)
        assert lanes(LlamaForCausalLM(config).requires_grad_(False)) == wanted


def test_what_is_found_comes_in_order():
    def slower_at_first(number):
        time.sleep(0.03 / number)
        return number * number

    assert list(side_by_side(slower_at_first, range(1, 6), 2)) == [1, 4, 9, 16, 25]


def test_each_lane_has_its_share_of_the_threads():
    assert list(side_by_side(lambda _: torch.get_num_threads(), range(3), 2)) == [1, 1, 1]
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("wanted", [[], [2]])
def test_a_pass_that_is_the_only_one_has_all_threads(wanted):
    assert list(side_by_side(lambda _: torch.get_num_threads(), wanted, 2)) == wanted


def test_few_passes_are_taken_ahead():
    taken = []
    found = side_by_side(abs, (taken.append(number) or number for number in range(100)), 2)
    assert next(found) == 0
    assert len(taken) <= 5
    found.close()
    assert len(taken) <= 5


@pytest.mark.parametrize("differentiable", [True, False])
def test_lanes_take_up_whether_gradients_are_wanted(differentiable):
    with torch.set_grad_enabled(differentiable):
        found = list(side_by_side(lambda _: torch.is_grad_enabled(), range(2), 2))
    assert found == [differentiable, differentiable]


def test_what_fails_in_a_lane_fails():
    def fails(number):
        if number == 1:
            raise ValueError("row 1")
        return number

    with pytest.raises(ValueError, match="row 1"):
        list(side_by_side(fails, range(4), 2))
    assert torch.get_num_threads() == 2


def test_a_cut_for_two_lanes_has_as_many_passes_for_each(any_size):
    lm = adapted(rank=1)
    lengths = [40, 42, 50, 38, 52, 45]
    picks = cut(lm.model, lengths, 512)
    assert sorted(i for own in picks for i in own) == list(range(6))
    assert len(picks) == 2
    assert max(max(lengths[i] for i in own) * len(own) for own in picks) <= 256
    with patch.object(own, "LANES", 1):
        assert len(cut(lm.model, lengths, 512)) == 1


def test_passes_are_read_without_dropout_in_every_lane(any_size):
    lm = adapted(rank=1)
    lm.model.train()
    found = read_each(lm.model, range(8), lambda _: (lm.model.training, torch.is_grad_enabled()))
    assert found == [(False, False)] * 8
    assert lm.model.training


def test_log_probs_are_those_of_one_lane(any_size):
    lm = adapted(rank=1)
    prompts = [[1 + (i * k) % 50 for k in range(1, 3 + i)] for i in range(12)]
    answers = [[5, 6 + i, 7] for i in range(12)]
    found = sequence_logps(lm, prompts, answers), choice_logps(lm, prompts, [3, 4])
    with patch.object(own, "LANES", 1):
        wanted = sequence_logps(lm, prompts, answers), choice_logps(lm, prompts, [3, 4])
    torch.testing.assert_close(found, wanted)


def test_a_row_that_needs_the_room_of_two_is_read_alone(any_size, monkeypatch):
    monkeypatch.setattr(logps, "MICRO_TOKENS", 40)
    lm, states, seen = adapted(rank=1), logps.branch_states, []

    def watched(model, batch):
        seen.append((batch.input_ids.numel() > 20, torch.get_num_threads()))
        return states(model, batch)

    monkeypatch.setattr(logps, "branch_states", watched)
    prompts = [[k + 1] * length for k, length in enumerate((5, 6, 7, 8, 9, 30, 31))]
    found = sequence_logps(lm, prompts, [[2, 3]] * len(prompts))
    assert [len(each) for each in found] == [2] * len(prompts)
    assert set(seen) == {(False, 1), (True, 2)}


def test_nothing_is_read_of_no_rows(any_size):
    lm = adapted(rank=1)
    assert sequence_logps(lm, [], []) == []
    assert choice_logps(lm, [], [3]).shape == (0, 1)
