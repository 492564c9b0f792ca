import math

import pytest

from gnomon.errors import ConfigError
from gnomon.rollouts.engine import Sampling, seeds_of


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("max_new_tokens", 0),
        ("temperature", -0.5),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("top_k", 0),
        ("top_p", 0.0),
        ("top_p", 1.5),
        ("top_p", math.nan),
    ],
)
def test_what_no_distribution_has_is_refused(setting, value):
    with pytest.raises(ConfigError, match=f"{setting} is {value}; "):
        Sampling(**{setting: value})


def test_plain_is_what_is_drawn_from_the_models_own_distribution_or_greedy():
    assert all(it.plain for it in (Sampling(), Sampling(top_p=1.0), Sampling(9, 0.0, 5, 0.5)))
    assert not any(it.plain for it in (Sampling(9, 0.7), Sampling(top_k=5), Sampling(top_p=0.9)))


def test_rows_draw_by_seeds_that_follow_one_another_or_by_their_own():
    assert list(seeds_of(7, 3)) == [7, 8, 9]
    assert list(seeds_of([5, 5, 1], 3)) == [5, 5, 1]
