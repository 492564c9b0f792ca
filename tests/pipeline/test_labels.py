import pytest

from gnomon.config import LabelSettings
from gnomon.errors import DataError
from gnomon.pipeline.labels import BOTH_BAD, LEAST, SILENT, labelled, with_lapses
from gnomon.pipeline.votes import Lapses, gather, lapses

MAJORITY = LabelSettings(method="majority")


@pytest.fixture
def said(row):
    """Three pairs that say something, one that does not, one of which the answer is known; two annotators."""
    return [
        row("a", "ann", "prefer", 0, strength=3),
        row("a", "bob", "prefer", 0, strength=1),
        row("b", "ann", "prefer", 1, strength=1),
        row("b", "bob", "prefer", 0, strength=1),
        row("c", "ann", "tie"),
        row("c", "bob", "skip"),
        row("d", "ann", "both_bad"),
        row("known", "bob", "prefer", 0, strength=1, expected=0),
    ]


def test_pairs_become_comparisons_and_all_that_was_said_is_kept(said):
    found = labelled(gather(said, "talk"), MAJORITY)
    labels = [row.label for row in found.comparisons]
    assert [row.id for row in found.comparisons] == ["talk/a", "talk/b", "talk/c"]
    assert [label.preference for label in labels] == [1, 0.5, 0.5]
    assert {(label.source, label.weight, label.annotator) for label in labels} == {("person", 1, None)}
    assert found.dropped == {SILENT: 1}
    a, b, c, d = found.votes
    assert a["votes"] == [
        {"annotator": "ann", "outcome": "prefer", "preferred": 0, "strength": 3},
        {"annotator": "bob", "outcome": "prefer", "preferred": 0, "strength": 1},
    ]
    assert (b["first"], b["tie"], b["second"], b["preference"]) == (1, 0, 1, 0.5)
    assert (c["tie"], c["skip"]) == (1, 1)
    assert (d["both_bad"], "preference" in d) == (1, False)


def test_the_report_says_what_was_said_and_who_said_otherwise(said):
    report = labelled(gather(said, "talk"), MAJORITY).report
    assert report["said"] == {"first": 3, "tie": 1, "second": 1, "both_bad": 1, "skip": 1}
    assert (report["judged"], report["gold"], report["rows"], report["method"]) == (4, 1, 3, "majority")
    assert (report["judged_again"], report["disputed"]) == (2, 1)
    ann, bob = (report["annotators"][name] for name in ("ann", "bob"))
    assert (ann["votes"], ann["against"]) == (3, 0.25), "a is right, b half, and c no preference"
    assert (bob["votes"], bob["against"]) == (3, round(0.5 / 3, 4))


def test_who_disagreed_with_whom_is_counted_by_hand(row):
    """Ann and Bob both say something of two pairs, and differ on one: a tie is another thing to say."""
    rows = [
        *(row("a", who, "prefer", 0) for who in ("ann", "bob")),
        row("b", "ann", "prefer", 0),
        row("b", "bob", "tie"),
        row("b", "cat", "skip"),
        row("c", "bob", "prefer", 1),
        row("c", "cat", "prefer", 0),
        *(row("known", who, "prefer", place, expected=0) for place, who in enumerate(("ann", "bob"))),
    ]
    assert labelled(gather(rows, "talk"), MAJORITY).report["between"] == [
        {"annotators": ["ann", "bob"], "shared": 2, "differ": 1},
        {"annotators": ["bob", "cat"], "shared": 1, "differ": 1},
    ]


@pytest.fixture
def decided(said, row):
    """The same with decisions: on the disputed pair, one against the votes, and that two answers are bad."""
    judge = {"pass_number": 0, "label_source": "adjudicated"}
    return [
        *said,
        row("b", "judge", "prefer", 1, **judge),
        row("a", "judge", "tie", **judge),
        row("c", "judge", "both_bad", **judge),
        row("d", "judge", "prefer", 0, **judge),
    ]


def test_a_decision_stands_in_the_place_of_the_label_its_votes_come_to(said, decided):
    found = labelled(gather(decided, "talk"), MAJORITY)
    labels = {row.id: row.label for row in found.comparisons}
    assert {name: label.preference for name, label in labels.items()} == {
        "talk/a": 0.5, "talk/b": 0.0, "talk/d": 1.0,
    }  # fmt: skip
    assert all(label.adjudicated and label.weight == 1 for label in labels.values())
    assert found.dropped == {BOTH_BAD: 1}
    assert (found.report["adjudicated"], found.report["said"]) == (
        3,
        labelled(gather(said, "talk"), MAJORITY).report["said"],
    )
    assert found.flips == 0, "what was decided is taken to be right"
    kept = {row["id"]: row for row in found.votes}
    assert kept["talk/b"]["decision"] == {"outcome": "prefer", "preferred": 1}
    assert (len(kept["talk/b"]["votes"]), kept["talk/b"]["preference"]) == (2, 0.0)


def test_decisions_can_be_ignored_and_are_part_of_the_digest(said, decided):
    ignored = labelled(gather(decided, "talk"), LabelSettings(method="majority", adjudicated="ignored"))
    voted = labelled(gather(said, "talk"), MAJORITY)
    assert ignored.comparisons == voted.comparisons
    assert (ignored.flips, ignored.dropped, ignored.report) == (voted.flips, voted.dropped, voted.report)
    assert ignored.digest != voted.digest


def test_flips_are_a_share_of_all_labels_that_train(row):
    """Four pairs agree and one does not, so 11.27 % of votes are flips; one label in five was decided."""
    rows = [
        row(f"{k}", who, "prefer", int(k == 0 and who == "bob")) for k in range(5) for who in ("ann", "bob")
    ]
    plain = labelled(gather(rows, "talk"), MAJORITY)
    judge = {"pass_number": 0, "label_source": "adjudicated"}
    found = labelled(gather([*rows, row("0", "judge", "prefer", 0, **judge)], "talk"), MAJORITY)
    assert plain.flips == pytest.approx((1 - 0.6**0.5) / 2, abs=1e-4)
    assert found.flips == pytest.approx(0.8 * plain.flips, abs=1e-4)


@pytest.mark.parametrize("method", ["dawid_skene", "annotator_model"])
def test_soft_labels_weigh_by_what_their_annotators_can_tell(row, method):
    """Nine agree with one another on thirty pairs; the tenth, alone on ten more, takes what stands first."""
    rows = [
        row(f"{k}", f"p{who}", "prefer", k % 2, shown_order=[who % 2, 1 - who % 2])
        for k in range(30)
        for who in range(9)
    ]
    rows += [row(f"{k}", "spam", "prefer", k % 2, shown_order=[k % 2, 1 - k % 2]) for k in range(30)]
    for k in range(0, 30, 3):  # half of what stands first is the worse
        rows[270 + k] |= {"preferred": 1 - k % 2, "shown_order": [1 - k % 2, k % 2]}
    rows += [row(f"alone {k}", "spam", "prefer", 0) for k in range(10)]
    found = labelled(gather(rows, "talk"), LabelSettings(method=method))
    labels = {row.id: row.label for row in found.comparisons}
    assert labels["talk/0"].preference > 0.8
    assert labels["talk/1"].preference < 0.2
    assert labels["talk/alone 3"].weight < labels["talk/0"].weight / 2
    assert abs(labels["talk/alone 3"].preference - 0.5) < abs(labels["talk/0"].preference - 0.5)
    assert min(label.weight for label in labels.values()) >= LEAST
    annotators = found.report["annotators"]
    assert max(annotators, key=lambda name: annotators[name]["against"]) == "spam"


def test_another_vote_is_another_digest_and_another_method_is_not(said, row):
    found = labelled(gather(said, "talk"), MAJORITY)
    assert labelled(gather(said, "talk"), LabelSettings()).digest == found.digest
    assert labelled(gather([*said, row("c", "cat", "tie")], "talk"), MAJORITY).digest != found.digest
    said[0]["strength"] = 4
    assert labelled(gather(said, "talk"), MAJORITY).digest != found.digest


def test_what_a_program_said_is_not_called_a_person_s(row):
    rows = [
        row("a", "ann", "prefer", 0),
        row("a", "bot", "prefer", 0, source="planted"),
        row("b", "ann", "tie"),
    ]
    found = labelled(gather(rows, "talk"), MAJORITY)
    assert [row.label.source for row in found.comparisons] == ["planted", "person"]


def test_pairs_that_cannot_be_used_stop_or_are_counted(row):
    alike = [[{"role": "assistant", "content": "Yes."}]] * 2
    judged = gather([row("a", "ann", "prefer", 0), row("b", "ann", "tie", responses=alike)], "talk")
    with pytest.raises(DataError, match=r"talk/b: .* are equal; or set data.on_bad_row=skip"):
        labelled(judged, MAJORITY)
    found = labelled(judged, MAJORITY, "skip")
    assert [row.id for row in found.comparisons] == ["talk/a"]
    assert found.dropped == {"answers are equal": 1}


@pytest.mark.parametrize("outcome", ["skip", "both_bad", None])
def test_where_no_vote_says_which_is_better_there_is_nothing_to_learn(row, outcome):
    rows = [row("a", "ann", outcome)] if outcome else []
    with pytest.raises(DataError, match="no vote says yet which of two answers is better"):
        labelled(gather([*rows, row("known", "ann", "prefer", 0, expected=0)], "talk"), MAJORITY)


def ranked(row, item, annotator, ranks):
    answers = [[{"role": "assistant", "content": f"{item} {place}"}] for place in range(len(ranks))]
    order = list(range(len(ranks)))
    return row(item, annotator, "ranked", ranks=ranks, responses=answers, shown_order=order)


def test_what_rankings_imply_weighs_less_and_is_no_vote(said, row):
    """Two rank three answers: they agree on the first two, and each puts another one last or even."""
    orders = [ranked(row, "r", "ann", [1, 2, 3]), ranked(row, "r", "bob", [1, 2, 2])]
    plain, found = (
        labelled(gather(said, "talk"), MAJORITY),
        labelled(gather([*said, *orders], "talk"), MAJORITY),
    )
    labels = {row.id: row.label for row in found.comparisons if row.label.ranking}
    assert {name: label.preference for name, label in labels.items()} == {
        "talk/r/0-1": 1.0, "talk/r/0-2": 1.0, "talk/r/1-2": 0.75,
    }  # fmt: skip
    assert {label.weight for label in labels.values()} == {round(2 / 3, 4)}
    assert {label.ranking for label in labels.values()} == {"talk/r"}
    assert [row for row in found.comparisons if not row.label.ranking] == list(plain.comparisons)
    assert found.flips == plain.flips
    assert (found.report["implied"], found.report["annotators"]) == (3, plain.report["annotators"])
    assert found.report["judged"] == plain.report["judged"]
    assert found.digest != plain.digest


def test_rankings_alone_make_labels(row):
    found = labelled(gather([ranked(row, "r", "ann", [2, 1, 3])], "talk"), LabelSettings())
    assert [row.label.preference for row in found.comparisons] == [0, 1, 1]
    assert (found.flips, found.report["rows"]) == (None, 3)


def test_lapses_are_of_known_pairs_and_of_repeats(row):
    rows = [
        row("known", "ann", "prefer", 0, expected=0),
        row("known", "bob", "prefer", 1, expected=0),
        row("known", "ann", "prefer", 1, expected=0, pass_number=2),  # a repeat of the known is one look
        row("a", "ann", "prefer", 0),
        row("a", "ann", "prefer", 0, pass_number=2),
        row("b", "ann", "prefer", 0),
        row("b", "ann", "prefer", 1, pass_number=2),
        row("b", "ann", "prefer", 1, pass_number=3),
        row("b", "bob", "prefer", 1),  # another's first, which is no repeat
        row("c", "bob", "tie"),
        row("c", "bob", "prefer", 0, pass_number=2),
        row("a", "judge", "prefer", 1, pass_number=0, label_source="adjudicated"),
    ]
    assert lapses(rows) == Lapses(right=1, wrong=1, kept=1, changed=1)


def test_lapses_stand_beside_flips_and_another_repeat_is_another_state_of_the_data(said):
    found = labelled(gather(said, "talk"), MAJORITY)
    told = with_lapses(found, Lapses(19, 1, 0, 0))
    assert (told.lapses, told.flips) == (0.05, found.flips)
    assert told.report["lapses"]["value"] == pytest.approx(0.05)
    assert told.comparisons == found.comparisons
    assert len({told.digest, found.digest, with_lapses(found, Lapses(20, 1, 0, 0)).digest}) == 3
    silent = with_lapses(found, Lapses(0, 0, 0, 0))
    assert (silent.lapses, silent.report["lapses"]) == (None, None)


def test_decisions_are_taken_to_be_right_in_the_share_of_lapses(decided):
    found = labelled(gather(decided, "talk"), MAJORITY)
    assert with_lapses(found, Lapses(19, 1, 0, 0)).lapses == 0
