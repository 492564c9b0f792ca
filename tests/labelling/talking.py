"""Projects in which people talk with a model, and models to talk with."""

import time
from functools import cache

from office import project

from gnomon.labelling.client import LabelClient
from gnomon.labelling.dialogue import Dialogues, Talk
from gnomon.labelling.items import Item
from gnomon.labelling.judgement import Judgement
from gnomon.labelling.partner import Partner, Writer
from gnomon.labelling.queue import Queue
from gnomon.labelling.settings import ProjectSettings
from gnomon.labelling.wire import DialogueSeen
from gnomon.models.load import load
from gnomon.records import Message
from gnomon.rollouts.engine import Sample
from gnomon.rollouts.local import LocalEngine

LEFT = Judgement(choice="left", strength=2)
TIE = Judgement(choice="tie")


@cache
def tiny() -> LocalEngine:
    return LocalEngine(load("tiny:0", dtype="float32"))


def partner() -> Partner:
    """A real engine, whose name nobody who talks with it may see."""
    return Partner(tiny(), "secret-policy", "secret-digest")


class Script:
    """An engine that says what it is told to, two answers to a message, and tells no log-probs."""

    def __init__(self, *pairs):
        self.pairs, self.asked = list(pairs), []

    def sample(self, prompts, sampling, seeds):
        raise NotImplementedError

    def answer(self, conversations, sampling, seed=0, *, raw=False):
        self.asked.append((conversations[0], seed))
        texts = self.pairs.pop(0) if self.pairs else (f"a{seed}", f"b{seed}")
        if isinstance(texts, BaseException):
            raise texts
        return [Sample((), (-1,), (), text, True) for text in texts]


def scripted(*pairs) -> Partner:
    return Partner(Script(*pairs), "a-script")


def topic(name: str) -> Item:
    return Item(id=name, prompt=(Message("user", f"Ask about {name}."),), purpose="topic")


def live(store, topics=(), slug="p", **settings):
    """A project of dialogues, of two messages each."""
    own = ProjectSettings(**{"kind": "dialogue", "turns": 2, "answer_tokens": 6} | settings)
    return project(store, [topic(name) for name in topics], own, slug)


class Room:
    """Somebody in a dialogue, and a partner that answers when it is told to."""

    def __init__(self, store, turn, partner=None):
        self.store, self.turn = store, turn
        self.partner = partner or scripted()
        self.talks, self.queue = Dialogues(store, self.partner), Queue(store)
        self.writer = Writer(store, self.partner)
        self.count = 0

    def key(self) -> str:
        self.count += 1
        return f"key-{self.turn.annotator_id}-{self.count:05}"

    def next(self) -> Talk:
        talk = self.talks.next(self.turn)
        assert isinstance(talk, Talk), talk
        return talk

    def say(self, message: str) -> Talk:
        return self.talks.say(self.turn, self.next().token, message, self.key())

    def heard(self, message: str) -> Talk:
        """The dialogue with two answers to a message."""
        self.say(message)
        assert self.writer.answer()
        talk = self.next()
        assert talk.state == "judge"
        return talk

    def judge(self, judgement: Judgement = LEFT) -> str:
        """Judge the pair that waits; its token."""
        token = self.next().task.token
        self.queue.submit(self.turn, token, judgement, self.key())
        return token


def answers(client: LabelClient, slug: str, message: str) -> DialogueSeen:
    """Say something over HTTP and wait for the two answers."""
    client.say(slug, client.next_dialogue(slug).dialogue.token, message)
    deadline = time.monotonic() + 60
    while (talk := client.next_dialogue(slug).dialogue).state == "sampling":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return talk
