from dataclasses import replace

import pytest
from labellers import THREE, always_a, at_chance, labeller, pairs, right, sigmoid

from gnomon.config import ConstitutionSettings
from gnomon.constitution.feedback import label, mixed, row_of
from gnomon.constitution.gate import measure
from gnomon.constitution.labeller import Feedback, Opinion
from gnomon.errors import ModelError
from gnomon.records import Comparison, Conversation, Label
from gnomon.settings.feedback import FeedbackSettings

SETTINGS = ConstitutionSettings()
ANYWAY = ConstitutionSettings(feedback=FeedbackSettings(gate="warns"))


def waiting(n):
    return [replace(row, label=None) for row in pairs(n)]


def test_labels_are_named_ai_and_say_who_gave_them_by_which_principle():
    own = labeller(right(), ensemble=2)
    labelled, rows = label(own, waiting(3), measure(own, pairs(96), SETTINGS), SETTINGS)
    drawn = THREE.several("p0", 0, "comparison", 2)
    expected = Label(pytest.approx(sigmoid(2.0)), "ai", "+".join(p.id for p in drawn), 1.0, "teacher planted")
    assert labelled[0].label == expected
    assert labelled[0].first == pairs(1)[0].first
    assert [row["id"] for row in rows] == ["p0", "p1", "p2"]


def test_a_row_says_who_what_and_in_which_order():
    own = labeller(always_a)
    (said,) = own.feedback(pairs(1))
    row = row_of(own, pairs(1)[0], said)
    assert row["first_order"] == pytest.approx(sigmoid(3.0))
    assert row["second_order"] == pytest.approx(1 - sigmoid(3.0))
    assert (row["flips"], row["preference"]) == (True, pytest.approx(0.5))
    assert (row["role"], row["labeller"], row["constitution"]) == ("teacher", "planted", THREE.digest)
    assert row["opinions"][0]["principle"] in {"kind", "true", "short"}
    assert (row["known"], row["known_source"]) == (1.0, "person")


def test_a_tie_in_both_orders_is_no_flip():
    row = row_of(
        labeller(always_a), pairs(1)[0], Feedback((Opinion("kind", 0.5 - 1e-12, 0.5 + 1e-12),), "first")
    )
    assert row["flips"] is False


@pytest.mark.mistake("labels-ungated")
@pytest.mark.parametrize("odds", [at_chance, always_a])
def test_a_labeller_at_chance_or_of_one_letter_labels_nothing(odds):
    own = labeller(odds)
    gate = measure(own, pairs(96), SETTINGS)
    with pytest.raises(ModelError, match="labels nothing"):
        label(own, waiting(3), gate, SETTINGS)


def test_told_otherwise_it_labels_below_the_bar():
    own = labeller(always_a)
    labelled, _ = label(own, waiting(3), measure(own, pairs(96), ANYWAY), ANYWAY)
    assert [row.label.preference for row in labelled] == pytest.approx([0.5] * 3)


def test_a_pair_of_which_nothing_is_said_has_a_row_and_no_label():
    def odds(messages):
        return None if "good 1" in messages[-1].content else right()(messages)

    own = labeller(odds)
    labelled, rows = label(own, waiting(3), measure(own, pairs(96), SETTINGS), SETTINGS)
    assert [row.id for row in labelled] == ["p0", "p2"]
    assert [row["preference"] is None for row in rows] == [False, True, False]


def comparisons(n, source, weight=1.0):
    return [
        Comparison.of(f"{source}{i}", Conversation.of("?"), "a", "b", Label(1.0, source, weight=weight))
        for i in range(n)
    ]


@pytest.mark.parametrize("share", [0.5, 0.25])
def test_ai_labels_make_up_their_share_of_the_weight_however_many_there_are(share):
    people, ai = comparisons(30, "person", weight=0.5), comparisons(120, "ai", weight=2.0)
    rows, report = mixed(people, ai, share)
    weight = {s: sum(row.label.weight for row in rows if row.label.source == s) for s in ("person", "ai")}
    assert weight["person"] == 15
    assert weight["ai"] / sum(weight.values()) == pytest.approx(share)
    assert len({row.label.weight for row in rows if row.label.source == "ai"}) == 1
    assert report == {
        "ai": {"rows": 120, "share": pytest.approx(share)},
        "person": {"rows": 30, "share": pytest.approx(1 - share)},
    }


def test_half_and_half_in_worked_numbers():
    rows, _ = mixed(comparisons(3, "person"), comparisons(1, "ai"), 0.5)
    assert [row.label.weight for row in rows] == [1, 1, 1, 3]


def test_without_a_share_or_without_one_kind_weights_are_left_alone():
    people, ai = comparisons(3, "constructed"), comparisons(2, "ai")
    assert mixed(people, ai, None) == (
        [*people, *ai],
        {"ai": {"rows": 2, "share": 0.4}, "constructed": {"rows": 3, "share": 0.6}},
    )
    assert mixed(people, [], 0.5)[0] == people
    assert mixed([], ai, 0.5)[0] == ai
    unlabelled = replace(ai[0], label=None)
    assert mixed(people, [unlabelled], 0.5)[0] == [*people, unlabelled]
