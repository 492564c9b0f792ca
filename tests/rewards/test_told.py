import torch

from gnomon.losses.advantages import rloo
from gnomon.rewards.told import Told, filled, unreadable


def test_the_share_of_what_cannot_be_read_is_of_all_verdicts():
    assert unreadable([Told(1.0, read=2), Told(0.0, read=1, unread=("Hm.",))]) == 0.25
    assert unreadable([Told(0.0, unread=("Hm.",))]) == 1.0
    assert unreadable([Told(1.0)]) is None
    assert unreadable([]) is None


def test_what_is_unknown_has_the_mean_of_its_group_and_moves_it_nowhere():
    assert filled([1.0, None, 4.0, None, None], "aaabb") == [1.0, 2.5, 4.0, 0.0, 0.0]
    scores = torch.tensor([filled([1.0, None, 4.0, None], "aaaa")])
    assert rloo(scores)[0, [1, 3]].tolist() == [0.0, 0.0]
