import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from gnomon.cli.data import data_app
from gnomon.data.dialects import DIALECTS
from gnomon.data.formats import load
from gnomon.errors import ConfigError, DataError, GnomonError
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

ASK, ONE, TWO = "How tall is Everest?", "8,849 metres.", "Very."
USER = {"role": "user", "content": ASK}


def says(text):
    return {"role": "assistant", "content": text}


@pytest.fixture
def rows_of(tmp_path):
    """Load these rows from a file of JSON lines."""

    def load_rows(*rows, **options):
        path = tmp_path / "prefs.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return load(path, **options)

    return load_rows


SIMPLE = Demonstration("r", Conversation.of(ASK, ONE))


@pytest.mark.parametrize(
    ("dialect", "row"),
    [
        ("alpaca", {"instruction": ASK, "input": "", "output": ONE}),
        ("alpaca", {"instruction": ASK, "response": ONE}),
        ("self_instruct", {"instruction": ASK, "instances": [{"input": "", "output": ONE}]}),
        ("sharegpt", {"conversations": [{"from": "human", "value": ASK}, {"from": "gpt", "value": ONE}]}),
        (
            "sharegpt",
            {
                "conversations": [
                    {"from": "system", "value": ""},
                    {"from": "user", "value": ASK},
                    {"from": "chatgpt", "value": ONE},
                ]
            },
        ),
        ("messages", {"messages": [USER, says(ONE)]}),
        ("messages", {"messages": [USER, {"role": "assistant", "content": [{"type": "text", "text": ONE}]}]}),
        ("prompt_completion", {"prompt": ASK, "completion": ONE}),
        ("prompt_completion", {"prompt": [USER], "completion": [says(ONE)]}),
        ("prompt_completion", {"prompt": ASK, "response": ONE}),
        ("prompt_completion", {"question": ASK, "answer": ONE}),
        ("gnomon", {"conversation": {"messages": [USER, says(ONE)]}}),
    ],
)
def test_one_demonstration_in_every_spelling(rows_of, dialect, row):
    loaded = rows_of({"id": "r"} | row)
    assert (loaded.dialect, loaded.records) == (dialect, (SIMPLE,))


@pytest.mark.parametrize(
    ("dialect", "row", "source"),
    [
        ("preferences", {"prompt": ASK, "chosen": ONE, "rejected": TWO}, "ai"),
        ("preferences", {"prompt": ASK, "chosen": ONE, "rejected": TWO, "source": "person"}, "person"),
        ("preferences", {"prompt": ASK, "chosen": ONE, "rejected": TWO, "source": "evol_instruct"}, "ai"),
        ("preferences", {"prompt": [USER], "chosen": [says(ONE)], "rejected": [says(TWO)]}, "ai"),
        ("preferences", {"prompt": ASK, "chosen": [USER, says(ONE)], "rejected": [USER, says(TWO)]}, "ai"),
        ("preferences", {"prompt": f"\n\nHuman: {ASK}\n\nAssistant:", "chosen": ONE, "rejected": TWO}, "ai"),
        ("implicit_preferences", {"chosen": [USER, says(ONE)], "rejected": [USER, says(TWO)]}, "ai"),
        (
            "hh",
            {
                "chosen": f"\n\nHuman: {ASK}\n\nAssistant: {ONE}",
                "rejected": f"\n\nHuman: {ASK}\n\nAssistant: {TWO}",
            },
            "person",
        ),
        ("alpaca_eval", {"instruction": ASK, "output_1": ONE, "output_2": TWO, "preference": 1}, "ai"),
        (
            "pandalm",
            {"instruction": ASK, "input": "", "response1": ONE, "response2": TWO, "annotator1": 1},
            "person",
        ),
    ],
)
def test_one_comparison_in_every_spelling(rows_of, dialect, row, source):
    loaded = rows_of({"id": "r"} | row)
    assert loaded.dialect == dialect
    assert loaded.records == (Comparison.of("r", Conversation.of(ASK), ONE, TWO, Label(1.0, source)),)
    (changed,) = rows_of({"id": "r"} | row, source="planted").records
    assert changed.label.source == "planted"


def test_who_judged_is_counted_as_assumed_only_where_nobody_said(rows_of):
    row = {"prompt": ASK, "chosen": ONE, "rejected": TWO}
    assert rows_of(row, row | {"source": "person"}).assumed_source == 1
    assert rows_of(row, source="person").assumed_source == 0
    assert rows_of({"prompt": ASK, "completion": ONE}).assumed_source == 0


def test_built_in_comparisons_are_constructed_and_keep_their_reason(rows_of):
    loaded = rows_of({"id": "r", "prompt": [USER], "chosen": ONE, "rejected": TWO, "reason": "vague"})
    label = Label(1.0, "constructed", "vague")
    assert loaded.records == (Comparison.of("r", Conversation.of(ASK), ONE, TWO, label),)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": ASK, "responses": [ONE, TWO, "No."], "scores": [3, 1.5, 1]},
        {"prompt": ASK, "answers": [{"answer": ONE, "rank": 1}, {"answer": TWO, "rank": 2}, {"answer": "No.", "rank": 3}]},
        {"prompt": ASK, "completions": [ONE, TWO, "No."], "rank": [1, 2, 3]},
        {"instruction": ASK, "completions": [{"response": ONE, "overall_score": 9}, {"response": TWO, "overall_score": 4}, {"response": "No.", "overall_score": 1}]},
        {"instruction": ASK, "completions": [{"response": ONE, "fine-grained_score": 4.5}, {"response": TWO, "fine-grained_score": 2}, {"response": "No.", "fine-grained_score": 1}]},
    ],
)  # fmt: skip
def test_rankings_have_more_for_the_better_answer(rows_of, row):
    (ranking,) = rows_of(row).records
    assert ranking.responses == (ONE, TWO, "No.")
    assert ranking.scores[0] > ranking.scores[1] > ranking.scores[2]
    assert ranking.source == "ai"
    assert [pair.id for pair in ranking.comparisons()] == ["prefs:1/0>1", "prefs:1/0>2", "prefs:1/1>2"]


@pytest.mark.parametrize(
    ("said", "means"), [(True, True), (False, False), (1, True), (0, False), ("False", False)]
)
def test_unpaired_rows_are_ratings(rows_of, said, means):
    loaded = rows_of({"prompt": ASK, "completion": ONE, "label": said}, source="person")
    assert loaded.records == (Rating("prefs:1", Conversation.of(ASK), ONE, means, "person"),)


def test_a_label_of_another_kind_does_not_make_a_rating(rows_of):
    assert rows_of({"prompt": ASK, "completion": ONE, "label": "safe"}).dialect == "prompt_completion"


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": ASK},
        {"instruction": ASK},
        {"prompt": [USER]},
        {"question_id": 7, "turns": [ASK, "And K2?"]},
    ],
)
def test_prompts(rows_of, row):
    loaded = rows_of({"id": "r", "category": "facts"} | row)
    assert loaded.records == (Prompt("r", Conversation.of(ASK), "facts"),)
    assert loaded.later_turns == ("turns" in row)


def test_prompts_keep_their_checks(rows_of):
    checks = [{"kind": "count", "n": 3}]
    assert rows_of({"id": "r", "prompt": ASK, "checks": checks}).records[0].checks == tuple(checks)


def test_gnomons_own_records_come_back_as_they_were(rows_of):
    prompt = Conversation.of(ASK, system="Be brief.")
    records = (
        Prompt("p", prompt, "facts", ({"kind": "count"},)),
        Demonstration("d", prompt.then(Message("assistant", ONE, trained=True)), "facts"),
        Comparison.of("c", prompt, ONE, TWO, Label(0.7, "person", "clearer", 0.5, "ann-3")),
        Comparison("open", prompt, (Message("assistant", ONE),), (Message("assistant", TWO),)),
        Ranking("k", prompt, (ONE, TWO), (2.0, 1.0)),
        Rating("u", prompt, ONE, desirable=True),
        Critique("q", prompt, ONE, "be kind", "curt", TWO, "abc", ("unchanged",)),
    )
    loaded = rows_of(*map(to_json, records))
    assert (loaded.dialect, loaded.records, loaded.assumed_source) == ("gnomon", records, 0)


def test_an_instruction_and_its_input_are_one_prompt_below_the_system_message(rows_of):
    row = {"system": "Be brief.", "instruction": "Translate.", "input": "chat", "output": "cat"}
    assert rows_of(row).records[0].conversation == Conversation.of(
        "Translate.\n\nchat", "cat", system="Be brief."
    )


def test_each_instance_of_an_instruction_is_a_demonstration(rows_of):
    instances = [{"input": "chat", "output": "cat"}, {"input": "chien", "output": "dog"}]
    records = rows_of({"id": "t", "instruction": "Translate.", "instances": instances}).records
    assert [(record.id, record.prompt.text, record.response) for record in records] == [
        ("t/0", "Translate.\n\nchat", "cat"),
        ("t/1", "Translate.\n\nchien", "dog"),
    ]


def test_tools_calls_and_loss_flags_travel(rows_of):
    schema = {"type": "function", "function": {"name": "height", "parameters": {"type": "object"}}}
    call = {"id": "c1", "type": "function", "function": {"name": "height", "arguments": {"peak": "Everest"}}}
    flat = {"id": "c2", "type": "function", "function": {"name": "height", "arguments": '{"peak":"K2"}'}}
    row = {
        "tools": [schema],
        "messages": [
            {"role": "developer", "content": "Use tools."},
            USER,
            {"role": "assistant", "content": None, "tool_calls": [call, flat], "weight": 0},
            {"role": "tool", "tool_call_id": "c1", "content": "8849"},
            says(ONE) | {"weight": 1},
        ],
    }
    conversation = rows_of(row).records[0].conversation
    calls = (ToolCall("height", '{"peak": "Everest"}', "c1"), ToolCall("height", '{"peak":"K2"}', "c2"))
    assert conversation.tools == (schema,)
    assert conversation.messages == (
        Message("system", "Use tools."),
        Message("user", ASK),
        Message("assistant", "", calls, trained=False),
        Message("tool", "8849", tool_call_id="c1"),
        Message("assistant", ONE, trained=True),
    )


def test_sharegpt_calls_and_tools_as_text(rows_of):
    turns = [
        ("human", ASK),
        ("function_call", '{"name": "height", "arguments": {}}'),
        ("observation", "8849"),
        ("gpt", ONE),
    ]
    row = {
        "conversations": [{"from": who, "value": text} for who, text in turns],
        "tools": '[{"name": "height"}]',
    }
    conversation = rows_of(row).records[0].conversation
    assert conversation.tools == ({"name": "height"},)
    assert [m.role for m in conversation.messages] == ["user", "assistant", "tool", "assistant"]
    assert conversation.messages[1].tool_calls == (ToolCall("height", "{}"),)


def test_transcripts_are_split_at_their_exact_markers_only(rows_of):
    text = "\n\nHuman: one\nHuman: still one\n\nhuman: too\n\nAssistant: Human: mine\n\n\nHuman: two\n\nAssistant: "
    (pair,) = rows_of({"chosen": text + ONE, "rejected": text + TWO}).records
    assert [(turn.role, turn.content) for turn in pair.prompt.messages] == [
        ("user", "one\nHuman: still one\n\nhuman: too"),
        ("assistant", "Human: mine"),
        ("user", "two"),
    ]


@pytest.mark.parametrize(
    ("votes", "preference"), [((1, 1, 1), 1.0), ((2, 2, 1), 1 / 3), ((0, 0, 2), 1 / 3), ((0, 0, 0), 0.5)]
)
def test_votes_are_averaged(rows_of, votes, preference):
    row = {"instruction": ASK, "response1": ONE, "response2": TWO}
    (pair,) = rows_of(row | {f"annotator{i}": vote for i, vote in enumerate(votes, start=1)}).records
    assert pair.label.preference == pytest.approx(preference)


@pytest.mark.parametrize(
    ("said", "preference"), [(1, 1.0), (2, 0.0), (0, 0.5), (1.5, 0.5), (1.25, 0.75), ("2", 0.0)]
)
def test_alpaca_evals_preference_runs_from_the_first_output_to_the_second(rows_of, said, preference):
    row = {"instruction": ASK, "output_1": ONE, "output_2": TWO, "preference": said, "annotator": "gpt4"}
    (pair,) = rows_of(row).records
    assert pair.label == Label(preference, "ai", annotator="gpt4")


def test_a_shared_first_step_of_both_answers_is_part_of_both(rows_of):
    step = {"role": "assistant", "tool_calls": [{"function": {"name": "height"}}]}
    result = {"role": "tool", "content": "8849"}
    (pair,) = rows_of({"chosen": [USER, step, says(ONE)], "rejected": [USER, step, says(TWO)]}).records
    assert pair.prompt == Conversation.of(ASK)
    assert [len(pair.first), pair.first[-1].content, pair.second[-1].content] == [2, ONE, TWO]
    (pair,) = rows_of(
        {"chosen": [USER, step, result, says(ONE)], "rejected": [USER, step, result, says(TWO)]}
    ).records
    assert pair.prompt.messages[-1].role == "tool"


def transcript(*turns):
    return "".join(f"\n\n{('Human', 'Assistant')[i % 2]}: {turn}" for i, turn in enumerate(turns))


GOOD = {
    "hh": {"chosen": transcript(ASK, ONE), "rejected": transcript(ASK, TWO)},
    "preferences": {"prompt": ASK, "chosen": ONE, "rejected": TWO},
    "implicit_preferences": {"chosen": [USER, says(ONE)], "rejected": [USER, says(TWO)]},
    "messages": {"messages": [USER, says(ONE)]},
    "alpaca": {"instruction": ASK, "output": ONE},
    "ranking": {"prompt": ASK, "responses": [ONE, TWO], "scores": [2, 1]},
    "unpaired": {"prompt": ASK, "completion": ONE, "label": True},
    "alpaca_eval": {"instruction": ASK, "output_1": ONE, "output_2": TWO, "preference": 1},
    "pandalm": {"instruction": ASK, "response1": ONE, "response2": TWO, "annotator1": 1},
}


@pytest.mark.parametrize(
    ("dialect", "change", "reason", "detail"),
    [
        ("hh", {"rejected": transcript(ASK, " ")}, "empty response", "'rejected' is empty"),
        ("hh", {"rejected": transcript("Other?", TWO)}, "prompts differ", "differ between"),
        ("hh", {"rejected": transcript(ASK, ONE)}, "answers are equal", "'chosen' and 'rejected' are equal"),
        ("hh", {"rejected": ASK}, "no turn markers", "'rejected' does not start"),
        ("hh", {"chosen": transcript(ASK, ONE, "ok"), "rejected": transcript(ASK, ONE, "no")}, "last turn is not the assistant's", "of 'chosen' is not"),
        ("hh", {"chosen": transcript("", ONE), "rejected": transcript("", TWO)}, "empty prompt", "prompt is empty"),
        ("hh", {"chosen": transcript("a", "", "b", ONE), "rejected": transcript("a", "", "b", TWO)}, "empty turn", "before the answer"),
        ("preferences", {"chosen": ""}, "empty response", "'chosen' is empty"),
        ("preferences", {"rejected": None}, "empty response", "'rejected' is empty"),
        ("preferences", {"prompt": " "}, "empty prompt", "prompt is empty"),
        ("preferences", {"rejected": ONE + " "}, "answers are equal", "are equal"),
        ("preferences", {"prompt": [USER, says("Hm.")]}, "prompt ends with the assistant", "ends with"),
        ("implicit_preferences", {"rejected": [{"role": "user", "content": "Other?"}, says(TWO)]}, "prompts differ", "same prompt"),
        ("implicit_preferences", {"rejected": [USER, says(ONE), USER, says(TWO)]}, "prompts differ", "part before"),
        ("implicit_preferences", {"rejected": [USER]}, "empty response", "'rejected' is empty"),
        ("messages", {"messages": [USER]}, "last turn is not the assistant's", "of 'messages'"),
        ("messages", {"messages": [says(ONE)]}, "empty prompt", "prompt is empty"),
        ("messages", {"messages": [USER, says("")]}, "empty response", "'messages' is empty"),
        ("messages", {"messages": [USER, says(ONE) | {"weight": 0}]}, "no turn carries loss", "weight 0"),
        ("messages", {"messages": [USER, says(ONE) | {"weight": 0.5}]}, "weight is not 0 or 1", "0.5"),
        ("messages", {"messages": [{"role": "narrator", "content": ""}, says(ONE)]}, "unknown role", "'narrator'"),
        ("messages", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, says(ONE)]}, "not text", "'image_url'"),
        ("messages", {"messages": "hello"}, "another shape", "does not fit 'messages'"),
        ("alpaca", {"output": None}, "empty response", "'output' is empty"),
        ("ranking", {"scores": [1]}, "answers and scores differ in number", "2 answers with 1 scores"),
        ("ranking", {"scores": [1, "N/A"]}, "not a number", "'N/A'"),
        ("ranking", {"responses": [ONE, ""]}, "empty response", "ranked answers is empty"),
        ("ranking", {"responses": [ONE], "scores": [1]}, "fewer than two answers", "two answers"),
        ("unpaired", {"completion": ""}, "empty response", "'completion' is empty"),
        ("alpaca_eval", {"preference": 3}, "unknown preference", "is 3"),
        ("alpaca_eval", {"preference": None}, "not a number", "'preference' is None"),
        ("pandalm", {"annotator1": 4}, "unknown vote", "4"),
    ],
)  # fmt: skip
def test_unusable_rows_are_counted_by_reason_or_stop_the_loading(rows_of, dialect, change, reason, detail):
    good, bad = GOOD[dialect], GOOD[dialect] | change
    loaded = rows_of(good, good, bad, good, on_bad_row="skip")
    assert (loaded.dialect, loaded.rows, len(loaded.records)) == (dialect, 4, 3)
    assert (dict(loaded.dropped), dict(loaded.examples)) == ({reason: 1}, {reason: (3,)})
    with pytest.raises(
        DataError, match=rf"row 3 of prefs\.jsonl: .*{detail}.*; drop it or pass --on-bad-row=skip"
    ):
        rows_of(good, good, bad, good)


def test_only_the_first_example_rows_are_kept(rows_of):
    loaded = rows_of(*[GOOD["preferences"] | {"chosen": ""}] * 7, on_bad_row="skip")
    assert loaded.dropped == {"empty response": 7}
    assert loaded.examples == {"empty response": (1, 2, 3, 4, 5)}


def test_the_shape_is_what_most_of_the_first_rows_fit(rows_of):
    loaded = rows_of(GOOD["alpaca"], GOOD["messages"], GOOD["messages"], on_bad_row="skip")
    assert (loaded.dialect, loaded.dropped) == ("messages", {"another shape": 1})
    assert rows_of(GOOD["alpaca"], GOOD["messages"], dialect="alpaca", on_bad_row="skip").dialect == "alpaca"


def test_a_row_that_lacks_its_answer_is_not_taken_for_a_prompt(rows_of):
    loaded = rows_of(
        GOOD["alpaca"], {"instruction": ASK}, {"instruction": ASK, "output": ""}, on_bad_row="skip"
    )
    assert [type(record) for record in loaded.records] == [Demonstration]
    assert loaded.dropped == {"another shape": 1, "empty response": 1}


def test_an_unknown_shape_is_told_with_the_keys_seen_and_the_shapes_known(rows_of):
    with pytest.raises(
        DataError, match=r"keys 'left', 'right'.*\n.*gnomon: .*(\n.*)*sharegpt: conversations"
    ):
        rows_of({"left": 1, "right": 2})
    with pytest.raises(DataError, match="'corrects'"):
        rows_of({"prompt": ASK, "corrects": [ONE], "incorrects": [TWO]})
    with pytest.raises(ConfigError, match="dialect 'alpacca' is unknown; known are gnomon, .*alpaca"):
        rows_of(GOOD["alpaca"], dialect="alpacca")


def test_ids_are_the_rows_own_or_the_file_and_the_row(rows_of):
    loaded = rows_of(GOOD["alpaca"], GOOD["alpaca"] | {"id": 12}, GOOD["alpaca"] | {"idx": 0})
    assert [record.id for record in loaded.records] == ["prefs:1", "12", "0"]


def test_nothing_is_deduplicated(rows_of):
    assert len(rows_of(GOOD["alpaca"], GOOD["alpaca"]).records) == 2


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.sampled_from(["", "user", "gpt", ASK, transcript(ASK, ONE)]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "from", "content", "value", "name", "function", "messages"]), inner
        )
    ),
    max_leaves=6,
)
keys = st.sampled_from(
    sorted({key for row in GOOD.values() for key in row})
    + ["turns", "instances", "conversations", "conversation", "tools", "completions", "rank", "system", "checks", "first"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(row=st.dictionaries(keys, json_values, max_size=5), dialect=st.sampled_from(DIALECTS))
def test_whatever_a_row_holds_it_is_read_or_refused_in_words(row, dialect):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        path.write_text(json.dumps([row]))
        try:
            loaded = load(path, dialect=dialect.name, on_bad_row="skip")
            assert loaded.rows == 1
            load(path, on_bad_row="skip")
        except GnomonError:
            pass


def test_inspect_counts_and_measures(tmp_path):
    path = tmp_path / "prefs.jsonl"
    rows = [
        {"prompt": "a b c", "chosen": "one two three", "rejected": "[bold]"},
        {"prompt": "a b c d e", "chosen": "one", "rejected": "one two"},
        {"prompt": "a", "chosen": "", "rejected": "x"},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    said = CliRunner().invoke(data_app, ["inspect", str(path), "--json", "--rows", "1"])
    summary = json.loads(said.stdout)
    assert (summary["dialect"], summary["rows"], summary["usable_rows"]) == ("preferences", 3, 2)
    assert summary["records"] == {"comparison": 2}
    assert summary["dropped"] == {"empty response": {"rows": 1, "examples": [3]}}
    assert (summary["sources"], summary["assumed_source"]) == ({"ai": 2}, 2)
    assert summary["words"]["prompt"] == {"min": 3, "p10": 3.2, "median": 4, "p90": 4.8, "max": 5}
    assert summary["words"]["chosen"]["median"] == 2
    assert summary["chosen_is_longer"] == {"longer": 1, "shorter": 1, "equal": 0}
    assert [row["id"] for row in summary["sample"]] == ["prefs:1"]
    shown = CliRunner().invoke(data_app, ["inspect", str(path)]).stdout
    for part in ("2 of 3 rows are usable", "empty response", "[bold]", "50.0%"):
        assert part in shown


def test_inspect_stops_at_the_first_bad_row_when_told_to(tmp_path):
    (tmp_path / "p.jsonl").write_text(json.dumps({"prompt": ASK, "completion": ""}))
    said = CliRunner().invoke(data_app, ["inspect", str(tmp_path / "p.jsonl"), "--on-bad-row", "stop"])
    assert isinstance(said.exception, DataError)
