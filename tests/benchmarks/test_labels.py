"""The crowd that is asked and what is measured, on the tiny model; nothing is said of which way is better."""

import numpy as np
import pytest

from gnomon.config import DataSettings, LoraSettings, ModelSettings, RewardSettings
from gnomon.data.sources import Data, read_data
from gnomon.settings.base import OptimSettings
from labels import run


@pytest.fixture(scope="module")
def data() -> Data:
    return read_data(DataSettings(), 0)


def test_a_fifth_spam_and_the_others_flip_about_a_quarter(data: Data):
    crowd = run.hire(run.CROWD, run.HABITS, 0)
    assert crowd.spam.sum() == 3
    honest = {f"p{who}" for who in np.flatnonzero(crowd.spam == 0)}
    pairs = run.judged(data.reward, 5, 0)
    assert {len(pair.votes) for pair in pairs} == {5}
    swapped = np.mean([pair.comparison.chosen is pair.comparison.second for pair in pairs])
    assert swapped == pytest.approx(0.5, abs=0.08)
    wrong = [
        pair.comparison.first is not pair.comparison.chosen
        if vote.preferred == 0
        else pair.comparison.first is pair.comparison.chosen
        for pair in pairs
        for vote in pair.votes
        if vote.outcome == "prefer" and vote.annotator in honest
    ]
    assert np.mean(wrong) == pytest.approx(0.25, abs=0.06)


def test_every_way_is_measured_on_the_same_held_out_rows(data: Data):
    model = ModelSettings(ref="tiny:0", dtype="float32", lora=LoraSettings(rank=2), max_length=1500)
    settings = RewardSettings(optim=OptimSettings(lr=1e-3, epochs=0.5))
    found = run.measure(model, data, settings, 32, [0], 3)
    ways = {"clean", "majority", "dawid_skene", "annotator_model"}
    assert set(found["accuracy"]) == set(found["log_loss"]) == ways
    assert set(found["accuracy_above"]) == ways - {"clean", "annotator_model"}
    for way in ("majority", "dawid_skene"):
        above = found["accuracy"]["annotator_model"]["value"] - found["accuracy"][way]["value"]
        below = found["log_loss"][way]["value"] - found["log_loss"]["annotator_model"]["value"]
        assert found["accuracy_above"][way]["value"] == pytest.approx(above)
        assert found["log_loss_below"][way]["value"] == pytest.approx(below)
    assert all(0 < flips[0] < 0.5 for flips in found["flips"].values())
