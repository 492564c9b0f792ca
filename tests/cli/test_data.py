import json

import pytest
from typer.testing import CliRunner

from gnomon.cli.data import data_app
from gnomon.errors import DataError

ROWS = [
    {"prompt": "a b c", "chosen": "one two three", "rejected": "[bold]"},
    {"prompt": "a b c d e", "chosen": "one", "rejected": "one two"},
    {"prompt": "a", "chosen": "", "rejected": "x"},
]


@pytest.fixture
def inspect(tmp_path):
    """Run `gnomon data inspect` on these rows."""

    def run(rows, *options):
        path = tmp_path / "prefs.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
        return CliRunner().invoke(data_app, ["inspect", str(path), *options])

    return run


def test_json_has_counts_lengths_and_a_sample(inspect):
    summary = json.loads(inspect(ROWS, "--json", "--rows", "1").stdout)
    assert (summary["dialect"], summary["rows"], summary["usable_rows"]) == ("preferences", 3, 2)
    assert summary["records"] == {"comparison": 2}
    assert summary["dropped"] == {"empty response": {"rows": 1, "examples": [3]}}
    assert (summary["sources"], summary["assumed_source"]) == ({"ai": 2}, 2)
    assert summary["words"]["prompt"] == {"min": 3, "p10": 3.2, "median": 4, "p90": 4.8, "max": 5}
    assert (summary["words"]["chosen"]["max"], summary["words"]["rejected"]["max"]) == (3, 2)
    assert summary["chosen_is_longer"] == {"longer": 1, "shorter": 1, "equal": 0}
    assert [row["id"] for row in summary["sample"]] == ["prefs:1"]


def test_the_page_for_people_says_the_same_and_prints_brackets_as_they_are(inspect):
    shown = inspect(ROWS).stdout
    for part in ("2 of 3 rows are usable", "empty response", "rejected: [bold]", "50.0%", "ai 2 (2 rows"):
        assert part in shown


def test_half_a_surrogate_pair_is_counted_and_shown_nowhere(inspect):
    rows = [ROWS[0], ROWS[1] | {"chosen": "one \ud83d"}]
    done = inspect(rows, "--json")
    assert done.exception is None
    summary = json.loads(done.stdout)
    assert summary["dropped"] == {"half a character": {"rows": 1, "examples": [2]}}
    assert len(summary["sample"]) == 1


def test_ties_have_no_chosen_answer(inspect):
    row = {"instruction": "a", "output_1": "b c", "output_2": "d", "preference": 1.5}
    summary = json.loads(inspect([row], "--json").stdout)
    assert set(summary["words"]) == {"prompt", "undecided"}
    assert summary["chosen_is_longer"] is None


def test_verdicts_are_counted_and_their_answers_told_apart(inspect):
    rows = [
        {"prompt": "a", "completion": text, "label": good}
        for text, good in (("b c d", True), ("e", False), ("f g", True))
    ]
    summary = json.loads(inspect(rows, "--json").stdout)
    assert summary["desirable"] == {"desirable": 2, "undesirable": 1}
    assert (summary["words"]["desirable"]["max"], summary["words"]["undesirable"]["max"]) == (3, 1)
    assert "2 answers are desirable, 1 are not" in inspect(rows).stdout
    assert json.loads(inspect(ROWS, "--json").stdout)["desirable"] is None


def test_later_turns_are_told(inspect):
    assert "2 later turns are left aside" in inspect([{"turns": ["a", "b", "c"]}]).stdout


def test_keys_beside_a_prompt_that_nothing_reads_are_told(inspect):
    row = {"prompt": "a", "response_a": "b", "response_b": "c", "preference": "a", "note": None}
    assert json.loads(inspect([row], "--json").stdout)["unread"] == ["response_a", "response_b", "preference"]
    shown = " ".join(inspect([row]).stdout.split())
    assert "read as prompts alone: nothing reads 'response_a', 'response_b', 'preference'" in shown
    own = {"prompt": "a", "id": "b", "system": "c", "checks": [], "facts": {"f": 1}, "input": "d"}
    own["source"] = "e"
    assert json.loads(inspect([own], "--json").stdout)["unread"] == []
    assert json.loads(inspect([ROWS[0] | {"note": "b"}], "--json").stdout)["unread"] == []


def test_it_stops_at_the_first_bad_row_when_told_to(inspect):
    assert isinstance(inspect(ROWS, "--on-bad-row", "stop").exception, DataError)


def test_annotators_are_named_where_labels_name_them(inspect):
    row = {"prompt": [{"role": "user", "content": "a"}], "item": "i", "outcome": "prefer", "preferred": 0}
    row |= {"responses": [[{"role": "assistant", "content": text}] for text in "bc"], "purpose": "ordinary"}
    rows = [row | {"annotator": name} for name in ("ann", "bob", "bob")]
    rows.append(rows[0] | {"outcome": "skip", "preferred": None})
    summary = json.loads(inspect(rows, "--json").stdout)
    assert (summary["dialect"], summary["annotators"]) == ("labels", {"bob": 2, "ann": 1})
    assert (summary["sources"], summary["dropped"]["no preference"]["rows"]) == ({"person": 3}, 1)
    assert "2 annotators: bob 2, ann 1" in inspect(rows).stdout
    crowd = [row | {"annotator": f"p{number:02}"} for number in range(14)]
    assert "14 annotators: p00 1, " in inspect(crowd).stdout
    assert json.loads(inspect(ROWS, "--json").stdout)["annotators"] == {}
