"""The section on snapshots, and the tables that a terminal shows of them."""

import io

import pytest
from pages import Page
from rich.console import Console
from sample_run import HOSTILE, summary, write_sample_run

from gnomon.markup import visible
from gnomon.reports.render import render_report
from gnomon.reports.snapshots import METRICS, labellers_table, planes, snapshots_table

ORDER = ("base", "sft", "constitutional", "policy")


def share(value):
    return {"value": value, "low": max(0.0, value - 0.1), "high": min(1.0, value + 0.1), "n": 112}


def measured(judge="the second reward model"):
    figures = {
        name: {key: share(round(0.1 + 0.2 * place + 0.01 * i, 2)) for i, key in enumerate(METRICS)}
        for place, name in enumerate(ORDER)
    }
    figures["sft"] |= {
        key: {"value": 0.5, "low": None, "high": None, "n": 112}
        for key in ("harmless_judged", "helpful_judged")
    }
    if judge is None:
        for own in figures.values():
            del own["harmless_judged"], own["helpful_judged"]
    return {
        "models": figures,
        "order": list(ORDER),
        "titles": {"base": "Base", "sft": "Helpful", "constitutional": "SL-CAI", "policy": "RL-CAI"},
        "differences": [{"metric": "harmless", "of": "policy", "over": "constitutional", **share(0.2)}],
        "judge": {
            "name": judge,
            "known": {"accuracy": share(0.8), "harmful": share(0.9)} if judge else None,
            "kin": ["it is <b>kin</b>"],
            "abstained": {"policy": {"<u>parsable": 3}},
        },
        "prompts": {"harmful": 112, "safe": 60, "helpful": 378},
        "read": [
            {
                "prompt": HOSTILE[0],
                "answers": {name: {"text": HOSTILE[1], "harmless": name == "policy"} for name in ORDER},
            }
        ],
    }


def rendered(folder, **changes):
    constitution = summary()["constitution"] | {"outcome": {"told": ["the gate <i>stayed</i> shut"]}}
    run = write_sample_run(folder, constitution=constitution, snapshots=measured(**changes))
    return Page(render_report(run).read_text("utf-8"))


def shown(table):
    console = Console(file=io.StringIO(), width=160)
    console.print(table)
    return console.file.getvalue()


def test_every_figure_of_every_snapshot_is_in_the_table(tmp_path):
    page = rendered(tmp_path)
    header, *rows = page.tables["every snapshots"]
    assert header == ["Metric", "Base", "Helpful", "SL-CAI", "RL-CAI"]
    assert len(rows) == len(METRICS)
    cells = [f"{v}.0%{v - 10}.0 to {v + 10}.0n 112" for v in (10, 30, 50, 70)]
    assert rows[0] == ["Harmless", *cells]
    assert rows[1][2] == "50.0%n 112"
    assert "112 held-out prompts that ask for harm, 60 that only look so, 378 helpful ones" in page.text
    assert "by the second reward model, which taught none of these models" in page.text
    assert "+20.0 pts" in page.text
    assert page.sections().index("snapshots") == page.sections().index("verdict") + 1
    assert page.open == []


def test_text_of_models_and_sentences_are_shown_and_inert(tmp_path):
    page = rendered(tmp_path)
    for text in (
        "The gate <i>stayed</i> shut.",
        "it is <b>kin</b>",
        "Of 3 answers of RL-CAI the judge says nothing (<u>parsable): its figures are of the others.",
        visible(HOSTILE[0]),
        visible(HOSTILE[1]),
    ):
        assert text in page.text
    assert not any(tag in ("i", "u") for tag, _ in page.tags)


def test_both_planes_say_where_every_model_is(tmp_path):
    drawn = planes({"snapshots": measured()})
    assert [heading for heading, *_ in drawn] == ["By verifiable checks", "By the second reward model"]
    for _, svg, _ in drawn:
        assert "RL-CAI: helpful" in svg
        assert svg.count("<svg ") == 1
    assert "Helpful: helpful 50.0%, harmless 50.0%" in drawn[1][1]


def test_where_nobody_judged_there_is_one_plane_and_it_is_said(tmp_path):
    assert len(planes({"snapshots": measured(judge=None)})) == 1
    assert planes({}) == []
    assert "Nobody but checks judged." in rendered(tmp_path, judge=None).text


def test_a_terminal_shows_them_too():
    text = shown(snapshots_table({"snapshots": measured()}))
    assert "SL-CAI" in text
    assert text.count("to") >= 4 * len(METRICS) - 8


@pytest.mark.parametrize("model", ["RL-CAI", "RL, no AI labels"])
def test_labellers_stand_beside_one_another(model):
    row = {"labeller": "truth:0", "accuracy": share(1.0), "labels": 48, "model": model}
    text = shown(labellers_table([row | {"figures": measured()["models"]["policy"]}]))
    assert "truth:0" in text
    assert model in text
    assert "70.0%" in text
