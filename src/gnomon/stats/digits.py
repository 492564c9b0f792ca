"""How many digits a difference is told with."""

from collections.abc import Sequence
from math import floor, log10


def decimals(numbers: Sequence[float], least: int) -> int:
    """So many decimals, `least` or more, that a difference can be read beside the bounds of its interval.

    `numbers` are all of these that there are. The largest then has two significant digits; and where the
    interval is clear of zero, the bound next to it is not told as 0, for two decimals more at most.
    """
    sizes = [abs(number) for number in numbers if number]
    if not sizes:
        return least
    two = 1 - floor(log10(max(sizes)))
    clear = min(numbers) > 0 or max(numbers) < 0
    nearest = -floor(log10(min(sizes))) if clear else two
    return max(least, two, min(nearest, two + 2))
