"""Against a server on this machine that answers from the tiny model."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import pytest

from gnomon.errors import ConfigError, DataError, ModelError
from gnomon.models.load import load
from gnomon.models.reference import EndpointRef
from gnomon.records import Conversation, Message, ToolCall
from gnomon.rollouts.endpoint import EndpointEngine
from gnomon.rollouts.engine import UNKNOWN, Sampling
from gnomon.rollouts.local import LocalEngine
from gnomon.rollouts.server import KEY, Patience

PROMPTS = [[2, *range(40 + i, 50 + 2 * i)] for i in range(12)]
SEEDS = list(range(7, 19))
SAMPLING = Sampling(max_new_tokens=6)
QUICK = Patience(requests=4, timeout=5.0, first_wait=0.01)

Fault = Callable[["Handler"], None]


class Server(ThreadingHTTPServer):
    """Speaks as vLLM does; the first requests each meet one of `faults`."""

    def __init__(self, local: LocalEngine) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.local, self.lock = local, Lock()
        self.faults: list[Fault] = []
        self.seen: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.answered: Counter[str] = Counter()
        self.name, self.pause, self.at_once, self.most = "tiny", 0.0, 0, 0

    @property
    def ref(self) -> EndpointRef:
        return EndpointRef(f"http://127.0.0.1:{self.server_port}/v1", "tiny")

    def handle_error(self, *of: Any) -> None:
        """A client that went away is no news."""

    def reply(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        sampling = Sampling(body["max_tokens"], body["temperature"], body.get("top_k"), body.get("top_p"))
        if path == "/v1/chat/completions":
            talk = Conversation(tuple(Message(m["role"], m["content"]) for m in body["messages"]))
            prompt = self.local.encode(talk)
        elif isinstance(body["prompt"], str):
            prompt = self.local.encode(Conversation.of(body["prompt"]), raw=True)
        else:
            prompt = body["prompt"]
        (sample,) = self.local.sample([prompt], sampling, [body.get("seed", 0)])
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop" if sample.ended else "length"}
        if path == "/v1/chat/completions":
            choice["message"] = {"role": "assistant", "content": sample.text}
        else:
            choice["text"] = sample.text
            if body.get("return_tokens_as_token_ids"):
                tokens = [f"token_id:{token}" for token in sample.response_ids]
                choice["logprobs"] = {"tokens": tokens, "token_logprobs": sample.logps}
        usage = {"prompt_tokens": len(prompt), "completion_tokens": len(sample.response_ids)}
        return {"model": self.name, "choices": [choice], "usage": usage}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.seen.append((self.path, body, dict(self.headers)))
            fault = server.faults.pop(0) if server.faults else None
            server.at_once += 1
            server.most = max(server.most, server.at_once)
        time.sleep(server.pause)
        with server.lock:
            server.at_once -= 1
            reply = None if fault else server.reply(self.path, body)
            if reply:
                server.answered[json.dumps(body, sort_keys=True)] += 1
        if fault:
            fault(self)
        else:
            self.send(200, json.dumps(reply))

    def send(self, code: int, text: str, **headers: str) -> None:
        self.send_response(code)
        for name, value in ({"Content_Length": str(len(text.encode()))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *of: Any) -> None:
        pass


def status(code: int, message: str = "", **headers: str) -> Fault:
    return lambda handler: handler.send(code, json.dumps({"error": {"message": message}}), **headers)


def body(text: str) -> Fault:
    return lambda handler: handler.send(200, text)


def hang(handler: Handler) -> None:
    time.sleep(0.6)
    handler.close_connection = True


def cut(handler: Handler) -> None:
    handler.send(200, '{"model": "tiny", ', Content_Length="500")
    handler.close_connection = True


def vanish(handler: Handler) -> None:
    handler.close_connection = True


@pytest.fixture(scope="module")
def local() -> LocalEngine:
    lm = load("tiny:0", dtype="float64")
    lm.template.stop_ids = frozenset([1, *range(3, 30)])
    return LocalEngine(lm)


@pytest.fixture
def server(local: LocalEngine) -> Iterator[Server]:
    running = Server(local)
    thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def engine(server: Server, kept: Path | None = None, patience: Patience = QUICK) -> EndpointEngine:
    return EndpointEngine(server.ref, kept, patience)


def same(ours, theirs):
    assert [sample.response_ids for sample in ours] == [sample.response_ids for sample in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one.logps == pytest.approx(other.logps, abs=1e-9, rel=0)
        assert (one.text, one.ended, one.prompt_ids) == (other.text, other.ended, other.prompt_ids)


@pytest.mark.parametrize("sampling", [SAMPLING, Sampling(6, 0.7, top_k=50, top_p=0.9), Sampling(6, 0.0)])
def test_samples_are_those_of_the_model_itself(server, local, sampling):
    ours = engine(server).sample(PROMPTS, sampling, SEEDS)
    same(ours, local.sample(PROMPTS, sampling, SEEDS))
    assert {sample.ended for sample in ours} == ({True, False} if sampling.temperature else {False})


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
    it = engine(server, patience=Patience(requests=4, timeout=0.3, first_wait=0.01))
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


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        (status(404, "no such model"), ConfigError, "HTTP 404 no such model; check the model's name, and"),
        (
            status(400, "This model's maximum context length is 8 tokens"),
            DataError,
            "prompt 0 does not fit the context .* 8 tokens; shorten it or lower max_new_tokens",
        ),
        (status(400, "bad \n seed"), ConfigError, "refuses prompt 0: HTTP 400 bad seed"),
        (body('{"object": "error"}'), ModelError, "in a form that is not OpenAI's"),
        (body("[]"), ModelError, "in a form that is not OpenAI's"),
        (body('{"model": "tiny", "choices": []}'), ModelError, "in a form that is not OpenAI's"),
        (
            body('{"model": "tiny", "choices": [{"text": "a", "logprobs": null, "finish_reason": "stop"}]}'),
            ModelError,
            "does not tell the ids and log-probs of what it sampled",
        ),
    ],
)
def test_what_is_wrong_for_good_is_told_at_once(server, fault, kind, message):
    server.faults = [fault]
    with pytest.raises(kind, match=message):
        engine(server).sample(PROMPTS[:1], SAMPLING, SEEDS[:1])
    assert len(server.seen) == 1


def test_another_version_of_the_model_is_refused(server):
    server.name = "tiny-2"
    with pytest.raises(
        ModelError, match=r"answered as 'tiny-2'; if .*, name it: endpoint:http://.*/v1#tiny-2"
    ):
        engine(server).sample(PROMPTS[:1], SAMPLING, SEEDS[:1])


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


def test_requests_and_tokens_are_counted(server, tmp_path):
    it = engine(server, tmp_path / "kept.jsonl")
    samples = it.sample(PROMPTS, SAMPLING, SEEDS)
    it.sample(PROMPTS, SAMPLING, SEEDS)
    assert (it.usage.requests, it.usage.kept) == (12, 12)
    assert it.usage.prompt_tokens == sum(map(len, PROMPTS))
    assert it.usage.response_tokens == sum(len(sample.response_ids) for sample in samples)
    it.usage.prompt_tokens, it.usage.response_tokens = 2_000_000, 500_000
    assert it.usage.cost(0.25, 1.5) == 1.25


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
