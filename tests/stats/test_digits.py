import pytest

from gnomon.stats.digits import decimals


@pytest.mark.parametrize(
    ("numbers", "least", "told"),
    [
        ((0.0031, 0.0012, 0.0050), 2, 4),
        ((12.3, 5.04, 19.9), 1, 1),
        ((0.4, -0.2, 1.0), 2, 2),
        ((0.0004, -0.03, 0.03), 2, 3),  # nothing beside its interval
        ((0.003, 0.0004, 0.0121), 2, 4),  # clear of zero, and to be seen so
        ((-0.003, -0.0121, -0.0004), 2, 4),
        ((0.5, 1e-9, 1.0), 2, 3),
        ((0.05,), 2, 3),
        ((0.0, 0.0, 0.0), 2, 2),
    ],
)
def test_a_difference_has_the_digits_it_takes_to_read_it(numbers, least, told):
    assert decimals(numbers, least) == told
