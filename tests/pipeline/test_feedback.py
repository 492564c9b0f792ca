"""AI labels from a server that plays the labeller: measured, stopped or let through, asked once."""

import json
import math
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from labellers import pairs
from serving import body, status, vanish

from gnomon.data import files
from gnomon.errors import ConfigError, DataError, ModelError
from gnomon.pipeline import alone
from gnomon.pipeline.feedback import Given, gate_comparisons, given_pairs, labelled_sample
from gnomon.pipeline.reporter import SilentReporter
from gnomon.pipeline.rows import read_lines, write_records
from gnomon.recipe import load_recipe
from gnomon.records import Conversation, Label, Prompt, Ranking


class Told(SilentReporter):
    """Remembers warnings."""

    def __init__(self):
        self.warnings = []

    def warning(self, text):
        self.warnings.append(text)


def good_first(request):
    return request.split("(A) ", 1)[1].startswith("good")


def right(request):
    return 2.0 if good_first(request) else -2.0


def always_a(request):
    return 3.0


def at_chance(request):
    return Random(request).gauss(0, 2)


@pytest.fixture
def recipe(tmp_path, server):
    """Comparisons with known answers that say which is the better, and a server as the labeller."""
    known = [
        {
            "id": row.id,
            "prompt": row.prompt.text,
            "chosen": "good known",
            "rejected": "bad known",
            "reason": "harmful",
        }
        for row in pairs(200)
    ]
    (tmp_path / "known.jsonl").write_text("".join(json.dumps(row) + "\n" for row in known))

    def made(*more, seed=0):
        overrides = {
            "model.ref": "tiny:0",
            "model.dtype": "float32",
            "data.comparisons": f"[{tmp_path / 'known.jsonl'}]",
            "data.red_team": "[]",
            "constitution.roles.labeller": server.ref,
            "constitution.gate_comparisons": 60,
        }
        return load_recipe(None, [*(f"{key}={value}" for key, value in overrides.items()), *more])

    return made


def waiting(n):
    return Given([replace(row, id=f"w{row.id}", label=None) for row in pairs(n)], f"waiting {n}")


def test_a_good_labeller_labels_and_every_row_says_who_did(server, recipe, tmp_path):
    server.odds = right
    told = Told()
    report = alone.compare(recipe(), waiting(20), tmp_path / "out", told)
    assert report["gate"]["passed"]
    assert report["gate"]["sample"] is None
    assert report["ai_comparisons"] == 20
    assert any("very pairs it labels it was not measured" in text for text in told.warnings)
    rows = read_lines(tmp_path / "out" / "labels.jsonl")
    assert {(row["role"], row["labeller"]) for row in rows} == {("teacher", str(server.ref))}
    assert all((row["preference"] > 0.5) == row["first"][0].startswith("good") for row in rows)
    labelled = read_lines(tmp_path / "out" / "comparisons.jsonl")
    assert {row["label"]["source"] for row in labelled} == {"ai"}
    assert {row["label"]["annotator"] for row in labelled} == {f"teacher {server.ref}"}
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report


@pytest.mark.mistake("labels-ungated")
@pytest.mark.parametrize("odds", [always_a, at_chance])
def test_one_letter_or_a_coin_is_stopped_with_the_figure_and_what_to_do(server, recipe, tmp_path, odds):
    server.odds = odds
    with pytest.raises(ModelError, match=r"swap places.*labels nothing.*Take a larger model"):
        alone.compare(recipe(), waiting(20), tmp_path / "out", SilentReporter())
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["gate"]["passed"], report["gate_held"], report["ai_comparisons"]) == (False, True, 0)
    assert read_lines(tmp_path / "out" / "comparisons.jsonl") == []
    assert server.answered.total() == 2 * 60  # what was to be labelled was never asked about


def test_told_otherwise_it_labels_and_warns(server, recipe, tmp_path):
    server.odds, told = always_a, Told()
    given = waiting(5)
    report = alone.compare(recipe("constitution.feedback.gate=warns"), given, tmp_path / "out", told)
    assert (report["gate"]["passed"], report["ai_comparisons"]) == (False, 5)
    assert any("by place more than by content" in text for text in told.warnings)


@pytest.mark.mistake("labels-ungated")
def test_one_that_knows_the_known_answers_and_not_the_very_pairs_is_stopped(server, recipe, tmp_path):
    server.odds = lambda request: right(request) if "known" in request else at_chance(request)
    known = [replace(row, id=f"s{row.id}") for row in pairs(60)]
    with pytest.raises(ModelError, match=r"on the very pairs, the labeller is right on"):
        alone.compare(recipe(), Given(known, "known"), tmp_path / "out", SilentReporter())
    gate = json.loads((tmp_path / "out" / "report.json").read_text())["gate"]
    assert gate["accuracy"]["value"] == 1.0
    assert gate["sample"]["accuracy"]["value"] < 0.75


def test_a_sample_of_a_file_measures_too(server, recipe, tmp_path):
    server.odds = right
    write_records(tmp_path / "sample.jsonl", pairs(40))
    more = f"constitution.feedback.sample=[{tmp_path / 'sample.jsonl'}]"
    report = alone.compare(recipe(more), Given((), ""), tmp_path / "out", SilentReporter())
    assert report["gate"]["sample"]["accuracy"] == {
        "value": 1.0,
        "low": pytest.approx(0.9, abs=0.05),
        "high": 1.0,
        "n": 40,
    }
    assert report["ai_comparisons"] == 0


def test_each_question_is_asked_exactly_once_whatever_the_server_does(server, recipe, tmp_path):
    server.odds = right
    server.faults = [status(429, Retry_After="0"), status(500), body("{"), vanish, status(503)]
    alone.compare(recipe(), waiting(20), tmp_path / "out", SilentReporter())
    assert len(server.answered) == 2 * (60 + 20)
    assert set(server.answered.values()) == {1}
    alone.compare(recipe(), waiting(20), tmp_path / "out", SilentReporter())
    assert server.answered.total() == 2 * (60 + 20)


def test_a_run_that_broke_off_goes_on_where_it_was(server, recipe, tmp_path):
    server.odds, server.limit = right, 70
    with pytest.raises(ConfigError, match="no more"):
        alone.compare(recipe(), waiting(20), tmp_path / "out", SilentReporter())
    server.limit = math.inf
    assert alone.compare(recipe(), waiting(20), tmp_path / "out", SilentReporter())["ai_comparisons"] == 20
    assert len(server.answered) == 2 * (60 + 20)
    assert server.answered.total() <= 2 * (60 + 20) + 16  # those in flight may be lost


def test_what_is_labelled_depends_on_how_and_by_whom(server, recipe, tmp_path):
    server.odds = right
    asked = []
    for more in (
        (),
        ("constitution.feedback.labels=hard",),
        ("constitution.feedback.share=0.5",),
        ("constitution.helpful=3",),
    ):
        report = alone.compare(recipe(*more), waiting(4), tmp_path / "out", SilentReporter())
        asked.append(
            (
                server.answered.total(),
                {row["preference"] for row in read_lines(tmp_path / "out" / "labels.jsonl")},
            )
        )
    assert [values == {0.0, 1.0} for _, values in asked] == [False, True, False, False]
    assert asked[2] == asked[3] == (asked[1][0], asked[0][1])  # shares and helpfulness label nothing anew
    assert report["labeller"] == f"teacher {server.ref}"


def test_the_model_itself_may_label(recipe, tmp_path):
    more = (
        "constitution.roles.labeller=null",
        "constitution.feedback.gate=warns",
        "constitution.gate_comparisons=8",
    )
    report = alone.compare(recipe(*more), waiting(3), tmp_path / "out", SilentReporter())
    assert report["labeller"] == "self tiny:0"
    assert report["ai_comparisons"] == 3


def test_another_model_in_memory_may_label_by_contrast(recipe, tmp_path):
    more = ("constitution.roles.labeller=tiny:1", "constitution.feedback={method: contrast, gate: warns}")
    report = alone.compare(
        recipe(*more, "constitution.gate_comparisons=8"), waiting(3), tmp_path / "out", SilentReporter()
    )
    assert report["labeller"] == "teacher tiny:1"
    rows = read_lines(tmp_path / "out" / "labels.jsonl")
    assert all(row["first_order"] == row["second_order"] for row in rows)
    assert report["gate"]["flip_rate"] == 0


def test_a_critic_and_a_generator_on_servers_say_what_they_are_scripted_to(server, recipe, tmp_path):
    def says(text):
        if "\nTask: " not in text:
            return "Take the bridge and hide the garden tools."
        return (
            "It helps a thief to hide what is not his."
            if "\nProblem: " not in text
            else "Leave the tools to whoever owns them."
        )

    server.says = says
    (tmp_path / "red.jsonl").write_text('{"id": "r", "prompt": "Where do I hide stolen garden tools?"}\n')
    roles = f"constitution.roles={{generator: '{server.ref}', critic: '{server.ref}'}}"
    more = (roles, f"data.red_team=[{tmp_path / 'red.jsonl'}]")
    server.faults = [status(500)]
    alone.revise(recipe(*more), tmp_path / "out", SilentReporter())
    (row,) = read_lines(tmp_path / "out" / "critiques.jsonl")
    assert row["generator"] == row["critic"] == f"teacher {server.ref}"
    assert row["revision"] == "Leave the tools to whoever owns them."
    assert server.answered.total() == 3


def test_a_role_that_names_nothing_is_refused_before_anything_is_asked(recipe, tmp_path):
    with pytest.raises(ConfigError, match="nobody"):
        alone.compare(
            recipe("constitution.roles.labeller=nobody"), waiting(1), tmp_path / "o", SilentReporter()
        )


def test_pairs_come_of_comparisons_and_of_rankings_scored_or_not(tmp_path):
    prompt = Conversation.of("How?")
    write_records(tmp_path / "a.jsonl", pairs(2))
    write_records(tmp_path / "b.jsonl", [Ranking("r", prompt, ("x", "y", "z"))])
    write_records(tmp_path / "c.jsonl", [Ranking("s", prompt, ("x", "y"), (1.0, 2.0))])
    given = given_pairs([tmp_path / name for name in ("a.jsonl", "b.jsonl", "c.jsonl")])
    assert [pair.id for pair in given.pairs] == ["p0", "p1", "r/0,1", "r/0,2", "r/1,2", "s/1>0"]
    assert [pair.id for pair in labelled_sample(given.pairs)] == ["p0", "p1", "s/1>0"]
    assert given.digest != given_pairs([tmp_path / "a.jsonl"]).digest
    write_records(tmp_path / "d.jsonl", [Prompt("p", prompt)])
    with pytest.raises(DataError, match="holds no pairs of answers: p is none"):
        given_pairs([tmp_path / "d.jsonl"])


def test_pairs_of_the_hub_are_told_apart_by_what_they_say(monkeypatch):
    better = {"hub:a/one": "Slowly.", "hub:b/two": "With care."}

    def rows(reference):
        yield {"id": "p", "prompt": "How?", "chosen": better[reference], "rejected": "Fast."}

    monkeypatch.setattr(files, "_hub_rows", rows)
    one = given_pairs([Path("hub:a/one")]).digest
    assert one == given_pairs([Path("hub:a/one")]).digest
    assert one != given_pairs([Path("hub:b/two")]).digest
    better["hub:a/one"] = "Never."
    assert one != given_pairs([Path("hub:a/one")]).digest


def test_alone_the_gate_is_measured_on_all_comparisons_but_those_held_out(server, recipe, tmp_path):
    server.odds = right
    more = "constitution.gate_comparisons=500"
    report = alone.compare(recipe(more), Given((), ""), tmp_path / "out", SilentReporter())
    assert report["gate"]["accuracy"]["n"] == 200 * 0.8


def test_labels_of_an_ai_and_ties_are_no_sample():
    (row,) = pairs(1)
    assert labelled_sample([row]) == [row]
    for label in (Label(1.0, "ai"), Label(0.5, "person"), None):
        assert labelled_sample([replace(row, label=label)]) == []


def test_the_gate_is_measured_on_the_constitution_s_subject_sides_drawn():
    recipe = load_recipe(None, ["constitution.gate_comparisons=40"])
    rows = [replace(row, label=replace(row.label, preference=1.0, reason="harmful")) for row in pairs(60)]
    rows += [replace(row, id=f"o{row.id}", label=replace(row.label, reason="padded")) for row in pairs(60)]
    chosen = gate_comparisons(rows, recipe.constitution, 0)
    assert len(chosen) == 40
    assert {row.label.reason for row in chosen} == {"harmful"}
    assert 8 < sum(row.label.preference == 1.0 for row in chosen) < 32
