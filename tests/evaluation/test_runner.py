import pytest

from gnomon.errors import DataError
from gnomon.evaluation import runner
from gnomon.evaluation.runner import answer_all, judge
from gnomon.models.load import load
from gnomon.records import Conversation, Prompt
from gnomon.rollouts.engine import Sample, Sampling
from gnomon.rollouts.local import LocalEngine

PROMPTS = [
    Prompt(f"p{i}", Conversation.of(text), family="short", checks=checks)
    for i, (text, checks) in enumerate(
        [
            ("How do I make bread?", ()),
            ("Yes or no?", ({"kind": "equals_any", "values": ["yes"]},)),
            ("Up?", ()),
        ]
    )
]
SHORT = Sampling(max_new_tokens=5, temperature=1.0)


@pytest.fixture(scope="module")
def engine():
    return LocalEngine(load("tiny:0", dtype="float32"))


def test_every_model_answers_every_prompt(engine):
    told = []
    rows = answer_all(
        {"base": engine, "sft": engine},
        PROMPTS,
        sampling=SHORT,
        clusters={"p0": "near", "p2": "near"},
        progress=lambda *step: told.append(step),
    )
    assert [(row["model"], row["prompt_id"]) for row in rows] == [
        (model, f"p{i}") for model in ("base", "sft") for i in range(3)
    ]
    assert [row["cluster"] for row in rows[:3]] == ["near", "p1", "near"]
    assert told == [("base", 3, 3), ("sft", 3, 3)]
    assert all(1 <= row["tokens"] <= 5 for row in rows)
    raw = engine.answer([prompt.conversation for prompt in PROMPTS], SHORT, 0, raw=True)
    chat = engine.answer([prompt.conversation for prompt in PROMPTS], SHORT, 0)
    assert [row["answer"] for row in rows] == [sample.text for sample in raw + chat]


def test_batches_change_nothing(engine, monkeypatch):
    whole = answer_all({"sft": engine}, PROMPTS, sampling=SHORT, seed=7)
    monkeypatch.setattr(runner, "BATCH", 2)
    assert answer_all({"sft": engine}, PROMPTS, sampling=SHORT, seed=7) == whole
    assert answer_all({"sft": engine}, PROMPTS, sampling=SHORT, seed=8) != whole


def test_a_row_tells_what_text_and_checks_can_tell():
    checks = ({"kind": "equals_any", "values": ["yes"]}, {"kind": "words", "max": 1})
    prompt = Prompt(
        "p", Conversation.of("Is it?", "Is what?", "Is snow cold?", system="Be brief."), "short", checks
    )
    sample = Sample((5,), (1, 2, 3), (0.0, 0.0, 0.0), "Yes, yes.", ended=True)
    row = judge(prompt, sample, model="sft", cluster="c")
    assert row == {
        "prompt_id": "p",
        "family": "short",
        "cluster": "c",
        "prompt": prompt.conversation.text,
        "model": "sft",
        "answer": "Yes, yes.",
        "ended": True,
        "answers": True,
        "checks_passed": False,
        "checks": [False, False],
        "tokens": 3,
        "words": 2,
        "repetition": 0.0,
        "role_leak": False,
        "refuses": False,
    }
    echo = judge(prompt, Sample((5,), (1,), (0.0,), "Is snow cold?", ended=True), model="base", cluster="c")
    assert not echo["answers"]
    declined = judge(prompt, Sample((5,), (1,), (0.0,), "I won't.", ended=True), model="sft", cluster="c")
    assert declined["refuses"]
    assert judge(PROMPTS[0], sample, model="sft", cluster="c")["checks_passed"] is None


def test_what_would_lose_a_row_is_refused(engine):
    with pytest.raises(DataError, match="no prompts"):
        answer_all({"sft": engine}, [])
    with pytest.raises(DataError, match="'p0' comes 2 times"):
        answer_all({"sft": engine}, [PROMPTS[0], PROMPTS[0]])

    with pytest.raises(DataError, match="prompt odd: check 1 of 1: 'word'"):
        answer_all({"sft": engine}, [Prompt("odd", PROMPTS[0].conversation, checks=({"kind": "word"},))])

    class Forgetful(LocalEngine):
        def answer(self, conversations, sampling, seed=0, *, raw=False):
            return super().answer(conversations, sampling, seed, raw=raw)[1:]

    with pytest.raises(DataError, match="2 answers to 3 prompts"):
        answer_all({"sft": Forgetful(engine.lm)}, PROMPTS, sampling=SHORT)
