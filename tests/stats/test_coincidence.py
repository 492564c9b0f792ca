import numpy as np
import pytest
from people import llmfao, pandalm
from simulated import coverage

from gnomon.errors import DataError
from gnomon.stats.agreement import cohen_kappa
from gnomon.stats.coincidence import (
    fleiss_kappa,
    gwet_ac1,
    krippendorff_alpha,
    leave_one_out,
    raw_agreement,
    tally,
)

FIGURES = (raw_agreement, leave_one_out, krippendorff_alpha, fleiss_kappa, gwet_ac1)

KRIPPENDORFF_2011 = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")
"""Section C of "Computing Krippendorff's Alpha-Reliability": four observers, twelve units, dots missing."""
FLEISS_1971 = np.array(
    [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ],
    dtype=float,
)
"""Fourteen raters on ten subjects: mean agreement 0.378, chance 0.213."""


def four_observers():
    rows = KRIPPENDORFF_2011
    cells = [(unit, int(mark) - 1) for row in rows for unit, mark in enumerate(row) if mark != "."]
    units, labels = np.array(cells).T
    return tally(units, labels, 5)


def test_krippendorffs_own_example():
    counts = four_observers()
    nominal, ordinal = krippendorff_alpha(counts), krippendorff_alpha(counts, "ordinal")
    assert nominal.value == pytest.approx(0.743, abs=5e-4)
    assert ordinal.value == pytest.approx(0.815, abs=5e-4)
    assert nominal.n == 11, "the unit with a single label says nothing"
    assert nominal.low < nominal.value < nominal.high


def test_fleiss_own_example():
    assert fleiss_kappa(FLEISS_1971).value == pytest.approx((0.378 - 0.213) / (1 - 0.213), abs=1e-3)


def test_figures_of_one_unit_of_three_by_hand():
    # a, a, b beside b, b: of 8 ordered pairs 4 are equal; each a is half right of its others, b is not.
    counts = np.array([[2.0, 1.0], [0.0, 2.0]])
    assert raw_agreement(counts).value == pytest.approx(4 / 8)
    assert leave_one_out(counts).value == pytest.approx((0.5 + 0.5 + 0 + 2) / 5)
    # Coincidences ab and ba are 2 / 2 each, of 2 a and 3 b: 1 - 4 * 2 / (2 * 6).
    assert krippendorff_alpha(counts).value == pytest.approx(1 - 4 * 2 / 12)


def test_ac1_by_hand_where_nearly_all_is_of_one_kind():
    counts = tally(np.repeat(np.arange(100), 2), np.array([0, 0] * 80 + [0, 1] * 20), 2)
    assert gwet_ac1(counts).value == pytest.approx((0.8 - 0.18) / (1 - 0.18))
    assert fleiss_kappa(counts).value == pytest.approx((0.8 - 0.82) / (1 - 0.82))


@pytest.mark.parametrize("figure", FIGURES)
def test_neither_order_nor_names_matter(figure):
    random = np.random.default_rng(0)
    counts = random.multinomial(4, [0.6, 0.3, 0.1], size=40).astype(float)
    wanted = figure(counts, resamples=50)
    shuffled = figure(counts[random.permutation(40)][:, [2, 0, 1]], resamples=50)
    assert shuffled.value == pytest.approx(wanted.value)
    lonely = np.concatenate([counts, [[1, 0, 0], [0, 0, 0]]])
    assert figure(lonely, resamples=50).value == pytest.approx(wanted.value), "single labels say nothing"


def test_an_ordinal_scale_may_be_read_from_its_other_end_but_not_shuffled():
    counts = np.random.default_rng(1).multinomial(3, [0.2, 0.5, 0.3], size=30).astype(float)
    wanted = krippendorff_alpha(counts, "ordinal").value
    assert krippendorff_alpha(counts[:, ::-1], "ordinal").value == pytest.approx(wanted)
    assert krippendorff_alpha(counts[:, [1, 0, 2]], "ordinal").value != pytest.approx(wanted, abs=0.01)


def test_copies_within_a_cluster_add_no_certainty():
    counts = np.random.default_rng(2).multinomial(3, [0.7, 0.3], size=40).astype(float)
    single = krippendorff_alpha(counts)
    copies = krippendorff_alpha(np.repeat(counts, 9, axis=0), clusters=np.repeat(np.arange(40), 9).tolist())
    assert copies.high - copies.low == pytest.approx(single.high - single.low, rel=0.1)


@pytest.mark.parametrize("figure", [krippendorff_alpha, fleiss_kappa])
@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.6, 0.3, 0.1)])
def test_what_is_planted_is_covered(figure, shares):
    """Labels are true with chance r, else drawn by the shares: of any two beyond chance r^2 agree."""
    random, found = np.random.default_rng(3), []
    for _ in range(500):
        truth = random.choice(len(shares), size=(150, 1), p=shares)
        drawn = random.choice(len(shares), size=(150, 3), p=shares)
        labels = np.where(random.random((150, 3)) < 0.8, truth, drawn)
        counts = tally(np.repeat(np.arange(150), 3), labels.ravel(), len(shares))
        found.append(figure(counts, resamples=400))
    assert 0.91 < coverage(0.64, found) < 0.97


def test_agreement_of_three_people(published):
    labels = pandalm(published)
    kappas = [cohen_kappa(*labels[:, [i, j]].T.tolist()).value for i, j in ((0, 1), (0, 2), (1, 2))]
    assert sorted(kappas) == pytest.approx([0.852, 0.862, 0.879], abs=5e-4)
    counts = tally(np.repeat(np.arange(len(labels)), 3), labels.ravel(), 3)
    assert krippendorff_alpha(counts).value == pytest.approx(0.864, abs=5e-4)
    assert gwet_ac1(counts).value == pytest.approx(0.886, abs=5e-4)


def test_agreement_of_a_crowd(published):
    """Left out, 0.579 with ties shared; 0.573 to 0.585 as an order of the kinds breaks them, and by lot 0.579
    with a standard deviation of 0.002: majorities of 1,609 of 8,916 votes are tied."""
    crowd = llmfao(published)
    counts = tally(crowd.pairs, crowd.outcomes, 3)
    assert raw_agreement(counts).value == pytest.approx(0.532, abs=5e-4)
    assert krippendorff_alpha(counts).value == pytest.approx(0.291, abs=5e-4)
    assert leave_one_out(counts).value == pytest.approx(0.579, abs=5e-4)


@pytest.mark.parametrize("figure", FIGURES)
def test_units_with_one_label_agree_with_nothing(figure):
    with pytest.raises(DataError, match="no unit has two labels"):
        figure(np.eye(3))


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(DataError, match="of one kind"):
        krippendorff_alpha(np.array([[3.0, 0.0], [2.0, 0.0]]))
    with pytest.raises(DataError, match=r"labels lie in \[0, 2\)"):
        tally(np.array([0]), np.array([2]), 2)
    with pytest.raises(DataError, match="2 units against 1"):
        tally(np.array([0, 1]), np.array([0]), 2)
