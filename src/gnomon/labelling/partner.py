"""The model that people talk with: it answers in the background, each message twice.

What waits for answers is in the database, with the seed they are drawn by: killed at any moment, a server
begins the same answers again.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from random import Random, SystemRandom
from typing import NamedTuple

from gnomon.errors import DataError
from gnomon.labelling.background import in_background
from gnomon.labelling.items import Drawn, Item, Response
from gnomon.labelling.queue import Turn, give
from gnomon.labelling.settings import ProjectSettings
from gnomon.labelling.store import dialogues, journal, projects, work
from gnomon.labelling.store.database import Store, Transaction
from gnomon.labelling.store.dialogues import Dialogue, Exchange
from gnomon.labelling.store.projects import MESSAGES, Project
from gnomon.labelling.store.work import Draw
from gnomon.records import Conversation, Message
from gnomon.rollouts.engine import Engine, Sample, Sampling

ATTEMPTS = 4
"""Times a message is answered until two answers differ."""
TIMEOUT = 120.0
"""Seconds in which two answers should be there."""
LOOK = 0.25
"""Seconds between two looks for messages."""


@dataclass(frozen=True, slots=True)
class Partner:
    """A model by its reference and its files' digest; after `timeout` seconds people are told it is slow."""

    engine: Engine
    policy: str
    digest: str = ""
    timeout: float = TIMEOUT


class Pair(NamedTuple):
    """Two answers that differ, the seed of the first (the second's is the next), and the attempts it took."""

    samples: tuple[Sample, Sample]
    sampling: Sampling
    seed: int
    attempts: int


@dataclass
class Writer:
    """Has a partner answer what waits in a store, one message after the other."""

    store: Store
    partner: Partner
    rng: Random = field(default_factory=SystemRandom)

    def answer(self) -> bool:
        """Answer the message that has waited longest; whether there was one.

        No transaction is open while the model writes. What was said meanwhile, or ended, is left as it is.
        """
        with self.store.read() as tx:
            if (found := dialogues.waiting(tx)) is None:
                return False
            dialogue, asked = found
            project = projects.of_id(tx, dialogue.project_id)
            said = dialogues.exchanges_of(tx, dialogue)
            prompt = MESSAGES.validate_python(dialogues.messages(tx, said))
        try:
            pair = self._sampled(prompt, project.settings, asked.seed)
        except Exception as problem:  # whatever it is, people are told, and others have their turn
            logging.getLogger(__name__).exception("a message in %s could not be answered", project.slug)
            self._fail(dialogue, asked, f"{type(problem).__name__}: {problem}"[:500])
            return True
        propensity = dialogue.propensity * 0.5 ** sum(one.chosen_by == "draw" for one in said)
        item = self._item(f"{dialogue.token}/{asked.number + 1}", prompt, pair, propensity)
        with self.store.write() as tx:
            work.lock_annotator(tx, dialogue.annotator_id)
            if dialogues.settle(tx, asked, "answered"):
                self._show(tx, project, dialogue, asked, item)
        return True

    @contextmanager
    def running(self) -> Iterator[None]:
        """Answer what comes, by a thread, until the block ends."""
        with in_background(self.answer, threads=1, look=LOOK):
            yield

    def _sampled(self, prompt: tuple[Message, ...], settings: ProjectSettings, seed: int) -> Pair:
        talk, sampling = Conversation(prompt), Sampling(settings.answer_tokens, settings.temperature)
        for attempt in range(ATTEMPTS):
            first, second = self.partner.engine.answer([talk, talk], sampling, seed + 2 * attempt)
            if first.text and second.text and first.text != second.text:
                return Pair((first, second), sampling, seed + 2 * attempt, attempt + 1)
        raise DataError(f"two answers of {self.partner.policy} were the same or empty, {ATTEMPTS} times")

    def _item(self, name: str, prompt: tuple[Message, ...], pair: Pair, propensity: float) -> Item:
        drawn = Drawn.of(
            pair.samples,
            policy=self.partner.policy,
            digest=self.partner.digest,
            sampling=asdict(pair.sampling),
            seed=pair.seed,
            propensity=propensity,
            attempts=pair.attempts,
        )
        answers = [(Message("assistant", sample.text),) for sample in pair.samples]
        return Item(
            id=name,
            prompt=prompt,
            responses=tuple(Response(messages=own, origin=self.partner.policy) for own in answers),
            drawn=drawn,
        )

    def _show(
        self, tx: Transaction, project: Project, dialogue: Dialogue, asked: Exchange, item: Item
    ) -> None:
        """Put the pair into the hands of whoever asked, in an order that is drawn."""
        key = projects.store_items(tx, project.id, [item], project.settings.votes)[item.id]
        dialogues.add_answers(tx, asked, key)
        work.reserve(tx, key, wait=True)
        turn = Turn(project, dialogue.annotator_id)
        give(tx, turn, Draw(key, "dialogue", 1.0), self.rng.sample((0, 1), 2), pass_number=1)

    def _fail(self, dialogue: Dialogue, asked: Exchange, error: str) -> None:
        with self.store.write() as tx:
            if dialogues.settle(tx, asked, "failed"):
                journal.note(tx, "message not answered", project=dialogue.project_id, error=error)
