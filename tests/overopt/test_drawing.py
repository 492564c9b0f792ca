import numpy as np

from gnomon.models.load import load
from gnomon.overopt.drawing import draw, draw_pairs, from_row, letters, to_row, words
from gnomon.overopt.settings import StartSettings
from gnomon.rollouts.engine import Sampling
from gnomon.rollouts.local import LocalEngine


def engine():
    lm = load("tiny:0", dtype="float32")
    return LocalEngine(lm), [tuple(lm.encode_prompt(prompt)) for prompt in letters(3)]


def test_prompts_differ_beyond_the_alphabet():
    names = [prompt.text for prompt in letters(30)]
    assert len(set(names)) == 30
    assert (names[0], names[25], names[26]) == ("a", "z", "aa")


def test_words_are_random_ones_of_the_alphabet():
    rows = words(StartSettings(alphabet="ab", words=40, length=5), letters(2), seed=0)
    assert {row.prompt.text for row in rows} == {"a", "b"}
    assert {len(row.response) for row in rows} == {5}
    assert {letter for row in rows for letter in row.response} == {"a", "b"}
    assert len({row.id for row in rows}) == 40


def test_answers_stand_prompt_by_prompt():
    answering, prompts = engine()
    drawn = draw(answering, prompts, 2, Sampling(4), [1, 2])
    assert [sample.prompt_ids for sample in drawn] == [prompt for prompt in prompts for _ in range(2)]
    assert len({sample.response_ids for sample in drawn}) == 6
    again = draw(answering, prompts, 2, Sampling(4), [1, 2])
    assert drawn == again
    assert drawn != draw(answering, prompts, 2, Sampling(4), [1, 3])


def test_both_answers_of_a_pair_are_to_one_prompt():
    answering, prompts = engine()
    pairs = draw_pairs(answering, prompts, 7, Sampling(4), [0])
    assert len(pairs) == 7
    asked = [sample.prompt_ids for sample in pairs.first]
    assert asked == [sample.prompt_ids for sample in pairs.second]
    assert asked == [prompts[k % 3] for k in range(7)]
    assert len({sample.response_ids for sample in pairs.samples}) == 14
    worth = np.arange(14.0)
    assert pairs.differences(worth).tolist() == [-7.0] * 7


def test_a_sample_on_disk_is_the_same_but_for_its_log_probs():
    answering, prompts = engine()
    (sample,) = draw(answering, prompts[:1], 1, Sampling(4), [0])
    back = from_row(to_row(sample))
    assert (back.prompt_ids, back.response_ids, back.text, back.ended) == (
        sample.prompt_ids,
        sample.response_ids,
        sample.text,
        sample.ended,
    )
    assert back.logps == ()
