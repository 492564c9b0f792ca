"""What may go wrong on the way to a server and back: nothing is lost, nothing is asked for twice."""

import json
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from email.utils import formatdate

import pytest
from engines import same
from serving import PROMPTS, QUICK, SAMPLING, SEEDS, Fault, body, cut, engine, hang, status, vanish

from gnomon.errors import ConfigError, DataError, ModelError
from gnomon.models.reference import EndpointRef
from gnomon.rollouts.endpoint import EndpointEngine
from gnomon.rollouts.server import KEY, Patience

FAULTS: dict[str, list[Fault]] = {
    "429": [status(429, "slow down"), status(429, "slow down", Retry_After="0")],
    "5xx": [status(500), status(503, "loading"), status(502), status(504)],
    "hang": [hang, hang],
    "cut": [cut, vanish, cut],
    "not json": [body("<html>502</html>"), body('{"model": "tiny", "cho'), body("")],
    "all": [status(429), hang, status(500), cut, body("?"), vanish],
}


@pytest.mark.parametrize("kind", FAULTS)
def test_no_prompt_is_lost_or_answered_twice_when_the_server_stumbles(server, local, kind):
    server.faults = list(FAULTS[kind])
    it = engine(server, patience=Patience(requests=4, timeout=1.5, first_wait=0.01))
    same(it.sample(PROMPTS, SAMPLING, SEEDS), local.sample(PROMPTS, SAMPLING, SEEDS))
    assert server.faults == []
    assert set(server.answered.values()) == {1}
    assert len(server.answered) == len(PROMPTS)
    assert (it.usage.requests, it.usage.repeated) == (12 + len(FAULTS[kind]), len(FAULTS[kind]))


@pytest.mark.parametrize("asked", ["0.4", lambda: formatdate(time.time() + 2, usegmt=True)])
def test_it_waits_as_long_as_the_server_asks(server, asked):
    server.faults = [status(429, Retry_After=asked if isinstance(asked, str) else asked())]
    begun = time.monotonic()
    engine(server).sample(PROMPTS[:1], SAMPLING, SEEDS[:1])
    assert time.monotonic() - begun >= 0.4


def test_waits_grow_from_attempt_to_attempt(server):
    server.faults = [status(500)] * 3
    begun = time.monotonic()
    engine(server, patience=Patience(first_wait=0.1)).sample(PROMPTS[:1], SAMPLING, SEEDS[:1])
    assert time.monotonic() - begun >= (0.1 + 0.2 + 0.4) / 2


def test_it_gives_up_in_the_end_and_says_what_it_met(server):
    server.faults = [status(503, "still loading")] * 3
    it = engine(server, patience=Patience(attempts=3, first_wait=0.01))
    with pytest.raises(ModelError, match="did not answer prompt 0 in 3 attempts: HTTP 503 still loading"):
        it.sample(PROMPTS[:1], SAMPLING, SEEDS[:1])
    server.faults = [hang]
    with pytest.raises(ModelError, match=r"in 1 attempts: no reply within 0.2 s; see that"):
        engine(server, patience=Patience(attempts=1, timeout=0.2)).sample(PROMPTS[:1], SAMPLING, SEEDS[:1])
    server.faults = [status(429, "quota", Retry_After="7200")]
    with pytest.raises(ModelError, match="in 1 attempts: HTTP 429 quota, and asks to wait 7200 s"):
        it.sample(PROMPTS[:1], SAMPLING, SEEDS[:1])


def test_a_server_that_is_not_there_is_told():
    it = EndpointEngine(
        EndpointRef("http://127.0.0.1:9/v1", "m"), patience=Patience(attempts=2, first_wait=0.01)
    )
    with pytest.raises(
        ModelError, match=r"endpoint:http://127\.0\.0\.1:9/v1#m did not answer .*ConnectError"
    ):
        it.sample(PROMPTS[:1], SAMPLING, SEEDS[:1])


LOGPROBS = {"tokens": ["token_id:5"], "token_logprobs": [-1.0]}
GOOD = {"model": "tiny", "choices": [{"text": "a", "finish_reason": "stop", "logprobs": LOGPROBS}]}


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        (status(404, "no such model"), ConfigError, "HTTP 404 no such model; check the model's name, and"),
        (
            status(400, "This model's maximum context length is 8 tokens"),
            DataError,
            "prompt 0 does not fit the context .* 8 tokens; shorten it or lower max_new_tokens",
        ),
        (
            status(400, "max_tokens must be at least 1, got 0."),
            DataError,
            "prompt 0 does not fit the context .* got 0.; shorten it or lower max_new_tokens",
        ),
        (status(400, "bad \n seed"), ConfigError, "refuses prompt 0: HTTP 400 bad seed"),
        (body('{"object": "error"}'), ModelError, "in a form that is not OpenAI's"),
        (body("[]"), ModelError, "in a form that is not OpenAI's"),
        (body('{"model": "tiny", "choices": []}'), ModelError, "in a form that is not OpenAI's"),
        (body(json.dumps(GOOD | {"usage": [1]})), ModelError, "in a form that is not OpenAI's"),
    ],
)
def test_what_is_wrong_for_good_is_told_at_once(server, fault, kind, message):
    server.faults = [fault]
    with pytest.raises(kind, match=message):
        engine(server).sample(PROMPTS[:1], SAMPLING, SEEDS[:1])
    assert len(server.seen) == 1


def test_the_key_is_sent_and_never_told(server, monkeypatch, tmp_path, caplog):
    caplog.set_level("DEBUG")
    monkeypatch.setenv(KEY, "sk-very-secret")
    kept = tmp_path / "kept.jsonl"
    engine(server, kept).sample(PROMPTS[:2], SAMPLING, SEEDS[:2])
    assert server.seen[0][2]["Authorization"] == "Bearer sk-very-secret"
    for fault in (status(401, "wrong key sk-very-secret"), status(400, "who is sk-very-secret?")):
        server.faults = [fault]
        with pytest.raises(ConfigError) as refused:
            engine(server).sample(PROMPTS[:1], SAMPLING, SEEDS[:1])
        assert "sk-very" not in str(refused.value)
    assert "sk-very" not in kept.read_text() + caplog.text


def test_the_line_break_of_a_file_is_no_part_of_the_key(server, monkeypatch):
    monkeypatch.setenv(KEY, "sk-key\n")
    engine(server).sample(PROMPTS[:1], SAMPLING, SEEDS[:1])
    assert server.seen[0][2]["Authorization"] == "Bearer sk-key"


@pytest.mark.parametrize("key", ["sk-very\nsecret", "sk-very-secrét"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_told(server, monkeypatch, key):
    monkeypatch.setenv(KEY, key)
    with pytest.raises(ConfigError, match=f"the key in {KEY} holds characters that no key has") as refused:
        engine(server).sample(PROMPTS[:1], SAMPLING, SEEDS[:1])
    assert "very" not in str(refused.value)
    assert server.seen == []


@pytest.mark.parametrize(
    ("key", "message"), [("k", f"the key in {KEY} is refused"), ("", f"no key was sent; set {KEY}")]
)
def test_a_refused_key_is_told_from_one_that_was_not_sent(server, monkeypatch, key, message):
    monkeypatch.setenv(KEY, key)
    server.faults = [status(401)]
    with pytest.raises(ConfigError, match=message):
        engine(server).sample(PROMPTS[:1], SAMPLING, SEEDS[:1])


def test_so_many_requests_go_out_together(server):
    server.pause = 0.02
    engine(server).sample(PROMPTS, SAMPLING, SEEDS)
    assert server.most == QUICK.requests


ANSWERS = """
import json, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Backwards(BaseHTTPRequestHandler):
    def do_POST(self):
        prompt = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["prompt"]
        time.sleep(0.02)
        with open(sys.argv[2], "a") as log:
            log.write(f"{prompt}\\n")
        tokens = [f"token_id:{token}" for token in reversed(prompt)]
        logprobs = {"tokens": tokens, "token_logprobs": [-1.0] * len(tokens)}
        choice = {"text": "", "finish_reason": "stop", "logprobs": logprobs}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"model": "m", "choices": [choice]}).encode())

    def log_message(self, *of):
        pass

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Backwards).serve_forever()
"""
"""A server in a process of its own, that writes down each prompt it is about to answer."""


@contextmanager
def process(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is killed when the block ends."""
    it = subprocess.Popen(command)
    try:
        yield it
    finally:
        it.kill()
        it.wait()


def test_a_server_that_is_killed_and_started_again_loses_no_prompt(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log, prompts = tmp_path / "answered", [[2, 40 + i] for i in range(60)]
    command = [sys.executable, "-c", ANSWERS, str(port), str(log)]
    patient = Patience(requests=2, attempts=12, first_wait=0.02)
    it = EndpointEngine(EndpointRef(f"http://127.0.0.1:{port}/v1", "m"), patience=patient)
    with ThreadPoolExecutor(1) as pool:
        with process(command) as first:
            told = pool.submit(it.sample, prompts, SAMPLING, range(60))
            while not log.exists() or log.read_text().count("\n") < 10:
                assert not told.done()
                assert first.poll() is None
                time.sleep(0.005)
        with process(command):
            samples = told.result()
    assert [sample.response_ids for sample in samples] == [tuple(prompt[::-1]) for prompt in prompts]
    answered = Counter(log.read_text().splitlines())
    assert set(answered) == {str(prompt) for prompt in prompts}
    assert answered.total() <= len(prompts) + patient.requests
    assert it.usage.repeated > 0
