"""What applying a kind of constraint gives: the draft that obeys it, and the constraint."""

from dataclasses import replace
from typing import NamedTuple

from gnomon.data.composing.draft import Draft
from gnomon.data.composing.wordings import Constraint


class Applied(NamedTuple):
    """A draft and what now holds of its answer."""

    draft: Draft
    constraint: Constraint


Step = Applied | None
"""None where the kind does not suit the draft."""


def applied(draft: Draft, answer: str, constraint: Constraint, request: str | None = None) -> Applied:
    """The draft with its answer, and request where one is given, in new words."""
    return Applied(replace(draft, answer=answer, request=request or draft.request), constraint)
