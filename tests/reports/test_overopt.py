import io

import pytest
from pages import Page
from rich.console import Console

from gnomon.reports.overopt import overopt_page, overopt_tables, sentences, write_overopt_page, written_peak

HOSTILE = "<script>alert(1)</script> {{ 7 * 7 }}"


def estimate(value, low, high):
    return {"value": value, "low": low, "high": high, "n": 9}


def point(method, step, distance, gained, **more):
    own = {"seed": 0, "method": method, "proxy": HOSTILE, "guarded": False, "step": step}
    return own | {"distance": distance, "gained": gained} | more


ROWS = [
    point("rl", 0, 0.0, 0.0, promised=0.0, implied=0.0),
    point("rl", 5, 1.0, 0.3, promised=0.3, implied=0.25),
    point("rl", 10, 2.0, -0.1, promised=0.6, implied=-0.05),
    point("best_of_n", 1, 0.0, 0.0),
    point("best_of_n", 2, 0.4, 0.2),
]


def summary():
    fit = {
        "form": "rl",
        "alpha": estimate(0.8, 0.7, 0.9),
        "beta": estimate(0.2, 0.1, 0.3),
        "peak": estimate(2.5, 2.0, None),
        "explained": 0.93,
    }
    climb = {
        "seed": 0,
        "method": "rl",
        "proxy": HOSTILE,
        "guarded": False,
        "gained": 0.3,
        "peak": 1.0,
        "lost": 1.33,
        "end": 2.0,
        "over_optimised": True,
        "alarm": {"fired": ["turn"], "step": 10, "distance": 2.0, "lost": 0.07},
        "forecast": {
            "peak": 1.1,
            "made_at": 0.6,
            "early": True,
            "error": 0.1,
            "missed": 0.02,
            "missed_back": 0.01,
        },
    }
    plain = {key: climb[key] for key in ("seed", "proxy", "guarded", "gained", "peak", "lost", "end")}
    return {
        "name": "study",
        "model": "tiny:0",
        "seeds": [0],
        "climbs": [climb, {**plain, "method": "best_of_n", "over_optimised": False}],
        "fits": {f"rl {HOSTILE}": fit, f"best_of_n {HOSTILE}": {"missing": "2 points do not tell"}},
        "verdict": {
            "free": {"over_optimised": 1, "of": 1},
            "guarded": {"close": 0, "of": 1},
            "alarms": {"in_time": 1, "freed": 1, "each": {"peak": 1, "turn": 0}, "of": 1},
            "false_alarms": {"fired": 0, "of": 3},
            "forecasts": {
                "made": 1,
                "early": 1,
                "of": 1,
                "error": 0.1,
                "near": 1,
                "missed": 0.02,
                "missed_back": 0.01,
            },
        },
        "costs": {"seconds": 12.0},
    }


def test_the_page_is_whole_loads_nothing_and_runs_nothing_of_others():
    html = overopt_page(summary(), ROWS)
    page = Page(html)
    assert page.open == []
    assert page.sections() == ["shown", "curves", "fits", "climbs"]
    assert "default-src 'none'" in html
    assert html.count("<script") == 1
    assert "49" not in page.text
    assert "alert(1)" in page.text


def test_a_figure_for_each_kind_of_climb_in_the_page_s_own_colours():
    html = overopt_page(summary(), ROWS)
    assert html.count('role="img"') == 2
    assert "gold: at most 0.3 at 1" in html
    assert "var(--policy)" in html
    assert "#0001" not in html


def test_what_could_not_be_fitted_or_foretold_says_so():
    text = Page(overopt_page(summary(), ROWS)).text
    assert "2 points do not tell" in text
    assert "2.00 to ∞" in text
    assert written_peak({"peak": estimate(None, 1.0, None)}) == "none"


def test_a_verdict_in_words():
    told = list(sentences(summary()["verdict"]))
    assert "in 1 of 1 climbs by RL" in told[0]
    assert "in 0 of 1" in told[1]
    assert "1 had an alarm before a tenth of gold's gain was lost (peak in 1, turn in 0)" in told[2]
    assert told[3] == "Of 3 climbs by RL that did not over-optimise, 0 had an alarm."
    assert "off by 10%" in told[4]
    assert "2.0% of gold's highest gain" in told[4]
    nothing = summary()["verdict"] | {
        "alarms": {"in_time": 0, "freed": 0, "each": {}, "of": 0},
        "false_alarms": {"fired": 0, "of": 0},
    }
    nothing["forecasts"] = nothing["forecasts"] | {"made": 0}
    assert len(list(sentences(nothing))) == 2


def test_a_terminal_shows_climbs_and_fits():
    out = io.StringIO()
    for table in overopt_tables(summary()):
        Console(file=out, width=200).print(table)
    for told in ("133%", "0.800 (0.700 to 0.900)", "2.50 (2.00 to ∞)", "93%", "1.10"):
        assert told in out.getvalue()


def test_the_page_is_written(tmp_path):
    write_overopt_page(tmp_path / "report.html", summary(), ROWS)
    assert (tmp_path / "report.html").read_text("utf-8") == overopt_page(summary(), ROWS)
    with pytest.raises(KeyError):
        write_overopt_page(tmp_path / "other.html", {}, [])
