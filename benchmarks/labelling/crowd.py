"""A crowd that asks and answers over HTTP, and the server it speaks to."""

import http.client
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from gnomon.labelling.items import Item, Response
from gnomon.labelling.settings import ProjectSettings
from gnomon.labelling.store import people, projects
from gnomon.labelling.store.database import Store
from gnomon.records import Message

SLUG = "load"
SETTINGS = ProjectSettings(overlap=3)
GOLD = 50
LIMIT = 30
"""Seconds until a request counts as failed."""
KINDS = ("next", "submit", "standing")
WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "a",
    "lazy",
    "dog",
    "and",
    "finds",
    "nothing",
    "to",
    "say",
    "of",
    "it",
]


@dataclass
class Seen:
    """What one person met: seconds of each request by kind, tokens acknowledged, and what failed."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    acknowledged: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Person:
    """Somebody with a key and a connection of their own, who judges at random."""

    def __init__(self, port: int, key: str, seed: int) -> None:
        self.http = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self.rng, self.seen = Random(seed), Seen()

    def ask(self, what: str, method: str, path: str, body: Any = None) -> Any:
        """What the server replies; how long it took is kept under `what`."""
        key = {"Idempotency-Key": f"{self.rng.getrandbits(64):016x}"} if body else {}
        sent = json.dumps(body) if body else None
        started = time.perf_counter()
        self.http.request(method, f"/api/v1/projects/{SLUG}{path}", sent, self.headers | key)
        reply = self.http.getresponse()
        content = reply.read()
        self.seen.seconds[what].append(time.perf_counter() - started)
        if reply.status >= http.client.BAD_REQUEST:
            raise OSError(f"{what}: HTTP {reply.status} {content[:200]!r}")
        return json.loads(content)

    def judge(self, thinking: tuple[float, float] | None) -> bool:
        """Be given a task, think, answer, and look how far one is; False where there is no task."""
        task = self.ask("next", "POST", "/next")["task"]
        if task is None:
            return False
        if thinking:
            self.http.close()  # the server closes what is idle for some seconds; connecting again is timed
            time.sleep(self.rng.uniform(*thinking))
        said = {"choice": self.rng.choice(["left", "right"]), "strength": self.rng.randint(1, 4)}
        self.ask("submit", "POST", f"/tasks/{task['token']}/label", said)
        self.seen.acknowledged.append(task["token"])
        if thinking:
            self.ask("standing", "GET", "/standing")
        return True


def crowd_at_work(
    port: int, keys: Sequence[str], thinking: Sequence[tuple[float, float] | None], going: Callable[[], bool]
) -> list[Seen]:
    """What everybody met who judged, each at their speed, as long as it was `going`."""
    everybody = [Person(port, key, seed) for seed, key in enumerate(keys)]

    def work(who: Person, pause: tuple[float, float] | None) -> None:
        try:
            if pause:
                time.sleep(who.rng.uniform(0, pause[1]))  # people do not come in all at once
            while going() and who.judge(pause):
                pass
            if going():
                who.seen.problems.append("there was no task left: give more --items")
        except (OSError, http.client.HTTPException, ValueError) as problem:
            who.seen.problems.append(f"{type(problem).__name__}: {problem}")

    threads = [
        threading.Thread(target=work, args=(who, pause))
        for who, pause in zip(everybody, thinking, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for who in everybody:
        who.http.close()
    return [who.seen for who in everybody]


@contextmanager
def served(place: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`gnomon label serve` on a database in a process of its own, and its port."""
    log = place.with_suffix(".log")
    command = [sys.executable, "-m", "gnomon", "label", "serve", "--db", str(place), "--port", "0"]
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
    try:
        yield process, _port(process, log)
    finally:
        process.terminate()
        process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    while True:
        text = log.read_text()
        if found := re.search(r"serving http://\S+?:(\d+)", text):
            return int(found[1])
        if process.poll() is not None:
            raise SystemExit(f"the server did not start:\n{text[-2000:]}")
        time.sleep(0.05)


def fill(store: Store, items: int, count: int) -> list[str]:
    """A project with so many pairs, some of them gold, and the keys of so many people."""
    with store.write() as tx:
        made = projects.create(tx, SLUG, "Under load", SETTINGS)
        projects.add_items(tx, made.id, (_pair(number, number < GOLD) for number in range(items + GOLD)))
        keys = []
        for _ in range(count):
            somebody = people.add_annotator(tx)
            people.join(tx, made.id, somebody.id, "annotator")
            keys.append(people.create_key(tx, somebody.id, {"label"}))
    return keys


def _pair(number: int, gold: bool) -> Item:  # noqa: FBT001  one question, one answer
    rng = Random(number)
    prompt, *answers = (" ".join(rng.choices(WORDS, k=length)) for length in (20, 80, 80))
    return Item(
        id=f"pair-{number}",
        prompt=(Message("user", prompt),),
        responses=tuple(Response(messages=(Message("assistant", text),)) for text in answers),
        purpose="gold" if gold else "ordinary",
        expected=0 if gold else None,
    )
