import asyncio
import re
import sys
import threading
import time
from pathlib import Path

import pytest

from gnomon.errors import ConfigError, DataError
from gnomon.records import Conversation, Prompt
from gnomon.rewards.functions import FunctionReward, find_function
from gnomon.rollouts.engine import Sample

PROMPTS = {(2, k): Prompt(f"p{k}", Conversation.of(f"Say {k}")) for k in range(5)}


def samples(*texts):
    return [Sample((2, k), (60, 1), (-1.0, -1.0), text, ended=True) for k, text in enumerate(texts)]


def reward(function, *, timeout=5.0, batch=64):
    return FunctionReward("python:own:paid", function, PROMPTS, timeout, batch)


def lengths(answers):
    return [len(answer.text) for answer in answers]


def test_a_function_is_told_of_every_answer():
    seen = []

    def function(answers):
        seen.extend(answers)
        return [0.5] * len(answers)

    assert reward(function)(samples("yes", "no")) == [0.5, 0.5]
    first, second = seen
    assert (first.id, first.prompt, first.text) == ("p0", Conversation.of("Say 0"), "yes")
    assert (second.id, second.ended, second.tokens) == ("p1", True, 2)


def test_a_function_sees_the_facts_of_a_prompt():
    told = {(2, 0): Prompt("p0", Conversation.of("6 x 7?"), facts={"answer": 42}), (2, 1): PROMPTS[2, 1]}
    seen = []
    FunctionReward("own", lambda answers: seen.extend(answers) or [0, 0], told, 5.0, 64)(samples("42", "1"))
    assert [answer.facts for answer in seen] == [{"answer": 42}, {}]


def test_the_documented_function_pays_for_the_right_last_number():
    page = (Path(__file__).parents[2] / "docs" / "rewards.md").read_text(encoding="utf-8")
    (block,) = (code for code in re.findall(r"```python\n(.*?)```", page, re.S) if "facts" in code)
    written: dict = {}
    exec(block, written)
    told = {
        (2, k): Prompt(f"p{k}", Conversation.of("How many?"), facts={"answer": "3 * 400 = 1200\n#### 1,200"})
        for k in range(4)
    }
    texts = ("It is 1,200.", "It is 3.", "None.", "3 times 400 is 1200")
    assert FunctionReward("own", written["right"], told, 5.0, 64)(samples(*texts)) == [1, 0, 0, 1]


def test_an_async_function_is_awaited():
    async def function(answers):
        async def one(answer):
            await asyncio.sleep(0.01)
            return len(answer.text)

        return await asyncio.gather(*map(one, answers))

    assert reward(function)(samples("a", "bcd", "")) == [1.0, 3.0, 0.0]


def test_answers_come_in_batches_and_in_order():
    sizes = []

    def function(answers):
        sizes.append(len(answers))
        return lengths(answers)

    assert reward(function, batch=2)(samples("a", "bb", "ccc", "dddd", "")) == [1, 2, 3, 4, 0]
    assert sizes == [2, 2, 1]


def test_a_process_without_samples_asks_nothing():
    assert reward(lambda answers: 1 / 0)([]) == []


def test_what_a_function_raises_is_told_with_the_prompt_it_was_about():
    def function(answers):
        return [1 / len(answer.text) for answer in answers]

    with pytest.raises(
        DataError, match=r"python:own:paid raised ZeroDivisionError: .* the prompts p2;"
    ) as it:
        reward(function)(samples("a", "b", "", "d"))
    assert isinstance(it.value.__cause__, ZeroDivisionError)


def test_where_in_a_function_it_was_raised_is_told():
    def inner(text):
        return {}[text]

    def function(answers):
        return [inner(answer.text) for answer in answers]

    line = inner.__code__.co_firstlineno + 1
    with pytest.raises(DataError, match=rf"raised KeyError: 'a' \(test_functions\.py, line {line}\), for"):
        reward(function)(samples("a"))


def test_where_in_an_async_function_it_was_raised_is_told():
    async def function(answers):
        await asyncio.sleep(0)
        raise RuntimeError("no")

    line = function.__code__.co_firstlineno + 2
    with pytest.raises(DataError, match=rf"raised RuntimeError: no \(test_functions\.py, line {line}\), for"):
        reward(function)(samples("a"))


def test_a_function_that_ends_the_program_is_told_as_one_that_raises():
    with pytest.raises(DataError, match=r"raised SystemExit: 3 .* the prompts p0;"):
        reward(lambda answers: sys.exit(3))(samples("a"))


def test_a_function_that_takes_other_arguments_is_told_without_a_line_of_ours():
    def function(prompts, completions):
        return [0.0 for _ in completions]

    with pytest.raises(DataError, match=r"raised TypeError: .* argument: 'completions', for answers"):
        reward(function)(samples("a"))


@pytest.mark.parametrize("given", [1.5, None])
def test_one_number_for_all_is_no_list_and_is_told_as_it_came(given):
    with pytest.raises(DataError, match=rf"gave {given}, which is no list of numbers, for .* p0, p1;"):
        reward(lambda answers: given)(samples("a", "b"))


def test_where_no_answer_fails_alone_all_of_the_call_are_named():
    def function(answers):
        if len(answers) > 1:
            raise RuntimeError("one at a time")
        return [0.0]

    with pytest.raises(DataError, match=r"RuntimeError: one at a time \(.*\), for .* p0, p1;"):
        reward(function)(samples("a", "b"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([1.0, float("nan")], "gave nan, which no policy can be paid, for answers to the prompts p1;"),
        ([float("-inf"), 1.0], "gave -inf, which no policy can be paid, for answers to the prompts p0;"),
        ([1.0, None], "gave None, which is no number, for answers to the prompts p1;"),
        ([1.0, "much"], "gave 'much', which is no number, for answers to the prompts p1;"),
        ([1.0], "gave 1 of 2 numbers, for answers to the prompts p0, p1;"),
        ([1.0, 2.0, 3.0], "gave 3 of 2 numbers"),
    ],
)
def test_what_is_no_number_for_each_answer_is_refused(given, said):
    with pytest.raises(DataError, match=said):
        reward(lambda answers: given)(samples("a", "b"))


def test_a_function_that_takes_too_long_is_given_up():
    release = threading.Event()
    started = time.monotonic()
    with pytest.raises(DataError, match=r"gave nothing within 0.05 seconds, for .* p0;.*longer timeout"):
        reward(lambda answers: release.wait(30) and [0.0], timeout=0.05)(samples("a"))
    release.set()
    assert time.monotonic() - started < 10


def test_an_async_function_that_takes_too_long_is_cancelled():
    ended = []

    async def function(answers):
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    with pytest.raises(DataError, match=r"gave nothing within 0.05 seconds"):
        reward(function, timeout=0.05)(samples("a"))
    assert ended == ["cancelled"]


def test_a_function_is_found_by_its_name(tmp_path, monkeypatch):
    (tmp_path / "own_rewards.py").write_text(
        "def paid(answers):\n    return [1.0] * len(answers)\nOTHER = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert reward(find_function("own_rewards:paid"))(samples("a", "b")) == [1.0, 1.0]
    with pytest.raises(
        ConfigError, match=r"reward python:own_rewards:OTHER: own_rewards has no function OTHER"
    ):
        find_function("own_rewards:OTHER")
    with pytest.raises(ConfigError, match=r"no_such_module cannot be imported .*PYTHONPATH"):
        find_function("no_such_module:paid")
