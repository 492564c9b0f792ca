from statistics import fmean

from gnomon.config import DataSettings
from gnomon.data.refused import LONGEST, REASON, REFUSING, UNSURE, refusals, refused
from gnomon.data.sources import read_data
from gnomon.judges.refusal import declines, refuses
from gnomon.records import Comparison, Conversation, Demonstration, Label


def compared(name, chosen, rejected, reason):
    return Comparison.of(name, Conversation.of("Up?"), chosen, rejected, Label(1.0, "constructed", reason))


def shown(name, answer, family="facts"):
    return Demonstration(name, Conversation.of(f"What of {name}?", answer), family)


COMPARED = [
    compared("a", "I won't do harm.", "Harm away.", "harmful"),
    compared("b", "Take a left.", "I can't discuss roads, or anything near them at all.", REASON),
    compared("c", "Four.", "Five.", "wrong"),
]
PLAIN = Comparison.swap(COMPARED[1])


def test_refusals_are_the_better_answer_to_harm_and_the_worse_one_to_what_is_safe():
    told = ["I won't do harm.", "I can't discuss roads, or anything near them at all."]
    assert refusals(COMPARED) == told
    assert refusals([COMPARED[0], PLAIN, COMPARED[2]]) == told


def test_an_answer_stands_beside_a_refusal_of_about_its_length():
    rows = [shown("x", "It is a very long way from here to there, they say."), shown("y", "It is near.")]
    made = {row.id: row for row in refused(rows, COMPARED, 5, 0)}
    assert set(made) == {"refused-x", "refused-y"}
    row = made["refused-y"]
    assert row.prompt == rows[1].prompt
    assert row.chosen[-1].content == "It is near."
    assert row.label == Label(1.0, "constructed", REASON)
    taken = {name: own.rejected[-1].content.split()[1] for name, own in made.items()}
    assert taken in (
        {"refused-x": "can't", "refused-y": "won't"},
        {"refused-x": "won't", "refused-y": "can't"},
    )


def test_what_refuses_or_does_not_know_or_says_much_is_no_plain_answer():
    rows = [
        *(shown(family, "No idea.", family) for family in (*REFUSING, *UNSURE)),
        shown("essay", "word " * (LONGEST + 1)),
    ]
    assert refused(rows, COMPARED, 9, 0) == []
    assert refused([shown("x", "Yes.")], COMPARED[2:], 9, 0) == []
    assert refused([shown("x", "Yes.")], COMPARED, 0, 0) == []


def test_every_demonstration_is_taken_once_and_every_refusal_alike():
    rows = [shown(str(i), "It is so.") for i in range(7)]
    made = refused(rows, COMPARED, 6, 1)
    assert len({row.id for row in made}) == 6
    counts = [sum(row.rejected[-1].content == text for row in made) for text in refusals(COMPARED)]
    assert counts == [3, 3]
    assert made == refused(rows, COMPARED, 6, 1) != refused(rows, COMPARED, 6, 2)


def test_both_reward_models_get_some_of_other_demonstrations():
    plain, data = (read_data(DataSettings(refused=count), 0) for count in (0, 60))
    for role in ("reward", "second"):
        assert len(getattr(data, role)) == len(getattr(plain, role)) + 60
    assert data.test == plain.test
    assert data.sft == plain.sft
    made = [
        {row.prompt.text for row in rows if row.id.startswith("refused-")}
        for rows in (data.reward, data.second)
    ]
    assert not made[0] & made[1]
    assert made[0] <= {row.prompt.text for row in data.sft}


def test_the_built_in_ones_answer_and_refuse_and_length_says_little():
    rows = [row for row in read_data(DataSettings(refused=200), 0).reward if row.id.startswith("refused-")]
    assert len(rows) == 200
    texts = [(row.prompt.text, row.chosen[-1].content, row.rejected[-1].content) for row in rows]
    assert fmean(refuses(chosen) for _, chosen, _ in texts) < 0.03
    assert fmean(refuses(text) or declines(prompt, text) for prompt, _, text in texts) > 0.5
    assert 0.3 < fmean(len(chosen) > len(text) for _, chosen, text in texts) < 0.7
