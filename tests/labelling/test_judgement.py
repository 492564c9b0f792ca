import pytest
from hypothesis import given
from judging import ORDERS, judgements
from pydantic import ValidationError

from gnomon.labelling.judgement import Judgement, as_kept, as_shown


def test_what_is_kept_is_about_the_responses_not_about_the_sides():
    left = Judgement(choice="left", strength=3, right_flags={"wrong", "harmful"}, rationale="clear")
    kept = as_kept(left, [1, 0])
    assert (kept["outcome"], kept["preferred"], kept["strength"]) == ("prefer", 1, 3)
    assert kept["flags"] == {"0": ["harmful", "wrong"]}
    assert as_kept(left, [0, 1])["preferred"] == 0


def test_tie_both_bad_and_skip_stay_three_different_things():
    outcomes = [as_kept(Judgement(choice=choice), [0, 1]) for choice in ("tie", "both_bad", "skip")]
    assert [kept["outcome"] for kept in outcomes] == ["tie", "both_bad", "skip"]
    assert all(kept["preferred"] is None for kept in outcomes)


@given(judgements(), ORDERS)
def test_what_is_kept_can_be_shown_as_it_was_said(judgement, order):
    assert as_shown(as_kept(judgement, order), order) == judgement


@given(judgements(), ORDERS)
def test_swapped_sides_and_a_swapped_order_mean_the_same(judgement, order):
    mirror = {"left": "right", "right": "left"}
    swapped = judgement.model_copy(
        update={
            "choice": mirror.get(judgement.choice, judgement.choice),
            "left_flags": judgement.right_flags,
            "right_flags": judgement.left_flags,
        }
    )
    assert as_kept(swapped, order[::-1]) == as_kept(judgement, order)


@pytest.mark.parametrize(
    "values",
    [
        {"choice": "left"},
        {"choice": "tie", "strength": 2},
        {"choice": "left", "strength": 5},
        {"choice": "left", "strength": 0},
        {"choice": "first", "strength": 1},
        {"choice": "tie", "left_flags": ["ugly"]},
        {"choice": "tie", "rationale": "x" * 5001},
        {"choice": "tie", "better": "left"},
    ],
)
def test_what_makes_no_sense_is_refused(values):
    with pytest.raises(ValidationError):
        Judgement.model_validate(values)
