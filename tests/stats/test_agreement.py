import numpy as np
import pytest
from simulated import assert_covers

from gnomon.errors import DataError
from gnomon.stats.agreement import agreement_by_prompt, agreement_within, cohen_kappa


def test_what_prompts_differ_by_does_not_count():
    """Worked: about the prompts' means (-1, 1, -1, 1) and (1, -1, -1, 1)."""
    assert agreement_within([0, 2, 100, 102], [11, 9, 49, 51], samples=2) == pytest.approx(0.0)
    assert agreement_within([0, 2, 100, 102], [10, 11, 9, 10], samples=2) == pytest.approx(1.0)
    assert agreement_within([0, 2, 100, 102], [11, 10, 10, 9], samples=2) == pytest.approx(-1.0)


def test_it_is_the_correlation_where_there_is_one_prompt():
    first, second = np.random.default_rng(0).normal(size=(2, 12))
    assert agreement_within(first, second, 12) == pytest.approx(np.corrcoef(first, second)[0, 1])


def test_scores_that_do_not_differ_within_any_prompt_have_none():
    assert agreement_within([1, 1, 5, 5], [1, 2, 3, 4], samples=2) is None


def test_of_each_prompt_it_is_the_correlation_of_its_samples():
    """1, 2, 6 beside 1, 3, 2: deviations of -2, -1, 3 and -1, 1, 0 give 1 over the root of 14 times 2."""
    first, second = np.array([[1.0, 2.0, 6.0], [0.0, 6.0, 3.0]]), np.array([[1.0, 3.0, 2.0], [6.0, 0.0, 3.0]])
    assert agreement_by_prompt(first, second) == pytest.approx([1 / np.sqrt(28), -1.0])


def test_a_prompt_whose_samples_are_not_told_apart_has_none():
    level = np.array([[0.1, 0.1, 0.1], [1.0, 2.0, 3.0]])
    found = agreement_by_prompt(level, level)
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(1.0)


def test_what_a_prompt_is_worth_and_the_units_change_no_prompt_s_agreement():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 5, 7))
    moved = agreement_by_prompt(2 * first + rng.normal(size=(5, 1)), 3 * second + rng.normal(size=(5, 1)))
    assert moved == pytest.approx(agreement_by_prompt(first, second))


def test_scores_of_other_shapes_are_refused():
    with pytest.raises(DataError, match=r"\[prompts, samples\] both"):
        agreement_by_prompt(np.zeros((2, 3)), np.zeros((1, 3)))


def labels(yes_yes, yes_no, no_yes, no_no):
    pairs = "yy" * yes_yes + "yn" * yes_no + "ny" * no_yes + "nn" * no_no
    return list(pairs[::2]), list(pairs[1::2])


def test_kappa_by_hand():
    # Agreement 0.7, chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5.
    found = cohen_kappa(*labels(20, 5, 10, 15))
    assert found.value == pytest.approx(0.4)
    assert found.n == 50
    # Influence (agree - 0.7 - 0.6 (q + p - 1)) / 0.5: 0.48, -1.52, -1.28 and 0.72, of mean square 0.8064.
    half = 2.009575 * (0.8064 / 49) ** 0.5 / 0.6
    assert found.low == pytest.approx(1 - 0.6 * np.exp(half), abs=1e-5)
    assert found.high == pytest.approx(1 - 0.6 * np.exp(-half), abs=1e-5)


def test_kappa_does_not_care_what_labels_are_called_or_who_is_first():
    first, second = labels(20, 5, 10, 15)
    found = cohen_kappa(first, second)
    assert cohen_kappa(second, first) == found
    assert cohen_kappa([x == "y" for x in first], [x == "y" for x in second]) == found
    assert cohen_kappa(*labels(0, 10, 10, 0)).value == -1


def test_agreement_in_all_rows_is_bounded_by_how_many_there_are():
    # No disagreement in 40 has 0.025 where they number -log(0.025) = 3.689, of a chance of half the rows.
    found = cohen_kappa(*labels(20, 0, 0, 20))
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx(1 - 3.688879 / 40 / 0.5, abs=1e-5)
    copies = cohen_kappa(*labels(20, 0, 0, 20), [k // 2 for k in range(40)])
    assert copies.low == pytest.approx(1 - 3.688879 / 20 / 0.5, abs=1e-5)


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.6, 0.3, 0.1)])
@pytest.mark.parametrize("kappa", [0.0, 0.4, 0.8])
@pytest.mark.parametrize("rows", [50, 200])
def test_kappas_are_covered(rows, kappa, shares):
    random, kinds = np.random.default_rng(1), len(shares)
    joint = kappa * np.diag(shares) + (1 - kappa) * np.outer(shares, shares)
    cells = random.choice(kinds**2, size=(1_500, rows), p=joint.ravel())
    assert_covers(kappa, [cohen_kappa(row // kinds, row % kinds) for row in cells])


def test_kappas_of_clusters_are_covered():
    random = np.random.default_rng(2)
    joint = 0.6 * np.diag([0.6, 0.3, 0.1]) + 0.4 * np.outer([0.6, 0.3, 0.1], [0.6, 0.3, 0.1])
    clusters = np.arange(40).repeat(5)
    shared, own = (random.choice(9, size=(1_500, n), p=joint.ravel()) for n in (40, 200))
    cells = np.where(random.random(own.shape) < 0.5, shared[:, clusters], own)
    assert_covers(0.6, [cohen_kappa(row // 3, row % 3, clusters.tolist()) for row in cells])


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [(["a"], ["a", "b"], "1 labels against 2"), ([], [], "0 labels"), (["a", "a"], ["a", "a"], "same label")],
)
def test_what_no_kappa_follows_from_is_refused(first, second, message):
    with pytest.raises(DataError, match=message):
        cohen_kappa(first, second)
