"""Judgements of every kind, for tests that hold for all of them."""

from hypothesis import strategies as st

from gnomon.labelling.judgement import Judgement, Ordering
from gnomon.labelling.settings import FLAGS

ORDERS = st.sampled_from([(0, 1), (1, 0)])
MARKS = st.frozensets(st.sampled_from(FLAGS))
TIMES = st.none() | st.integers(0, 10**9)


@st.composite
def judgements(draw):
    choice = draw(st.sampled_from(["left", "right", "tie", "both_bad", "skip"]))
    return Judgement(
        choice=choice,
        strength=draw(st.integers(1, 4)) if choice in ("left", "right") else None,
        left_flags=draw(MARKS),
        right_flags=draw(MARKS),
        rationale=draw(st.text(max_size=20)),
        active_ms=draw(TIMES),
        elapsed_ms=draw(TIMES),
    )


@st.composite
def orderings(draw):
    """An ordering, and an order in which its answers were shown."""
    size = draw(st.integers(3, 9))
    given = draw(st.lists(st.integers(1, size), min_size=size, max_size=size) | st.none())
    distinct = sorted(set(given or ()))
    flags = draw(st.dictionaries(st.integers(0, size - 1), st.frozensets(st.sampled_from(FLAGS), min_size=1)))
    ordering = Ordering(
        ranks=tuple(distinct.index(rank) + 1 for rank in given) if given else None,
        flags=flags,
        rationale=draw(st.text(max_size=20)),
        active_ms=draw(TIMES),
        elapsed_ms=draw(TIMES),
    )
    return ordering, draw(st.permutations(range(size)))
