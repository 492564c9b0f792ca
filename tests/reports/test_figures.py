from xml.etree import ElementTree

import pytest
from sample_run import estimate, summary

from gnomon.reports import figures
from gnomon.reports.figures import Line, accuracy_by_reason, curve, gate, reliability, running_mean


def words(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter("text")]


def test_the_running_mean_is_centred_and_shorter_at_the_ends():
    assert running_mean([0.0, 3.0, 6.0, 0.0]) == pytest.approx([1.5, 3.0, 3.0, 3.0])


def test_a_curve_is_inline_svg_in_the_colours_of_the_page():
    svg = curve(
        "kl", [Line("kl/reference", figures.POLICY, [1, 2, 3], [0.5, 4.0, 7.25])], limit=(8.0, "budget 8")
    )
    assert "var(--policy)" in svg
    assert "var(--bad)" in svg
    assert "#0001" not in svg
    assert "budget 8" in words(svg)
    assert 'aria-label="kl/reference: 0.5 at step 1, 7.25 at step 3"' in svg


def test_an_alarm_is_drawn_at_its_step_and_told_to_those_who_do_not_see_it():
    line = Line("kl", figures.POLICY, [1, 2, 3], [0.5, 4.0, 7.25])
    svg = curve("kl", [line], alarms=[2.0])
    assert "alarm" in words(svg)
    assert 'aria-label="kl: 0.5 at step 1, 7.25 at step 3; alarm at step 2"' in svg
    assert "alarm" not in curve("kl", [line])


def test_a_curve_loads_nothing_and_brings_no_style_for_the_rest_of_the_page():
    svg = curve("loss", [Line("loss", figures.SFT, [1, 2], [2.0, 1.0])])
    assert "http" not in svg
    assert "<style" not in svg
    assert svg == curve("loss", [Line("loss", figures.SFT, [1, 2], [2.0, 1.0])])


def test_ids_carry_the_name_of_the_figure_and_references_follow_them():
    tree = ElementTree.fromstring(curve("loss", [Line("loss", figures.SFT, [1, 2], [2.0, 1.0])]))
    ids = {element.get("id") for element in tree.iter() if element.get("id")}
    used = {element.get("href", "").removeprefix("#") for element in tree.iter("use")}
    assert ids
    assert used
    assert all(name.startswith("loss-") for name in ids)
    assert used <= ids


def test_two_lines_get_a_legend_and_one_does_not():
    one, two = Line("proxy", figures.POLICY, [1, 2], [0, 1]), Line("second", figures.SECOND, [1, 2], [0, 2])
    assert "second" in words(curve("reward", [one, two]))
    assert "proxy" not in words(curve("reward", [one]))


def test_shares_are_written_in_per_cent():
    assert "60%" in words(curve("share", [Line("ends", figures.POLICY, [1, 2], [0.2, 0.8])], share=True))


def test_accuracy_stands_beside_what_length_would_score_best_reason_first():
    labels = words(accuracy_by_reason(summary()["reward"], summary()["reward_second"]))
    assert labels.index("harmful") < labels.index("over refusing") < labels.index("“longer wins”")
    assert "“shorter wins”" in labels


def test_accuracy_without_reasons_or_a_second_model_still_draws():
    svg = accuracy_by_reason({"accuracy": estimate(0.7, 0.1), "by_reason": {}}, None)
    assert "all held-out pairs" in words(svg)
    assert "var(--second)" not in svg


def test_a_reason_with_markup_is_text():
    reward = {"accuracy": estimate(0.7, 0.1), "by_reason": {"<script>$x$": estimate(0.6, 0.1)}}
    assert "<script>$x$" in words(accuracy_by_reason(reward, None))


@pytest.mark.parametrize(
    ("passed", "colour", "verdict"), [(True, "good", "opened"), (False, "bad", "stayed shut")]
)
def test_the_gate_shows_what_was_measured_and_what_was_needed(passed, colour, verdict):
    measured = {"accuracy": estimate(0.64, 0.1), "required": 0.6, "lower_required": 0.5, "passed": passed}
    svg = gate(measured)
    assert {"64.0%", "accuracy needed 60%", "lower bound 50%"} <= set(words(svg))
    assert f"the gate {verdict}" in svg
    assert f"stroke: var(--{colour})" in svg


def test_a_reliability_curve_says_what_was_stated_and_what_happened():
    svg = reliability(
        "r", [{"stated": 0.2, "happened": 0.25, "n": 4}, {"stated": 0.8, "happened": 0.5, "n": 40}]
    )
    assert "stated 20%, better 25%; stated 80%, better 50%" in svg
    assert {"probability stated", "share that was better"} <= set(words(svg))
    assert "var(--reward)" in svg
