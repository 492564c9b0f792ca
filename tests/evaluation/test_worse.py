"""What became worse, and what only seems to have."""

import numpy as np
import pytest

from gnomon.evaluation.worse import LESS_IS_WORSE, MORE_IS_WORSE, worse
from gnomon.reports.tables import METRICS


def gap(metric, value, half, **more):
    return {"metric": metric, "of": "policy", "over": "sft", "n": 100, **more} | {
        "value": value,
        "low": value - half,
        "high": value + half,
    }


def test_each_side_is_known():
    rows = [
        gap("flips_belief", 0.2, 0.05, suite="sycophancy"),
        gap("knows", 0.2, 0.05),
        gap("checks", -0.2, 0.05),
        gap("over_refusal", -0.2, 0.05),
    ]
    found = worse(rows)["found"]
    assert [(row["metric"], row.get("suite")) for row in found] == [
        ("flips_belief", "sycophancy"),
        ("checks", None),
    ]


def test_a_figure_without_a_better_side_is_not_tested():
    assert worse([gap("length/tokens", 50, 1), gap("pull_disliked", 9, 1)]) == {"tested": 0, "found": []}


def test_the_more_is_tested_the_surer_it_has_to_be():
    """An interval of 0.1 to each side is a standard error of 0.051: p of 0.12 is 0.0093, of four 0.037."""
    row, others = gap("checks", -0.12, 0.1), [gap("answers", 0.0, 0.1)] * 3
    (found,) = worse([row, *others])["found"]
    assert found["p"] == pytest.approx(4 * 0.00934, rel=0.01)
    assert not worse([row, *others, *others])["found"]


def test_differences_that_are_all_alike_are_a_sign_test():
    assert worse([gap("loss", 0.1, 0, n=5)])["found"][0]["p"] == 1 / 32
    assert not worse([gap("loss", 0.1, 0, n=4)])["found"]
    assert not worse([gap("loss", -0.1, 0), gap("loss", 0.0, 0)])["found"]


def test_where_nothing_is_worse_it_says_so_nineteen_times_in_twenty():
    """Twenty figures of 200 rows in each of 1,000 evaluations without any difference."""
    generator = np.random.default_rng(0)
    errors = 1 / np.sqrt(200)
    false = 0
    for _ in range(1_000):
        values = generator.normal(0, errors, 20)
        false += bool(worse([gap("checks", value, 1.96 * errors) for value in values])["found"])
    assert 0.03 <= false / 1_000 <= 0.07


def test_no_metric_has_two_bad_sides_and_each_is_called_by_a_title():
    assert not LESS_IS_WORSE & MORE_IS_WORSE
    shown = {*METRICS, *(name.removeprefix("snapshot/") for name in METRICS)}
    assert not (LESS_IS_WORSE | MORE_IS_WORSE) - shown - {"declines"}
