"""Conversations in inspect_ai's form; it need not be installed."""

from types import SimpleNamespace

import pytest

from gnomon.errors import ConfigError
from gnomon.evaluation.adapters.chats import answers, conversation, request
from gnomon.models.load import load
from gnomon.records import Conversation
from gnomon.rollouts.engine import Sampling
from gnomon.rollouts.local import LocalEngine


def message(role, text, **more):
    return SimpleNamespace(role=role, content=text, text=text, **more)


def settings(**given):
    """inspect_ai's, which are None where they are not given."""
    names = ("max_tokens", "temperature", "top_k", "top_p", "stop_seqs", "num_choices", "logprobs")
    return SimpleNamespace(**{**dict.fromkeys(names), **given})


@pytest.fixture(scope="module")
def engine():
    return LocalEngine(load("tiny:0", dtype="float32"))


HELLO = [message("system", "Be kind."), message("user", "Hello?")]


def test_messages_are_turns():
    asked = [*HELLO, message("assistant", "Hi.", tool_calls=None), message("user", "And now?")]
    assert conversation(asked) == Conversation.of("Hello?", "Hi.", "And now?", system="Be kind.")
    parts = [SimpleNamespace(type="reasoning"), SimpleNamespace(type="text")]
    told = SimpleNamespace(role="user", content=parts, text="Hello?")
    assert conversation([told]) == Conversation.of("Hello?")


@pytest.mark.parametrize(
    ("strange", "named"),
    [
        (SimpleNamespace(role="user", content=[SimpleNamespace(type="image")], text=""), "image"),
        (message("tool", "42"), "calls of tools"),
        (message("assistant", "", tool_calls=["add"]), "calls of tools"),
    ],
)
def test_what_is_not_text_is_refused(strange, named):
    with pytest.raises(ConfigError, match=f"no {named}"):
        conversation([strange])


def test_an_answer_is_greedy_unless_a_temperature_is_named(engine):
    plain = request(engine, HELLO, settings(), 3)
    assert plain.prompt == tuple(engine.lm.encode_prompt(conversation(HELLO)))
    assert (plain.sampling, plain.stops, plain.seed) == (Sampling(256, 0.0), (), 3)
    warm = request(engine, HELLO, settings(temperature=0.7, top_p=0.9, top_k=5, max_tokens=9), 0)
    assert warm.sampling == Sampling(9, 0.7, 5, 0.9)
    assert request(engine, HELLO, settings(stop_seqs=["", "\n"], num_choices=1), 0).stops == ("\n",)


def test_settings_that_would_change_the_answer_are_not_ignored(engine):
    with pytest.raises(ConfigError, match="without num_choices, logprobs"):
        request(engine, HELLO, settings(num_choices=2, logprobs=True), 0)


def test_an_answer_has_the_room_that_the_context_leaves(engine):
    long = request(engine, [message("user", "a" * 2000)], settings(), 0)
    assert long.sampling.max_new_tokens == 2048 - len(long.prompt)
    full = request(engine, [message("user", "a" * 2048)], settings(), 0)
    (answer,) = answers(engine, [full])
    assert answer == ("", "model_length", len(full.prompt), 0)


def test_answers_are_those_of_each_alone_whatever_else_is_asked(engine):
    ways = [
        settings(max_tokens=8),
        settings(max_tokens=30),
        settings(max_tokens=8, temperature=1.0),
        settings(max_tokens=8),
    ]
    asked = [request(engine, [message("user", "x" * (i + 1))], how, i) for i, how in enumerate(ways)]
    together = answers(engine, asked)
    assert together == [answers(engine, [one])[0] for one in asked]
    assert [answer.sampled for answer in together[:2]] == [8, 30]
    assert {answer.why for answer in together[:2]} == {"max_tokens"}


def test_an_answer_ends_before_a_text_to_stop_at(engine):
    drawn = {"max_tokens": 60, "temperature": 1.0}
    (whole,) = answers(engine, [request(engine, HELLO, settings(**drawn), 1)])
    stop = next(sign for sign in whole.text if " " < sign < "~")
    (cut,) = answers(engine, [request(engine, HELLO, settings(**drawn, stop_seqs=[stop]), 1)])
    assert cut.text == whole.text[: whole.text.index(stop)].strip()
    assert cut.why == "stop"
    assert cut.sampled < whole.sampled
