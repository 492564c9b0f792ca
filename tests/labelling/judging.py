"""Judgements of every kind, for tests that hold for all of them."""

from hypothesis import strategies as st

from gnomon.labelling.judgement import Judgement
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
