"""The `Engine` of a model on a server: requests go out together, and none that was answered once more."""

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from gnomon.distributed import size
from gnomon.errors import ConfigError, DataError, ModelError
from gnomon.models.reference import EndpointRef
from gnomon.records import Conversation, Message
from gnomon.rollouts.engine import UNKNOWN, Sample, Sampling, seeds_of
from gnomon.rollouts.letters import TOLD as LETTERS_TOLD
from gnomon.rollouts.letters import Letters, read_letters
from gnomon.rollouts.replies import R, Replies
from gnomon.rollouts.server import Patience, Server, Usage
from gnomon.runs import AGAIN
from gnomon.store import content_id

Reply = Mapping[str, Any]

TOKEN_ID = "token_id:"
"""What a server writes before a token's number where it is asked for numbers."""

TOLD = {"logprobs": 1, "return_tokens_as_token_ids": True}
WHOLE = {"top_k": -1, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}
"""No filter and no penalty, said aloud: what a request leaves out a server may take from the model's own
`generation_config.json`, as vLLM does, and draw from another distribution than was asked for."""

FINISHED = ("stop", "length")


class EndpointEngine:
    """The `Engine` of a model on an OpenAI-compatible server; `kept` is a file of its answers.

    `sample` needs a server that takes token ids and tells them, as vLLM does. A response ends where the
    server's own settings end it. The log-probs told are the model's own, or with `processed_logprobs`, which
    says that the server is set so (vLLM: `--logprobs-mode processed_logprobs`), those of the distribution
    drawn from. `answer` leaves to the server's defaults what `sampling` leaves out. An answer is kept by URL,
    model and request: weights that change behind one name go unnoticed, so name each version. No
    more than `budget` answers are ever asked for, choices of letters and kept ones included. With `each`,
    every process asks for itself: it knows what all were told, keeps its own answers beside theirs
    (`Replies.of_each`), and has an equal part of what is left of the budget. `transport` makes what requests
    go through, where that is not the plain network.
    """

    def __init__(
        self,
        ref: EndpointRef,
        kept: Path | None = None,
        patience: Patience | None = None,
        *,
        processed_logprobs: bool = False,
        budget: int | None = None,
        each: bool = False,
        transport: Callable[[], httpx.AsyncBaseTransport] | None = None,
    ) -> None:
        self.ref, self.patience, self.usage = ref, patience or Patience(), Usage()
        self.processed_logprobs, self.budget = processed_logprobs, budget
        self.processes = size() if each else 1
        letters = None if kept is None else kept.with_name(f"letters-{kept.name}")
        self._kept, self._letters = _opened(Sample, kept, each=each), _opened(Letters, letters, each=each)
        self._transport = transport

    def sample(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling, seeds: Sequence[int]
    ) -> list[Sample]:
        """Sample one response for each prompt of token ids.

        ModelError where ids or log-probs are not told; ConfigError where the log-probs would be of another
        distribution than the one drawn from; DataError for a prompt that leaves no room for `max_new_tokens`,
        of which vLLM gives what there is room for and says nothing.
        """
        if not (sampling.plain or self.processed_logprobs):
            raise ConfigError(
                f"{self.ref} tells the model's own log-probs, and {sampling} draws from others; serve with "
                "vLLM's --logprobs-mode processed_logprobs and say processed_logprobs=True"
            )
        bodies = [
            {"prompt": list(prompt), **TOLD, **WHOLE, **_settings(sampling, seed)}
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]
        samples = self._ask("completions", bodies, self._sampled, self._answers())
        for i, (sample, prompt) in enumerate(zip(samples, prompts, strict=True)):
            if not sample.ended and len(sample.response_ids) < sampling.max_new_tokens:
                raise DataError(
                    f"{self.ref} answered prompt {i}, of {len(prompt)} tokens, with "
                    f"{len(sample.response_ids)} and no more, as its context has no room; shorten it or "
                    "lower max_new_tokens"
                )
        return [
            replace(sample, prompt_ids=tuple(prompt)) for sample, prompt in zip(samples, prompts, strict=True)
        ]

    def answer(
        self,
        conversations: Sequence[Conversation],
        sampling: Sampling,
        seed: int | Sequence[int] = 0,
        *,
        raw: bool = False,
    ) -> list[Sample]:
        """Answer conversations under the server's template, or (`raw`) continue their last turn as text."""
        bodies = [
            (_text(talk) if raw else _chat(talk)) | _settings(sampling, own)
            for talk, own in zip(conversations, seeds_of(seed, len(conversations)), strict=True)
        ]
        path = "completions" if raw else "chat/completions"
        return self._ask(path, bodies, _answered, self._answers())

    def choose(
        self, conversations: Sequence[Conversation], letters: Sequence[str], attempt: int = 0
    ) -> list[Letters]:
        """How likely each letter is as the answer, under the server's template: the likeliest answer, and at
        each later `attempt` one that is drawn. ModelError where it tells no likelihoods."""
        drawn = {"temperature": 1.0, "seed": attempt} if attempt else {}
        bodies = [_chat(talk) | LETTERS_TOLD | drawn for talk in conversations]
        kept = Replies(Letters) if self._letters is None else self._letters
        return self._ask(
            "chat/completions", bodies, lambda reply: read_letters(reply, letters, self.ref), kept, letters
        )

    def stream(
        self, conversation: Conversation, sampling: Sampling, seed: int = 0, *, raw: bool = False
    ) -> Iterator[str]:
        """The answer in one piece, when it is there."""
        yield self.answer([conversation], sampling, seed, raw=raw)[0].text

    def _answers(self) -> Replies[Sample]:
        return Replies(Sample) if self._kept is None else self._kept

    def _ask(
        self,
        path: str,
        bodies: Sequence[Reply],
        read: Callable[[Reply], R],
        kept: Replies[R],
        also: Sequence[str] = (),
    ) -> list[R]:
        """What is read in the replies to requests; `also` is what else tells one reading from another."""
        requests = [{"model": self.ref.model, **body} for body in bodies]
        keys = [content_id([self.ref.url, path, request, *also]) for request in requests]
        missing = {key: i for i, key in enumerate(keys) if key not in kept}
        self.usage.kept += len(keys) - len(missing)
        self._afford(len(missing))

        async def ask(server: Server, key: str, i: int) -> None:
            reply = await server.reply(path, requests[i], f"prompt {i}")
            kept.add(key, self._checked(reply, read))

        async def ask_all() -> None:
            transport = self._transport() if self._transport else None
            server = Server(self.ref, self.patience, self.usage, transport)
            async with server, asyncio.TaskGroup() as group:
                for key, i in missing.items():
                    group.create_task(ask(server, key, i))

        if missing:
            try:
                asyncio.run(ask_all())
            except BaseExceptionGroup as problems:
                raise problems.exceptions[0] from None
        return [kept[key] for key in keys]

    def _afford(self, more: int) -> None:
        """ConfigError where so many answers more are beyond the budget; none of them is asked for then."""
        if self.budget is None or not more:
            return
        held = [kept for kept in (self._kept, self._letters) if kept is not None]
        given, found = sum(map(len, held)), sum(kept.found for kept in held)
        if given - found + more > (self.budget - found) // self.processes:
            parts = "" if self.processes == 1 else f" that {self.processes} processes share"
            raise ConfigError(
                f"{self.ref} has given {given} answers, and {more} more are beyond the budget of "
                f"{self.budget}{parts}; raise constitution.roles.budget, or ask for less; what was answered "
                "is kept"
            )

    def _checked(self, reply: Reply, read: Callable[[Reply], R]) -> R:
        """What is read in a reply, its tokens counted.

        ModelError where another model gave it, or it is no such reply.
        """
        try:
            self.usage.count(reply)
            told, found = reply["model"], read(reply)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as problem:
            raise ModelError(
                f"{self.ref} replies in a form that is not OpenAI's ({type(problem).__name__}: {problem}); "
                "check the URL"
            ) from problem
        if told != self.ref.model:
            raise ModelError(
                f"{self.ref} answered as {told!r}; if that version is meant, name it: "
                f"{EndpointRef(self.ref.url, told)}"
            )
        return found

    def _sampled(self, reply: Reply) -> Sample:
        """The sample in a reply to a prompt of ids, which the caller knows."""
        choice = reply["choices"][0]
        logprobs, finish = choice.get("logprobs") or {}, choice["finish_reason"]
        tokens, logps = logprobs.get("tokens"), logprobs.get("token_logprobs")
        if not tokens or not logps or not all(token.startswith(TOKEN_ID) for token in tokens):
            raise ModelError(
                f"{self.ref} does not tell the ids and log-probs of what it sampled; "
                "serve the model with vLLM, which does"
            )
        if len(tokens) != len(logps) or not all(map(math.isfinite, logps)):
            raise ValueError(f"{len(tokens)} tokens with the log-probs {logps}")
        if finish not in FINISHED:
            raise ModelError(
                f"{self.ref} broke an answer off ({finish}); see that the server is well {AGAIN}"
            )
        return Sample(
            prompt_ids=(),
            response_ids=tuple(int(token.removeprefix(TOKEN_ID)) for token in tokens),
            logps=tuple(map(float, logps)),
            text=choice["text"].strip(),
            ended=finish == "stop",
        )


def _opened(kind: type[R], kept: Path | None, *, each: bool) -> Replies[R] | None:
    if kept is None:
        return None
    return Replies.of_each(kind, kept) if each else Replies(kind, kept)


def _answered(reply: Reply) -> Sample:
    """The answer in a reply to a conversation or a text."""
    choice = reply["choices"][0]
    text = choice["message"]["content"] if "message" in choice else choice["text"]
    tokens = (reply.get("usage") or {}).get("completion_tokens") or 0
    return Sample((), (UNKNOWN,) * tokens, (), (text or "").strip(), choice["finish_reason"] == "stop")


def _settings(sampling: Sampling, seed: int) -> dict[str, Any]:
    """What of a request says how to sample; greedy answers have no seed, so that all rows share them."""
    settings: dict[str, Any] = {"max_tokens": sampling.max_new_tokens, "temperature": sampling.temperature}
    filters = {"top_k": sampling.top_k, "top_p": sampling.top_p}
    settings |= {name: value for name, value in filters.items() if value is not None}
    if sampling.temperature > 0:
        settings["seed"] = seed % 2**63  # servers take what fits a signed number
    return settings


def _text(talk: Conversation) -> dict[str, Any]:
    return {"prompt": talk.messages[-1].content}


def _chat(talk: Conversation) -> dict[str, Any]:
    tools = {"tools": [dict(tool) for tool in talk.tools]} if talk.tools else {}
    return {"messages": [_message(message) for message in talk.messages], **tools}


def _message(message: Message) -> dict[str, Any]:
    values: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        values["tool_calls"] = [
            {"type": "function", "id": call.id, "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        values["tool_call_id"] = message.tool_call_id
    return values
