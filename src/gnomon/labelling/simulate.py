"""A simulated crowd at work: the annotators of `gnomon.stats.crowd`, who come in and judge as people do.

What they think of a pair is planted. Where one of two answers is known to be better, that one is; by how
much, and which it is elsewhere, follows from a number drawn for each answer out of the seed and the text, so
that everybody who is shown an answer finds it as good, and circles are nobody's opinion.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from math import sqrt
from secrets import token_hex
from typing import Any, NamedTuple

import httpx
import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from gnomon.errors import DataError
from gnomon.labelling.auth import COOKIE
from gnomon.labelling.client import LabelClient, RefusedError
from gnomon.labelling.judgement import Answer, Judgement, Ordering
from gnomon.labelling.quality.ballots import KINDS, TIE, log_ratio, text_of
from gnomon.labelling.settings import Permission
from gnomon.labelling.tokens import csrf_token
from gnomon.labelling.wire import TaskSeen
from gnomon.records import Comparison, Message, Record
from gnomon.stats.crowd import SPAM, Crowd, Shown, vote

Turns = Sequence[Mapping[str, Any]]
Known = Mapping[str, str]
"""The digest of a prompt and its answers, and that of the better one."""
Progress = Callable[[int], None]


class Stand(NamedTuple):
    """An answer in one version of a probe: its name in both, and whether the user believes what it says."""

    name: str
    believed: bool


@dataclass(frozen=True, slots=True)
class Truth:
    """What is better, and by how much: differences of pairs are standard normal.

    `stands` has the answers of probes by their digests: what a cue changes makes them no better.
    """

    known: Known
    seed: int
    stands: Mapping[str, Stand] = field(default_factory=dict)

    def difference(self, prompt: Turns, first: Turns, second: Turns) -> float:
        """The first answer's quality less the second's."""
        own, others = _answer_key(prompt, first), _answer_key(prompt, second)
        by = (self._quality(own) - self._quality(others)) / sqrt(2)
        better = self.known.get(_pair_key(own, others))
        return by if better is None else abs(by) if better == own else -abs(by)

    def belief(self, prompt: Turns, first: Turns, second: Turns) -> float:
        """1 where the user says to believe what the first answer says, -1 the second, else 0."""
        believed = [self.stands.get(_answer_key(prompt, answer)) for answer in (first, second)]
        own, others = (stand is not None and stand.believed for stand in believed)
        return float(own) - float(others)

    def _quality(self, answer: str) -> float:
        if answer in self.stands:
            answer = self.stands[answer].name
        drawn = int.from_bytes(sha256(f"{self.seed}/{answer}".encode()).digest()[:8])
        return float(ndtri((drawn + 0.5) / 2**64))


def known_better(found: Iterable[tuple[Turns, Sequence[Turns], int]]) -> dict[str, str]:
    """Prompts with two answers and the place of the better one, as a truth has them."""
    better = {}
    for prompt, answers, expected in found:
        own = [_answer_key(prompt, answer) for answer in answers]
        better[_pair_key(*own)] = own[expected]
    return better


def stands_of(versions: Iterable[tuple[Turns, Sequence[Turns], Mapping[str, Any]]]) -> dict[str, Stand]:
    """Prompts with the two answers of each version of a probe, and which it is, as a truth has them."""
    stands = {}
    for prompt, answers, probe in versions:
        for place, answer in enumerate(answers):
            believed = probe["kind"] == "sycophancy" and probe["favours"] == place
            stands[_answer_key(prompt, answer)] = Stand(f"{probe['pair']}/{place}", believed)
    return stands


def known_of(records: Iterable[Record]) -> dict[str, str]:
    """The same of comparisons whose labels say which answer is better; DataError for other records."""
    found = []
    for record in records:
        if not isinstance(record, Comparison):
            raise DataError(f"{record.id} is no comparison; only those say which answer is better")
        if record.label is not None and not record.is_tie:
            answers = [_turns(answer) for answer in (record.first, record.second)]
            found.append((_turns(record.prompt.messages), answers, int(record.chosen is not record.first)))
    return known_better(found)


def join(url: str, link: str, name: str, scope: Permission = "label") -> str:
    """Use up a one-time link by a new account with a password nobody knows, and return a key for a scope.

    RefusedError where the server does not let it in.
    """
    with httpx.Client(base_url=url, headers={"Sec-Fetch-Site": "same-origin"}, timeout=30) as http:
        reply = http.post(link, data={"name": name, "password": token_hex(16)})
        session = http.cookies.get(COOKIE)
        if reply.is_error or session is None:
            raise RefusedError(reply.status_code, f"{name} was not let in by the link")
        headers = {"X-CSRF-Token": csrf_token(session)}
        made = http.post("/api/v1/keys", json={"scopes": [scope]}, headers=headers)
        if made.is_error:
            raise RefusedError(made.status_code, made.text[:200])
        return str(made.json()["key"])


def work(
    clients: Sequence[LabelClient],
    project: str,
    crowd: Crowd,
    truth: Truth,
    told: Progress | None = None,
) -> int:
    """Let everybody judge by turns until nobody is given a task; how many there were.

    One request is under way at a time, so whose turn it is follows from the crowd alone; what the queue draws
    does not.
    """
    done = [0] * len(clients)
    busy = list(range(len(clients)))
    while busy:
        for who in tuple(busy):
            task = clients[who].next(project).task
            if task is None:
                busy.remove(who)
                continue
            clients[who].submit(project, task.token, judge(crowd, who, done[who], task, truth))
            done[who] += 1
            if told:
                told(sum(done))
    return sum(done)


def judge(crowd: Crowd, who: int, index: int, task: TaskSeen, truth: Truth) -> Answer:
    """What one of the crowd says of a task as their how-manieth, and in what time."""
    if len(task.responses) > 2:
        return _rank(crowd, who, index, task, truth)
    left, right = task.responses
    length = log_ratio(len(text_of(left)), len(text_of(right)))
    difference, belief = (ask(task.prompt, left, right) for ask in (truth.difference, truth.belief))
    seen = (difference, 1.0, length, belief)
    shown = Shown(*(np.array([value]) for value in seen))
    cast = vote(crowd, np.array([who]), np.array([index]), shown, KINDS)
    strength, spent = int(cast.outcomes[0]) - TIE, round(1000 * float(cast.seconds[0]))
    if strength == 0:
        return Judgement(choice="tie", active_ms=spent, elapsed_ms=spent)
    side = "left" if strength > 0 else "right"
    return Judgement(choice=side, strength=abs(strength), active_ms=spent, elapsed_ms=spent)


def _rank(crowd: Crowd, who: int, index: int, task: TaskSeen, truth: Truth) -> Ordering:
    """An order by quality and Gumbel noise, so that each pair falls as single pairs do (Luce, 1959)."""
    random = np.random.default_rng((crowd.seed, who, index))
    last = task.responses[-1]
    quality = np.array([truth.difference(task.prompt, answer, last) for answer in task.responses])
    seen = crowd.traits[who, 0] * quality + random.gumbel(size=quality.size)
    ranks = rankdata(-seen, "ordinal").tolist()
    spent = round(1000 * float(crowd.seconds[who]) * len(ranks))
    return Ordering(ranks=ranks, active_ms=spent, elapsed_ms=spent)


def settle(client: LabelClient, project: str, truth: Truth) -> int:
    """Let one decide every case that waits, as the truth has it; how many there were."""
    decided = 0
    while (case := client.next_case(project).case) is not None:
        by = truth.difference(case.prompt, *case.responses)
        client.decide(project, case.token, Judgement(choice="left" if by > 0 else "right", strength=2))
        decided += 1
    return decided


def planted(crowd: Crowd, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What each of the crowd was planted with, in the units of the statistics, by pseudonym.

    `spam` says what those vote for who do not read. Length slopes are less the crowd's mean, as those found.
    """
    own = np.flatnonzero(crowd.spam).tolist()
    slopes = crowd.traits[:, 2] - crowd.traits[:, 2].mean()
    return {
        name: {
            "spam": SPAM[own.index(place) % len(SPAM)] if place in own else None,
            "reliability": float(crowd.traits[place, 0]),
            "position": float(crowd.traits[place, 1]),
            "length": float(slopes[place]),
            "tie_threshold": float(np.exp(crowd.traits[place, 3])),
            "sycophancy": float(crowd.sycophancy[place]),
            "median_seconds": float(crowd.seconds[place]),
        }
        for place, name in enumerate(names)
    }


def _turns(messages: Iterable[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _answer_key(prompt: Turns, answer: Turns) -> str:
    told = [[(turn["role"], turn["content"]) for turn in part] for part in (prompt, answer)]
    return sha256(json.dumps(told).encode()).hexdigest()


def _pair_key(one: str, other: str) -> str:
    return "/".join(sorted((one, other)))
