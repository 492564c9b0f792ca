"""Labellers with planted ways of choosing, and pairs whose better answer says so."""

import math
from hashlib import sha256
from random import Random

from gnomon.constitution.labeller import Labeller, Who
from gnomon.constitution.principles import Constitution, Principle
from gnomon.judges.choosing import Backend
from gnomon.records import Comparison, Conversation, Label
from gnomon.rollouts.engine import Sample
from gnomon.settings.feedback import FeedbackSettings
from gnomon.store import KeptRows

KIND = Principle(id="kind", text="It is kind.", comparison="Which answer is kinder?")
TRUE = Principle(id="true", text="It is true.", comparison="Which answer is truer?")
SHORT = Principle(id="short", text="It is short.", comparison="Which answer is shorter?", weight=2.0)
THREE = Constitution(name="three", principles=(KIND, TRUE, SHORT))


def pairs(n, source="person"):
    """Comparisons of a prompt each, the better answer first in every other one."""
    letters = str.maketrans("0123456789", "ghijklmnop")
    rows = [
        Comparison.of(
            f"p{i}",
            Conversation.of(sha256(f"{i}".encode()).hexdigest()[:24].translate(letters) + "?"),
            f"good {i}",
            f"bad {i}",
            Label(1.0, source),
        )
        for i in range(n)
    ]
    return [row if i % 2 == 0 else row.swap() for i, row in enumerate(rows)]


class Chooses:
    """A model played by a function of the last turn, and what it was asked."""

    def __init__(self, odds, reasons="Because."):
        self.odds, self.reasons, self.asked, self.seeds = odds, reasons, [], []

    def choose(self, asked):
        self.asked += asked
        return [self.odds(talk.messages) for talk in asked]

    def answer(self, conversations, sampling, seed=0, *, raw=False):
        self.seeds.append(seed)
        return [Sample((), (1,), (), f"{self.reasons} {seed + i}", True) for i in range(len(conversations))]


def good_is_a(messages):
    """Whether the first answer of the last request with answers is the good one."""
    request = next(m.content for m in reversed(messages) if "(A) " in m.content and "(B) " in m.content)
    return request.split("(A) ", 1)[1].startswith("good")


def right(odds=2.0):
    """Chooses the good answer, this sure of it, wherever it stands."""
    return lambda messages: odds if good_is_a(messages) else -odds


def always_a(messages):
    """Chooses what stands first."""
    return 3.0


def at_chance(messages):
    """Tosses a coin for each request, the same one for the same request."""
    return Random(messages[-1].content).gauss(0, 2)


def labeller(odds, kept=None, constitution=THREE, seed=0, **settings):
    """A labeller that a function plays."""
    model = Chooses(odds)
    backend = Backend("planted", model, model, None, 32)
    chosen = FeedbackSettings(**settings)
    return Labeller(Who("teacher", "planted"), backend, constitution, chosen, KeptRows(kept), seed)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))
