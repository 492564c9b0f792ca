import io

from rich.console import Console

from gnomon.reports.win_rates import win_rate_notes, win_rate_tables


def share(value, low, high):
    return {"value": value, "low": low, "high": high, "n": 40}


AGREEMENT = {
    "judged": 30,
    "abstained": {},
    "missing": {},
    "accuracy": share(0.8, 0.7, 0.9),
    "sensitivity": share(0.9, 0.8, 0.95),
    "specificity": share(0.7, 0.6, 0.8),
    "kappa": share(0.6, 0.45, 0.75),
    "ece": share(0.056, 0.012, 0.101),
}
SUMMARY = {
    "first": "new",
    "second": "old",
    "prompts": 40,
    "identical": 2,
    "cut_off": [0, 3],
    "settings": {"max_new_tokens": 256},
    "calibration": {"file": "known.jsonl", "pairs": 30, "judged_by": ["person"]},
    "judges": {
        "served": {
            "kin": ["it is old itself"],
            "judged": 38,
            "abstained": {"unparsable": 2},
            "missing": {},
            "win_rate": share(0.6, 0.45, 0.735),
            "length_adjusted": share(0.51, 0.4, 0.62),
            "flips": share(0.25, 0.1, 0.4),
            "agreement": AGREEMENT,
            "corrected": share(0.666, 0.4, 0.9),
            "with_people": share(0.55, 0.45, 0.65),
        },
        "longest wins": {
            "judged": 40,
            "abstained": {},
            "missing": {"length_adjusted": "length decides alone"},
            "win_rate": share(0.7, 0.6, 0.8),
            "length_adjusted": None,
        },
    },
}


def shown(summary):
    out = io.StringIO()
    for table in win_rate_tables(summary):
        Console(file=out, width=80, force_terminal=False).print(table)
    return out.getvalue()


def test_figures_stand_over_their_intervals_and_fit_eighty_characters():
    told = shown(SUMMARY)
    intervals = ("45.0 to 73.5", "80.0 to 95.0", "0.45 to 0.75", "0.012 to 0.101", "40.0 to 90.0")
    for part in (*intervals, "60.0%", "51.0%", "25.0%", "80.0%", "0.60", "66.6%", "55.0%", "served *"):
        assert part in told
    assert "new against old on 40 prompts" in told
    assert "Agreement with known.jsonl, 30 pairs by person" in told
    assert "…" not in told


def test_what_was_not_measured_is_not_shown():
    alone = SUMMARY["judges"]["longest wins"]
    told = shown({**SUMMARY, "judges": {"longest wins": alone}})
    assert "Agreement" not in told
    assert "mended" not in told
    assert "70.0%" in told


def test_kin_cuts_and_what_is_missing_are_told():
    judges = SUMMARY["judges"]
    constant = {**AGREEMENT, "kappa": None, "missing": {"kappa": "all are alike"}}
    served = {**judges["served"], "agreement": constant}
    assert list(win_rate_notes({**SUMMARY, "judges": {**judges, "served": served}})) == [
        "* served: it is old itself",
        "3 answers of old were cut off at 256 tokens",
        "2 pairs of answers are alike, and count as ties",
        "served leaves out 2 of 40 prompts: unparsable",
        "served: no Kappa, all are alike",
        "longest wins: no Length-adjusted, length decides alone",
    ]
