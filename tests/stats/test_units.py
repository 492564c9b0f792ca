import numpy as np
import pytest

from gnomon.errors import DataError
from gnomon.stats.units import finite, positions, same_length, worth_of


def test_clusters_are_numbered_as_they_appear():
    assert positions(["b", "a", "b", 3], 4).tolist() == [0, 1, 0, 2]
    assert positions(None, 3).tolist() == [0, 1, 2]
    with pytest.raises(DataError, match="3 values but 2 cluster keys"):
        positions(["a", "b"], 3)


@pytest.mark.parametrize(
    ("values", "message"),
    [([], "non-empty"), ([[1.0]], r"shape \(1, 1\)"), ([1, float("nan")], r"scores\[1\] is nan")],
)
def test_rows_are_finite_numbers(values, message):
    with pytest.raises(DataError, match=message):
        finite(values, "scores")
    assert finite([True, 2], "scores").tolist() == [1.0, 2.0]


def test_what_belongs_row_to_row_has_as_many_rows():
    same_length(np.ones(2), np.zeros(2), "a and b")
    with pytest.raises(DataError, match="a and b: 2 values against 3"):
        same_length(np.ones(2), np.zeros(3), "a and b")


def test_clusters_are_worth_as_many_of_one_size():
    assert worth_of(["a", "b", "c"]) == worth_of(["a", "b", "c"] * 4) == 3
    assert worth_of(["a"] * 81 + [*range(19)]) == 100**2 / (81**2 + 19)
    with pytest.raises(DataError, match="no cluster keys"):
        worth_of([])
