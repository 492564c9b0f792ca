from dataclasses import replace

import pytest

from gnomon.errors import DataError
from gnomon.models.load import load
from gnomon.models.reward_model import RewardModel, Score, Scorer
from gnomon.pipeline import alone
from gnomon.pipeline.folds import cross_validated, folds_of
from gnomon.pipeline.reporter import SilentReporter
from gnomon.recipe import load_recipe
from gnomon.records import Comparison, Conversation, Label
from gnomon.runs import read_json

TOPICS = ["owls", "harbours", "clay", "tango", "rust", "lentils", "chess", "fog", "violins", "moss", "tin"]
PAIRS = [
    Comparison.of(f"c{i}", Conversation.of(f"Tell me about {topic}."), topic, "No.", Label(1.0, "person"))
    for i, topic in enumerate(TOPICS)
]
TWINS = [*PAIRS, *(Comparison(f"{p.id}/2", p.prompt, p.second, p.first, p.swap().label) for p in PAIRS)]


def test_folds_are_alike_in_size_and_near_duplicates_stay_together():
    found = folds_of(TWINS, 3, seed=0)
    assert sorted(found.count(fold) for fold in range(3)) == [6, 8, 8]
    assert found[:11] == found[11:]
    assert folds_of(TWINS, 3, seed=0) == found
    assert folds_of(TWINS, 3, seed=1) != found
    with pytest.raises(DataError, match="of 11 prompts; set it lower"):
        folds_of(TWINS, 12, seed=0)


class Heart(Scorer):
    """Knows by heart which answers were better of the rows it met, and finds all others alike."""

    met: tuple[Comparison, ...] = ()

    def scores(self, rows):
        better = {tuple(self.lm.encode(row.prompt.then(*row.chosen)).ids) for row in self.met}
        return [Score((float(tuple(row) in better),)) for row in rows]


def test_what_is_learnt_by_heart_is_worth_nothing():
    lm = load("tiny:0", dtype="float32")
    met = []

    def learn(rows, fold):
        found = Heart(lm, RewardModel(lm))
        found.met = tuple(rows)
        met.append({row.id for row in rows})
        return found

    found = cross_validated(TWINS, 3, 0, learn)
    assert found["accuracy"]["value"] == 0.5
    assert (found["folds"], found["accuracy"]["n"]) == (3, 22)
    places = folds_of(TWINS, 3, 0)
    assert met == [
        {row.id for row, own in zip(TWINS, places, strict=True) if own != fold} for fold in range(3)
    ]


@pytest.mark.parametrize("undecided", ["all", "a fold's"])
def test_folds_that_measure_nothing_are_refused_before_any_is_learnt(undecided):
    places = folds_of(PAIRS, 3, 0)
    ties = [
        replace(row, label=Label(0.5, "person")) if undecided == "all" or own == 1 else row
        for row, own in zip(PAIRS, places, strict=True)
    ]

    def learn(rows, fold):
        pytest.fail(f"fold {fold} was learnt")

    count = 3 if undecided == "all" else 1
    told = f"reward.folds is 3, and in {count} of them all comparisons are ties, .*; set it lower"
    with pytest.raises(DataError, match=told):
        cross_validated(ties, 3, 0, learn)


def test_a_reward_model_says_how_good_it_is_on_what_trains(tmp_path):
    overrides = [
        "model.ref=tiny:0", "model.dtype=float32", "model.lora.rank=2", "data.limit=16", "reward.folds=2",
    ]  # fmt: skip
    alone.train("reward", load_recipe(None, overrides), tmp_path / "run", SilentReporter())
    report = read_json(tmp_path / "run" / "report.json")
    assert report["cross_validated"]["accuracy"]["n"] == report["train_rows"]
    assert report["cross_validated"]["folds"] == 2
