"""How varied a model's answers to one prompt are."""

from collections.abc import Hashable, Sequence

from gnomon.errors import DataError


def distinct(rows: Sequence[Sequence[Hashable]], n: int = 2) -> float | None:
    """Of all runs of n neighbours in the rows, the share that are distinct; None where no row has n.

    distinct-n of arXiv:1510.03055, over runs where that divides by tokens, so that 1 is the most. Rows in
    which nothing comes twice have 1; k copies of one of them 1/k. DataError for an n below 1.
    """
    if n < 1:
        raise DataError(f"distinct: runs of {n}; they have 1 or more")
    runs = [tuple(row[i : i + n]) for row in rows for i in range(len(row) - n + 1)]
    return len(set(runs)) / len(runs) if runs else None
