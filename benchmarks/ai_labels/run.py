"""How long labelling comparisons under a constitution takes, and the memory it takes: the whole command.

A thousand pairs, each in both orders, by the default model in memory: built-in questions of one turn, with
their own answer and that of another question.
"""

import json
import random
import resource
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gnomon.data.reader import BUILTIN, Reader
from gnomon.records import Demonstration
from paired import measure_model

SEED, PAIRS, LONGEST = 0, 1_000, 400
"""The last: characters of an answer."""


def pairs(count: int) -> list[dict[str, str]]:
    """So many comparisons as a file has them, the same for the same number."""
    rows = Reader().read("demonstrations", Demonstration, [BUILTIN])
    short = [row for row in rows if len(row.conversation.messages) == 2 and len(row.response) <= LONGEST]
    chosen = random.Random(SEED).sample(short, count + 1)
    return [
        {"prompt": own.prompt.text, "chosen": own.response, "rejected": other.response}
        for own, other in pairwise(chosen)
    ]


def write_pairs(path: Path, count: int) -> Path:
    """The same in a file."""
    path.write_text("".join(f"{json.dumps(pair)}\n" for pair in pairs(count)), encoding="utf-8")
    return path


def measure(model: str, count: int) -> dict[str, Any]:
    """Seconds and the most memory of the command, from its start to its end."""
    with TemporaryDirectory() as folder:
        given = write_pairs(Path(folder) / "pairs.jsonl", count)
        command = [sys.executable, "-m", "gnomon", "constitution", "judge", "--json", "--modes", "choice"]
        command += ["--on", str(given), "--model", model, "--out", str(Path(folder) / "judged")]
        started = time.monotonic()
        told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    own = told["modes"]["choice"]
    return {
        "pairs": own["accuracy"]["n"],
        "accuracy": own["accuracy"],
        "seconds": round(seconds, 1),
        "peak_mib": round(peak),
    }


def main() -> None:
    """Measure, write results.json, and say what came out."""
    results = measure_model(__doc__, Path(__file__), SEED, lambda model: measure(model, PAIRS))
    print(f"{results['pairs']} pairs in both orders: {results['seconds']} s, {results['peak_mib']} MiB")


if __name__ == "__main__":
    main()
