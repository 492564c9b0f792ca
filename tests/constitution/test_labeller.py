import json
from dataclasses import replace

import pytest
from labellers import KIND, THREE, always_a, at_chance, good_is_a, labeller, pairs, right, sigmoid

from gnomon.constitution.labeller import DECIDE, STEPS, Feedback, Opinion, order_of, shaped
from gnomon.constitution.principles import Constitution
from gnomon.errors import ConfigError, StorageError
from gnomon.judges.choosing import local_backend
from gnomon.judges.judgement import Abstention, Criterion
from gnomon.judges.pairwise import choice_request, contrast_judge
from gnomon.models.load import load
from gnomon.settings.feedback import FeedbackSettings

ONE = Constitution(name="one", principles=(KIND,))


@pytest.mark.mistake("label-of-a-place")
def test_both_orders_are_asked_and_averaged():
    def odds(messages):  # sure of the good answer in the first place, undecided in the second
        return 2.0 if good_is_a(messages) else 0.0

    (said,) = labeller(odds).feedback(pairs(1))
    assert said.first_order == pytest.approx(sigmoid(2.0))
    assert said.second_order == pytest.approx(0.5)
    assert said.preference(FeedbackSettings()) == pytest.approx((sigmoid(2.0) + 0.5) / 2)


def test_one_order_is_drawn_by_the_pair_and_seed_and_only_it_is_asked():
    own = labeller(always_a, order="one")
    rows = pairs(60)
    said = own.feedback(rows)
    drawn = [one.order for one in said]
    assert drawn == [order_of(row, 0) for row in rows]
    assert 15 < drawn.count("first") < 45
    assert len(own.backend.chooser.asked) == 60
    for one in said:
        known = one.first_order if one.order == "first" else 1 - one.second_order
        assert known == pytest.approx(sigmoid(3.0))
        assert (one.first_order is None) != (one.second_order is None)


def test_where_it_is_measured_both_orders_are_asked_and_the_label_is_still_of_one():
    own = labeller(always_a, order="one")
    (row,) = pairs(1)
    (said,) = own.prefer([row])
    assert said.flips
    assert said.preference == pytest.approx(
        said.first_order if order_of(row, 0) == "first" else said.second_order
    )


def test_an_ensemble_is_the_mean_of_its_principles_and_begins_with_the_single_one():
    def odds(messages):
        sign = 1 if good_is_a(messages) else -1
        return sign * (3.0 if "kinder" in messages[-1].content else 1.0)

    (single,) = labeller(odds).feedback(pairs(1))
    (said,) = labeller(odds, ensemble=5).feedback(pairs(1))
    assert {opinion.principle for opinion in said.opinions} == {"kind", "true", "short"}
    assert said.opinions[0] == single.opinions[0]
    assert said.first_order == pytest.approx((sigmoid(3.0) + 2 * sigmoid(1.0)) / 3)
    assert said.said(FeedbackSettings()).criterion.count("+") == 2


@pytest.mark.parametrize(
    ("shape", "values"),
    [("soft", (0.9, 0.45, 0.5)), ("hard", (1.0, 0.0, 0.5)), ("clamped", (0.6, 0.45, 0.5))],
)
def test_shapes_of_labels(shape, values):
    assert tuple(shaped(p, shape, (0.4, 0.6)) for p in (0.9, 0.45, 0.5)) == values
    assert shaped(0.05, "clamped", (0.4, 0.6)) == 0.4


def test_labels_are_soft_and_with_chains_of_thought_clamped_unless_said():
    assert FeedbackSettings().shape == "soft"
    assert FeedbackSettings(reasoning=2).shape == "clamped"
    assert FeedbackSettings(reasoning=2, labels="soft").shape == "soft"
    (plain,), (clamped,) = (labeller(right(4.0), **more).prefer(pairs(1)) for more in ({}, {"reasoning": 1}))
    assert plain.preference == pytest.approx(sigmoid(4.0))
    assert clamped.preference == 0.6


@pytest.mark.parametrize(
    "wrong",
    [
        {"clamp": (0.6, 0.7)},
        {"method": "contrast", "reasoning": 1},
        {"method": "contrast", "examples": "builtin"},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match=r"clamp is|contrast reads"):
        FeedbackSettings(**wrong)


def test_chains_of_thought_are_asked_for_kept_and_averaged():
    odds = iter([4.0, 0.0, 4.0, 0.0])
    own = labeller(lambda messages: next(odds), constitution=ONE, reasoning=2, labels="soft")
    (said,) = own.feedback(pairs(1))
    model = own.backend.chooser
    assert len(set(model.seeds)) == 2
    assert said.first_order == pytest.approx(sigmoid(4.0))
    assert said.second_order == pytest.approx(0.5)
    assert [text.split()[0] for text in said.opinions[0].said] == ["Because."] * 4
    request, reasons, decide = model.asked[0].messages
    assert request.content.endswith(STEPS)
    assert (reasons.role, decide.content) == ("assistant", DECIDE)


def test_worked_examples_stand_before_the_question_as_turns_of_both_letters():
    own = labeller(right(), constitution=ONE, examples="builtin")
    own.feedback(pairs(1))
    messages = own.backend.chooser.asked[0].messages
    assert [m.content for m in messages[1:-1:2]] == ["(A)", "(B)", "(B)", "(A)"]
    assert all("kinder" in m.content for m in messages[::2])
    own = labeller(right(), constitution=ONE, examples="builtin", reasoning=1)
    own.feedback(pairs(1))
    assert [m.role for m in own.backend.chooser.asked[0].messages[:4]] == ["user", "assistant"] * 2
    assert own.backend.chooser.asked[0].messages[3].content == "(A)"


def test_the_plain_request_is_the_one_that_judges_ask():
    own = labeller(right(), constitution=ONE)
    (row,) = pairs(1)
    own.feedback([row])
    criterion = Criterion(KIND.id, KIND.text, KIND.comparison)
    asked = [talk.messages[0].content for talk in own.backend.chooser.asked]
    assert asked == [choice_request(row, criterion), choice_request(row.swap(), criterion)]


def test_what_was_asked_is_not_asked_again_by_another_mode_nor_another_process(tmp_path):
    kept, rows = tmp_path / "asked.jsonl", pairs(8)
    first = labeller(at_chance, kept)
    said = first.feedback(rows)
    assert len(first.backend.chooser.asked) == 16
    assert replace(first, settings=FeedbackSettings(order="one")).feedback(rows)
    assert len(first.backend.chooser.asked) == 16
    again = labeller(at_chance, kept)
    assert again.feedback(rows) == said
    assert again.backend.chooser.asked == []
    wider = labeller(at_chance, kept, ensemble=3)
    wider.feedback(rows)
    assert len(wider.backend.chooser.asked) == 2 * 16  # the two other principles
    other = labeller(at_chance, kept, examples="builtin")
    other.feedback(rows)
    assert len(other.backend.chooser.asked) == 16


def test_labels_and_ids_do_not_change_what_is_asked(tmp_path):
    kept = tmp_path / "asked.jsonl"
    (row,) = pairs(1)
    labeller(at_chance, kept, constitution=ONE).feedback([row])
    again = labeller(at_chance, kept, constitution=ONE)
    again.feedback([replace(row, id="other", label=None)])
    assert again.backend.chooser.asked == []


def test_a_principle_without_a_letter_in_either_order_is_left_out_and_a_pair_of_none_abstains():
    def odds(messages):
        if "kinder" in messages[-1].content:
            return 2.0 if good_is_a(messages) else None
        return right(1.0)(messages)

    (said,) = labeller(odds, ensemble=3).feedback(pairs(1))
    assert said.preference(FeedbackSettings()) == pytest.approx(sigmoid(1.0))
    assert labeller(odds, constitution=ONE).prefer(pairs(1)) == [Abstention("neither letter")]
    assert labeller(lambda messages: None).prefer(pairs(1)) == [Abstention("neither letter")]
    empty = Feedback((Opinion("kind", None, None),), "first")
    assert empty.preference(FeedbackSettings(order="one")) is None


def test_a_file_of_other_things_is_refused(tmp_path):
    (tmp_path / "asked.jsonl").write_text(json.dumps({"id": "a", "text": "b"}) + "\n")
    with pytest.raises(StorageError, match="other things than a labeller's answers"):
        labeller(right(), tmp_path / "asked.jsonl").feedback(pairs(1))


def test_contrast_needs_likelihoods_of_answers():
    with pytest.raises(ConfigError, match="tells no likelihoods of whole answers"):
        labeller(right(), method="contrast").feedback(pairs(1))


def test_contrast_is_the_judge_that_reads_answers_under_two_framings():
    lm = load("tiny:0", dtype="float32")
    own = replace(
        labeller(right(), method="contrast", ensemble=2),
        backend=local_backend(lm, "tiny"),
        constitution=THREE,
    )
    rows = pairs(3)
    for row, said in zip(rows, own.feedback(rows), strict=True):
        drawn = THREE.several(row.id, 0, "comparison", 2)
        for principle, opinion in zip(drawn, said.opinions, strict=True):
            criterion = Criterion(principle.id, principle.text, principle.comparison)
            (judged,) = contrast_judge(lm, lambda pair, own=criterion: own).prefer([row])
            assert opinion.first_order == opinion.second_order == pytest.approx(judged.preference, abs=1e-5)


def test_a_model_in_memory_labels_the_same_pair_the_same_way_round():
    lm = load("tiny:0", dtype="float32")
    own = replace(labeller(right(), reasoning=1, reasoning_tokens=4), backend=local_backend(lm, "tiny"))
    said = own.feedback(pairs(2))
    assert all(0 < one.first_order < 1 and len(one.opinions[0].said) == 2 for one in said)
    turned = replace(own, settings=FeedbackSettings()).feedback([row.swap() for row in pairs(2)])
    plain = replace(own, settings=FeedbackSettings()).feedback(pairs(2))
    for one, other in zip(plain, turned, strict=True):
        assert one.first_order == pytest.approx(1 - other.second_order, abs=1e-5)
