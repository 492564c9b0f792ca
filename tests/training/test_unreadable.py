"""Samples whose verdict nobody could read: they pull nowhere, are counted, and many of them stop the run."""

import re

import pytest
from objectives import build, low
from policies import terms

from gnomon.errors import DataError
from gnomon.rewards.told import Told, filled


class Verdicts:
    """A verdict on each sample, of which those in some places of a batch say nothing."""

    def __init__(self, *silent):
        self.silent = silent

    def told(self, samples):
        scores = [None if i in self.silent else score for i, score in enumerate(low(samples))]
        values = filled(scores, [i // 4 for i in range(len(samples))])
        return [
            Told(value, unread=("'Hm.'",)) if score is None else Told(value, read=1)
            for value, score in zip(values, scores, strict=True)
        ]


def paid(*silent, **term):
    """Two prompts with four samples each."""
    reward = terms((Verdicts(*silent), {"name": "judge", **term}))
    return build("policy", reward=reward, policy={"samples": 4, "beta": 0.0}).objective


@pytest.mark.mistake("silence-scored")
def test_a_sample_without_a_verdict_is_made_neither_likelier_nor_less_likely():
    objective = paid(1, unreadable=0.2)
    lengths = [len(sample.response_ids) for sample in objective.roll_out(0).samples]
    work = objective.prepare(0)
    (micro,) = work.micros
    pulls = [float(weights.sum()) for weights in micro.tensors.weights.split(lengths)]
    assert abs(pulls[1]) < 1e-6
    assert sum(abs(pull) > 1e-3 for pull in pulls) > 2
    assert work.metrics["unreadable/judge"] == 1 / 8


def test_a_step_with_too_many_of_them_stops_and_says_where_and_what_to_do():
    prompt = re.escape(paid().roll_out(0).ids[5])
    told = (
        r"step 0: 12\.5% of the verdicts of reward judge cannot be read, though asked for again, and 10\.0% "
        rf"may be; they are about answers to the prompts {prompt}, and of the last there is: 'Hm\.'\. "
        r"Nothing was learnt from this batch\. Name a judge .* or raise `unreadable`"
    )
    with pytest.raises(DataError, match=told):
        paid(5).prepare(0)
    assert paid(5, unreadable=0.125).prepare(0).micros
