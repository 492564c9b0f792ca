import numpy as np
import pytest

from gnomon.stats.agreement import agreement_within


def test_what_prompts_differ_by_does_not_count():
    """Worked: about the prompts' means (-1, 1, -1, 1) and (1, -1, -1, 1)."""
    assert agreement_within([0, 2, 100, 102], [11, 9, 49, 51], samples=2) == pytest.approx(0.0)
    assert agreement_within([0, 2, 100, 102], [10, 11, 9, 10], samples=2) == pytest.approx(1.0)
    assert agreement_within([0, 2, 100, 102], [11, 10, 10, 9], samples=2) == pytest.approx(-1.0)


def test_it_is_the_correlation_where_there_is_one_prompt():
    first, second = np.random.default_rng(0).normal(size=(2, 12))
    assert agreement_within(first, second, 12) == pytest.approx(np.corrcoef(first, second)[0, 1])


def test_scores_that_do_not_differ_within_any_prompt_have_none():
    assert agreement_within([1, 1, 5, 5], [1, 2, 3, 4], samples=2) is None
