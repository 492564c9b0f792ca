import pytest
from hypothesis import given
from judging import orderings
from pydantic import ValidationError

from gnomon.errors import DataError
from gnomon.labelling.judgement import Judgement, Ordering, as_answered, as_kept


def test_what_is_kept_is_about_the_answers_wherever_they_stood():
    """Shown as 2, 0, 1: the first shown is best, and the two others are as good as one another."""
    kept = as_kept(Ordering(ranks=(1, 2, 2), flags={0: {"wrong"}}, rationale="so"), [2, 0, 1])
    assert (kept["outcome"], kept["ranks"], kept["flags"]) == ("ranked", [2, 2, 1], {"2": ["wrong"]})
    skipped = as_kept(Ordering(ranks=None), [2, 0, 1])
    assert (skipped["outcome"], skipped["ranks"]) == ("skip", None)


@given(orderings())
def test_what_is_kept_can_be_shown_as_it_was_said(drawn):
    ordering, order = drawn
    kept = {"strength": None, "preferred": None} | as_kept(ordering, order)
    assert as_answered(kept, list(order)) == ordering


@given(orderings())
def test_another_order_of_showing_keeps_the_same(drawn):
    ordering, order = drawn
    turned = Ordering(
        ranks=ordering.ranks[::-1] if ordering.ranks else None,
        flags={len(order) - 1 - where: own for where, own in ordering.flags.items()},
        rationale=ordering.rationale,
        active_ms=ordering.active_ms,
        elapsed_ms=ordering.elapsed_ms,
    )
    assert as_kept(turned, order[::-1]) == as_kept(ordering, order)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"ranks": (1, 2)},
        {"ranks": (1, 2, 4)},
        {"ranks": (0, 1, 2)},
        {"ranks": tuple(range(1, 11))},
        {"ranks": (1, 2, 3), "flags": {0: ["ugly"]}},
        {"ranks": (1, 2, 3), "better": 1},
    ],
)
def test_what_makes_no_sense_is_refused(values):
    with pytest.raises(ValidationError):
        Ordering.model_validate(values)


@pytest.mark.parametrize(
    ("answer", "order", "said"),
    [
        (Judgement(choice="tie"), [0, 1, 2], "a rank for each of 3 answers"),
        (Ordering(ranks=(1, 2, 3)), [0, 1], "a judgement of two answers"),
        (Ordering(ranks=(1, 2, 3)), [0, 1, 2, 3], "a rank for each of 4 answers"),
        (Ordering(ranks=None), [0, 1], "a judgement of two answers"),
    ],
)
def test_an_answer_to_another_task_is_refused(answer, order, said):
    with pytest.raises(DataError, match=said):
        as_kept(answer, order)
