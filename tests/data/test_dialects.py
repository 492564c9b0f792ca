"""One row in every published spelling."""

import pytest

from gnomon.data.files import BadRow
from gnomon.data.formats import detect, parse
from gnomon.records import (
    Comparison,
    Conversation,
    Critique,
    Demonstration,
    Label,
    Message,
    Prompt,
    Ranking,
    Rating,
    ToolCall,
    to_json,
)

ASK, ONE, TWO, NO = "How tall is Everest?", "8,849 metres.", "Very.", "No."
PROMPT = Conversation.of(ASK)


def read(row):
    """The name of the dialect a row is taken for, and its records."""
    dialect = detect([row], "rows")
    return dialect.name, tuple(parse(dialect, row, "r"))


def talk(*texts):
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


def says(text):
    return {"role": "assistant", "content": text}


def share(*turns):
    return {"conversations": [{"from": who, "value": text} for who, text in turns]}


def transcript(*turns):
    return "".join(f"\n\n{('Human', 'Assistant')[i % 2]}: {turn}" for i, turn in enumerate(turns))


@pytest.mark.parametrize(
    ("dialect", "row"),
    [
        ("alpaca", {"instruction": ASK, "input": "", "output": ONE}),
        ("alpaca", {"instruction": ASK, "response": ONE}),
        ("self_instruct", {"instruction": ASK, "instances": [{"input": "", "output": ONE}]}),
        ("sharegpt", share(("human", ASK), ("gpt", ONE))),
        ("sharegpt", share(("system", ""), ("user", ASK), ("chatgpt", ONE))),
        ("messages", {"messages": talk(ASK, ONE)}),
        ("messages", {"messages": talk(ASK, [{"type": "text", "text": ONE}])}),
        ("prompt_completion", {"prompt": ASK, "completion": ONE}),
        ("prompt_completion", {"prompt": talk(ASK), "completion": [says(ONE)]}),
        ("prompt_completion", {"prompt": ASK, "response": ONE}),
        ("prompt_completion", {"question": ASK, "answer": ONE}),
        ("prompt_completion", {"input": ASK, "output": ONE}),
        ("gnomon", {"conversation": {"messages": talk(ASK, ONE)}}),
    ],
)
def test_one_demonstration_in_every_spelling(dialect, row):
    assert read(row) == (dialect, (Demonstration("r", PROMPT.then(Message("assistant", ONE))),))


@pytest.mark.parametrize(
    ("dialect", "source", "row"),
    [
        ("preferences", "ai", {"prompt": ASK, "chosen": ONE, "rejected": TWO}),
        ("preferences", "person", {"prompt": ASK, "chosen": ONE, "rejected": TWO, "source": "person"}),
        ("preferences", "ai", {"prompt": ASK, "chosen": ONE, "rejected": TWO, "source": "evol_instruct"}),
        ("preferences", "ai", {"prompt": talk(ASK), "chosen": [says(ONE)], "rejected": [says(TWO)]}),
        ("preferences", "ai", {"prompt": ASK, "chosen": talk(ASK, ONE), "rejected": talk(ASK, TWO)}),
        ("preferences", "ai", {"prompt": transcript(ASK, ""), "chosen": ONE, "rejected": TWO}),
        ("preferences", "ai", {"messages": talk(ASK), "chosen": says(ONE), "rejected": says(TWO)}),
        (
            "preferences",
            "ai",
            share(("human", ASK))
            | {"chosen": {"from": "gpt", "value": ONE}, "rejected": {"from": "gpt", "value": TWO}},
        ),
        ("implicit_preferences", "ai", {"chosen": talk(ASK, ONE), "rejected": talk(ASK, TWO)}),
        ("hh", "person", {"chosen": transcript(ASK, ONE), "rejected": transcript(ASK, TWO)}),
        (
            "hhh",
            "person",
            {
                "text_correct": transcript(ASK, ONE),
                "text_incorrect": transcript(ASK, TWO),
                "prompt": "Which?",
            },
        ),
        ("alpaca_eval", "ai", {"instruction": ASK, "output_1": ONE, "output_2": TWO, "preference": 1}),
        ("pandalm", "person", {"instruction": ASK, "response1": ONE, "response2": TWO, "annotator1": 1}),
        (
            "arena",
            "person",
            {"conversation_a": talk(ASK, ONE), "conversation_b": talk(ASK, TWO), "winner": "model_a"},
        ),
        (
            "pku_saferlhf",
            "ai",
            {"prompt": ASK, "response_0": ONE, "response_1": TWO, "better_response_id": 0}
            | {"safer_response_id": 1},
        ),
    ],
)
def test_one_comparison_in_every_spelling(dialect, source, row):
    assert read(row) == (dialect, (Comparison.of("r", PROMPT, ONE, TWO, Label(1.0, source)),))


@pytest.mark.parametrize(
    ("said", "preference"),
    [("model_a", 1.0), ("model_b", 0.0), ("tie", 0.5), ("tie (bothbad)", 0.5), ("both_bad", 0.5)],
)
def test_what_an_arena_says_and_who_said_it(said, preference):
    row = {"conversation_a": talk(ASK, ONE), "conversation_b": talk(ASK, TWO), "winner": said, "judge": 7}
    _, (found,) = read(row)
    assert found.label == Label(preference, "person", annotator="7")
    assert (found.first[0].content, found.second[0].content) == (ONE, TWO)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"conversation_b": talk(ASK, TWO), "winner": "neither"}, "unknown winner"),
        ({"conversation_b": talk("Who?", TWO), "winner": "model_a"}, "prompts differ"),
        ({"conversation_b": talk(ASK, TWO, ASK, ONE), "winner": "model_a"}, "prompts differ"),
    ],
)
def test_battles_that_cannot_be_read(row, problem):
    with pytest.raises(BadRow) as told:
        read({"conversation_a": talk(ASK, ONE)} | row)
    assert told.value.reason == problem


@pytest.mark.parametrize(
    ("points", "preference", "strength"), [(-3, 1.0, 1.0), (-1, 1.0, 1 / 3), (0, 0.5, None), (2, 0.0, 2 / 3)]
)
@pytest.mark.parametrize("kind", ["two", "three"])
def test_a_scale_says_which_is_better_and_by_how_much(points, preference, strength, kind):
    two = {"prompt": ASK, "response_1": ONE, "response_2": TWO, "preference_strength": points}
    three = {"context": talk(ASK), "response1": ONE, "response2": TWO, "overall_preference": points}
    name, (found,) = read(two if kind == "two" else three)
    assert (name, found.prompt) == ("helpsteer", PROMPT)
    assert found.label == Label(preference, "person", strength=strength)


def test_verdicts_outside_their_scale_are_told():
    steered = {"prompt": ASK, "response_1": ONE, "response_2": TWO, "preference_strength": 4}
    with pytest.raises(BadRow, match="from -3 to 3"):
        read(steered)
    numbered = {"prompt": ASK, "response_0": ONE, "response_1": TWO, "better_response_id": 2}
    with pytest.raises(BadRow, match="must be 0 or 1"):
        read(numbered)


def test_built_in_comparisons_are_constructed_and_keep_their_reason():
    row = {"id": "r", "prompt": talk(ASK), "chosen": ONE, "rejected": TWO, "reason": "vague"}
    label = Label(1.0, "constructed", "vague")
    assert read(row) == ("constructed", (Comparison.of("r", PROMPT, ONE, TWO, label),))


def scored(name, *values):
    texts = (ONE, TWO, NO)
    return [{"response": text, name: value} for text, value in zip(texts, values, strict=True)]


@pytest.mark.parametrize(
    ("dialect", "row"),
    [
        ("ranking", {"prompt": ASK, "responses": [ONE, TWO, NO], "scores": [3, 1.5, 1]}),
        ("ranking", {"prompt": ASK, "completions": [ONE, TWO, NO], "rank": [1, 2, 3]}),
        ("ranking", {"prompt": transcript(ASK, ""), "answers": scored("rank", 1, 2, 3)}),
        ("ultrafeedback", {"instruction": ASK, "completions": scored("overall_score", 9, 4, 1)}),
        ("ultrafeedback", {"instruction": ASK, "completions": scored("fine-grained_score", "4.5", "2", "1")}),
    ],
)
def test_rankings_have_more_for_the_better_answer(dialect, row):
    name, (ranking,) = read(row)
    assert (name, ranking.prompt, ranking.responses) == (dialect, PROMPT, (ONE, TWO, NO))
    assert ranking.scores[0] > ranking.scores[1] > ranking.scores[2]
    assert ranking.source == "ai"


@pytest.mark.parametrize(
    ("said", "means"), [(True, True), (False, False), (1, True), (0, False), ("False", False)]
)
def test_unpaired_rows_are_ratings(said, means):
    row = {"prompt": ASK, "completion": ONE, "label": said, "source": "person"}
    assert read(row) == ("unpaired", (Rating("r", PROMPT, ONE, means, "person"),))


def test_a_label_of_another_kind_does_not_make_a_rating():
    assert read({"prompt": ASK, "completion": ONE, "label": "safe"})[0] == "prompt_completion"


@pytest.mark.parametrize(
    ("dialect", "row"),
    [
        ("prompts", {"prompt": ASK}),
        ("prompts", {"instruction": ASK}),
        ("prompts", {"prompt": talk(ASK)}),
        ("mt_bench", {"turns": [ASK, "And K2?"]}),
    ],
)
def test_prompts(dialect, row):
    assert read(row | {"category": "facts"}) == (dialect, (Prompt("r", PROMPT, "facts"),))


def test_prompts_keep_their_checks():
    checks = [{"kind": "count", "n": 3}]
    assert read({"prompt": ASK, "checks": checks})[1][0].checks == tuple(checks)


def test_prompts_keep_what_rewards_are_told_of_them():
    facts = {"answer": "8,849 m", "sources": [{"year": 2020}]}
    assert read({"prompt": ASK, "facts": facts})[1][0].facts == facts
    assert read({"prompt": ASK, "facts": None})[1][0].facts == {}


def test_facts_that_are_no_object_are_refused():
    with pytest.raises(BadRow, match="'facts' is '8,849 m', not an object"):
        read({"prompt": ASK, "facts": "8,849 m"})


SYSTEM = Conversation.of(ASK, system="Be brief.")


@pytest.mark.parametrize(
    "record",
    [
        Prompt("r", SYSTEM, "facts", ({"kind": "count"},), {"answer": [2, None]}),
        Demonstration("r", SYSTEM.then(Message("assistant", ONE, trained=True)), "facts"),
        Comparison.of("r", SYSTEM, ONE, TWO, Label(0.7, "person", "clearer", 0.5, "ann-3")),
        Comparison("r", SYSTEM, (Message("assistant", ONE),), (Message("assistant", TWO),)),
        Ranking("r", SYSTEM, (ONE, TWO), (2.0, 1.0)),
        Rating("r", SYSTEM, ONE, desirable=True),
        Critique("r", SYSTEM, ONE, "be kind", "curt", TWO, "abc", ("unchanged",)),
    ],
)
def test_gnomons_own_records_come_back_as_they_were(record):
    assert read(to_json(record)) == ("gnomon", (record,))


def test_an_instruction_and_its_input_are_one_prompt_below_the_system_message():
    row = {"system": "Be brief.", "instruction": "Translate.", "input": "chat", "output": "cat"}
    expected = Conversation.of("Translate.\n\nchat", "cat", system="Be brief.")
    assert read(row)[1][0].conversation == expected


def test_each_instance_of_an_instruction_is_a_demonstration():
    instances = [{"input": "chat", "output": "cat"}, {"input": "chien", "output": "dog"}]
    records = read({"instruction": "Translate.", "instances": instances})[1]
    assert [(record.id, record.prompt.text, record.response) for record in records] == [
        ("r/0", "Translate.\n\nchat", "cat"),
        ("r/1", "Translate.\n\nchien", "dog"),
    ]


def test_tools_calls_and_loss_flags_travel():
    schema = {"type": "function", "function": {"name": "height", "parameters": {"type": "object"}}}
    as_object = {"id": "c1", "function": {"name": "height", "arguments": {"peak": "Everest"}}}
    as_text = {"id": "c2", "function": {"name": "height", "arguments": '{"peak":"K2"}'}}
    turns = [
        {"role": "developer", "content": "Use tools."},
        {"role": "user", "content": ASK, "weight": None},
        {"role": "assistant", "content": None, "tool_calls": [as_object, as_text], "weight": 0},
        {"role": "tool", "tool_call_id": "c1", "content": "8849"},
        says(ONE) | {"trained": True},
    ]
    conversation = read({"tools": [schema], "messages": turns})[1][0].conversation
    calls = (ToolCall("height", '{"peak": "Everest"}', "c1"), ToolCall("height", '{"peak":"K2"}', "c2"))
    assert conversation.tools == (schema,)
    assert conversation.messages == (
        Message("system", "Use tools."),
        Message("user", ASK),
        Message("assistant", "", calls, trained=False),
        Message("tool", "8849", tool_call_id="c1"),
        Message("assistant", ONE, trained=True),
    )


def test_sharegpt_calls_and_tools_as_text():
    call = '{"name": "height", "arguments": {}}'
    row = share(("human", ASK), ("function_call", call), ("observation", "8849"), ("gpt", ONE))
    conversation = read(row | {"tools": '[{"name": "height"}]'})[1][0].conversation
    assert conversation.tools == ({"name": "height"},)
    assert [turn.role for turn in conversation.messages] == ["user", "assistant", "tool", "assistant"]
    assert conversation.messages[1].tool_calls == (ToolCall("height", "{}"),)


def test_transcripts_are_split_at_their_exact_markers_only():
    text = transcript("one\nHuman: still one\n\nhuman: too", "Human: mine\n", "two", "")
    (pair,) = read({"chosen": text + ONE, "rejected": text + TWO})[1]
    assert [(turn.role, turn.content) for turn in pair.prompt.messages] == [
        ("user", "one\nHuman: still one\n\nhuman: too"),
        ("assistant", "Human: mine"),
        ("user", "two"),
    ]


@pytest.mark.parametrize(
    ("votes", "preference"), [((1, 1, 1), 1.0), ((2, 2, 1), 1 / 3), ((0, 0, 2), 1 / 3), ((0, 0, 0), 0.5)]
)
def test_votes_are_averaged(votes, preference):
    row = {"instruction": ASK, "response1": ONE, "response2": TWO}
    (pair,) = read(row | {f"annotator{i}": vote for i, vote in enumerate(votes, start=1)})[1]
    assert pair.label.preference == pytest.approx(preference)


@pytest.mark.parametrize(
    ("said", "preference"), [(1, 1.0), (2, 0.0), (0, 0.5), (1.5, 0.5), (1.25, 0.75), ("2", 0.0)]
)
def test_alpaca_evals_preference_runs_from_the_first_output_to_the_second(said, preference):
    row = {"instruction": ASK, "output_1": ONE, "output_2": TWO, "preference": said, "annotator": "gpt4"}
    assert read(row)[1][0].label == Label(preference, "ai", annotator="gpt4")


def test_a_first_step_that_both_answers_share_is_part_of_both():
    step = {"role": "assistant", "tool_calls": [{"function": {"name": "height"}}]}
    steps = [*talk(ASK), step]
    (pair,) = read({"chosen": [*steps, says(ONE)], "rejected": [*steps, says(TWO)]})[1]
    assert (pair.prompt, len(pair.first), len(pair.second)) == (PROMPT, 2, 2)
    steps.append({"role": "tool", "content": "8849"})
    (pair,) = read({"chosen": [*steps, says(ONE)], "rejected": [*steps, says(TWO)]})[1]
    assert [turn.role for turn in pair.prompt.messages] == ["user", "assistant", "tool"]
    assert pair.first == (Message("assistant", ONE),)
