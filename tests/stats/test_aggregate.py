import numpy as np
import pytest

from gnomon.stats.aggregate import UNDECIDED, dawid_skene, majority


def planted(seed=0, units=400, crowd=20, overlap=5):
    """Two kinds, one in three of the second; half of the crowd is right in 9 of 10, half in 6 of 10."""
    random = np.random.default_rng(seed)
    truth = (random.random(units) < 1 / 3).astype(int)
    skill = np.repeat([0.9, 0.6], crowd // 2)
    annotators = np.argsort(random.random((units, crowd)), axis=1)[:, :overlap].ravel()
    where = np.repeat(np.arange(units), overlap)
    right = random.random(len(where)) < skill[annotators]
    return where, annotators, np.where(right, truth[where], 1 - truth[where]), truth, skill


def test_ties_are_said_not_broken():
    found = majority(np.array([0, 0, 0, 1, 1, 3]), np.array([2, 2, 0, 0, 1, 1]), 3)
    assert found.labels.tolist() == [2, UNDECIDED, UNDECIDED, 1]
    assert found.tied.tolist() == [False, True, True, False]
    assert found.shares[0] == pytest.approx([1 / 3, 0, 2 / 3])
    assert found.shares[2] == pytest.approx([1 / 3] * 3), "nobody has said anything"


def test_one_step_of_em_by_hand():
    # One annotator calls one unit a and the other b: shares of 1.1 / 1.2 and 0.1 / 1.2 to start from.
    found = dawid_skene(np.array([0, 1]), np.array([0, 0]), np.array([0, 1]), 2, smoothing=0.1, steps=1)
    right, wrong = 1.1 / 1.2 + 0.1, 0.1 / 1.2 + 0.1
    assert found.confusion[0] == pytest.approx(np.array([[right, wrong], [wrong, right]]) / (right + wrong))
    assert found.chances[0] == pytest.approx([right / (right + wrong), wrong / (right + wrong)])


def test_each_step_makes_what_was_said_more_likely():
    where, annotators, labels, _, _ = planted()
    steps = dawid_skene(where, annotators, labels, 2, steps=25, tolerance=0).log_posterior
    assert len(steps) == 25
    assert np.diff(steps).min() > -1e-9


def test_it_knows_whom_to_believe():
    where, annotators, labels, truth, skill = planted()
    found = dawid_skene(where, annotators, labels, 2)
    assert found.accuracies == pytest.approx(skill, abs=0.12)
    assert found.prior[1] == pytest.approx(1 / 3, abs=0.05)
    votes = majority(where, labels, 2)
    assert np.mean(found.chances.argmax(axis=1) == truth) > np.mean(votes.labels == truth) + 0.03


def test_neither_the_order_of_votes_nor_names_matter():
    where, annotators, labels, _, _ = planted(1)
    wanted = dawid_skene(where, annotators, labels, 2)
    order = np.random.default_rng(2).permutation(len(where))
    found = dawid_skene(where[order], 19 - annotators[order], 1 - labels[order], 2)
    assert found.chances[:, ::-1] == pytest.approx(wanted.chances, abs=1e-6)
    assert found.confusion[::-1, ::-1, ::-1] == pytest.approx(wanted.confusion, abs=1e-6)


def test_a_unit_nobody_saw_is_what_most_are():
    found = dawid_skene(np.array([0, 0, 2, 2]), np.array([0, 1, 0, 1]), np.array([1, 1, 1, 1]), 2)
    assert found.chances[1] == pytest.approx(found.prior, abs=1e-3)
