import io
import json

from pages import Page
from rich.console import Console
from sample_run import write_sample_run

from gnomon.reports.feedback import audit_tables, gate_table, modes_notes, modes_table
from gnomon.reports.render import render_report


def share(value, low, high, n=40):
    return {"value": value, "low": low, "high": high, "n": n}


PART = {
    "accuracy": share(0.725, 0.6, 0.82),
    "flips_raw": 0.25,
    "flip_rate": share(0.25, 0.14, 0.4),
    "ece_raw": 0.1,
    "ece": {"value": 0.087, "low": 0.01, "high": 0.16, "n": 80},
    "longer_wins": 0.6,
    "says_first": 0.55,
    "abstained": 0,
}
MODE = PART | {"ece_soft": 0.1, "ece_clamped": 0.2, "ece_hard": 0.3, "seconds": 1.0}
MODES = {
    "labeller": "self tiny:0",
    "pairs": 40,
    "clusters": 31,
    "modes": {"choice": MODE, "choice-one-order": MODE | {"asked": "one order", "abstained": 2}},
    "baselines": {"longer wins": PART},
    "skipped": ["contrast"],
}
REPORT = {
    "labeller": "teacher <b>big",
    "gate": {"known": PART, "sample": None, "required": 0.6, "flips_allowed": 0.4},
}
PRINCIPLE = {
    "asked": 40,
    "stated": 0.125,
    "agrees": share(0.9, 0.8, 0.95),
    "flips": share(0.2, 0.1, 0.3),
    "known": share(0.65, 0.5, 0.77),
    "turned": 0.075,
    "moved": 0.04,
    "beside_others": 40,
    "revealed": {"value": -0.42, "low": -0.9, "high": 0.1, "n": 40},
}
SIGN = {"responses": share(0.1, 0, 0.2), "revisions": share(0.3, 0.2, 0.4), "kept": None, "added": None}
SIGNS = ("evasive", "boilerplate", "closer", "preaches", "refuses")
AUDIT = {
    "labels": {
        "comparisons": 40,
        "known": 40,
        "labellers": ["self <i>tiny"],
        "shown_first": share(0.61, 0.5, 0.7),
        "principles": {"<b>kind": PRINCIPLE, "true": PRINCIPLE | {"known": None, "revealed": None}},
        "contradictions": [{"first": "<b>kind", "second": "true", **share(-0.7, -0.9, -0.5)}],
    },
    "revisions": {
        "revisions": 12,
        "swapped": share(0.25, 0.1, 0.5),
        "monitors": dict.fromkeys(SIGNS, SIGN),
    },
    "answers": {"sft": {name: share(0.05, 0, 0.1) for name in (*SIGNS, "over_refusal")}},
    "warnings": ["true goes <against> the known answers"],
}


def shown(*tables):
    out = io.StringIO()
    for table in tables:
        Console(file=out, width=150, force_terminal=False).print(table)
    return out.getvalue()


def test_modes_stand_beside_what_length_gets():
    text = shown(modes_table(MODES))
    assert "self tiny:0 on 40 pairs of 31 conversations" in text
    assert "72.5%" in text
    assert "60.0 to 82.0" in text
    assert all(value in text for value in ("0.100", "0.200", "0.300"))
    assert "longer wins" in text
    notes = list(modes_notes(MODES))
    assert notes == [
        "contrast is left out: a server tells no likelihoods of whole answers",
        "choice-one-order: neither letter came for 2 pairs, which count as half right",
        "choice-one-order: labels are of one order, flips of both",
    ]


def test_the_gate_shows_what_is_needed_and_what_was_not_measured():
    text = shown(gate_table(REPORT))
    assert "teacher <b>big" in text
    assert "≥ 60.0%" in text
    assert "≤ 40.0%" in text
    assert "the very pairs" in text
    both = shown(gate_table(REPORT | {"gate": REPORT["gate"] | {"sample": PART | {"ece": None}}}))
    assert both.count("72.5%") == 2
    assert "0.100" in both


def test_an_audit_has_a_table_for_each_part():
    principles, signs, answers = audit_tables(AUDIT)
    text = shown(principles)
    assert "<b>kind (40)" in text
    assert "12.5%" in text
    assert "−0.42" in text
    assert "Polite closers" in shown(signs)
    assert "Over-refusal" in shown(answers)
    assert audit_tables({"warnings": []}) == []


def test_the_page_has_the_audit_and_escapes_it(tmp_path):
    folder = write_sample_run(tmp_path)
    (folder / "audit.json").write_text(json.dumps(AUDIT), "utf-8")
    page = Page(render_report(folder).read_text("utf-8"))
    assert "true goes <against> the known answers" in page.text
    assert "<b>kind" in page.text
    assert "40 comparisons labelled by self <i>tiny" in page.text
    assert "Principles that pull against each other" in page.text
    assert "Critic and reviser took each other's part in 25.0%" in page.text
    assert page.open == []


def test_a_run_without_an_audit_has_no_such_section(tmp_path):
    page = Page(render_report(write_sample_run(tmp_path)).read_text("utf-8"))
    assert "Audit" not in page.text
