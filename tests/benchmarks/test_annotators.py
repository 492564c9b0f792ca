"""What both sides are given and how they are judged; nothing here is a timing."""

import numpy as np
import pytest

from annotators import run


def test_half_of_the_crowd_takes_what_stands_first_and_ours_tells_which():
    votes, reads = run.duels(run.SPAMMED, 0.5, 0.1, 0)
    assert reads.sum() == 20
    assert (votes["left"] != votes["right"]).all()
    blind = ~reads[votes["worker"]]
    assert (votes["label"] == votes["left"])[blind].all()
    assert 0.4 < (votes["label"] == votes["left"])[~blind].mean() < 0.6
    fit = run.fit_duels(votes, run.SPAMMED)
    assert run.told_apart(fit.trait("reliability").value, reads) >= 0.99


def test_the_area_by_hand():
    assert run.told_apart(np.array([3.0, 1.0, 1.0]), np.array([True, True, False])) == 0.75


def test_chances_go_to_their_tasks_and_others_have_the_frequencies():
    told = {"tasks": [2, 0], "labels": [0, 1, 2], "chances": [[1, 0, 0], [0, 0.5, 0.5]]}
    found = run.by_task(told, np.array([0.2, 0.3, 0.5]), 3)
    assert found.tolist() == [[0, 0.5, 0.5], [0.2, 0.3, 0.5], [1, 0, 0]]


def test_certainty_costs_no_more_than_the_best_mixture_with_frequencies():
    # One right and one wrong: 0.5 (1 + x / 2) x / 2 is largest at x = 1 of those tried.
    chances, base = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([0.5, 0.5])
    assert run.log_loss(chances, np.array([0, 1]), base) == pytest.approx(np.log(2))
    assert run.log_loss(chances, np.array([0, 0]), base) == 0
