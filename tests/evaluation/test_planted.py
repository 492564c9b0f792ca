"""Models with a known fault: the figures that were written down for it move, the others do not."""

import random
from dataclasses import replace

import pytest

from gnomon.config import DEFAULT_MODEL
from gnomon.evaluation.examine import Kept, examine, sliced
from gnomon.evaluation.figures import figures
from gnomon.evaluation.subjects import Local
from gnomon.evaluation.suites.catalogue import suites_of
from gnomon.evaluation.tasks import Answers, Likelihoods
from gnomon.models.load import load
from gnomon.rollouts.engine import Sampling
from gnomon.rollouts.local import LocalEngine

SUITES = ("answering", "refusals", "sycophancy", "knowledge", "unanswerable")
PADDING = " That is really all there is to say about it, and one might well say it again in other words." * 3


class Sound(Local):
    """The base model, shown three examples so that it answers."""

    def __init__(self, lm):
        super().__init__(type(self).__name__, type(self).__name__, lm, LocalEngine(lm), shown=True)


class Refusing(Sound):
    def answer(self, tasks, sampling, seed):
        said = "I'm sorry, but I can't help with that."
        counts = [len(task.turns) for task in tasks]
        return [Answers((said,) * count, (True,) * count, (12,) * count) for count in counts]


class Padding(Sound):
    def answer(self, tasks, sampling, seed):
        found = super().answer(tasks, sampling, seed)
        return [
            replace(
                own,
                texts=tuple(text + PADDING for text in own.texts),
                tokens=tuple(n + 60 for n in own.tokens),
            )
            for own in found
        ]


class Sycophantic(Sound):
    """Whoever doubts or claims something is agreed with."""

    def choose(self, tasks):
        found = super().choose(tasks)
        for i, (task, own) in enumerate(zip(tasks, found, strict=True)):
            if task.family == "facts":
                swayed = {
                    name: (right - 6 * (name != "plain"), wrong) for name, (right, wrong) in own.logps.items()
                }
                found[i] = Likelihoods(swayed, own.tokens)
            elif task.family == "feedback":
                praised = {
                    name: (praise + 2 * (name == "own"), blame) for name, (praise, blame) in own.logps.items()
                }
                found[i] = Likelihoods(praised, own.tokens)
        return found


class Damaged(Sound):
    """What it knew is gone: it finds one choice as likely as another."""

    def choose(self, tasks):
        chance = random.Random(0)

        def drawn(logps):
            return {name: tuple(-20 * chance.random() for _ in each) for name, each in logps.items()}

        return [Likelihoods(drawn(own.logps), own.tokens) for own in super().choose(tasks)]


MOVED = {
    Refusing: {
        ("refusals", "over_refusal"): 1,
        ("refusals", "answered_safe"): -1,
        ("answering", "checks_each"): -1,  # a base model passes too few prompts whole for a fall to show
        ("unanswerable", "twin_right"): -1,
    },
    Padding: {("answering", "length/words"): 1, ("answering", "length/tokens"): 1},
    Sycophantic: {
        ("sycophancy", "flips_belief"): 1,
        ("sycophancy", "pull_sure"): 1,
        ("sycophancy", "pull_opinion"): 1,
        ("sycophancy", "pull_own"): 1,
    },
    Damaged: {("knowledge", "accuracy"): -1, ("sycophancy", "knows"): -1},
}
"""Which figures each fault is to move, and whether up or down."""

UNMOVED = {
    Refusing: [("knowledge", "accuracy"), ("sycophancy", "pull_belief")],
    Padding: [("knowledge", "accuracy"), ("refusals", "over_refusal"), ("sycophancy", "knows")],
    Sycophantic: [("sycophancy", "knows"), ("knowledge", "accuracy"), ("answering", "checks")],
    Damaged: [("answering", "checks"), ("refusals", "over_refusal")],
}
"""Which it is not to move beyond what chance does."""


@pytest.fixture(scope="module")
def rows_by_subject(tmp_path_factory):
    lm = load(DEFAULT_MODEL)
    kept = Kept(tmp_path_factory.mktemp("kept") / "none.jsonl")
    suites = [sliced(suite, 80, seed=0) for suite in suites_of(SUITES)]

    def rows(kind):
        return {s.name: examine(kind(lm), s, kept, Sampling(48, 0.0)) for s in suites}

    return {s.name: s for s in suites}, {kind: rows(kind) for kind in (Sound, *MOVED)}


@pytest.mark.slow
@pytest.mark.parametrize("fault", list(MOVED), ids=lambda kind: kind.__name__)
def test_a_planted_fault_moves_its_own_figures_and_no_others(rows_by_subject, fault):
    suites, rows = rows_by_subject
    gaps = {}
    for name, suite in suites.items():
        found = figures(suite, {"sound": rows[Sound][name], "faulty": rows[fault][name]}, resamples=2000)
        gaps |= {(name, gap["metric"]): gap for gap in found["differences"]}
    for place, sign in MOVED[fault].items():
        low, high = (gaps[place][bound] for bound in ("low", "high"))
        assert (low > 0) if sign > 0 else (high < 0), (place, gaps[place])
    for place in UNMOVED[fault]:
        assert gaps[place]["low"] <= 0 <= gaps[place]["high"], (place, gaps[place])
