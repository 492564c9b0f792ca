import numpy as np
import pytest
from exported import decision, five, row

from gnomon.errors import DataError
from gnomon.labelling.quality.agreement import agreement, divided, triads
from gnomon.labelling.quality.annotators import annotators, fitted
from gnomon.labelling.quality.ballots import TIE, read
from gnomon.labelling.quality.groups import by_group, read_groups
from gnomon.labelling.quality.summary import summarise

ABOUT = {"slug": "talk", "title": "Talk"}


def summary(rows, groups=None):
    return summarise(ABOUT, {"ordinary": 3}, rows, groups)


def told(found) -> str:
    return " ".join(f"{one['finding']} {one['advice']}" for one in found["findings"])


def test_labels_become_votes_on_a_scale_of_strength():
    rows = [
        row("one", "bob", 0, strength=4, left=1, seconds=2.5),
        row("one", "ann", None, outcome="skip"),
        row("one", "ann", 1, strength=1, again=True),
        row("two", "ann", None, expected=1, answers=("1234", "12")),
    ]
    ballots, counts = read(rows)
    assert counts.outcomes == {"prefer": 2, "skip": 1, "tie": 1}
    assert ballots.names == ("ann", "bob")
    assert ballots.outcomes.tolist() == [TIE + 4, TIE - 1, TIE]
    assert ballots.directions.tolist() == [2, 0, 1]
    assert ballots.sides.tolist() == [-1, 1, 1]
    assert ballots.indices.tolist() == [0, 1, 2]
    assert ballots.counted.tolist() == [True, False, False]
    assert ballots.lengths.tolist() == pytest.approx([np.log2(10 / 11), 1])
    assert ballots.known.tolist() == [0, -1]


def test_agreement_of_five_labels_is_as_counted_by_hand():
    """One of two pairs agrees: raw 1/2, so no flips can be told from a coin; each other is the majority."""
    found = agreement(read(five())[0])
    assert (found["raw"]["value"], found["raw"]["n"]) == (0.5, 2)
    assert found["leave_one_out"]["value"] == 0.5
    assert (found["flips"]["value"], found["ceiling"]["value"]) == (0.5, 0.5)
    assert "repeat_rate" in found["again"]["missing"]


def test_flips_and_ceiling_follow_from_decided_votes():
    """Agreement 0.68 = 0.8^2 + 0.2^2; ties are left out."""
    rows = [row(f"i{k}", who, 0 if who == "a" or k < 68 else 1) for k in range(100) for who in "ab"]
    rows += [row(f"t{k}", who, None) for k in range(50) for who in "ab"]
    found = agreement(read(rows)[0])
    assert found["decided"]["value"] == pytest.approx(0.68)
    assert found["flips"]["value"] == pytest.approx(0.2)
    assert found["ceiling"]["value"] == pytest.approx(0.8)
    assert found["flips"]["low"] < 0.2 < found["flips"]["high"]
    assert found["raw"]["value"] == pytest.approx((68 + 50) / 150)
    advice = told(summary(rows))
    assert "reward.label_smoothing near 0.20" in advice
    assert "no model above 80.0%" in advice


def test_what_people_disagree_on_more_often_than_not_has_no_flip_rate():
    rows = [row(f"i{k}", who, int(who == "a") if k else 0) for k in range(10) for who in "ab"]
    assert "fewer than half" in agreement(read(rows)[0])["flips"]["missing"]


def test_repeats_are_held_against_the_first_time_and_count_nowhere_else():
    rows = [*five(), row("one", "ann", 1, again=True), row("two", "ann", 1, again=True, left=1)]
    ballots, counts = read(rows)
    found = agreement(ballots)
    assert (found["again"]["value"], found["again"]["n"]) == (0.5, 2)
    assert found["raw"] == agreement(read(five())[0])["raw"]
    assert annotators(ballots, counts, fitted(ballots))["ann"]["again"]["value"] == 0.5


def test_preferences_that_go_round_are_found_by_the_answers_texts():
    rock, paper, scissors = "rock", "paper", "scissors"
    rows = [
        row("a", "ann", 0, prompt="?", answers=(paper, rock)),
        row("b", "ann", 0, prompt="?", answers=(scissors, paper)),
        row("c", "ann", 1, prompt="?", answers=(scissors, rock)),
    ]
    assert triads(read(rows)[0])["within"] | {"p": 0} == {
        "value": 1.0,
        "n": 1,
        "cyclic": 1,
        "chance": 0.25,
        "p": 0,
    }
    other = [*rows[:2], row("c", "ann", 1, prompt="another", answers=(scissors, rock))]
    assert "no three answers" in triads(read(other)[0])["crowd"]["missing"]


def test_pairs_that_divide_come_first_and_those_of_one_mind_not_at_all():
    rows = [row("split", who, int(who == "a"), strength=4) for who in "ab"]
    rows += [row("mild", who, int(who == "a"), strength=1) for who in "ab"]
    rows += [row("one mind", who, 0) for who in "ab"]
    assert [one["item"] for one in divided(read(rows)[0])] == ["split", "mild"]
    assert divided(read(rows)[0])[0]["said"] == [1, 0, 1]


@pytest.mark.parametrize("rows", [[], five(), five()[:1], [row("one", "ann", None, outcome="skip")]])
def test_little_is_no_error_and_says_what_cannot_be_known(rows):
    found = summary(rows)
    assert found["labels"] == len(rows)
    reasons = {key: one["why"] for one in found["unknown"] for key in one["of"]}
    assert {"again", "gold", "groups", "length_itself", "sycophancy"} <= set(reasons)
    if len(rows) < 5:
        assert "raw" in reasons
    else:
        assert {"intervals", "who_errs"} <= set(reasons)
        assert (
            found["annotators"]["ann"]["reliability"]["low"]
            < found["annotators"]["ann"]["reliability"]["high"]
        )


def test_a_vote_that_nothing_checks_has_no_reliability():
    alone = summary([*five(), row("four", "eve", 0)])
    assert "nobody else judged" in alone["annotators"]["eve"]["reliability"]["missing"]
    assert "value" in alone["annotators"]["ann"]["reliability"]
    never = summary([row("one", "ann", 0), row("two", "bob", 0)])
    assert "nothing checks" in never["annotators"]["ann"]["reliability"]["missing"]


def crowd_rows(people, count=60):
    """Labels of `people`, functions from the item's number to the place preferred; the first is better."""
    return [
        row(f"i{k}", name, choose(k), left=k % 2, expected=0 if k % 5 == 0 else None, seconds=10)
        for k in range(count)
        for name, choose in people.items()
    ]


def test_who_tells_nothing_or_the_contrary_is_named_and_told_what_to_do():
    good = {
        name: lambda k, own=own: int(k % 10 == own)
        for own, name in enumerate(("ada", "ben", "cat", "dan"), 1)
    }
    found = summary(crowd_rows({**good, "eve": lambda k: k % 2, "foe": lambda k: 1}))
    advice = told(found)
    assert "The votes of eve tell surely less than half" in advice
    assert "foe prefer what others find worse." in advice
    assert "eve and foe get surely fewer than 75%" in advice
    assert "eve surely lean to one side" in advice
    order = sorted(found["annotators"], key=lambda name: found["annotators"][name]["reliability"]["value"])
    assert order[:2] == ["foe", "eve"]


def test_without_anything_wrong_nobody_is_named():
    good = {
        name: lambda k, own=own: int(k % 10 == own)
        for own, name in enumerate(("ada", "ben", "cat", "dan"), 1)
    }
    advice = told(summary(crowd_rows(good)))
    assert not any(name in advice for name in good)


def test_who_gets_faster_and_who_gets_worse_is_told_apart():
    rows = [
        row(f"g{k}", name, int(name == "tired" and k >= 30), expected=0, seconds=seconds, left=k % 2)
        for k in range(60)
        for name, seconds in (("tired", 20 + k % 3), ("quick", 40 * 0.97**k), ("steady", 20 + k % 3))
    ]
    people, advice = summary(rows)["annotators"], told(summary(rows))
    assert people["tired"]["gold_trend"]["change"] < -0.9
    assert people["tired"]["gold_trend"]["adjusted"] < 1e-6
    assert people["quick"]["time_trend"]["change"] == pytest.approx(0.97**59 - 1, abs=0.01)
    assert people["steady"]["gold_trend"]["p"] == 1
    assert "tired get fewer known answers right as they go on" in advice
    assert "quick have become more than twice as fast" in advice


def test_who_passed_the_qualification_round_and_goes_on_as_steadily_as_ever_does_not_tire():
    """All of the round right, since otherwise nobody goes on; then three of four, as often early as late."""
    rows = [row(f"e{k}", "ada", 0, expected=0) | {"purpose": "qualification"} for k in range(20)]
    early = [0, 0, 0, 1] * 8
    rows += [row(f"g{k}", "ada", said, expected=0) for k, said in enumerate(early + early[::-1])]
    trend = summary(rows)["annotators"]["ada"]["gold_trend"]
    assert (trend["change"], trend["n"]) == (pytest.approx(0, abs=1e-12), 64)


def test_groups_that_differ_are_reported_with_where_they_do(tmp_path):
    """Within each of two groups all agree; they differ on 20 of 40 pairs."""
    groups = {"a1": "north", "a2": "north", "b1": "south", "b2": "south"}
    rows = [row(f"i{k}", who, int(who[0] == "b" and k < 20)) for k in range(40) for who in (*groups, "x")]
    found = summary(rows, groups)["groups"]
    assert found["within"]["north"]["agreement"]["value"] == 1
    assert found["within"]["south"] | {"agreement": 0} == {"annotators": 2, "votes": 80, "agreement": 0}
    (between,) = found["between"]
    assert (between["agreement"]["value"], between["agreement"]["n"]) == (0.5, 160)
    assert between["apart"][0]["item"] == "i0"
    assert between["apart"][0]["said"] == [[2, 0, 0], [0, 0, 2]]
    assert found["ungrouped"] == 1
    assert "north and south agree with each other (50.0%) less" in told(summary(rows, groups))
    apart = by_group(read(five())[0], {"ann": "north"})
    assert apart["between"] == []
    file = tmp_path / "groups.csv"
    file.write_text("annotator,group\nann,north\nbob,south\n", "utf-8")
    assert read_groups(file) == {"ann": "north", "bob": "south"}
    for text, said in (("who,group\n", "columns annotator and group"), ("annotator,group\nann,\n", "line 2")):
        file.write_text(text, "utf-8")
        with pytest.raises(DataError, match=said):
            read_groups(file)


def test_decisions_are_held_against_the_majority_and_the_model_and_are_no_votes():
    """On each of ten pairs two of three prefer the first answer; on four of them the second is decided."""
    rows = [row(f"i{k}", who, int(who == "c")) for k in range(10) for who in "abc"]
    judged = [decision(f"i{k}", int(k < 4)) for k in range(8)]
    judged += [decision("i8", None, "both_bad"), decision("i9", None, "skip")]
    found, plain = summary([*rows, *judged]), summary(rows)
    own = found["adjudication"]
    assert (own["decided"], own["open"]) == (9, 1)
    assert own["outcomes"] == {"prefer": 8, "both_bad": 1}
    assert (own["majority"]["value"], own["majority"]["n"]) == (0.5, 8)
    assert (own["model"]["value"], own["model"]["n"]) == (0.5, 8)
    assert own["majority"]["low"] < 0.25 < own["majority"]["high"], "so few say nothing for sure"
    assert "overrules the majority" not in told(found)
    assert {key: found[key] for key in ("labels", "agreement", "annotators")} == {
        key: plain[key] for key in ("labels", "agreement", "annotators")
    }
    assert plain["adjudication"]["majority"] == {"missing": "no decided pair has a majority"}


def test_a_majority_that_is_surely_overruled_is_told():
    rows = [row(f"i{k}", who, int(who == "c")) for k in range(20) for who in "abc"]
    found = summary([*rows, *(decision(f"i{k}", int(k < 12)) for k in range(20))])
    assert "overrules the majority on 60.0% of those pairs" in told(found)
    ties = summary([*rows, *(decision(f"i{k}", None) for k in range(3))])["adjudication"]
    assert ties["majority"]["value"] == 1
    assert ties["model"] == {"missing": "nothing was decided for one of both answers"}
    open_then_decided = [decision("i0", None, "skip"), decision("i0", 0), decision("i0", None, "skip")]
    assert summary([*rows, *open_then_decided])["adjudication"]["outcomes"] == {"prefer": 1}
