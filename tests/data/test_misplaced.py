from collections import Counter
from statistics import fmean

from gnomon.config import DataSettings
from gnomon.data.misplaced import HARMFUL, LONGEST, OVER, REFUSING, UNSURE, misplaced
from gnomon.data.sources import read_data
from gnomon.judges.refusal import declines, refuses
from gnomon.records import Comparison, Conversation, Demonstration, Label


def compared(name, chosen, rejected, reason):
    return Comparison.of(name, Conversation.of("Up?"), chosen, rejected, Label(1.0, "constructed", reason))


def shown(name, answer, family="facts"):
    return Demonstration(name, Conversation.of(f"What of {name}?", answer), family)


LONG = "I can't discuss roads, or anything that is near to them, at all."
COMPARED = [
    compared("a", "I won't.", "With pleasure.", HARMFUL),
    compared("b", "Take a left.", LONG, OVER).swap(),
    compared("c", "Four.", "Five.", "wrong"),
]
SHOWN = [
    shown("x", "It is near."),
    shown("y", "It is a very long way from here to there, they say."),
    shown("z", "No, I'd rather not.", "declines"),
    shown("w", "I won't say.", "harmful"),
]


def test_a_plain_request_is_refused_and_a_harmful_one_is_granted():
    made = {row.id: row for row in misplaced(SHOWN, COMPARED, 4, 0)}
    told = {name: (row.chosen[-1].content, row.rejected[-1].content) for name, row in made.items()}
    assert set(told) == {f"misplaced-{name}" for name in "xyzw"}
    assert {told["misplaced-x"][1], told["misplaced-y"][1]} == {"I won't.", LONG}
    assert told["misplaced-z"] == ("No, I'd rather not.", "With pleasure.")
    assert made["misplaced-x"].prompt == SHOWN[0].prompt
    assert made["misplaced-x"].label == Label(1.0, "constructed", OVER)
    assert made["misplaced-w"].label == Label(1.0, "constructed", HARMFUL)


def test_there_are_always_as_many_of_either_half():
    made = misplaced(SHOWN[:3], COMPARED, 9, 0)
    assert Counter(row.label.reason for row in made) == {OVER: 1, HARMFUL: 1}
    assert misplaced(SHOWN[:2], COMPARED, 9, 0) == []
    assert misplaced(SHOWN, COMPARED[1:], 9, 0) == []
    assert misplaced(SHOWN, COMPARED, 1, 0) == []


def test_what_does_not_know_or_says_much_is_no_plain_answer():
    rows = [
        *(shown(family, "No idea.", family) for family in UNSURE),
        shown("essay", "word " * (LONGEST + 1)),
        *(shown(family, "No.", family) for family in REFUSING),
    ]
    assert misplaced(rows, COMPARED, 9, 0) == []


def test_every_demonstration_is_taken_once_and_every_text_alike():
    rows = [shown(str(i), "It is so.") for i in range(7)] + [
        shown(f"h{i}", "No.", "harmful") for i in range(7)
    ]
    made = misplaced(rows, COMPARED, 12, 1)
    assert len({row.id for row in made}) == 12
    assert Counter(row.rejected[-1].content for row in made) == {"I won't.": 3, LONG: 3, "With pleasure.": 6}
    assert made == misplaced(rows, COMPARED, 12, 1) != misplaced(rows, COMPARED, 12, 2)


def test_both_reward_models_get_some_of_other_demonstrations():
    plain, data = (read_data(DataSettings(misplaced=count), 0) for count in (0, 60))
    for role in ("reward", "second"):
        assert len(getattr(data, role)) == len(getattr(plain, role)) + 60
    assert data.test == plain.test
    assert data.sft == plain.sft
    made = [
        {row.prompt.text for row in rows if row.id.startswith("misplaced-")}
        for rows in (data.reward, data.second)
    ]
    assert not made[0] & made[1]
    assert made[0] <= {row.prompt.text for row in data.sft}


def test_the_built_in_ones_answer_and_refuse_and_length_says_little():
    rows = read_data(DataSettings(misplaced=100), 0).reward
    texts = [
        (row.prompt.text, row.chosen[-1].content, row.rejected[-1].content, row.label.reason)
        for row in rows
        if row.id.startswith("misplaced-")
    ]
    assert len(texts) == 100
    plain = [row for row in texts if row[3] == OVER]
    assert fmean(refuses(chosen) for _, chosen, _, _ in plain) < 0.05
    assert fmean(refuses(text) or declines(prompt, text) for prompt, _, text, _ in plain) > 0.5
    harmful = [row for row in texts if row[3] == HARMFUL]
    assert fmean(refuses(text) for _, _, text, _ in harmful) < 0.1
    assert 0.25 < fmean(len(chosen) > len(text) for _, chosen, text, _ in texts) < 0.75


def test_without_demonstrations_that_refuse_nothing_is_added():
    families = tuple(sorted(REFUSING))
    data, plain = (read_data(DataSettings(misplaced=n, leave_out=families), 0) for n in (60, 0))
    assert data.reward == plain.reward
