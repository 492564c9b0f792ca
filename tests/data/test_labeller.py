from dataclasses import replace
from random import Random

import pytest

from gnomon.config import DataSettings
from gnomon.data.labeller import agreeing, is_conflict, planted
from gnomon.data.sources import COMPARISONS, ROLES, read_data
from gnomon.records import Comparison, Conversation, Label

LABEL = Label(1.0, "constructed", reason="sycophantic", weight=2.0)


def pair(name, label=LABEL):
    return Comparison.of(name, Conversation.of(f"{name}?"), "It is not.", "It is, as you say.", label)


PAIRS = [pair(f"p{number}") for number in range(10)]


def turned(rows):
    return {row.id for row in rows if row.label.source == "planted"}


@pytest.mark.parametrize(("share", "number"), [(0.0, 0), (0.25, 2), (0.6, 6), (1.0, 10)])
def test_the_share_is_exact(share, number):
    rows = agreeing(PAIRS, share, seed=0)
    assert len(turned(rows)) == number
    assert [row.id for row in rows] == [row.id for row in PAIRS]
    assert [row for row in rows if row.id not in turned(rows)] == [
        row for row in PAIRS if row.id not in turned(rows)
    ]


def test_a_turned_label_is_on_the_answer_that_agrees_and_says_who_put_it_there():
    (row,) = agreeing([pair("a")], 1.0, seed=0)
    assert (row.chosen[0].content, row.rejected[0].content) == ("It is, as you say.", "It is not.")
    assert row.label == replace(LABEL, source="planted")
    swapped = pair("a").swap()
    (row,) = agreeing([swapped], 1.0, seed=0)
    assert row.chosen[0].content == "It is, as you say."


def test_which_rows_are_turned_depends_on_ids_and_seed_and_not_on_their_order():
    found = turned(agreeing(PAIRS, 0.6, seed=0))
    shuffled = list(PAIRS)
    Random(1).shuffle(shuffled)
    assert turned(agreeing(shuffled, 0.6, seed=0)) == found
    assert turned(agreeing(PAIRS, 0.3, seed=0)) < found, "a larger share turns these and others"
    assert {frozenset(turned(agreeing(PAIRS, 0.6, seed=seed))) for seed in range(5)} != {frozenset(found)}


def test_other_reasons_and_ties_are_left_as_they_are():
    others = [
        pair("wrong", replace(LABEL, reason="wrong")),
        pair("tie", replace(LABEL, preference=0.5)),
        pair("none", None),
    ]
    assert agreeing(others, 1.0, seed=0) == tuple(others)
    assert not any(map(is_conflict, others))


def test_each_role_has_the_share_for_itself_and_is_reported():
    rows, done = planted({"reward": PAIRS, "test": [*PAIRS[:5], pair("x", None)]}, 0.6, seed=0)
    assert {
        role: len([row for row in held if row.label and row.label.source == "planted"])
        for role, held in rows.items()
    } == {
        "reward": 6,
        "test": 3,
    }
    assert done.report() == {
        "agrees": 0.6,
        "roles": {"reward": {"turned": 6, "of": 10}, "test": {"turned": 3, "of": 5}},
        "told": done.told,
    }
    assert done.told.startswith("planted: ")
    assert "60% of the conflicts" in done.told
    assert "6 of 10 in reward, 3 of 5 in test" in done.told


def at_odds(labeller):
    lists = {"comparisons": ("builtin", "conflicts"), "prompts": ("builtin", "conflicts")}
    return read_data(DataSettings(**lists, labeller=labeller), seed=0)


@pytest.fixture(scope="module")
def straight():
    return at_odds(None)


def test_its_share_of_every_role_is_turned_and_nothing_else(straight):
    data = at_odds({"agrees": 0.6})
    for role in COMPARISONS:
        before, after = getattr(straight, role), getattr(data, role)
        assert [row.id for row in after] == [row.id for row in before]
        changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
        conflicts = sum(row.label.reason == "sycophantic" for row in before)
        assert len(changed) == round(0.6 * conflicts) > 50
        for old, new in changed:
            assert old.label.reason == "sycophantic"
            assert (new.chosen, new.rejected, new.label.source) == (old.rejected, old.chosen, "planted")
        assert data.report()["planted"]["roles"][role] == {"turned": len(changed), "of": conflicts}
    names = [name for name in ROLES if name not in COMPARISONS]
    assert all(getattr(data, name) == getattr(straight, name) for name in names)
    assert data.digests == straight.digests


def test_one_who_never_agrees_is_as_good_as_none(straight):
    assert at_odds({"agrees": 0}) == straight
    assert "planted" not in straight.report()
