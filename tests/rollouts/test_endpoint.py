"""Against a server on this machine that answers from the tiny model."""

import json
import math
import os
import signal
import subprocess
import sys
import time

import engines
import pytest
from serving import PROMPTS, SAMPLING, SEEDS, body, engine, status

from gnomon.errors import ConfigError, DataError, ModelError
from gnomon.records import Conversation, Message, ToolCall
from gnomon.rollouts.engine import UNKNOWN, Sampling
from gnomon.rollouts.server import Patience


def same(ours, theirs):
    engines.same(ours, theirs, 1e-9)


@pytest.mark.parametrize("sampling", [SAMPLING, Sampling(6, 0.7, top_k=50, top_p=0.9), Sampling(6, 0.0)])
def test_samples_are_those_of_the_model_itself(server, local, sampling):
    ours = engine(server, processed_logprobs=not sampling.plain).sample(PROMPTS, sampling, SEEDS)
    same(ours, local.sample(PROMPTS, sampling, SEEDS))
    assert {sample.ended for sample in ours} == ({True, False} if sampling.temperature else {False})


def test_a_servers_own_defaults_do_not_narrow_what_is_drawn_from(server, local):
    """vLLM takes what a request leaves out from the `generation_config.json` of the model."""
    server.defaults = {"top_k": 1, "top_p": 0.1, "min_p": 0.9, "repetition_penalty": 1.3}
    same(engine(server).sample(PROMPTS, SAMPLING, SEEDS), local.sample(PROMPTS, SAMPLING, SEEDS))
    asked = server.seen[0][1]
    assert (asked["min_p"], asked["repetition_penalty"]) == (0.0, 1.0)


@pytest.mark.parametrize("sampling", [Sampling(6, 0.7), Sampling(6, top_k=5), Sampling(6, top_p=0.9)])
def test_log_probs_of_another_distribution_than_is_drawn_from_are_refused(server, sampling):
    with pytest.raises(
        ConfigError, match=r"tells the model.s own log-probs, and .* say processed_logprobs=True"
    ):
        engine(server).sample(PROMPTS[:1], sampling, SEEDS[:1])
    assert server.seen == []


def test_a_seed_of_64_bits_is_one_that_servers_take(server):
    engine(server).sample(PROMPTS[:1], SAMPLING, [2**64 - 3])
    assert server.seen[0][1]["seed"] == 2**63 - 3


@pytest.mark.parametrize("raw", [False, True])
def test_answers_are_those_of_the_model_itself(server, local, raw):
    talks = [Conversation.of("Hi!", "Hello.", "And?"), Conversation.of("1+1?", system="Be brief.")]
    theirs = local.answer(talks, SAMPLING, 5, raw=raw)
    ours = engine(server).answer(talks, SAMPLING, 5, raw=raw)
    assert [(a.text, a.ended) for a in ours] == [(a.text, a.ended) for a in theirs]
    assert [a.response_ids for a in ours] == [(UNKNOWN,) * len(a.response_ids) for a in theirs]
    assert {(a.prompt_ids, a.logps) for a in ours} == {((), ())}
    assert "".join(engine(server).stream(talks[0], SAMPLING, 5, raw=raw)) == theirs[0].text


def test_tools_and_calls_are_told_in_the_servers_words(server):
    tool = {"type": "function", "function": {"name": "add", "parameters": {}}}
    call = Message("assistant", "", (ToolCall("add", '{"a": 1}', "c1"),))
    turns = (Message("user", "1+1?"), call, Message("tool", "2", tool_call_id="c1"))
    engine(server).answer([Conversation(turns, (tool,))], Sampling(2))
    told = server.seen[0][1]
    assert told["tools"] == [tool]
    assert told["messages"][1]["tool_calls"] == [
        {"type": "function", "id": "c1", "function": {"name": "add", "arguments": '{"a": 1}'}}
    ]
    assert told["messages"][2] == {"role": "tool", "content": "2", "tool_call_id": "c1"}


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"logprobs": None}, "does not tell the ids and log-probs of what it sampled"),
        ({"logprobs": {"tokens": ["Hi"], "token_logprobs": [-1.0]}}, "does not tell the ids and log-probs"),
        (
            {"logprobs": {"tokens": ["token_id:5"], "token_logprobs": []}},
            "does not tell the ids and log-probs",
        ),
        (
            {"logprobs": {"tokens": ["token_id:5"], "token_logprobs": [-1.0, -2.0]}},
            "not OpenAI.s .ValueError",
        ),
        ({"logprobs": {"tokens": ["token_id:5"], "token_logprobs": [math.nan]}}, "not OpenAI.s .ValueError"),
        ({"logprobs": {"tokens": ["token_id:5"], "token_logprobs": [None]}}, "not OpenAI.s .TypeError"),
        ({"logprobs": {"tokens": ["token_id:x"], "token_logprobs": [-1.0]}}, "not OpenAI.s .ValueError"),
        ({"finish_reason": "abort"}, "broke an answer off .abort."),
    ],
)
def test_a_sample_that_training_could_not_use_is_refused_at_once(server, told, message):
    good = {"tokens": ["token_id:5"], "token_logprobs": [-1.0]}
    choice = {"text": "a", "finish_reason": "stop", "logprobs": good} | told
    server.faults = [body(json.dumps({"model": "tiny", "choices": [choice]}))]
    with pytest.raises(ModelError, match=message):
        engine(server).sample(PROMPTS[:1], SAMPLING, SEEDS[:1])
    assert len(server.seen) == 1


def test_an_answer_that_had_no_room_is_refused(server):
    """vLLM lowers what is asked for to what its context leaves, and says nothing."""
    told = {"tokens": ["token_id:5"], "token_logprobs": [-1.0]}
    choice = {"text": "a", "finish_reason": "length", "logprobs": told}
    server.faults = [body(json.dumps({"model": "tiny", "choices": [choice]}))]
    with pytest.raises(DataError, match="answered prompt 0, of 11 tokens, with 1 and no more"):
        engine(server).sample(PROMPTS[:1], SAMPLING, SEEDS[:1])


def test_another_version_of_the_model_is_refused(server):
    server.name = "tiny-2"
    with pytest.raises(
        ModelError, match=r"answered as 'tiny-2'; if .*, name it: endpoint:http://.*/v1#tiny-2"
    ):
        engine(server).sample(PROMPTS[:1], SAMPLING, SEEDS[:1])


def test_requests_and_tokens_are_counted(server, tmp_path):
    it = engine(server, tmp_path / "kept.jsonl")
    samples = it.sample(PROMPTS, SAMPLING, SEEDS)
    it.sample(PROMPTS, SAMPLING, SEEDS)
    assert (it.usage.requests, it.usage.kept) == (12, 12)
    assert it.usage.prompt_tokens == sum(map(len, PROMPTS))
    assert it.usage.response_tokens == sum(len(sample.response_ids) for sample in samples)


def test_equal_requests_are_one(server):
    it = engine(server)
    one, two, three = it.sample([PROMPTS[0]] * 3, Sampling(4, 0.0), [1, 2, 3])
    assert one == two == three
    it.sample([PROMPTS[0]] * 2, SAMPLING, [1, 2])
    assert len(server.seen) == 3


def test_without_a_file_nothing_outlives_its_call(server):
    """The weights behind the name may have changed."""
    it = engine(server)
    for _ in range(2):
        it.sample(PROMPTS[:1], Sampling(4, 0.0), [1])
    assert len(server.seen) == 2


def test_what_was_answered_before_an_error_is_not_asked_for_again(server, local, tmp_path):
    kept = tmp_path / "new" / "kept.jsonl"
    server.faults = [*[lambda handler: handler.send(200, json.dumps(server.reply(*server.seen[-1][:2])))] * 5]
    patient = Patience(requests=1, attempts=1)
    server.faults += [status(500)]
    with pytest.raises(ModelError, match="did not answer prompt 5 in 1 attempts"):
        engine(server, kept, patient).sample(PROMPTS, SAMPLING, SEEDS)
    it = engine(server, kept, patient)
    same(it.sample(PROMPTS, SAMPLING, SEEDS), local.sample(PROMPTS, SAMPLING, SEEDS))
    assert (it.usage.kept, it.usage.requests) == (5, 7)
    assert engine(server, kept).sample(PROMPTS, Sampling(7), SEEDS) != []
    assert len(server.seen) == 6 + 7 + 12


ASKS = """
import sys
from pathlib import Path
from gnomon.models.reference import EndpointRef
from gnomon.rollouts.endpoint import EndpointEngine
from gnomon.rollouts.engine import Sampling
from gnomon.rollouts.server import Patience
it = EndpointEngine(EndpointRef(sys.argv[1], "tiny"), Path(sys.argv[2]), Patience(requests=2))
it.sample([[2, 40 + i] for i in range(60)], Sampling(6), range(60))
"""


def test_after_a_kill_only_what_was_under_way_is_asked_again(server, local, tmp_path):
    kept, server.pause = tmp_path / "kept.jsonl", 0.03
    process = subprocess.Popen([sys.executable, "-c", ASKS, server.ref.url, str(kept)])
    while not kept.exists() or kept.read_bytes().count(b"\n") < 10:
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with kept.open("ab") as file:
        file.write(b'{"id": "cut sho')
    server.pause = 0.0
    prompts = [[2, 40 + i] for i in range(60)]
    ours = engine(server, kept).sample(prompts, SAMPLING, range(60))
    same(ours, local.sample(prompts, SAMPLING, range(60)))
    assert len(server.answered) == 60
    assert server.answered.total() <= 60 + 2
    again = engine(server, kept)
    assert again.sample(prompts, SAMPLING, range(60)) == ours
    assert again.usage.requests == 0
