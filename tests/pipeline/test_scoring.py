import math
import shutil

import numpy as np
import pytest
import torch

from gnomon.config import RewardSettings
from gnomon.errors import DataError
from gnomon.judges.reward_model import RewardJudge
from gnomon.models.load import load
from gnomon.models.reward_model import HEAD_FILE, RewardModel, Scorer, load_scorer, save_scorer
from gnomon.pipeline.scoring import held_apart, normalise, refuse_unmeasured, rid_of_length
from gnomon.pipeline.stages import Start
from gnomon.records import Comparison, Conversation, Demonstration, Label
from gnomon.rewards.combine import ModelReward
from gnomon.rollouts.engine import Sample
from gnomon.stats.within import slope_within
from gnomon.training.reward import score_comparisons

TOPICS = ["owls", "harbours", "clay", "tango", "rust", "lentils", "chess", "fog", "violins", "moss", "tin"]
PAIRS = [
    Comparison.of(
        f"c{i}",
        Conversation.of(f"Tell me about {topic}."),
        f"{topic}! " * (1 + i % 4),
        "No. " * (1 + i % 3),
        Label(1.0, "person"),
    )
    for i, topic in enumerate(TOPICS)
]
SHOWN = [Demonstration(pair.id, pair.prompt.then(*pair.first)) for pair in PAIRS[:5]]


def scorer(**shape):
    """Heads that differ on one body."""
    lm = load("tiny:0", dtype="float32")
    model = RewardModel(lm, **({"heads": 2} | shape))
    torch.nn.init.normal_(model.score.weight, std=0.3, generator=torch.Generator().manual_seed(1))
    return Scorer(lm, model)


def given_to(it, rows=SHOWN):
    return it.scores([it.lm.encode(row.conversation).ids for row in rows])


def test_a_tenth_of_the_comparisons_is_kept_where_length_is_taken_out():
    settings = RewardSettings(length_debias=True)
    train, kept = held_apart(PAIRS, settings, seed=0)
    assert len(kept) == 1
    assert {row.id for row in (*train, *kept)} == {row.id for row in PAIRS}
    assert len(train) == 10
    assert held_apart(PAIRS, RewardSettings(), seed=0) == (PAIRS, [])
    with pytest.raises(DataError, match="1 are too few"):
        held_apart(PAIRS[:1], settings, seed=0)


def test_ties_and_what_cannot_be_used_measure_nothing():
    tie = Comparison.of("t", PAIRS[0].prompt, "a", "b", Label(0.5, "person"))
    refuse_unmeasured([tie, PAIRS[0]])
    with pytest.raises(DataError, match=r"measured on \({'longer than 9 tokens': 2, 'a tie': 1}\)"):
        refuse_unmeasured([tie], {"longer than 9 tokens": 2})


def test_near_duplicates_are_never_on_both_sides():
    twins = [Comparison(f"{p.id}/2", p.prompt, p.first, p.second, p.label) for p in PAIRS]
    train, kept = held_apart([*PAIRS, *twins], RewardSettings(length_debias=True), seed=3)
    assert kept
    assert not {row.prompt.text for row in train} & {row.prompt.text for row in kept}


def test_length_explains_nothing_of_any_member_when_it_was_taken_out():
    it = scorer()
    lengths = np.array(
        [[len(it.lm.encode(p.prompt.then(*a)).ids) for a in (p.first, p.second)] for p in PAIRS], dtype=float
    )

    def slopes():
        first, second = score_comparisons(it, PAIRS)
        members = np.array([[a.members, b.members] for a, b in zip(first, second, strict=True)])
        return [slope_within(members[:, :, k], lengths) for k in range(2)]

    before = slopes()
    assert min(map(abs, before)) > 1e-4
    rid_of_length(it, PAIRS)
    assert it.model.slope.tolist() == pytest.approx(before, rel=1e-4)
    assert slopes() == pytest.approx([0.0, 0.0], abs=1e-6)


def test_demonstrations_score_zero_for_every_member():
    it = scorer()
    normalise(it, SHOWN, RewardSettings())
    scores = given_to(it)
    assert np.mean([score.members for score in scores], axis=0) == pytest.approx([0.0, 0.0], abs=1e-5)
    assert float(it.model.scale) == 1.0
    shift = it.model.shift.clone()
    normalise(it, SHOWN, RewardSettings())
    assert it.model.shift.tolist() == pytest.approx(shift.tolist(), abs=1e-5)


def test_demonstrations_have_a_deviation_of_one_and_chances_stay_as_they_are():
    it = scorer()
    first, second = score_comparisons(it, PAIRS)
    before = [it.chance(*both) for both in zip(first, second, strict=True)]
    normalise(it, SHOWN, RewardSettings(normalise="unit"))
    values = [score.value for score in given_to(it)]
    assert (np.mean(values), np.std(values)) == pytest.approx((0.0, 1.0), abs=1e-4)
    first, second = score_comparisons(it, PAIRS)
    assert [it.chance(*both) for both in zip(first, second, strict=True)] == pytest.approx(before, abs=1e-5)
    normalise(it, SHOWN, RewardSettings(normalise="unit"))  # again: nothing is left of the first time
    assert [score.value for score in given_to(it)] == pytest.approx(values, abs=1e-4)


@pytest.mark.parametrize("rows", [SHOWN, []])
def test_scores_stay_as_they_are_where_that_is_asked_for_or_nothing_is_shown(rows):
    it = scorer()
    before = it.score([[2, 50, 1]])
    normalise(it, rows, RewardSettings(normalise="none" if rows else "unit"))
    assert it.score([[2, 50, 1]]) == before


def test_a_reward_model_is_known_by_all_of_its_members(tmp_path):
    it = scorer()
    save_scorer(Scorer(it.lm, it.model, others=(scorer(heads=1).model,)), tmp_path, "card")
    before = Start(f"path:{tmp_path}").digest
    assert Start(f"path:{tmp_path}").digest == before
    shutil.copyfile(tmp_path / HEAD_FILE, tmp_path / "member-2" / HEAD_FILE)
    assert Start(f"path:{tmp_path}").digest != before


@pytest.mark.mistake("scored-on-other-ids")
def test_settled_scores_are_the_same_wherever_they_are_served(tmp_path):
    """In evaluation, in the policy's reward, of a judge, and from disk."""
    it = scorer(variance=True)
    rid_of_length(it, PAIRS)
    normalise(it, SHOWN, RewardSettings(normalise="unit"))
    first, second = score_comparisons(it, PAIRS)
    wanted = [score.value for score in first]
    prompts = [tuple(it.lm.encode_prompt(pair.prompt)) for pair in PAIRS]
    rows = [it.lm.encode(pair.prompt.then(*pair.first)).ids for pair in PAIRS]
    samples = [
        Sample(prompt, row[len(prompt) :], (-1.0,) * (len(row) - len(prompt)), "", ended=True)
        for prompt, row in zip(prompts, rows, strict=True)
    ]
    assert ModelReward(it)(samples) == pytest.approx(wanted, abs=1e-5)
    judged = RewardJudge(it).prefer(PAIRS)
    assert [float(own.said[0]) for own in judged] == pytest.approx(wanted, abs=1e-4)
    chances = [it.chance(*both) for both in zip(first, second, strict=True)]
    assert [own.preference for own in judged] == pytest.approx(chances, abs=1e-5)
    z = (first[0].value - second[0].value) / math.sqrt(first[0].variance + second[0].variance)
    assert chances[0] == pytest.approx(0.5 * (1 + math.erf(z / math.sqrt(2))), abs=1e-6)
    save_scorer(it, tmp_path, "card")
    assert load_scorer(tmp_path, dtype="float32").score(rows) == pytest.approx(wanted, abs=1e-4)
