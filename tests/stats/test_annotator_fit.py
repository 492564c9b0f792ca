from dataclasses import replace

import numpy as np
import pytest
from people import llmfao
from planted import auc, planted

from gnomon.errors import DataError
from gnomon.stats.aggregate import majority
from gnomon.stats.annotators import fit_annotators
from gnomon.stats.coincidence import tally
from gnomon.stats.crowd import Habits
from gnomon.stats.logistic import fit_logistic
from gnomon.stats.votes import Pairs, Votes, score_design


def test_bits_of_a_vote():
    """One who is nearly always right, a coin, one who takes what stands first, one who sees ties."""
    fit = fit_annotators(*planted(13, Habits(), size=4, overlap=4)[:2])
    traits = np.array([[200.0, 0, 0, -5], [0, 0, 0, -5], [1, 12, 0, -5], [1, 0, 0, 4]])
    found = replace(fit, point=fit.point._replace(traits=traits)).informativeness()
    assert found == pytest.approx([1, 0, 0, 0], abs=0.02)
    mirrored = replace(fit, point=fit.point._replace(traits=-traits * [1, 1, 1, -1])).informativeness()
    assert mirrored == pytest.approx(found), "to be always wrong tells as much"


def test_spammers_who_call_ties_are_found_by_what_their_votes_tell():
    made = planted(14, Habits(reliability=(2.0, 0.4), spam=0.5), size=24, pairs=600)
    fit = fit_annotators(made.votes, made.pairs)
    assert fit.settled
    assert auc(fit.informativeness(), made.crowd.spam == 0) >= 0.99


def test_soft_labels_teach_a_reward_model_more_than_majorities():
    gained = []
    for seed in range(5):
        made = planted(
            seed, Habits(reliability=(1.5, 0.4), position=(0.6, 0.4), spam=0.5), pairs=600, overlap=3
        )
        random = np.random.default_rng([seed, 2])
        weights = random.normal(size=20) / 20**0.5
        features = random.normal(size=(600, 20))
        features += np.outer(made.differences - features @ weights, weights) / (weights @ weights)
        fit = fit_annotators(made.votes, made.pairs)
        counted = majority(made.votes.pairs, made.votes.outcomes, 3).labels
        decided = counted != 1
        decided &= counted >= 0
        clean = random.normal(size=(4_000, 20))
        ones = np.ones((1, 600))
        soft = fit_logistic(features, fit.soft_labels(), ones, np.zeros(1))[0]
        hard = fit_logistic(features, counted / 2, ones * decided, np.zeros(1))[0]
        right = [np.mean(np.sign(clean @ x) == np.sign(clean @ weights)) for x in (soft, hard)]
        gained.append(right[0] - right[1])
    assert min(gained) > 0, gained
    assert np.mean(gained) > 0.02


def test_held_out_votes_of_a_crowd_are_foretold(published):
    """Majority foretells 0.582, one coin 0.597, MACE 0.598; here over five splits of a tenth each."""
    crowd = llmfao(published)
    models = int(max(crowd.left.max(), crowd.right.max())) + 1
    pairs = Pairs.of(len(crowd.left), design=score_design(crowd.left, crowd.right, models))
    votes = Votes.of(crowd.pairs, crowd.annotators, crowd.outcomes, 3, np.ones(len(crowd.pairs)))
    right, loss, plain = [], [], []
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(crowd.pairs))
        test, train = np.split(order, [len(order) // 10])
        foretold = fit_annotators(votes.take(train), pairs).predict(votes.take(test), pairs)
        said, rows = crowd.outcomes[test], np.arange(len(test))
        right.append(np.mean(foretold.argmax(axis=1) == said))
        loss.append(-np.log(foretold[rows, said]).mean())
        counts = np.zeros((pairs.count, 3))
        counts[: crowd.pairs[train].max() + 1] += tally(crowd.pairs[train], crowd.outcomes[train], 3)
        shares = (counts + 0.7) / (counts + 0.7).sum(axis=1, keepdims=True)
        plain.append(-np.log(shares[crowd.pairs[test]][rows, said]).mean())
    assert np.mean(right) > 0.63, right
    assert min(right) > 0.61, right
    assert max(loss) < min(plain) - 0.05, (loss, plain)


def test_chances_add_up_and_certain_pairs_are_certain():
    made = planted(15, Habits(), pairs=60)
    fit = fit_annotators(made.votes, Pairs.of(60, spread=0, known=np.sign(made.differences)))
    assert fit.predict(made.votes, made.pairs).sum(axis=1) == pytest.approx(np.ones(300))
    assert fit.better().tolist() == (made.differences > 0).tolist()
    labels = fit.soft_labels()
    assert len(np.unique(labels.round(9))) == 2
    assert labels.min() + labels.max() == pytest.approx(1), "typical annotators lean to no side"


def test_wider_levels_are_wider_and_other_traits_are_refused():
    made = planted(12, Habits(), pairs=30)
    fit = fit_annotators(made.votes, made.pairs)
    narrow, wide = fit.trait("position", 0.5), fit.trait("position", 0.95)
    assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(1.95996 / 0.67449, rel=1e-4)
    assert (narrow.low + narrow.high) / 2 == pytest.approx(narrow.value)
    with pytest.raises(DataError, match="no trait 'mood'"):
        fit.trait("mood")
