import pytest
from answer_rows import row

from gnomon.errors import DataError
from gnomon.evaluation.seeds import differences_over_seeds, models_over_seeds

PROMPTS = ("a", "b", "c", "d")


def seed(passed, **values):
    """Models of one seed: the tuned one passes nothing, the policy what it says, prompt by prompt."""
    return {
        "sft": [row("sft", name, (False,)) for name in PROMPTS],
        "policy": [
            row("policy", name, (bool(own),), **values) for name, own in zip(PROMPTS, passed, strict=True)
        ],
    }


def found(rows, metric):
    return next(own for own in rows if own["metric"] == metric)


def test_a_difference_is_the_mean_over_seeds_with_each_seeds_own():
    gap = found(differences_over_seeds([seed((1, 1, 0, 0)), seed((1, 1, 1, 0))]), "checks")
    assert (gap["of"], gap["over"]) == ("policy", "sft")
    assert gap["by_seed"] == [0.5, 0.75]
    assert gap["value"] == pytest.approx(0.625)
    assert gap["low"] < 0.625 < gap["high"]
    assert gap["n"] == 4


def test_models_of_other_seeds_are_compared_seed_by_seed():
    first, second = [seed((0, 0, 0, 1)), seed((0, 0, 1, 1))], [seed((1, 1, 0, 1)), seed((1, 1, 1, 1))]
    rows = differences_over_seeds(second, first, [("policy", "policy")])
    assert found(rows, "checks")["by_seed"] == [0.5, 0.5]


def test_a_share_that_never_changed_is_still_in_doubt():
    never = found(differences_over_seeds([seed((1, 1, 0, 0))] * 2), "ends_turn")
    assert never["value"] == 0
    assert never["low"] < 0 < never["high"]
    level = models_over_seeds([seed((1, 1, 0, 0))] * 2)["policy"]["ends_turn"]
    assert level["value"] == 1
    assert level["low"] < 1


def test_a_metric_that_only_one_prompt_has_is_left_out():
    rows = [seed((1, 1, 0, 0)) for _ in range(2)]
    for models in rows:
        models["policy"][0] |= {"kl/reference": 1.0}
    assert "kl/reference" not in models_over_seeds(rows)["policy"]


def test_a_model_that_not_every_seed_has_is_left_out():
    rows = [seed((1, 1, 0, 0)), seed((1, 1, 0, 0))]
    del rows[1]["policy"]
    assert set(models_over_seeds(rows)) == {"sft"}
    assert differences_over_seeds(rows) == []


def test_seeds_and_models_that_were_asked_other_prompts_are_refused():
    other = seed((1, 1, 0, 0))
    other["policy"][0] = row("policy", "z", (True,))
    with pytest.raises(DataError, match="not asked the same prompts"):
        models_over_seeds([seed((1, 1, 0, 0)), other])
    with pytest.raises(DataError, match="not checked alike"):
        differences_over_seeds([other])
