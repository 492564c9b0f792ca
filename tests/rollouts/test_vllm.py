"""Against vLLM itself, which serves the packaged model from its folder."""

from collections.abc import Iterator

import pytest
import torch
from vllm_server import serving

from gnomon.config import DEFAULT_MODEL
from gnomon.errors import ConfigError, DataError
from gnomon.models.load import LanguageModel, load
from gnomon.models.logps import sequence_logps
from gnomon.models.reference import EndpointRef
from gnomon.records import Conversation
from gnomon.rollouts.endpoint import EndpointEngine
from gnomon.rollouts.engine import UNKNOWN, Sample, Sampling
from gnomon.rollouts.local import LocalEngine
from gnomon.rollouts.server import Patience

pytestmark = pytest.mark.slow

CONTEXT = 256
TALKS = [
    Conversation.of("How do I make bread?"),
    Conversation.of("Name a colour.", system="Be brief."),
    Conversation.of("Hi!", "Hello.", "And who are you?"),
    Conversation.of("What is 2 + 2?"),
]


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return load(DEFAULT_MODEL, dtype="bfloat16")


@pytest.fixture(scope="module")
def ref(lm: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EndpointRef]:
    with serving(lm, tmp_path_factory.mktemp("vllm"), CONTEXT) as ref:
        yield ref


def engine(ref: EndpointRef) -> EndpointEngine:
    return EndpointEngine(ref, patience=Patience(attempts=1), processed_logprobs=True)


def prompts(lm: LanguageModel) -> list[list[int]]:
    return [lm.encode_prompt(talk) for talk in TALKS]


def off(samples: list[Sample], lm: LanguageModel, temperature: float = 1.0) -> tuple[float, float]:
    """How far the server's log-probs are from the model's own, by tokens: on the mean, and on the mean of the
    distances."""
    own = sequence_logps(
        lm, [s.prompt_ids for s in samples], [s.response_ids for s in samples], temperature=temperature
    )
    apart = torch.tensor([logp for s in samples for logp in s.logps]) - torch.cat(own)
    return abs(float(apart.mean())), float(apart.abs().mean())


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_the_log_probs_of_what_it_samples_are_those_of_the_model(
    ref: EndpointRef, lm: LanguageModel, temperature: float
):
    asked = prompts(lm) * 4
    samples = engine(ref).sample(asked, Sampling(32, temperature), range(len(asked)))
    assert [list(sample.prompt_ids) for sample in samples] == asked
    assert all(len(sample.logps) == len(sample.response_ids) > 0 for sample in samples)
    assert sum(len(sample.response_ids) for sample in samples) > 200
    mean, distance = off(samples, lm, temperature)
    assert mean < 0.02
    assert distance < 0.1
    # those of another temperature would be far off
    assert off(samples, lm, 1.6 - temperature)[1] > 3 * distance


def test_what_ends_ends_with_a_stop_token_and_nothing_else_does(ref: EndpointRef, lm: LanguageModel):
    asked = [lm.template.encode_raw("</body>\n</html>\n")] * 40  # nothing follows in half of all cases
    samples = engine(ref).sample(asked, Sampling(48), range(len(asked)))
    assert {sample.ended for sample in samples} == {True, False}
    for sample in samples:
        *before, last = sample.response_ids
        assert not lm.stop_ids & set(before)
        assert sample.ended == (last in lm.stop_ids)
        assert sample.ended or len(sample.response_ids) == 48
        assert sample.text == lm.tokenizer.decode(sample.response_ids, skip_special_tokens=True).strip()


def test_a_seed_says_what_is_sampled(ref: EndpointRef, lm: LanguageModel):
    it, prompt = engine(ref), prompts(lm)[:1]
    first, again, other = (it.sample(prompt, Sampling(16), [seed])[0] for seed in (2**64 - 3, 2**63 - 3, 5))
    assert first == again
    assert first.response_ids != other.response_ids


def test_greedy_samples_are_the_likeliest_tokens(ref: EndpointRef, lm: LanguageModel):
    samples = engine(ref).sample(prompts(lm), Sampling(16, 0.0), range(len(TALKS)))
    assert off(samples, lm)[1] < 0.1
    with torch.no_grad():
        for sample in samples:
            ids = torch.tensor([[*sample.prompt_ids, *sample.response_ids]])
            logits = lm.model(ids).logits[0, len(sample.prompt_ids) - 1 : -1].float()
            taken = logits.gather(1, ids[0, len(sample.prompt_ids) :, None]).squeeze(1)
            # bfloat16 may choose between close ones
            assert float((logits.max(dim=1).values - taken).max()) < 0.5


def test_answers_are_read_under_the_template_that_it_serves_with(ref: EndpointRef, lm: LanguageModel):
    it = engine(ref)
    answers = it.answer(TALKS, Sampling(12), seed=3)
    assert it.usage.prompt_tokens == sum(map(len, prompts(lm)))
    assert it.usage.response_tokens == sum(len(answer.response_ids) for answer in answers)
    assert {token for answer in answers for token in answer.response_ids} == {UNKNOWN}
    assert all(answer.ended or len(answer.response_ids) == 12 for answer in answers)
    raw = engine(ref)
    asked = "The capital of France is"
    (answer,) = raw.answer([Conversation.of(asked)], Sampling(3, 0.0), raw=True)
    assert raw.usage.prompt_tokens == len(lm.template.encode_raw(asked))
    assert (
        answer.text == LocalEngine(lm).sample([lm.template.encode_raw(asked)], Sampling(3, 0.0), [0])[0].text
    )


def test_what_it_refuses_is_told_in_our_words(ref: EndpointRef, lm: LanguageModel):
    with pytest.raises(DataError, match=r"prompt 0 does not fit the context of .*; shorten it or lower"):
        engine(ref).sample([[2] * CONTEXT], Sampling(8), [0])
    with pytest.raises(ConfigError, match=r"HTTP 404 .* check the model's name"):
        engine(EndpointRef(ref.url, "other")).sample(prompts(lm)[:1], Sampling(8), [0])
