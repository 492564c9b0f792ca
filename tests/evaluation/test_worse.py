"""What became worse, and what only seems to have."""

import numpy as np
import pytest

from gnomon.evaluation.examine import Suite
from gnomon.evaluation.figures import figures
from gnomon.evaluation.worse import LESS_IS_WORSE, MORE_IS_WORSE, worse
from gnomon.reports.tables import METRICS

LESS = ("checks", "answers", "ends_turn", "knows", "harmless", "admits")
"""Shares that become worse where they become less."""


def gap(metric, value, p=0.0001, **more):
    return {"metric": metric, "of": "policy", "over": "sft", "value": value, "p_two_sided": p, **more}


def outcomes(model, *metrics):
    """Rows of a suite with as many of the shares `LESS`, each a list of one outcome a prompt."""
    return [
        {"id": f"{i}", "cluster": f"{i}", "model": model, "values": dict(zip(LESS, values, strict=False))}
        for i, values in enumerate(zip(*metrics, strict=True))
    ]


def compared(before, after):
    """What became worse from one list of outcomes for each share to another."""
    suite = Suite("s", (), None, frozenset(LESS))
    rows = {"sft": outcomes("sft", *before), "policy": outcomes("policy", *after)}
    return worse(figures(suite, rows, resamples=100)["differences"])


def test_each_side_is_known():
    rows = [
        gap("flips_belief", 0.2, suite="sycophancy"),
        gap("knows", 0.2),
        gap("checks", -0.2),
        gap("over_refusal", -0.2),
    ]
    found = worse(rows)["found"]
    assert [(row["metric"], row.get("suite")) for row in found] == [
        ("flips_belief", "sycophancy"),
        ("checks", None),
    ]


def test_a_figure_without_a_better_side_is_not_tested():
    assert worse([gap("length/tokens", 50), gap("pull_disliked", 9)]) == {"tested": 0, "found": []}


def test_the_more_is_tested_the_surer_it_has_to_be():
    row, others = gap("checks", -0.12, p=0.02), [gap("answers", 0.0, p=1.0)] * 3
    (found,) = worse([row, *others])["found"]
    assert found["p"] == pytest.approx(4 * 0.01)
    assert not worse([row, *others, *others])["found"]


def test_a_few_changes_are_as_sure_as_their_signs_and_no_surer():
    """Of twenty prompts, eight that pass no more are 1 in 256; three are 1 in 8."""
    (found,) = compared([[1.0] * 20], [[0.0] * 8 + [1.0] * 12])["found"]
    assert found["p"] == pytest.approx(1 / 256)
    assert compared([[1.0] * 20], [[0.0] * 3 + [1.0] * 17]) == {"tested": 1, "found": []}


def test_where_nothing_is_worse_it_says_so_nineteen_times_in_twenty():
    """Six shares of twenty prompts in each of 1,000 evaluations without any difference."""
    passed = np.random.default_rng(0).random((1_000, 2, len(LESS), 20)) < 0.8
    false = sum(bool(compared(*both)["found"]) for both in passed.astype(float).tolist())
    assert false / 1_000 <= 0.06


def test_no_metric_has_two_bad_sides_and_each_is_called_by_a_title():
    assert not LESS_IS_WORSE & MORE_IS_WORSE
    shown = {*METRICS, *(name.removeprefix("snapshot/") for name in METRICS)}
    assert not (LESS_IS_WORSE | MORE_IS_WORSE) - shown - {"declines"}
