"""A labeller on a real server that stumbles, asked by a command that is killed again and again."""

import json
import signal
import subprocess
import sys
import time
from threading import Thread

import pytest
from faulty import FAULTS, PATIENCE, Faulty
from vllm_server import serving

from ai_labels.run import write_pairs
from gnomon.config import DEFAULT_MODEL
from gnomon.models.load import load
from gnomon.store import KeptRows

pytestmark = pytest.mark.slow

PAIRS, ORDERS, AT_A_TIME = 1_000, 2, 16
KILLED_AT = 150, 620, 1_100, 1_730
"""Replies that were delivered when the command is killed, some of 2,000."""


def wait_for(process: subprocess.Popen[bytes], proxy: Faulty, delivered: int) -> None:
    while proxy.delivered.total() < delivered:
        assert process.poll() is None, "the command ended before it was killed"
        time.sleep(0.05)


def test_each_of_2000_requests_is_paid_for_once_whatever_happens(tmp_path):
    given = write_pairs(tmp_path / "pairs.jsonl", PAIRS)
    out = tmp_path / "judged"
    with serving(load(DEFAULT_MODEL), tmp_path, context=1024) as ref:
        proxy = Faulty(ref)
        Thread(target=proxy.serve_forever, daemon=True).start()
        command = [sys.executable, "-m", "gnomon", "constitution", "judge", "--json"]
        command += ["--on", str(given), "--modes", "choice", "--out", str(out)]
        command += ["--labeller", f"endpoint:{proxy.url}#{ref.model}"]
        command += [
            f"constitution.roles.timeout={PATIENCE}",
            f"constitution.roles.concurrency={AT_A_TIME}",
        ]
        for delivered in KILLED_AT:
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
                wait_for(process, proxy, delivered)
                process.send_signal(signal.SIGKILL)
        told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        delivered = proxy.delivered.copy()
        again = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        proxy.shutdown()
    assert set(proxy.met) == set(FAULTS)
    assert sum(proxy.met.values()) > PAIRS * ORDERS / 5
    # a reply for each; two only where the first was under way when the command was killed
    assert len(delivered) == PAIRS * ORDERS
    assert delivered.total() - PAIRS * ORDERS <= AT_A_TIME * len(KILLED_AT)
    replies = [row["id"] for row in KeptRows(out / "letters-labeller.jsonl").rows]
    assert len(replies) == len(set(replies)) == PAIRS * ORDERS
    assert told["modes"]["choice"]["accuracy"]["n"] == PAIRS
    for summary in (told, again):
        summary["modes"]["choice"].pop("seconds")
    assert again == told
    assert proxy.delivered == delivered
