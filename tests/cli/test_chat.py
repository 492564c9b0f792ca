import signal

import pytest

from gnomon.cli.chat import Talk, _converse
from gnomon.models.load import load
from gnomon.records import Conversation, Message
from gnomon.rollouts.engine import Sampling
from gnomon.rollouts.local import LocalEngine


@pytest.fixture(scope="module")
def engine():
    return LocalEngine(load("tiny:0", dtype="float32"))


def test_in_a_pipe_every_line_gets_an_answer(gnomon):
    asked = "hello\n\nand now?\n/quit\nnever asked\n"
    done = gnomon("chat", "tiny:0", "--temperature", "0", "--max-new-tokens", "5", piped=asked)
    assert (done.code, done.err) == (0, "")
    assert done.out == ":::::\n:::::\n"


@pytest.mark.parametrize("option", [("--top-k", "1"), ("--top-p", "0.0001")])
def test_a_narrow_filter_takes_the_likeliest_token_at_any_temperature(gnomon, option):
    settings = ("--max-new-tokens", "12")
    wanted = gnomon("chat", "tiny:0", *settings, "--temperature", "0", piped="hello\n").out
    assert gnomon("chat", "tiny:0", *settings, "--temperature", "2", *option, piped="hello\n").out == wanted
    assert gnomon("chat", "tiny:0", *settings, "--temperature", "2", piped="hello\n").out != wanted


def test_a_probability_above_1_is_refused(gnomon):
    done = gnomon("chat", "tiny:0", "--top-p", "1.5", piped="hello\n")
    assert (done.code, "top_p is 1.5" in done.err) == (2, True)


def test_a_model_cannot_move_the_cursor(gnomon):
    done = gnomon("chat", "tiny:0", "--temperature", "1.5", "--max-new-tokens", "300", piped="hello\n")
    assert not {c for c in done.out if ord(c) < 32} - {"\n", "\t"}


def test_the_conversation_is_kept_until_it_is_reset(engine):
    talk = Talk(engine, Sampling(3, 0.0), system="Be brief.")
    _converse(talk, iter(["one", "two"]))
    assert [turn.content for turn in talk.turns] == ["one", ":::", "two", ":::"]
    _converse(talk, iter(["/reset", "three"]))
    assert [turn.content for turn in talk.turns] == ["three", ":::"]


def test_what_was_said_before_and_the_system_text_are_shown_to_the_model(engine, monkeypatch):
    asked = []
    encode = engine.lm.template.encode_prompt
    monkeypatch.setattr(engine.lm.template, "encode_prompt", lambda c: asked.append(c) or encode(c))
    talk = Talk(engine, Sampling(2, 0.0), system="Be brief.", turns=[])
    _converse(talk, iter(["one", "two"]))
    assert [m.content for m in asked[-1].messages] == ["Be brief.", "one", "::", "two"]


def test_a_raw_line_is_gone_on_from_as_plain_text(engine, capsys):
    sampling, line = Sampling(4, 0.0), "Once upon a time"
    raw, templated = (engine.answer([Conversation.of(line)], sampling, raw=raw)[0] for raw in (True, False))
    assert raw.text != templated.text
    talk = Talk(engine, sampling, raw=True)
    _converse(talk, iter([line]))
    assert capsys.readouterr().out == f"{raw.text}\n"
    assert talk.turns == []


def test_ctrl_c_stops_the_answer_and_not_the_conversation(engine, capsys):
    def interrupt(signum, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    talk = Talk(engine, Sampling(1900, 0.0))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        _converse(talk, iter(["talk", "/reset"]))
    finally:
        signal.signal(signal.SIGALRM, before)
    answered = capsys.readouterr().out.strip()
    assert 0 < len(answered) < 1900
    assert talk.turns == []


def test_a_broken_off_answer_is_remembered_as_far_as_it_came(engine):
    talk = Talk(engine, Sampling(50, 0.0))
    pieces = talk.answer("talk")
    said = next(pieces) + next(pieces)
    pieces.close()
    assert talk.turns == [Message("user", "talk"), Message("assistant", said)]


def test_a_model_that_says_nothing_is_told(engine, capsys):
    silent = LocalEngine(load("tiny:0", dtype="float32"))
    silent.lm.template.stop_ids = frozenset(range(259))
    talk = Talk(silent, Sampling(5, 0.0))
    _converse(talk, iter(["hello"]))
    assert "it says nothing" in capsys.readouterr().err
    assert talk.turns == []


def test_a_line_longer_than_the_context_is_told_and_forgotten(engine, capsys):
    talk = Talk(engine, Sampling(3, 0.0))
    _converse(talk, iter(["a" * 3000, "short"]))
    out, err = capsys.readouterr()
    assert "beyond the model's context of 2048" in err
    assert out.split() == [":::"]
    assert [turn.content for turn in talk.turns] == ["short", ":::"]


def test_in_a_pipe_it_is_exit_code_3(gnomon):
    assert gnomon("chat", "tiny:0", piped="a" * 3000 + "\n").code == 3
