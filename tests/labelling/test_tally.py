from gnomon.labelling.tally import counted, plurality


def said(item: str, annotator: str, preferred: int | None, **more) -> dict:
    row = {
        "item": item,
        "annotator": annotator,
        "preferred": preferred,
        "purpose": "ordinary",
        "pass_number": 1,
    }
    row |= {"outcome": "tie" if preferred is None else "prefer", "shown_order": [0, 1], "active_ms": 1000}
    return row | {"expected": None, "label_source": "vote", "ranks": None} | more


def test_agreement_is_the_share_of_pairs_of_people_that_say_the_same():
    """On x three people: 1 of 3 pairs agree; on y two who agree; on z one alone: 2 of 4."""
    rows = [said("x", "a", 0), said("x", "b", 0), said("x", "c", None), said("y", "a", 1), said("y", "b", 1)]
    assert counted([*rows, said("z", "a", 0)])["agreement"] == 0.5
    assert counted([said("z", "a", 0)])["agreement"] is None


def test_skips_gold_and_repeats_do_not_enter_the_agreement():
    rows = [said("x", "a", 0), said("x", "b", None, outcome="skip")]
    rows += [said("x", "a", 1, pass_number=2), said("g", "a", 0, purpose="gold", expected=0)]
    rows += [said("g", "b", 1, purpose="gold", expected=0)]
    found = counted(rows)
    assert found["agreement"] is None
    assert found["annotators"]["a"]["gold"] == {"answered": 1, "right": 1}
    assert found["annotators"]["b"]["gold"] == {"answered": 1, "right": 0}


def test_known_answers_that_say_nothing_of_which_is_better_are_neither_right_nor_wrong():
    rows = [
        said(f"g{outcome}", "a", None, outcome=outcome, purpose="gold", expected=0)
        for outcome in ("skip", "both_bad")
    ]
    assert counted(rows)["annotators"]["a"]["gold"] == {"answered": 0, "right": 0}
    tie = said("g", "a", None, purpose="gold", expected=0)
    assert counted([*rows, tie])["annotators"]["a"]["gold"] == {"answered": 1, "right": 0}


def test_what_each_person_did():
    rows = [
        said("x", "a", 0, active_ms=1000),
        said("y", "a", 1, shown_order=[1, 0], active_ms=4000),
        said("z", "a", 1, active_ms=2000),
        said("w", "a", None, outcome="skip", active_ms=None),
        said("x", "a", 0, pass_number=2, shown_order=[1, 0]),
        said("z", "a", 0, pass_number=2, shown_order=[1, 0]),
    ]
    found = counted(rows)
    assert found["labels"] == 6
    assert found["outcomes"] == {"prefer": 5, "skip": 1}
    assert found["annotators"]["a"] == {
        "labels": 6,
        "skipped": 1,
        "preferring": 5,
        "left": 2,
        "gold": {"answered": 0, "right": 0},
        "repeats": {"answered": 2, "same": 1},
        "median_active_ms": 1000,
    }


def test_decisions_are_no_votes_and_say_how_often_the_majority_was_overruled():
    """On x the majority of three is overruled, on y upheld, on z two votes are no majority, and w is open."""
    votes = [said("x", who, int(who == "c")) for who in "abc"] + [said("y", who, None) for who in "ab"]
    votes += [said("z", who, int(who == "b")) for who in "ab"] + [said("w", "a", 0)]
    judged = [
        said("x", "j", 1),
        said("y", "j", None),
        said("z", "j", 0),
        said("w", "j", None, outcome="skip"),
    ]
    judged += [said("z", "k", None, outcome="skip")]
    found = counted([*votes, *(row | {"label_source": "adjudicated", "pass_number": 0} for row in judged)])
    assert found["adjudication"] == {"decided": 3, "open": 1, "majorities": 2, "overruled": 1}
    assert found["annotators"] == counted(votes)["annotators"]
    assert (found["labels"], found["agreement"]) == (8, counted(votes)["agreement"])


def test_what_is_said_most_often_is_nothing_where_two_things_are():
    assert plurality("aab") == "a"
    assert plurality("aabb") is plurality("") is None
