import pytest
from rolled import rollouts

from gnomon.stats.win_rate import length_adjusted_win_rate
from gnomon.training.first import FirstAnswers


def test_the_first_answers_tie_with_themselves():
    known = FirstAnswers().beaten(rollouts(second=(1.0, 2.0, 3.0, 5.0)))
    assert known == {"win_rate/start": 0.5, "length_adjusted/start": 0.5}


def test_later_answers_are_held_against_those_of_their_seeds():
    it = FirstAnswers()
    it.beaten(rollouts(second=(1.0, 2.0, 3.0, 5.0)))
    later = it.beaten(rollouts(second=(1.5, 2.0, 2.0, 9.0)))
    assert later["win_rate/start"] == (1 + 0.5 + 0 + 1) / 4
    assert later["length_adjusted/start"] == (1 + 0.5 + 0 + 1) / 4  # they are as long as they were


def test_longer_answers_are_read_at_equal_length():
    it = FirstAnswers()
    it.beaten(rollouts(second=(1.0, 2.0, 3.0, 5.0)))
    it.lengths = [3, 3, 2, 1]  # beside 4, 2, 3 and 1 tokens
    later = it.beaten(rollouts(second=(2.0, 3.0, 4.0, 4.0)))
    assert later["win_rate/start"] == 0.75
    wanted = length_adjusted_win_rate([1.0, 1.0, 1.0, 0.0], [1, -1, 1, 0]).value
    assert later["length_adjusted/start"] == pytest.approx(wanted)


def test_where_length_tells_every_win_nothing_is_said_of_equal_length():
    it = FirstAnswers()
    it.beaten(rollouts(second=(1.0, 2.0, 3.0, 5.0)))
    it.lengths = [1, 1, 9, 9]
    later = it.beaten(rollouts(second=(2.0, 3.0, 2.0, 4.0)))
    assert later == {"win_rate/start": 0.5}


def test_without_a_second_model_nothing_is_judged():
    assert FirstAnswers().beaten(rollouts(second=None)) == {}


def test_the_first_answers_survive_an_interruption():
    it, again = FirstAnswers(), FirstAnswers()
    it.beaten(rollouts(second=(1.0, 2.0, 3.0, 5.0)))
    again.load_state_dict(it.state_dict())
    later = rollouts(second=(0.0, 3.0, 2.0, 9.0))
    assert again.beaten(later) == it.beaten(later)
