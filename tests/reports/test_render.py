import base64
import hashlib
import json
import re

import pytest
from pages import Page
from sample_run import HOSTILE, summary, write_sample_run

from gnomon.errors import DataError
from gnomon.markup import visible
from gnomon.reports.render import render_report
from gnomon.reports.tables import interval, written
from gnomon.runs import RunFolder
from gnomon.store import content_id


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_sample_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def html(folder):
    return render_report(folder).read_text("utf-8")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def rendered(folder, **changes):
    return Page(render_report(write_sample_run(folder, **changes)).read_text("utf-8"))


def test_sections_come_in_the_order_they_are_read(page):
    assert page.sections() == [
        *("bread", "verdict", "answers", "sft", "reward", "policy"),
        *("constitution", "wrong", "costs", "lineage", "honesty"),
    ]


def test_every_element_is_closed_and_ids_are_unique(page):
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert page.open == []
    assert len(ids) == len(set(ids))


def test_nothing_is_loaded_from_anywhere(page):
    loading = (
        "src",
        "href",
        "xlink:href",
        "srcset",
        "action",
        "formaction",
        "poster",
        "data",
        "background",
        "ping",
    )
    for tag, attributes in page.tags:
        for name in loading:
            assert attributes.get(name, "#").startswith("#") or (tag, attributes[name]) == ("link", "data:,")
        assert "url(" not in attributes.get("style", "").replace("url(#", "")
        assert tag not in ("img", "iframe", "object", "embed", "base", "form", "video", "audio")
    assert not re.search(r"@import|url\(", "".join(page.styles))
    assert not re.search(r"fetch|XMLHttp|import\(|innerHTML|eval|document\.write", "".join(page.scripts))


def test_the_one_script_is_the_one_the_policy_allows(page):
    (script,) = page.scripts
    policy = next(a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == f"'sha256-{digest}'"
    assert directives["img-src"] == "data:"


def test_hostile_text_is_shown_and_inert(page):
    for text in HOSTILE:
        assert visible(text) in page.text
    assert "<b>AI comparisons</b>" in page.text
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert not any(
        "evil.example" in str(value) for _, attributes in page.tags for value in attributes.values()
    )


def test_every_figure_of_every_model_appears(page):
    header, *rows = page.tables["every"]
    assert header == ["Metric", "Base", "Instruction-tuned", "Optimised", "Constitutional"]
    titles = {"ends_turn": "Ends its turn", "kl/reference": "KL from reference nats"}
    cells = {row[0]: row[1:] for row in rows}
    assert cells["Ends its turn"][1] == "93.3%82.3 to 100.0n 30"
    assert cells["Second reward"][0] == "−2.41−2.72 to −2.10n 30"
    assert cells[titles["kl/reference"]][0] == "–"
    everything = "\n".join(cell for row in rows for cell in row)
    for metrics in summary()["models"].values():
        for name, value in metrics.items():
            assert f"{written(name, value['value'])}{interval(name, value)}n {value['n']}" in everything


def test_differences_say_whether_they_are_clear_of_zero(page):
    rows = page.tables["differences"][1:]
    assert rows[0][:4] == ["Answers", "Instruction-tuned over Base", "+83.4 pts", "+69.4 to +97.4"]
    assert [row[-1] for row in rows] == [
        "clear of zero",
        "includes zero; ±18.6 pts would mostly have shown",
        "clear of zero",
        "includes zero",
        "clear of zero",
    ]


def test_all_held_out_prompts_are_there_to_be_searched_and_sorted(page):
    rows = [attributes for tag, attributes in page.tags if attributes.get("class") == "row"]
    assert len(rows) == 30
    assert json.loads(rows[0]["data-failed"]) == ["base", "constitutional"]
    assert all(float(row["data-disagreement"]) >= 0 for row in rows)
    assert sum(attributes.get("class", "").startswith("answer ") for _, attributes in page.tags) == 31 * 4


def test_the_gate_the_budget_and_the_costs_are_told(page):
    figures = " ".join(
        attributes["aria-label"] for tag, attributes in page.tags if tag == "svg" and "role" in attributes
    )
    assert "measured 54.2%, needed 60%; 35.4% of the choices change with the order, allowed 40%" in figures
    assert "the gate stayed shut" in figures
    assert "budget 8" in page.text
    assert "Stopped early: the KL budget would have been passed at step 27" in page.text
    assert "20 min 19 s in all, 3.04 GiB of memory at most" in page.text
    assert "their errors correlate at 0.44" in page.text
    assert "2025-06-01" in page.text


def test_rlhf_is_said_only_of_preferences_of_people(html, tmp_path):
    assert "preference optimisation on constructed comparisons" in html
    assert "RLHF" not in html
    both = {"person": 40, "constructed": 200}
    assert "RLHF" in rendered(tmp_path, preferences={"sources": both}).text
    assert "RLHF" not in rendered(tmp_path, preferences={"sources": both, "optimised": False}).text


def test_people_s_votes_are_told_with_who_disagreed_most(tmp_path):
    votes = {
        "method": "annotator_model",
        "rows": 118,
        "judged": 120,
        "judged_again": 100,
        "disputed": 31,
        "flips": {"value": 0.214, "low": 0.18, "high": 0.25, "n": 300},
        "annotators": {
            "brisk <b>heron": {"votes": 100, "against": 0.12, "telling": 0.4},
            "calm otter": {"votes": 100, "against": 0.48, "telling": 0.01},
            "shy lynx": {"votes": 100, "against": None, "telling": 0.0},
        },
    }
    changed = summary()
    changed["data"]["labels"] = {"labels:talk": votes}
    changed["reward"]["label_smoothing"] = 0.214
    page = rendered(tmp_path, data=changed["data"], reward=changed["reward"])
    assert "People's votes: labels:talk" in page.text
    assert "Of 100 that several people judged, 31 are disputed" in page.text
    assert "21.4% 18.0 to 25.0 are for the worse one" in page.text
    assert "Labels taken to be flipped21.4%" in page.text
    rows = page.text[page.text.index("Who disagreed") :]
    assert rows.index("calm otter") < rows.index("brisk <b>heron") < rows.index("shy lynx")


def test_alarms_are_told_with_their_evidence_and_drawn_where_they_fired(page, html, tmp_path):
    wrong = page.text[page.text.index("What went wrong") :]
    row = wrong[wrong.index("over-optimisation") :]
    assert "17 to 24" in row
    assert row.index("1.312.38+1.07") < row.index("second reward model's score0.940.61−0.33−0.58 to −0.08")
    figure = {
        heading: html[html.index(f"<strong>{heading}</strong>") :].split("</figure>", 1)[0]
        for heading in ("Reward", "Length")
    }
    assert "alarm at step 24" in figure["Reward"]
    assert "alarm" not in figure["Length"]
    quiet = rendered(tmp_path, policy={"steps": 26, "alarms": [], "kept": None})
    assert "Alarms while" not in quiet.text
    assert "goes on" not in quiet.text
    assert "The policy after step 17 goes on" in page.text


def test_what_was_measured_on_prompts_set_aside_is_drawn(tmp_path):
    write_sample_run(tmp_path)
    rows = [{"step": step, "eval/reward/mean": 0.1 * step, "eval/checks": 0.5} for step in range(3)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "metrics" / "policy.jsonl").write_text(text, "utf-8")
    html = render_report(tmp_path).read_text("utf-8")
    assert "<strong>Reward, prompts set aside</strong>" in html
    assert "optimised against: 0 at step 0, 0.2 at step 2" in html
    assert "50%" in html[html.index("<strong>Checks, prompts set aside</strong>") :]


def test_a_stage_left_out_does_not_appear(tmp_path):
    write_sample_run(tmp_path)
    for name in ("policy", "constitution", "reward", "reward_second"):
        (tmp_path / "metrics" / f"{name}.jsonl").unlink()
    (tmp_path / "critiques.jsonl").unlink()
    gone = dict.fromkeys(("policy", "constitution", "reward", "reward_second", "preferences", "costs"))
    values = {key: value for key, value in summary().items() if key not in gone}
    (tmp_path / "summary.json").write_text(json.dumps(values), "utf-8")
    sections = Page(render_report(tmp_path).read_text("utf-8")).sections()
    assert sections == ["bread", "verdict", "answers", "sft", "wrong", "lineage", "honesty"]


def test_a_bare_summary_is_enough(tmp_path):
    (tmp_path / "summary.json").write_text(json.dumps({"run": {"name": "bare"}}), "utf-8")
    page = Page(render_report(tmp_path).read_text("utf-8"))
    assert page.sections() == ["honesty"]
    assert "bare" in page.text


def test_a_lone_surrogate_and_an_unknown_model_do_no_harm(tmp_path):
    page = rendered(
        tmp_path, bread={"prompt": "Hi \ud800", "answers": {"base": "x\udfff"}}, models={"<i>mine": {}}
    )
    assert "Hi \ufffd" in page.text
    assert "x\ufffd" in page.text
    assert "<i>mine" in page.text


def test_rendering_again_gives_the_same_page(folder, html):
    assert render_report(folder).read_text("utf-8") == html


def test_an_unreadable_run_leaves_the_old_page_and_is_named(tmp_path):
    old = render_report(write_sample_run(tmp_path)).read_bytes()
    with (tmp_path / "answers.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"prompt_id": "cut')
    with pytest.raises(DataError, match=r"row 121 of .*answers\.jsonl is not JSON"):
        render_report(tmp_path)
    assert (tmp_path / "report.html").read_bytes() == old


def test_a_folder_without_a_summary_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"has no summary\.json; finish the run"):
        render_report(tmp_path)


def test_figures_are_not_shown_among_what_a_later_run_has_left_so_far(tmp_path):
    write_sample_run(tmp_path, run={"name": "one", "settings": content_id({"seed": 0})})
    RunFolder(tmp_path).write_config({"seed": 0})
    render_report(tmp_path)
    for settings in ("seed: 1", "seed: [", "since: 2025-06-01"):
        RunFolder(tmp_path).config.write_text(settings, "utf-8")
        with pytest.raises(DataError, match=r"config\.yaml, of a run that has not ended; finish that run"):
            render_report(tmp_path)
