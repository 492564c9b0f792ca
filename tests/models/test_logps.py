from dataclasses import replace

import pytest
import torch
from architectures import NAMES, language_model
from torch.testing import assert_close

from gnomon.models import logps as module
from gnomon.models.branches import batches
from gnomon.models.heads import output_head
from gnomon.models.logps import choice_logps, likelihoods, sequence_logps

PROMPTS = [[2, 50, 60, 70, 80, 90], [2], [2, 70]]
RESPONSES = [[80, 90, 1], [100, 101, 102, 103, 104, 105, 106, 1], [33]]


def plain(lm, prompt, response, temperature=1.0):
    with torch.no_grad():
        logits = lm.model(input_ids=torch.tensor([[*prompt, *response]])).logits[0, len(prompt) - 1 : -1]
    logps = torch.log_softmax(logits.float() / temperature, dim=-1)
    return logps[torch.arange(len(response)), torch.tensor(response)]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("name", NAMES)
def test_responses_have_the_log_probs_the_model_gives_them(name, temperature):
    lm = language_model(name)
    got = sequence_logps(lm, PROMPTS, RESPONSES, temperature)
    for prompt, response, ours in zip(PROMPTS, RESPONSES, got, strict=True):
        assert_close(ours, plain(lm, prompt, response, temperature), rtol=0, atol=1e-5)


def test_rows_come_back_in_their_order_however_they_are_grouped(monkeypatch):
    lm = language_model()
    together = sequence_logps(lm, PROMPTS, RESPONSES)
    monkeypatch.setattr(module, "MICRO_TOKENS", 1)
    assert_close(sequence_logps(lm, PROMPTS, RESPONSES), together)


@pytest.mark.parametrize("name", NAMES)
def test_answers_to_one_prompt_share_it_and_have_the_log_probs_they_have_alone(name):
    """The prompt is longer than the window of the models that have one; another's answer lies in between."""
    lm = language_model(name, torch.float64)
    prompt = [2, *range(50, 62)]
    prompts, responses = [prompt, [2, 70], prompt, prompt], [*RESPONSES, [80, 90, 100]]
    (batch,) = batches(lm, [[*p, *r] for p, r in zip(prompts, responses, strict=True)], 4096)
    assert batch.shared
    got = sequence_logps(lm, prompts, responses)
    tolerance = 1e-5 if name == "gemma2" else 1e-9  # its eager attention sums a softmax in float32
    for p, r, ours in zip(prompts, responses, got, strict=True):
        (alone,) = sequence_logps(lm, [p], [r])
        assert_close(ours, alone, rtol=0, atol=tolerance)


def test_no_gradient_and_no_dropout_and_the_mode_comes_back():
    lm = language_model("gpt2")
    wanted = sequence_logps(lm, PROMPTS, RESPONSES)
    choices = choice_logps(lm, PROMPTS, [65, 66])
    lm.model.train()
    assert_close(sequence_logps(lm, PROMPTS, RESPONSES), wanted, rtol=0, atol=0)
    assert_close(choice_logps(lm, PROMPTS, [65, 66]), choices, rtol=0, atol=0)
    assert lm.model.training
    assert not any(row.requires_grad for row in wanted)


def test_float64_models_have_float64_log_probs():
    got = sequence_logps(language_model(dtype=torch.float64), PROMPTS, RESPONSES)
    assert {row.dtype for row in got} == {torch.float64}


def greedily(lm, prompt, count):
    ids = list(prompt)
    for _ in range(count):
        with torch.no_grad():
            ids.append(int(lm.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("name", NAMES)
def test_tokens_are_greedy_where_none_is_likelier(name):
    lm = language_model(name)
    response = greedily(lm, PROMPTS[0], 5)
    other = [*response[:3], (response[3] + 1) % 259, response[4]]
    all_of_them, some = likelihoods(lm, [PROMPTS[0]] * 2, [response, other])
    assert all_of_them.greedy.all()
    assert some.greedy[:4].tolist() == [True, True, True, False]
    assert_close(all_of_them.logps, plain(lm, PROMPTS[0], response), rtol=0, atol=1e-5)


def test_likelihoods_are_the_same_in_tiles(monkeypatch):
    lm = language_model()
    response = [*greedily(lm, PROMPTS[0], 12), 33, 34]
    (whole,) = likelihoods(lm, PROMPTS[:1], [response])
    monkeypatch.setattr(module, "output_head", lambda model: replace(output_head(model), tile_bytes=1))
    (tiled,) = likelihoods(lm, PROMPTS[:1], [response])
    assert_close(tiled.logps, whole.logps)
    assert tiled.greedy.tolist() == whole.greedy.tolist()
    assert whole.greedy[:12].all()


@pytest.mark.parametrize("name", NAMES)
def test_choices_have_the_log_probs_of_the_next_token(name):
    lm = language_model(name)
    got = choice_logps(lm, PROMPTS, [65, 1, 200])
    for prompt, row in zip(PROMPTS, got, strict=True):
        wanted = [plain(lm, prompt, [choice])[0] for choice in (65, 1, 200)]
        assert_close(row, torch.stack(wanted), rtol=0, atol=1e-5)


def test_all_choices_together_are_certain():
    everything = choice_logps(language_model(), PROMPTS, range(259))
    assert_close(everything.exp().sum(dim=1), torch.ones(3))
