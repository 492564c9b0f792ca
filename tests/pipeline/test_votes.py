import numpy as np
import pytest

from gnomon.pipeline.votes import gather, lay_out


def test_votes_are_gathered_by_pair_in_the_order_they_came(row):
    found = gather(
        [
            row("b", "ann", "prefer", 1),
            row("a", "ann", "tie"),
            row("b", "bob", "prefer", 0, shown_order=[1, 0]),
            row("b", "cat", "both_bad"),
            row("b", "dan", "skip"),
        ],
        "talk",
    )
    assert [pair.comparison.id for pair in found] == ["talk/b", "talk/a"]
    assert found[0].counts == {"first": 1, "tie": 0, "second": 1, "both_bad": 1, "skip": 1}
    assert [vote.side for vote in found[0].votes] == [1, -1, 1, 1]
    assert [len(pair.saying) for pair in found] == [2, 1]
    assert [pair.disputed for pair in found] == [True, False]
    assert found[1].comparison.first[0].content == "a one"


def test_a_repeat_is_no_vote_and_a_known_answer_is_gold(row):
    rows = [
        row("a", "ann", "prefer", 0),
        row("a", "ann", "prefer", 1, pass_number=2),
        row("known", "ann", "prefer", 0, expected=1),
        row("too", "ann", "prefer", 0, expected=0),
    ]
    found = gather(rows, "talk")
    assert [len(pair.votes) for pair in found] == [1, 1, 1]
    assert [pair.gold for pair in found] == [0, -1, 1]
    assert lay_out(found).pairs.gold.tolist() == [0, -1, 1]


def test_a_decision_is_no_vote_and_one_that_leaves_its_pair_open_says_nothing(row):
    judge = {"pass_number": 0, "label_source": "adjudicated"}
    rows = [row("a", "ann", "prefer", 0), row("a", "bob", "prefer", 1), row("b", "ann", "tie")]
    decided = [row("b", "cat", "skip", **judge), row("a", "cat", "prefer", 1, **judge)]
    found = gather([*rows, *decided, row("c", "cat", "tie", **judge)], "talk")
    assert [len(pair.votes) for pair in found] == [2, 1, 0]
    assert [pair.decision and pair.decision.preferred for pair in found] == [1, None, None]
    assert [pair.decision and pair.decision.outcome for pair in found] == ["prefer", None, "tie"]
    assert lay_out(found[:2]).votes.outcomes.tolist() == lay_out(gather(rows, "talk")).votes.outcomes.tolist()


def test_strengths_that_nobody_gave_are_no_steps_of_the_scale(row):
    found = gather(
        [
            row("a", "ann", "prefer", 0, strength=4),
            row("a", "bob", "prefer", 0, strength=2),
            row("a", "cat", "tie"),
            row("b", "cat", "prefer", 1, strength=2),
            row("b", "ann", "prefer", 1, strength=4, shown_order=[1, 0]),
            row("b", "bob", "both_bad"),
        ],
        "talk",
    )
    laid = lay_out(found)
    assert laid.annotators == ("ann", "bob", "cat")
    assert laid.votes.kinds == 5
    assert laid.votes.outcomes.tolist() == [4, 3, 2, 1, 0]
    assert laid.votes.pairs.tolist() == [0, 0, 0, 1, 1]
    assert laid.votes.annotators.tolist() == [0, 1, 2, 2, 0]
    assert laid.votes.sides.tolist() == [1, 1, 1, 1, -1]


def test_a_scale_without_preferences_has_a_tie_in_its_middle(row):
    laid = lay_out(gather([row("a", "ann", "tie")], "talk"))
    assert (laid.votes.kinds, laid.votes.outcomes.tolist()) == (3, [1])
    assert laid.pairs.lengths.tolist() == [0], "both answers have as many characters"


def test_lengths_are_log_ratios_in_units_of_their_own(row):
    texts = [[{"role": "assistant", "content": "x" * count}] for count in (9, 4)]
    rows = [
        row("a", "ann", "tie", responses=texts),
        row("b", "ann", "tie", responses=texts[::-1]),
        row("c", "ann", "tie"),
    ]
    lengths = lay_out(gather(rows, "talk")).pairs.lengths
    assert lengths == pytest.approx(np.sqrt([1.5, 1.5, 0]) * [1, -1, 0])
