import numpy as np
import pytest
from words import said

from gnomon.config import ModelSettings, RewardSettings
from gnomon.models.load import load
from gnomon.overopt.drawing import letters
from gnomon.overopt.measuring import Exam, Judges, best_points, point
from gnomon.overopt.planted import Gold
from gnomon.overopt.proxies import ids_of, unlearnt
from gnomon.overopt.settings import GoldSettings, ProxySettings
from gnomon.rollouts.engine import Sampling
from gnomon.settings.policy import EnsembleSettings

MODEL = ModelSettings(ref="tiny:0", dtype="float32", lora=None)


def drawn(seed, members):
    """A reward model whose heads are drawn."""
    scorer = unlearnt(MODEL, ProxySettings(), RewardSettings(members=members), seed)
    scorer.model.score.weight.data.normal_(std=1.0)
    return scorer


def judges():
    return Judges(drawn(0, 3), drawn(1, 1), Gold(GoldSettings()), EnsembleSettings(combine="worst"))


def test_scores_stand_prompt_by_prompt_and_are_what_a_policy_is_paid():
    samples = said("aeio", "!!!!", "xyz", "a")
    own = judges()
    found = own.scores(samples, prompts=2)
    assert {values.shape for values in found.values()} == {(2, 2)}
    lowest = [score.lowest for score in own.proxy.scores(ids_of(samples))]
    assert found["proxy"].ravel() == pytest.approx(lowest)
    assert found["spread"].min() > 0
    assert found["gold"].ravel() == pytest.approx([1.0, -0.5, 0.0, 1.0])


def test_a_point_at_the_start_is_no_distance_away():
    lm, reference = load("tiny:0", dtype="float32"), load("tiny:0", dtype="float32")
    prompts = [tuple(lm.encode_prompt(prompt)) for prompt in letters(3)]
    exam = Exam(prompts, 2, Sampling(4), seed=0)
    own = judges()
    row = point(exam, own, lm, reference)
    assert np.array(row["samples"]["log_ratio"]) == pytest.approx(np.zeros((3, 2)), abs=1e-4)
    assert 0 < row["length"] <= 4
    assert row == point(exam, own, lm, reference)


def test_the_best_of_n_by_the_proxy():
    """Of four answers to each of two prompts; the best of 1 is all of them, of 2 as by hand: in rising order
    of the proxy gold is 3, 1, 2, 0, and the i-th is best in 0, 1, 2, 3 of 6 pairs."""
    proxy = np.array([[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]])
    gold = np.array([[3.0, 1.0, 2.0, 0.0], [0.0, 2.0, 1.0, 3.0]])
    one, two = best_points({"proxy": proxy, "gold": gold})
    assert (one["step"], one["kl"], two["step"]) == (1, 0.0, 2)
    assert one["prompts"]["gold"] == pytest.approx([1.5, 1.5])
    assert two["prompts"]["gold"] == pytest.approx([5 / 6, 5 / 6])
    assert two["kl"] == pytest.approx(np.log(2) - 0.5)
