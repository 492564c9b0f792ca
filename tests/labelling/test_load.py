"""Many people at once on a real server: nothing fails, nothing is lost, nothing is doubled."""

import threading
import time
from collections import Counter
from random import Random

import pytest
from office import key, pairs, process, project
from sqlalchemy import func, select

from gnomon.labelling.client import LabelClient
from gnomon.labelling.judgement import Judgement
from gnomon.labelling.settings import ProjectSettings
from gnomon.labelling.store.database import open_store
from gnomon.labelling.store.tables import assignments, events, items, labels

SECONDS = 30
AT_FULL_SPEED, AT_HUMAN_SPEED = 8, 50
THINKING = (4.0, 12.0)
"""Seconds a person takes for a pair."""


@pytest.mark.slow
def test_58_people_at_once_lose_nothing(database):
    store = open_store(database)
    made = project(store, pairs(5000), ProjectSettings(overlap=3))
    keys = [key(store, made) for _ in range(AT_FULL_SPEED + AT_HUMAN_SPEED)]
    served, url = process(database)
    until = time.monotonic() + SECONDS
    acknowledged, problems = [], []

    def work(number: int) -> None:
        rng = Random(number)
        try:
            with LabelClient(url, keys[number]) as client:
                while time.monotonic() < until:
                    task = client.next("p").task
                    if number >= AT_FULL_SPEED:
                        time.sleep(rng.uniform(*THINKING))
                    judgement = Judgement(choice=rng.choice(["left", "right"]), strength=rng.randint(1, 4))
                    client.submit("p", task.token, judgement)
                    acknowledged.append(task.token)
        except Exception as problem:  # looked at below
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(keys))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    served.terminate()
    served.wait()
    assert problems == []
    with store.read() as tx:
        kept = select(assignments.c.token).join(labels, labels.c.assignment_id == assignments.c.id)
        found = Counter(tx.connection.execute(kept).scalars())
        assert tx.connection.execute(select(func.count()).select_from(events)).scalar() == len(acknowledged)
        assert tx.connection.execute(select(func.max(items.c.taken))).scalar() <= 3
    assert found == Counter(acknowledged)
    store.close()
