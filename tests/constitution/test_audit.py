"""Audits of labellers and constitutions with planted faults."""

import math

import pytest
from labellers import KIND, SHORT, THREE, TRUE, always_a, at_chance, good_is_a, labeller, pairs, right

from gnomon.constitution.audit import audit, log_odds, stated
from gnomon.constitution.feedback import row_of
from gnomon.constitution.principles import Constitution, Principle
from gnomon.errors import DataError


def rows_of(odds, n=60, constitution=THREE, **settings):
    own = labeller(odds, constitution=constitution, **{"ensemble": 3, **settings})
    rows = pairs(n)
    return [row_of(own, row, said) for row, said in zip(rows, own.feedback(rows), strict=True)]


def audited(odds, constitution=THREE, **settings):
    rows = rows_of(odds, constitution=constitution, **settings)
    return audit(rows, [row["id"] for row in rows], constitution)


def by_question(**odds):
    """Each principle judges by a word of its question: how sure of the good answer."""

    def says(messages):
        sure = next(value for word, value in odds.items() if word in messages[-1].content)
        return sure if good_is_a(messages) else -sure

    return says


def test_a_good_labeller_has_clean_figures():
    found = audited(right())
    assert (found["comparisons"], found["known"]) == (60, 60)
    assert found["labellers"] == ["teacher planted"]
    assert found["constitutions"] == [THREE.digest]
    assert found["shown_first"]["value"] == 0.5
    assert found["flips"]["value"] == 0
    assert found["warnings"] == []
    for name, weight in (("kind", 0.25), ("true", 0.25), ("short", 0.5)):
        own = found["principles"][name]
        assert (own["asked"], own["stated"], own["turned"]) == (60, weight, 0)
        assert own["agrees"]["value"] == own["known"]["value"] == 1.0


def test_a_labeller_that_always_says_a_is_told_of():
    found = audited(always_a)
    assert found["shown_first"]["value"] == 1.0
    assert found["flips"]["value"] == 1.0
    assert all(own["flips"]["value"] == 1.0 for own in found["principles"].values())
    (told,) = found["warnings"]
    assert "shown first in 100% of its readings" in told


def by_place(*readings):
    """How often what was shown first is said to be chosen, of one reading in each order."""
    opinions = [{"principle": "kind", "first_order": one, "second_order": two} for one, two in readings]
    row = {"role": "teacher", "labeller": "x", "constitution": "y", "preference": 0.5}
    return audit([row | {"opinions": opinions}], ["one"])["shown_first"]


def test_a_tie_chooses_no_place():
    assert by_place((0.5, 0.5), (0.5 - 1e-12, None)) is None
    assert by_place((0.9, 0.9), (0.5, 0.5))["value"] == 0.5
    always = by_place((0.9, 0.1), (0.9, 0.5), (0.5, 0.5))
    assert (always["value"], always["n"]) == (1.0, 3)


def test_a_tie_in_both_orders_is_no_flip_and_in_one_it_is():
    def told(first, second):
        opinion = {"principle": "kind", "first_order": first, "second_order": second}
        row = {"role": "teacher", "labeller": "x", "constitution": "y", "preference": 0.5}
        return audit([row | {"opinions": [opinion]}], ["one"])["flips"]["value"]

    assert told(0.5 - 1e-12, 0.5 + 1e-12) == 0.0, "rounding is no change of mind"
    assert told(0.5, 0.2) == 1.0
    assert told(0.8, 0.2) == 1.0


def test_a_constitution_that_contradicts_itself_is_told_of():
    found = audited(by_question(kinder=2.0, truer=-2.0, shorter=1.0))
    pairs_found = {(pair["first"], pair["second"]) for pair in found["contradictions"]}
    assert pairs_found == {("kind", "true"), ("short", "true")}
    assert all(pair["value"] == pytest.approx(-1.0) for pair in found["contradictions"])
    assert found["against"] == ["true"]
    assert found["principles"]["true"]["known"]["value"] == 0.0
    assert found["principles"]["true"]["revealed"]["value"] < 0
    assert any(
        "kind and true pull against each other (correlation -1.00" in told for told in found["warnings"]
    )
    assert any("true goes against the known answers: right on 0%" in told for told in found["warnings"])


def test_noise_contradicts_nothing():
    found = audited(at_chance)
    assert found["contradictions"] == []
    assert found["against"] == []


def test_what_the_labels_reveal_need_not_be_what_is_stated():
    """Half of the weight is on a principle that has nothing to do with the known answers."""

    def says(messages):
        return at_chance(messages) if "shorter" in messages[-1].content else right(1.0)(messages)

    found = audited(says, ensemble=3)["principles"]
    assert found["short"]["stated"] == 0.5
    pulls = {name: own["revealed"]["value"] for name, own in found.items()}
    assert abs(pulls["short"]) < 0.3 * (pulls["kind"] + pulls["true"])


def test_who_decides_the_label_turns_it_when_left_out():
    found = audited(by_question(kinder=5.0, truer=-0.5, shorter=-0.5))["principles"]
    assert found["kind"]["turned"] == 1.0
    assert found["true"]["turned"] == found["short"]["turned"] == 0.0
    assert found["kind"]["moved"] > found["true"]["moved"] > 0


def test_one_principle_a_comparison_has_nothing_beside_it():
    found = audited(right(), ensemble=1)
    assert sum(own["asked"] for own in found["principles"].values()) == 60
    assert all(own["beside_others"] == 0 for own in found["principles"].values())
    assert found["correlations"] == []


def test_without_known_answers_nothing_is_revealed():
    rows = [row | {"known": None} for row in rows_of(right())]
    found = audit(rows, [row["id"] for row in rows])
    assert found["known"] == 0
    assert all(
        (own["known"], own["revealed"], own["stated"]) == (None, None, None)
        for own in found["principles"].values()
    )


def test_log_odds_average_both_orders_and_stay_finite():
    opinions = [{"principle": "kind", "first_order": 1.0, "second_order": 1.0}]
    opinions += [{"principle": "true", "first_order": 0.9, "second_order": 0.5}]
    opinions += [{"principle": "short", "first_order": None, "second_order": None}]
    ((kind, true, short),) = log_odds([{"opinions": opinions}], ["kind", "true", "short"])
    assert kind == pytest.approx(math.log(1e6), abs=1e-3)
    assert true == pytest.approx(math.log(0.7 / 0.3))
    assert math.isnan(short)


def test_stated_weights_are_of_principles_that_compare():
    rest = Principle(id="rest", text="It rests.", critique="Where not?", revision="Rest.")
    own = Constitution(name="own", principles=(KIND, TRUE, SHORT, rest))
    assert stated("short", own) == 0.5
    assert stated("rest", own) is None
    assert stated("short", None) is None


def test_weights_of_another_constitution_are_told_of_and_not_shown_unless_it_is_named():
    rows = rows_of(right())
    ids, later = [row["id"] for row in rows], THREE.model_copy(update={"version": 2})
    found, named = audit(rows, ids, later), audit(rows, ids, later, named=True)
    for report, shown, words in ((found, None, "are not shown"), (named, 0.5, "the weights shown are not")):
        (told,) = report["warnings"]
        assert THREE.digest in told
        assert later.digest in told
        assert words in told
        assert report["principles"]["short"]["stated"] == shown


def test_nothing_to_audit_is_an_error():
    with pytest.raises(DataError, match="needs labelled comparisons"):
        audit([], [])
