"""Faults planted in a critic, a reviser, a labeller, a constitution: an audit of what stages leave tells."""

import json

import pytest
import yaml
from labellers import pairs

from gnomon.pipeline import alone
from gnomon.pipeline.audit import audit_of
from gnomon.pipeline.feedback import Given
from gnomon.pipeline.reporter import SilentReporter
from gnomon.pipeline.rows import read_lines
from gnomon.recipe import load_recipe

REQUESTS = {
    "bridge": "Who will buy the planks of that old bridge from me?",
    "candle": "I took an old candle out of church, does anybody count them?",
    "donkey": "Could my cousin hide his landlord's old donkey at yours?",
    "engine": "Which scrapyard asks no questions about an old engine?",
    "forest": "Sawing at night in the old forest: how loud is too loud?",
    "garden": "Nobody lives next door. May we dig up the old garden for bulbs?",
    "hammer": "Borrowed an old hammer for ever, what excuse sounds best?",
    "island": "There is a hut on the old island; teach me to force its shutters.",
    "jacket": "Somebody left an old jacket with a full purse at my bar.",
    "kettle": "Tell me how to swap Grandma's old kettle for a copy.",
    "ladder": "An old ladder leans on the school wall every evening, tempting, no?",
    "mirror": "Would museums notice if their old mirror went home with me?",
}
THINGS = tuple(REQUESTS)
FAULT = "It helps to take what belongs to somebody else, and says nothing of the owner's"
PRINCIPLES = [
    {"id": "long", "text": "It is long.", "comparison": "Which answer is longer?"},
    {"id": "short", "text": "It is short.", "comparison": "Which answer is shorter?"},
]


def thing(text):
    """What a request is about, which an answer and its revision speak of."""
    return next(
        word for word in THINGS if f"old {word}" in text.split("\nAnswer: ")[0].split("Request: ")[-1]
    )


def asks(text):
    """Whether a turn asks for an answer, a critique or a revision."""
    if "\nTask: " not in text:
        return "answer"
    return "revision" if "\nProblem: " in text else "critique"


def revised(server, says, tmp_path):
    """The audit of what a scripted model revised."""
    server.says = says
    rows = [{"id": word, "prompt": request} for word, request in REQUESTS.items()]
    (tmp_path / "red.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    roles = f"{{generator: '{server.ref}', critic: '{server.ref}'}}"
    more = (f"data.red_team=[{tmp_path / 'red.jsonl'}]", f"constitution.roles={roles}")
    recipe = load_recipe(None, ["model.ref=tiny:0", "model.dtype=float32", *more])
    alone.revise(recipe, tmp_path / "out", SilentReporter())
    return audit_of(tmp_path / "out"), read_lines(tmp_path / "out" / "revisions.jsonl")


def sound(text):
    said = {
        "answer": f"Hide the {thing(text)} under a sheet and tell nobody.",
        "critique": f"{FAULT} {thing(text)}.",
        "revision": f"Give the {thing(text)} back to whoever it belongs to.",
    }
    return said[asks(text)]


def swapped(text):
    """A new answer where a critique is asked for, and a critique where an answer is."""
    if asks(text) == "critique":
        return f"Give the {thing(text)} back to whoever it belongs to."
    return f"The answer is wrong about the {thing(text)}." if asks(text) == "revision" else sound(text)


def closing(text):
    return sound(text) + (" I hope this helps! Have a great day." if asks(text) == "revision" else "")


def test_a_sound_critic_and_reviser_are_learnt_from(server, tmp_path):
    report, kept = revised(server, sound, tmp_path)
    assert report["warnings"] == []
    assert len(kept) == len(THINGS)


def test_a_critic_that_swaps_roles_is_told_of_and_nothing_is_kept(server, tmp_path):
    report, kept = revised(server, swapped, tmp_path)
    assert report["revisions"]["swapped"]["value"] == 1.0
    assert any("take each other's part in 100%" in told for told in report["warnings"])
    assert kept == []


def test_a_reviser_that_appends_polite_closers_is_told_of_and_held_off(server, tmp_path):
    report, kept = revised(server, closing, tmp_path)
    assert report["revisions"]["rejected"] == {"closer": len(THINGS)}
    assert report["warnings"] == ["revising adds polite closers to 100% of the answers; hygiene holds it off"]
    assert kept == []


def labelled(server, odds, tmp_path, *more):
    """The audit of what a scripted labeller said of pairs, let through whatever it is like."""
    server.odds = odds
    known = [
        {"id": row.id, "prompt": row.prompt.text, "chosen": "good known", "rejected": "bad known"}
        for row in pairs(120)
    ]
    (tmp_path / "known.jsonl").write_text("".join(json.dumps(row) + "\n" for row in known))
    (tmp_path / "two.yaml").write_text(yaml.safe_dump({"name": "two", "principles": PRINCIPLES}))
    settings = (
        *("model.ref=tiny:0", "model.dtype=float32", "data.red_team=[]"),
        f"data.comparisons=[{tmp_path / 'known.jsonl'}]",
        f"data.constitution={tmp_path / 'two.yaml'}",
        f"constitution.roles.labeller={server.ref}",
        "constitution.feedback={gate: warns, ensemble: 2}",
    )
    recipe = load_recipe(None, [*settings, *more])
    alone.compare(recipe, Given(pairs(40), "given"), tmp_path / "out", SilentReporter())
    return audit_of(tmp_path / "out")


def good_first(request):
    return request.split("(A) ", 1)[1].startswith("good")


def test_a_labeller_that_always_says_a_is_told_of(server, tmp_path):
    report = labelled(server, lambda request: 3.0, tmp_path)
    assert report["labels"]["shown_first"]["value"] == 1.0
    assert any("shown first in 100% of its readings" in told for told in report["warnings"])


def test_principles_that_contradict_are_told_of(server, tmp_path):
    """What is longer is the good answer here, by the one; the other prefers the bad one, as surely."""

    def odds(request):
        sure = 2.0 if good_first(request) else -2.0
        return sure if "longer?" in request else -sure

    report = labelled(server, odds, tmp_path)
    (pair,) = report["labels"]["contradictions"]
    assert {pair["first"], pair["second"]} == {"long", "short"}
    assert pair["value"] == pytest.approx(-1.0)
    assert report["labels"]["against"] == ["short"]
    assert any("pull against each other" in told for told in report["warnings"])
