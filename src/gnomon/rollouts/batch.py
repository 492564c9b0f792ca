"""Rows that are decoded together: what is known of each, and the key-value cache they share."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gnomon.rollouts.cache import join, joinable, trim


class Rows(NamedTuple):
    """What is known of each row; a row that is done is kept up until it leaves, and nothing of it changes."""

    prompt: Tensor  # [batch] which prompt it answers
    hidden: Tensor  # [batch, width] what its next token follows from
    lengths: Tensor  # [batch] columns of the cache that are its own, the last ones
    steps: Tensor  # [batch] tokens sampled
    done: Tensor  # [batch] whether the last of them is a stop token or the last there may be
    tokens: Tensor  # [batch, max_new_tokens + 1]; after the first `steps` stands nothing of use
    logps: Tensor  # like tokens, in nats
    uniform: Tensor  # like tokens: the numbers they are drawn by

    def take(self, which: Tensor) -> "Rows":
        """Some of the rows, by their places or a mask [batch]."""
        return Rows(*(values[which] for values in self))

    def then(self, other: "Rows") -> "Rows":
        """These rows and others after them."""
        return Rows(*map(torch.cat, zip(self, other, strict=True)))


@dataclass
class Batch:
    """Rows decoded together, and their cache of `width` columns."""

    rows: Rows
    cache: Any
    width: int

    def keep(self, which: Tensor) -> None:
        """Let all rows go but those at the places `which`."""
        self.rows = self.rows.take(which)
        self.cache.reorder_cache(which)

    def trim(self, width: int) -> None:
        """Drop the columns before the last `width`, in which no row that goes on has a token."""
        if width < self.width and joinable(self.cache):
            trim(self.cache, width)
            self.width = width

    def add(self, other: "Batch") -> None:
        """Go on with the rows of another batch as well."""
        join(self.cache, other.cache)
        self.rows, self.width = self.rows.then(other.rows), max(self.width, other.width)
