import io

import pytest
from rich.console import Console
from sample_run import estimate, summary

from gnomon.reports.tables import (
    bread_panel,
    difference,
    difference_interval,
    interval,
    metric_names,
    ordered,
    summary_table,
    title,
    written,
)


def shown(renderable, width=110):
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=False).print(renderable)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("checks", 0.43333, "43.3%"),
        ("checks", 1.0, "100.0%"),
        ("reward/second", 1.127, "+1.13"),
        ("reward/second", -2.413, "−2.41"),
        ("reward/second", -0.001, "0.00"),
        ("kl/reference", 6.314, "6.31"),
        ("length/tokens", 1234.56, "1,234.6"),
        ("something/new", 0.5, "0.50"),
        ("checks", None, "–"),
        ("checks", float("nan"), "–"),
    ],
)
def test_numbers_are_written_as_their_metric_is(name, value, text):
    assert written(name, value) == text


def test_intervals_and_differences():
    assert interval("checks", {"low": 0.1, "high": 0.2567}) == "10.0 to 25.7"
    assert interval("reward/second", {"low": -0.5, "high": 1}) == "−0.50 to +1.00"
    assert interval("checks", {"low": None, "high": None}) == ""
    clear = {"value": 0.1, "low": -0.03, "high": 0.23}
    assert difference("checks", clear) == "+10.0 pts"
    assert difference_interval("checks", clear) == "−3.0 to +23.0"
    assert difference("kl/reference", {"value": -1.5}) == "−1.50"
    assert difference_interval("kl/reference", {"value": -1.5}) == ""
    assert difference("checks", {"value": None, "low": 0.0, "high": 1.0}) == "–"
    assert difference_interval("loss", {"value": 1.0, "low": 0.5, "high": float("inf")}) == "+0.500 to –"


def test_a_tiny_difference_can_be_read_and_none_at_all_is_nought():
    tiny = {"value": 0.0031, "low": 0.0012, "high": 0.0050}
    assert difference("reward/second", tiny) == "+0.0031"
    assert difference_interval("reward/second", tiny) == "+0.0012 to +0.0050"
    assert difference("checks", tiny) == "+0.31 pts"
    assert difference_interval("checks", tiny) == "+0.12 to +0.50"
    none = {"value": 0.0, "low": 0.0, "high": 0.0}
    assert (difference("loss", none), difference_interval("loss", none)) == ("0.000", "0.000 to 0.000")


def test_models_stand_in_the_order_of_the_road():
    assert ordered({"zeta", "policy", "alpha", "base", "sft"}) == ["base", "sft", "policy", "alpha", "zeta"]
    assert title("sft") == "Instruction-tuned"
    assert title("alpha") == "alpha"


def test_known_metrics_come_first_and_unknown_ones_are_kept():
    found = {
        "models": {"base": {"zzz": estimate(1, 0), "checks": estimate(1, 0), "ends_turn": estimate(1, 0)}}
    }
    assert metric_names(found) == ["ends_turn", "checks", "zzz"]


@pytest.mark.parametrize("width", [80, 120])
def test_the_summary_table_has_every_figure_with_its_interval_and_folds_none(width):
    text = shown(summary_table(summary()), width)
    assert max(map(len, text.splitlines())) <= width
    for model, metrics in summary()["models"].items():
        assert model == "sft" or f" {title(model)}" in text
        for name, value in metrics.items():
            assert f" {written(name, value['value'])}" in text
            assert interval(name, value) in text


def test_the_widest_figures_of_four_models_fit_80_characters_in_two_lines_a_metric():
    wide = summary()
    for values in wide["models"].values():
        values["reward/second"] = {"value": -1.0, "low": -1.47, "high": -0.48}
        values["checks"] = {"value": 1.0, "low": 0.981, "high": 1.0}
    text = shown(summary_table(wide), 80)
    assert text.count("−1.47 to −0.48") == text.count("98.1 to 100.0") == 4
    head = ["", "title", "Instruction-", "tuned", "rule"]
    assert len(text.splitlines()) == len(head) + 2 * len(metric_names(wide)) + len([""])


def test_the_longest_heading_takes_two_lines_above_its_figures():
    above, heading = shown(summary_table(summary()), 80).splitlines()[2:4]
    assert above.split() == ["Instruction-"]
    assert heading.split() == ["Base", "tuned", "Optimised", "Constitutional"]
    assert len(above.rstrip()) == heading.index("tuned") + len("tuned")


def test_a_model_without_a_metric_has_a_dash_for_it():
    row = next(line for line in shown(summary_table(summary())).splitlines() if "KL from reference" in line)
    assert "–" in row
    assert "6.31" in row


def test_the_bread_panel_shows_each_answer_below_its_model():
    text = shown(bread_panel(summary()))
    assert text.index("How do I make bread?") < text.index("Base") < text.index("Constitutional")
    assert "sounds hollow underneath" in text


def test_model_text_cannot_command_a_terminal_or_rich():
    hostile = {
        "bread": {"prompt": "[bold]hi[/]", "answers": {"base": "\x1b[2J[red]x[/red] \x07", "sft": " "}}
    }
    text = shown(bread_panel(hostile))
    assert "\x1b" not in text
    assert "␛[2J[red]x[/red] ␇" in text
    assert "[bold]hi[/]" in text
    assert "(nothing)" in text
