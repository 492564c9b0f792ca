"""The labelling application under load: how long `next` and `submit` take, and whether a kill loses a label.

`gnomon label serve` on SQLite, asked by people at human speed and by others at full speed, all on this
machine; latencies are measured where the requests are made, from the first byte sent to the last read. Then
everybody is at full speed when the server is killed (`kill -9`), and a new one is asked what is there. What a
claim alone takes is measured in this process, drawn by lot and from a list of all that is open.
"""

import argparse
import json
import math
import statistics
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import func, select

from gnomon.labelling.judgement import Judgement
from gnomon.labelling.queue import Chooser, Queue, Turn
from gnomon.labelling.store import projects
from gnomon.labelling.store.database import Store, open_store
from gnomon.labelling.store.tables import assignments, events, labels
from gnomon.labelling.store.work import Draw
from gnomon.pipeline.lineage import software
from gnomon.runs import write_json
from labelling.crowd import KINDS, SETTINGS, SLUG, Person, Seen, crowd_at_work, fill, served
from paired import hardware

THINKING = (4.0, 12.0)
"""Seconds a person takes for a pair."""
BAR_MS = 150
"""What 95 of 100 requests of either kind must stay below."""
CLAIMS = (5_000, 100_000)


def kept(store: Store) -> Counter[str]:
    """How many labels each task has in the database: none has more than one, if nothing is wrong."""
    with store.read() as tx:
        query = select(assignments.c.token).join(labels, labels.c.assignment_id == assignments.c.id)
        found = Counter(tx.connection.execute(query).scalars())
        count = tx.connection.execute(select(func.count()).select_from(events)).scalar_one()
    if count != found.total():
        found["events that are no label"] += count - found.total()
    return found


def compared(acknowledged: Sequence[str], found: Mapping[str, int]) -> dict[str, int]:
    """Labels that were acknowledged and are not there, that are there twice, and that nobody was told of."""
    told = set(acknowledged)
    return {
        "acknowledged": len(acknowledged),
        "lost": len(told - found.keys()),
        "doubled": sum(found.values()) - len(found) + len(acknowledged) - len(told),
        "unacknowledged": len(found.keys() - told),
    }


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of them do not exceed."""
    return sorted(values)[max(1, math.ceil(share * len(values))) - 1]


def latencies(seen: Sequence[Seen]) -> dict[str, dict[str, float]]:
    """Milliseconds by kind of request, over all who made it."""
    found = {}
    for what in KINDS:
        own = [1000 * seconds for one in seen for seconds in one.seconds[what]]
        if own:
            told = {f"p{share}": round(quantile(own, share / 100), 1) for share in (50, 95, 99)}
            found[what] = {"requests": len(own), **told, "longest": round(max(own), 1)}
    return found


def under_load(
    place: Path, keys: Sequence[str], at_full_speed: int, seconds: float
) -> tuple[dict[str, Any], list[str]]:
    """Latencies of so many seconds, of all and by speed, with the tokens that were acknowledged."""
    thinking: list[tuple[float, float] | None] = [None] * at_full_speed
    thinking += [THINKING] * (len(keys) - at_full_speed)
    with served(place) as (_, port):
        until = time.monotonic() + seconds
        started = time.monotonic()
        seen = crowd_at_work(port, keys, thinking, lambda: time.monotonic() < until)
        took = time.monotonic() - started
    acknowledged = [token for one in seen for token in one.acknowledged]
    problems = [problem for one in seen for problem in one.problems]
    told = {
        "seconds": round(took, 1),
        "labels_per_second": round(len(acknowledged) / took, 1),
        "errors": len(problems),
        "problems": problems[:5],
        "latency_ms": latencies(seen),
        "at_full_speed_ms": latencies(seen[:at_full_speed]),
        "at_human_speed_ms": latencies(seen[at_full_speed:]),
    }
    return told, acknowledged


def killed(place: Path, keys: Sequence[str], seconds: float) -> list[str]:
    """What was acknowledged to people at full speed until, after so many seconds, the server was killed."""
    with served(place) as (process, port):
        alive = threading.Event()
        alive.set()

        def kill() -> None:
            process.kill()
            alive.clear()

        timer = threading.Timer(seconds, kill)
        timer.start()
        seen = crowd_at_work(port, keys, [None] * len(keys), alive.is_set)
        timer.join()
    return [token for one in seen for token in one.acknowledged]


def measure(items: int, crowd: tuple[int, int], seconds: float, until_kill: float) -> dict[str, Any]:
    """Both loads on one database, of people (at full speed, at human speed); what is kept after each."""
    at_full_speed, at_human_speed = crowd
    with TemporaryDirectory(prefix="gnomon-load-") as folder:
        place = Path(folder) / "labels.db"
        with closing(open_store(place)) as store:
            keys = fill(store, items, at_full_speed + at_human_speed)
        load, acknowledged = under_load(place, keys, at_full_speed, seconds)
        with closing(open_store(place)) as store:
            load |= compared(acknowledged, kept(store))
        acknowledged += killed(place, keys, until_kill)
        with served(place) as (_, port):
            goes_on = Person(port, keys[0], 0)
            goes_on.judge(None)
            goes_on.http.close()
        with closing(open_store(place)) as store:
            after = compared([*acknowledged, *goes_on.seen.acknowledged], kept(store))
    return {"load": load, "killed": {"seconds": until_kill, **after}}


def met(found: Mapping[str, Any], count: int) -> bool:
    """Whether all is within the bar; one request of each may have been kept when the server was killed."""
    load, after = found["load"], found["killed"]
    quick = all(load["latency_ms"][what]["p95"] <= BAR_MS for what in ("next", "submit"))
    whole = not any(load[what] for what in ("errors", "lost", "doubled", "unacknowledged"))
    return quick and whole and not after["lost"] + after["doubled"] and after["unacknowledged"] <= count


def from_a_list(candidates: Sequence[int], rng: Random) -> Draw:
    """Uniformly from all that is open, as the queue's `choose` is shown it."""
    return Draw(rng.choice(candidates), "uniform", 1 / len(candidates))


def claims(count: int, rounds: int) -> dict[str, float]:
    """Median milliseconds of this process's time for a claim among so many open items, by either way."""
    ways: dict[str, Chooser | None] = {"by_lot": None, "from_a_list": from_a_list}
    took: dict[str, list[float]] = {way: [] for way in ways}
    with (
        TemporaryDirectory(prefix="gnomon-claims-") as folder,
        closing(open_store(f"{folder}/l.db")) as store,
    ):
        fill(store, count, 1)
        with store.read() as tx:
            settings = SETTINGS.model_copy(update={"gold_rate": 0.0, "repeat_rate": 0.0})
            turn = Turn(projects.named(tx, SLUG)._replace(settings=settings), 1)
        for _ in range(rounds):
            for way, choose in ways.items():
                queue = Queue(store, choose)
                started = time.process_time()
                task = queue.next(turn)
                took[way].append(time.process_time() - started)
                assert not isinstance(task, str)
                queue.submit(turn, task.token, Judgement(choice="tie"), "key-12345")
    return {way: round(1000 * statistics.median(own), 2) for way, own in took.items()}


def main() -> None:
    """Measure, write results.json, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300, help="how long the load lasts")
    parser.add_argument("--until-kill", type=float, default=10, help="seconds until the server is killed")
    parser.add_argument("--items", type=int, default=20_000, help="pairs in the project")
    parser.add_argument("--full-speed", type=int, default=8, help="people who answer at once")
    parser.add_argument("--human-speed", type=int, default=50, help="people who think")
    parser.add_argument("--rounds", type=int, default=60, help="claims of each way that are timed")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results.json"))
    options = parser.parse_args()
    crowd = options.full_speed, options.human_speed
    found = measure(options.items, crowd, options.seconds, options.until_kill)
    size = {"items": options.items, "at_full_speed": crowd[0], "at_human_speed": crowd[1]}
    results = {
        "size": size | {"overlap": SETTINGS.overlap},
        "hardware": hardware(),
        "software": software(),
        "bar": {"p95_ms": BAR_MS, "met": met(found, sum(crowd))},
        **found,
        "claim_ms": {str(items): claims(items, options.rounds) for items in CLAIMS},
    }
    write_json(options.out, results)
    for what, told in found["load"]["latency_ms"].items():
        print(f"{what}: {told['p50']} ms, p95 {told['p95']} ms, p99 {told['p99']} ms")
    print(json.dumps({"killed": found["killed"], "bar": results["bar"], "claim_ms": results["claim_ms"]}))


if __name__ == "__main__":
    main()
