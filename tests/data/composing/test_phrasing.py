from random import Random

from gnomon.data.composing.phrasing import phrased
from gnomon.data.composing.wordings import Constraint

LOWER, SHORT = Constraint("lower_case", {}), Constraint("words_at_most", {"count": 40})
TEXT = "Summarise this:\n\nIt rained for a week, and the river rose."


def ways(request, *constraints, **more):
    return {phrased(request, constraints, Random(seed), **more) for seed in range(300)}


def test_a_request_is_put_together_in_many_ways_and_never_lost():
    found = ways("Why do rivers wind?", LOWER, SHORT)
    assert len(found) > 150
    assert all("Why do rivers wind?" in text and "40" in text for text in found)
    assert any(text.startswith("Why") for text in found)
    assert any(text.endswith("Why do rivers wind?") for text in found)
    assert any("\n- " in text for text in found)


def test_a_command_takes_its_constraint_into_the_sentence():
    assert "Write about the sea, in at most 40 words." in ways("Write about the sea.", SHORT)


def test_what_a_text_is_added_to_stays_apart_from_it():
    assert all(
        f"{TEXT}\n\n" in f"{text}\n\n" and f"\n\n{TEXT}" in f"\n\n{text}" for text in ways(TEXT, LOWER, SHORT)
    )


def test_a_request_in_lower_case_is_mostly_followed_by_lower_case():
    found = ways("why do rivers wind", SHORT)
    assert "why do rivers wind - use at most 40 words" in found
    assert any("Use at most 40 words." in text for text in found)


def test_lists_can_be_left_out():
    assert not any("\n- " in text or "\n1. " in text for text in ways("Why?", LOWER, SHORT, lines=False))


def test_without_constraints_a_request_is_itself():
    assert ways("Why?") == {"Why?"}
