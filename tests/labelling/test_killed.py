import os
import signal
import threading
import time
from contextlib import suppress

from office import PLAIN, key, pairs, process, project
from sqlalchemy import func, select

from gnomon.errors import ConfigError
from gnomon.labelling.client import LabelClient
from gnomon.labelling.judgement import Judgement
from gnomon.labelling.store.database import open_store
from gnomon.labelling.store.tables import assignments, events, labels


def test_nothing_acknowledged_is_lost_when_the_server_is_killed_under_load(database):
    """Six people at full speed, `kill -9` in the middle; then a new server, where they go on."""
    store = open_store(database)
    made = project(store, pairs(2000), PLAIN)
    keys = [key(store, made) for _ in range(6)]
    served, url = process(database)
    acknowledged: list[list[str]] = [[] for _ in keys]

    def work(number: int) -> None:
        with LabelClient(url, keys[number]) as client, suppress(ConfigError):
            while True:
                token = client.next("p").task.token
                client.submit("p", token, Judgement(choice="left", strength=2))
                acknowledged[number].append(token)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(keys))]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60
    while min(map(len, acknowledged)) < 10 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(served.pid, signal.SIGKILL)
    served.wait()
    for thread in threads:
        thread.join()
    tokens = {token for own in acknowledged for token in own}
    assert len(tokens) == sum(map(len, acknowledged)) >= 60
    with store.read() as tx:
        kept = select(assignments.c.token).join(labels, labels.c.assignment_id == assignments.c.id)
        found = list(tx.connection.execute(kept).scalars())
        assert tx.connection.execute(select(func.count()).select_from(events)).scalar() == len(found)
    assert len(found) == len(set(found))
    assert tokens <= set(found)
    assert len(found) - len(tokens) <= len(keys)  # at most one each was kept and not yet acknowledged

    served, url = process(database)
    with LabelClient(url, keys[0]) as client:
        client.submit("p", client.next("p").task.token, Judgement(choice="tie"))
    served.terminate()
    served.wait()
    store.close()
