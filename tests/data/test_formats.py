import contextlib
import json
import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gnomon.data.dialects import DIALECTS
from gnomon.data.formats import load
from gnomon.errors import ConfigError, DataError, GnomonError
from gnomon.records import Comparison, Conversation, Demonstration, Label, Ranking, to_json

ASK, ONE, TWO = "How tall is Everest?", "8,849 metres.", "Very."


def talk(*texts):
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


def transcript(*turns):
    return "".join(f"\n\n{('Human', 'Assistant')[i % 2]}: {turn}" for i, turn in enumerate(turns))


LABEL = {"preference": 1.0, "source": "person"}
GOOD = {
    "gnomon": to_json(Comparison.of("a", Conversation.of(ASK), ONE, TWO, Label(**LABEL))),
    "hh": {"chosen": transcript(ASK, ONE), "rejected": transcript(ASK, TWO)},
    "hhh": {"text_correct": transcript(ASK, ONE), "text_incorrect": transcript(ASK, TWO)},
    "preferences": {"prompt": ASK, "chosen": ONE, "rejected": TWO},
    "implicit_preferences": {"chosen": talk(ASK, ONE), "rejected": talk(ASK, TWO)},
    "messages": {"messages": talk(ASK, ONE)},
    "alpaca": {"instruction": ASK, "output": ONE},
    "ranking": {"prompt": ASK, "responses": [ONE, TWO], "scores": [2, 1]},
    "unpaired": {"prompt": ASK, "completion": ONE, "label": True},
    "alpaca_eval": {"instruction": ASK, "output_1": ONE, "output_2": TWO, "preference": 1},
    "pandalm": {"instruction": ASK, "response1": ONE, "response2": TWO, "annotator1": 1},
}


@pytest.fixture
def rows_of(tmp_path):
    """Load these rows from a file of JSON lines."""

    def load_rows(*rows, **options):
        path = tmp_path / "prefs.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return load(path, **options)

    return load_rows


def sides(*turns, last=(ONE, TWO)):
    return {side: transcript(*turns, end) for side, end in zip(("chosen", "rejected"), last, strict=True)}


def answered(**changes):
    return {"messages": [*talk(ASK), {"role": "assistant", "content": ONE} | changes]}


def labelled(**changes):
    return {"label": LABEL | changes}


IMAGE = {"messages": talk([{"type": "image_url"}], ONE)}
HALF = "\ud83d"
HALF_CALL = json.dumps({"name": "show", "arguments": {"what": HALF}})
NOT_LAST = "last turn is not the assistant's"


@pytest.mark.parametrize(
    ("dialect", "change", "reason", "detail"),
    [
        ("gnomon", labelled(preference=20), "preference is no probability", "'preference' is 20"),
        ("gnomon", labelled(preference=-0.1), "preference is no probability", "'preference' is -0.1"),
        ("gnomon", labelled(preference=math.nan), "preference is no probability", "'preference' is nan"),
        ("gnomon", labelled(weight=0), "weight is not above 0", "'weight' is 0"),
        ("gnomon", labelled(weight=-1), "weight is not above 0", "'weight' is -1"),
        ("gnomon", labelled(weight=math.inf), "weight is not above 0", "'weight' is inf"),
        ("gnomon", labelled(weight=math.nan), "weight is not above 0", "'weight' is nan"),
        ("gnomon", labelled(strength=4), "unknown strength", "'strength' is 4"),
        ("gnomon", labelled(strength=-0.5), "unknown strength", "'strength' is -0.5"),
        ("hh", {"rejected": transcript(ASK, " ")}, "empty response", "'rejected' is empty"),
        ("hh", {"rejected": transcript("Other?", TWO)}, "prompts differ", "differ between"),
        ("hh", {"rejected": transcript(ASK, ONE)}, "answers are equal", "'rejected' are equal"),
        ("hh", {"rejected": ASK}, "no turn markers", "'rejected' does not start"),
        ("hh", sides(ASK, ONE), NOT_LAST, "of 'chosen' is not"),
        ("hh", sides(""), "empty prompt", "prompt is empty"),
        ("hh", sides(ASK, "", ASK), "empty turn", "before the answer"),
        ("hh", {"chosen": None}, "no turn markers", "'chosen' does not start"),
        ("preferences", {"chosen": ""}, "empty response", "'chosen' is empty"),
        ("preferences", {"rejected": None}, "empty response", "'rejected' is empty"),
        ("preferences", {"prompt": " "}, "empty prompt", "prompt is empty"),
        ("preferences", {"rejected": ONE + " "}, "answers are equal", "are equal"),
        ("preferences", {"prompt": talk(ASK, ONE)}, "prompt ends with the assistant", "ends with"),
        ("implicit_preferences", {"rejected": talk("Other?", TWO)}, "prompts differ", "same prompt"),
        ("implicit_preferences", {"rejected": talk(ASK, ONE, ASK, TWO)}, "prompts differ", "part before"),
        ("implicit_preferences", {"rejected": talk(ASK)}, "empty response", "'rejected' is empty"),
        ("messages", {"messages": talk(ASK)}, NOT_LAST, "of 'messages'"),
        ("messages", {"messages": answered()["messages"][1:]}, "empty prompt", "prompt is empty"),
        ("messages", answered(content=""), "empty response", "'messages' is empty"),
        ("messages", answered(weight=0), "no turn carries loss", "weight 0"),
        ("messages", answered(weight=0.5), "weight is not 0 or 1", "0.5"),
        ("messages", answered(role="narrator"), "unknown role", "'narrator'"),
        ("messages", answered(tool_calls=[{}]), "tool call without a name", "name its function"),
        ("messages", IMAGE, "not text", "'image_url'"),
        ("messages", {"tools": "[{"}, "tools are not valid JSON", "not valid JSON"),
        ("messages", {"messages": "hello"}, "another shape", "does not fit 'messages'"),
        ("messages", answered(content=f"{ONE} {HALF}"), "half a character", "half a surrogate pair"),
        ("messages", answered(role="function_call", content=HALF_CALL), "half a character", "surrogate"),
        ("messages", {"tools": json.dumps([{"name": HALF}])}, "half a character", "surrogate"),
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
)
def test_unusable_rows_are_counted_by_reason_or_stop_the_loading(rows_of, dialect, change, reason, detail):
    good, bad = GOOD[dialect], GOOD[dialect] | change
    loaded = rows_of(good, good, bad, good, on_bad_row="skip")
    assert (loaded.dialect, loaded.rows, len(loaded.records)) == (dialect, 4, 3)
    assert (dict(loaded.dropped), dict(loaded.examples)) == ({reason: 1}, {reason: (3,)})
    message = rf"row 3 of prefs\.jsonl: .*{detail}.*; correct or remove it; gnomon data inspect"
    with pytest.raises(DataError, match=message):
        rows_of(good, good, bad, good)


def test_scores_that_are_no_numbers_order_nothing(rows_of):
    good = to_json(Ranking("a", Conversation.of(ASK), (ONE, TWO), (1.0, 2.0)))
    with pytest.raises(DataError, match=r"row 2 of prefs\.jsonl: 'scores' are \[1\.0, nan\]"):
        rows_of(good, good | {"scores": [1.0, math.nan]})


def test_lines_that_are_not_json_are_counted_with_the_other_bad_rows(tmp_path):
    path = tmp_path / "prefs.jsonl"
    path.write_text(f"{json.dumps(GOOD['alpaca'])}\n{{oops\n{json.dumps(GOOD['alpaca'] | {'output': ''})}\n")
    loaded = load(path, on_bad_row="skip")
    assert (loaded.rows, len(loaded.records)) == (3, 1)
    assert loaded.examples == {"not valid JSON": (2,), "empty response": (3,)}
    with pytest.raises(DataError, match=r"row 2 of prefs\.jsonl: not valid JSON .*; drop it or set it so$"):
        load(path, skip_by="set it so")


def test_only_the_first_example_rows_are_kept(rows_of):
    loaded = rows_of(*[GOOD["preferences"] | {"chosen": ""}] * 7, on_bad_row="skip")
    assert loaded.dropped == {"empty response": 7}
    assert loaded.examples == {"empty response": (1, 2, 3, 4, 5)}


def test_the_shape_is_what_most_of_the_first_rows_fit(rows_of):
    loaded = rows_of(GOOD["alpaca"], GOOD["messages"], GOOD["messages"], on_bad_row="skip")
    assert (loaded.dialect, loaded.dropped) == ("messages", {"another shape": 1})
    rows = (GOOD["alpaca"], GOOD["messages"], GOOD["messages"])
    loaded = rows_of(*rows, dialect="alpaca", on_bad_row="skip")
    assert (loaded.dialect, loaded.dropped) == ("alpaca", {"another shape": 2})


def test_a_row_that_lacks_its_answer_is_not_taken_for_a_prompt(rows_of):
    bare, empty = {"instruction": ASK}, {"instruction": ASK, "output": ""}
    loaded = rows_of(GOOD["alpaca"], bare, empty, on_bad_row="skip")
    assert [type(record) for record in loaded.records] == [Demonstration]
    assert loaded.dropped == {"another shape": 1, "empty response": 1}


def test_an_unknown_shape_is_told_with_the_keys_seen_and_the_shapes_known(rows_of):
    with pytest.raises(DataError, match=r"keys 'left', 'right' (.*\n)*.*sharegpt: conversations"):
        rows_of({"left": 1, "right": 2})
    with pytest.raises(DataError, match="'corrects'"):
        rows_of({"prompt": ASK, "corrects": [ONE], "incorrects": [TWO]})
    with pytest.raises(ConfigError, match=r"dialect 'alpacca' is unknown; known are gnomon, .*alpaca"):
        rows_of(GOOD["alpaca"], dialect="alpacca")


def test_a_file_without_rows_is_an_error(tmp_path):
    (tmp_path / "rows.json").write_text("[]")
    with pytest.raises(DataError, match="no row that can be read"):
        load(tmp_path / "rows.json")


def test_ids_are_the_rows_own_or_the_file_and_the_row(rows_of):
    loaded = rows_of(GOOD["alpaca"], GOOD["alpaca"] | {"id": 12}, GOOD["alpaca"] | {"idx": 0})
    assert [record.id for record in loaded.records] == ["prefs:1", "12", "0"]


def test_nothing_is_deduplicated(rows_of):
    assert len(rows_of(GOOD["alpaca"], GOOD["alpaca"]).records) == 2


def test_who_judged_is_counted_as_assumed_only_where_nobody_said(rows_of):
    row = GOOD["preferences"]
    assert rows_of(row, row | {"source": "person"}).assumed_source == 1
    assert rows_of(row, source="person").assumed_source == 0
    assert rows_of(GOOD["hh"]).assumed_source == 0
    by_name, by_number = ({"annotator": annotator} for annotator in ("gpt4", 7))
    assert rows_of(GOOD["alpaca_eval"] | by_name, GOOD["alpaca_eval"] | by_number).assumed_source == 1
    assert rows_of(GOOD["alpaca"]).assumed_source == 0


@pytest.mark.parametrize("dialect", ["hh", "preferences", "alpaca_eval"])
def test_the_caller_has_the_last_word_on_who_judged(rows_of, dialect):
    (pair,) = rows_of(GOOD[dialect] | {"source": "person"}, source="planted").records
    assert pair.label.source == "planted"
    for other in ("ranking", "unpaired"):
        assert rows_of(GOOD[other], source="planted").records[0].source == "planted"


values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(["", "gpt", ASK, transcript(ASK, ONE)]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "from", "content", "name", "function", "messages"]), inner)
    ),
    max_leaves=6,
)
OTHER_KEYS = {"turns", "instances", "conversations", "conversation", "tools", "completions", "rank", "first"}
keys = st.sampled_from(sorted({key for row in GOOD.values() for key in row} | OTHER_KEYS))


@settings(max_examples=300, deadline=None)
@given(start=st.sampled_from(list(GOOD)), change=st.dictionaries(keys, values, max_size=3))
@example(start="implicit_preferences", change={"chosen": None, "conversation": [None]})
@example(start="implicit_preferences", change={"chosen": None, "conversation": False})
def test_whatever_a_row_holds_it_is_read_or_refused_in_words(start, change):
    row = GOOD[start] | change
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        path.write_text(json.dumps([row]))
        for dialect in (start, *(d.name for d in DIALECTS if d.fits(row))):
            loaded = load(path, dialect=dialect, on_bad_row="skip")
            assert loaded.rows == 1
            assert bool(loaded.records) != bool(loaded.dropped)
        with contextlib.suppress(GnomonError):
            load(path)
