import pytest
from sample_run import HOSTILE, answers, critiques, estimate

from gnomon.records import Critique, from_json
from gnomon.reports.view import (
    Whisker,
    browse,
    differences,
    disagreement,
    duration,
    preference_name,
    track,
    transcripts,
)


def row(answer, passed, **more):
    return {"answer": answer, "checks_passed": passed, **more}


def test_disagreement_is_split_checks_plus_unshared_words():
    assert disagreement([row("Red fish", True), row("red FISH!", True)]) == 0
    assert disagreement([row("red fish", True), row("red bird", True)]) == pytest.approx(2 / 3)
    assert disagreement([row("red", True), row("blue", False)]) == 2
    assert disagreement([row("", None), row("", None)]) == 0
    assert disagreement([row("alone", True)]) == 0


def test_answers_are_gathered_by_prompt_in_the_order_asked():
    asked = browse(answers())
    assert len(asked) == 30
    assert [one.id for one in asked[:2]] == ["eval-bread-000", "eval-bread-001"]
    assert list(asked[0].answers) == ["base", "sft", "policy", "constitutional"]
    assert asked[0].failed == ("base", "constitutional")


def test_the_reward_gap_is_between_the_best_and_the_worst_answer():
    rows = [
        {"prompt_id": "a", "prompt": "p", "model": model, **row("x", None), "reward/second": reward}
        for model, reward in (("base", -1.0), ("sft", None), ("policy", 2.5))
    ]
    assert browse(rows)[0].reward_gap == 3.5


def test_shares_lie_between_nothing_and_all_and_other_figures_include_zero():
    models = {
        "sft": {"checks": {"value": 0.5, "low": 0.25, "high": 1.0}},
        "base": {"kl": {"value": 2.0, "low": 1.0, "high": 4.0}},
    }
    assert track("checks", {"models": models}) == {"sft": Whisker(50, 25, 100)}
    assert track("kl", {"models": models}) == {"base": Whisker(50, 25, 100)}
    assert track("kl", {"models": {"base": {"kl": estimate(0.0, 0.0)}}}) == {"base": Whisker(0, 0, 0)}


def test_differences_are_centred_on_zero_with_one_scale_for_each_metric():
    rows = [
        {"metric": "checks", "value": 0.1, "low": -0.1, "high": 0.2},
        {"metric": "checks", "value": -0.4, "low": -0.4, "high": 0.0},
    ]
    assert [whisker for _, whisker in differences(rows)] == [Whisker(62.5, 37.5, 75), Whisker(0, 0, 50)]


@pytest.mark.parametrize(
    ("sources", "text"),
    [
        ({"constructed": 200}, "preference optimisation on constructed comparisons"),
        ({"person": 0, "ai": 3}, "preference optimisation on comparisons labelled by a model"),
        ({"person": 5}, "RLHF on preferences of people"),
        ({}, ""),
    ],
)
def test_the_name_says_whose_preferences(sources, text):
    assert preference_name(sources) == text


def test_transcripts_are_changed_revisions_then_rejected_ones():
    rows = [from_json(Critique, values) for values in critiques() * 2]
    chosen = transcripts(rows)
    assert [critique.kept for critique in chosen] == [True] * 4 + [False] * 2
    assert len(transcripts([one for one in rows if one.kept])) == 6
    assert HOSTILE[0] in chosen[0].response


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.21, "3.2 s"), (59.4, "59 s"), (185, "3 min 5 s"), (4800, "1 h 20 min")]
)
def test_durations_are_said_as_people_say_them(seconds, text):
    assert duration(seconds) == text
