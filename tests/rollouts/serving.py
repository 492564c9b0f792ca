"""A server on this machine that answers from the tiny model as vLLM does, and what may go wrong with one."""

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from gnomon.models.load import load
from gnomon.models.reference import EndpointRef
from gnomon.records import Conversation, Message
from gnomon.rollouts.endpoint import EndpointEngine
from gnomon.rollouts.engine import Sampling
from gnomon.rollouts.local import LocalEngine
from gnomon.rollouts.server import Patience

PROMPTS = [[2, *range(40 + i, 50 + 2 * i)] for i in range(12)]
SEEDS = list(range(7, 19))
SAMPLING = Sampling(max_new_tokens=6)
QUICK = Patience(requests=4, timeout=5.0, first_wait=0.01)

Fault = Callable[["Handler"], None]


class Server(ThreadingHTTPServer):
    """Speaks as vLLM does: `defaults` fill in what a request leaves out.

    The first requests each meet one of `faults`; after `limit` answers every request is refused. Where it
    `says` something of a conversation's last turn, that is the answer, and the model is not asked; where it
    has `odds` of A over B for it, those are the likelihoods it tells of both letters; where it has a number
    from 1 to 10 it `rates` by, that is the likeliest.
    """

    def __init__(self, local: LocalEngine) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.local, self.lock = local, Lock()
        self.faults: list[Fault] = []
        self.seen: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.answered: Counter[str] = Counter()
        self.defaults: dict[str, Any] = {}
        self.limit = math.inf
        self.says: Callable[[str], str] | None = None
        self.odds: Callable[[str], float] | None = None
        self.rates: Callable[[str], int] | None = None
        self.name, self.pause, self.at_once, self.most = "tiny", 0.0, 0, 0

    @property
    def ref(self) -> EndpointRef:
        return EndpointRef(f"http://127.0.0.1:{self.server_port}/v1", "tiny")

    def handle_error(self, *of: Any) -> None:
        """A client that went away is no news."""

    def reply(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if self.odds is not None and body.get("top_logprobs"):
            return {"model": self.name, "choices": [lettered(self.odds(body["messages"][-1]["content"]))]}
        if self.rates is not None and body.get("top_logprobs"):
            return {"model": self.name, "choices": [rated(self.rates(body["messages"][-1]["content"]))]}
        if self.says is not None:
            message = {"role": "assistant", "content": self.says(body["messages"][-1]["content"])}
            choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "message": message}
            return {"model": self.name, "choices": [choice]}
        asked = self.defaults | body
        top_k = None if asked.get("top_k") == -1 else asked.get("top_k")
        sampling = Sampling(asked["max_tokens"], asked["temperature"], top_k, asked.get("top_p"))
        if path == "/v1/chat/completions":
            talk = Conversation(tuple(Message(m["role"], m["content"]) for m in body["messages"]))
            prompt = self.local.encode(talk)
        elif isinstance(body["prompt"], str):
            prompt = self.local.encode(Conversation.of(body["prompt"]), raw=True)
        else:
            prompt = body["prompt"]
        (sample,) = self.local.sample([prompt], sampling, [body.get("seed", 0)])
        choice = {"index": 0, "finish_reason": "stop" if sample.ended else "length"}
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
            if server.answered.total() >= server.limit:
                fault = status(400, "no more")
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


def lettered(odds: float) -> dict[str, Any]:
    """A choice of the letter that log-odds of A over B make the likelier, after an opening bracket."""
    logps = {"A": -math.log1p(math.exp(-odds)), "B": -math.log1p(math.exp(odds))}
    said = max(logps, key=lambda letter: logps[letter])
    bracket = {"token": "(", "logprob": -0.1, "top_logprobs": [{"token": "(", "logprob": -0.1}]}
    tops = [{"token": letter, "logprob": logp} for letter, logp in logps.items()]
    letter = {"token": said, "logprob": logps[said], "top_logprobs": tops}
    message = {"role": "assistant", "content": f"({said}"}
    content = {"content": [bracket, letter]}
    return {"index": 0, "finish_reason": "length", "message": message, "logprobs": content}


def rated(number: int) -> dict[str, Any]:
    """A choice of a number from 1 to 10, a token each, every step away from it half as likely."""
    logps = {str(n): -abs(n - number) * math.log(2) for n in range(1, 11)}
    tops = [{"token": token, "logprob": logp} for token, logp in logps.items()]
    content = [{"token": str(number), "logprob": 0.0, "top_logprobs": tops}]
    message = {"role": "assistant", "content": str(number)}
    return {"index": 0, "finish_reason": "stop", "message": message, "logprobs": {"content": content}}


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


def local_engine() -> LocalEngine:
    """In float64, with many stop tokens."""
    lm = load("tiny:0", dtype="float64")
    lm.template.stop_ids = frozenset([1, *range(3, 30)])
    return LocalEngine(lm)


@contextmanager
def running(local: LocalEngine) -> Iterator[Server]:
    """A server that answers as long as the block lasts."""
    server = Server(local)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def engine(
    server: Server, kept: Path | None = None, patience: Patience = QUICK, **more: bool
) -> EndpointEngine:
    return EndpointEngine(server.ref, kept, patience, **more)
