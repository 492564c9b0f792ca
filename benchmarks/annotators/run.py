"""Gnomon's model of annotators beside crowd-kit's: seconds of a fit, who reads told from who does not, votes
foretold.

Both sides get the same votes and take turns; crowd-kit runs in the peers' environment at its defaults, and
what is timed is the fit alone. Held-out votes are those of a published crowd, where its file is.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.pipeline.lineage import software
from gnomon.runs import write_json
from gnomon.stats.aggregate import dawid_skene
from gnomon.stats.annotator_fit import Fit
from gnomon.stats.annotators import fit_annotators
from gnomon.stats.units import positions
from gnomon.stats.votes import Pairs, Votes, score_design
from paired import hardware, ratios, spread, take_turns

HERE = Path(__file__).parent
PEER = HERE.parents[1] / ".venv-peers" / "bin" / "python"
DATA = Path(os.environ.get("GNOMON_TEST_DATA") or HERE.parents[2] / "shared" / "data")
CROWD = DATA / "llmfao" / "crowd-comparisons.csv"
SIZE = {"votes": 100_000, "annotators": 500, "items": 1_000}
SPAMMED = {"votes": 4_000, "annotators": 40, "items": 60}
"""Half of the annotators always take what stands first; the others flip one vote in ten."""
LABELS = {"votes": 100_000, "annotators": 500, "items": 20_000}
SEEDS = range(6)
SPLITS = range(5)

Arrays = dict[str, np.ndarray]


def crowd_kit(python: Path, model: str, votes: Arrays) -> dict[str, Any]:
    """What crowd-kit's model finds, and the seconds of its fit."""
    job = json.dumps({"model": model, "votes": {name: own.tolist() for name, own in votes.items()}})
    done = subprocess.run(
        [str(python), "-m", "sides.crowdkit"],
        cwd=HERE.parent,
        input=job,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"crowd-kit at {model}:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def duels(size: Mapping[str, int], spam: float, flips: float, seed: int) -> tuple[Arrays, np.ndarray]:
    """Votes on pairs of items with scores, columns as crowd-kit has them; and who reads what is shown."""
    random = np.random.default_rng(seed)
    scores = random.normal(size=size["items"])
    reads = random.permutation(size["annotators"]) >= spam * size["annotators"]
    left = random.integers(0, size["items"], size["votes"])
    right = (left + random.integers(1, size["items"], size["votes"])) % size["items"]
    worker = random.integers(0, size["annotators"], size["votes"])
    won = (scores[left] > scores[right]) ^ (random.random(size["votes"]) < flips)
    label = np.where(won | ~reads[worker], left, right)
    return {"worker": worker, "left": left, "right": right, "label": label}, reads


def fit_duels(votes: Arrays, size: Mapping[str, int]) -> Fit:
    """Gnomon's model of the same votes: free scores of items, nothing of a pair's own."""
    rows = len(votes["left"])
    pairs = Pairs.of(rows, spread=0, design=score_design(votes["left"], votes["right"], size["items"]))
    won = (votes["label"] == votes["left"]).astype(int)
    return fit_annotators(
        Votes.of(np.arange(rows), votes["worker"], won, 2, np.ones(rows), size["annotators"]), pairs
    )


def told_apart(skills: np.ndarray, reads: np.ndarray) -> float:
    """How often one who reads has the higher skill, ties counting half."""
    one, other = skills[reads][:, None], skills[~reads][None]
    return float(np.mean((one > other) + 0.5 * (one == other)))


def timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def speed(python: Path, rounds: int, size: Mapping[str, int]) -> dict[str, Any]:
    """Seconds of either pairwise fit, in turn, and how many times as fast ours is."""
    votes, _ = duels(size, 0.2, 0.15, 0)
    sides = {
        "gnomon": lambda: timed(lambda: fit_duels(votes, size)),
        "crowd_kit": lambda: float(crowd_kit(python, "pairwise", votes)["seconds"]),
    }
    return compared(take_turns(sides, rounds, warm_up=0), size)


def label_speed(python: Path, rounds: int, size: Mapping[str, int]) -> dict[str, Any]:
    """The same of Dawid and Skene's model of three kinds of labels, which both have."""
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, size["items"])
    task, worker = (
        random.integers(0, size["items"], size["votes"]),
        random.integers(0, size["annotators"], size["votes"]),
    )
    task[: size["items"]] = np.arange(size["items"])
    label = np.where(random.random(size["votes"]) < 0.7, truth[task], random.integers(0, 3, size["votes"]))
    votes = {"task": task, "worker": worker, "label": label}
    theirs = by_task(crowd_kit(python, "dawid_skene", votes), np.ones(3) / 3, size["items"]).argmax(axis=1)
    ours = dawid_skene(task, worker, label, 3).chances.argmax(axis=1)
    sides = {
        "gnomon": lambda: timed(lambda: dawid_skene(task, worker, label, 3)),
        "crowd_kit": lambda: float(crowd_kit(python, "dawid_skene", votes)["seconds"]),
    }
    found = compared(take_turns(sides, rounds, warm_up=0), size)
    return found | {"same_label": round(float(np.mean(ours == theirs)), 4)}


def compared(seconds: Mapping[str, list[float]], size: Mapping[str, int]) -> dict[str, Any]:
    return {
        "size": dict(size),
        "seconds": {side: spread(own) for side, own in seconds.items()},
        "times_as_fast": ratios(seconds["crowd_kit"], seconds["gnomon"]),
    }


def spammers(python: Path, size: Mapping[str, int], seeds: range) -> dict[str, Any]:
    """The area under the curve of both sides' skills over who reads, each seed."""
    areas: dict[str, list[float]] = {"gnomon": [], "crowd_kit": []}
    for seed in seeds:
        votes, reads = duels(size, 0.5, 0.1, seed)
        areas["gnomon"].append(told_apart(fit_duels(votes, size).trait("reliability").value, reads))
        skills = {int(who): skill for who, skill in crowd_kit(python, "pairwise", votes)["skills"].items()}
        areas["crowd_kit"].append(told_apart(np.array([skills[k] for k in range(size["annotators"])]), reads))
    return {"size": dict(size), "area": {side: spread(own) for side, own in areas.items()}}


def held_out(python: Path, path: Path, splits: range) -> dict[str, Any]:
    """Accuracy and log-loss on a tenth of a crowd's votes, each split: crowd-kit's chances and ours."""
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    task = positions([row["id"] for row in rows], len(rows))
    worker = np.array([int(row["worker"]) for row in rows])
    label = np.array([("right", "tie", "left").index(row["winner"]) for row in rows])
    left, right = np.split(positions([row[x] for x in ("left", "right") for row in rows], 2 * len(rows)), 2)
    first = np.unique(task, return_index=True)[1]
    design = score_design(left[first], right[first], int(max(left.max(), right.max())) + 1)
    pairs, votes = Pairs.of(len(first), design=design), Votes.of(task, worker, label, 3, np.ones(len(rows)))
    found: dict[str, dict[str, list[float]]] = {}
    for seed in splits:
        test, train = np.split(np.random.default_rng(seed).permutation(len(rows)), [len(rows) // 10])
        foretold = {"gnomon": fit_annotators(votes.take(train), pairs).predict(votes.take(test), pairs)}
        base = np.bincount(label[train], minlength=3) / len(train)
        seen = {"task": task[train], "worker": worker[train], "label": label[train]}
        for model in ("majority", "one_coin", "mace", "dawid_skene"):
            foretold[model] = by_task(crowd_kit(python, model, seen), base, len(first))[task[test]]
        for model, chances in foretold.items():
            own = found.setdefault(model, {"accuracy": [], "log_loss": []})
            own["accuracy"].append(float(np.mean(chances.argmax(axis=1) == label[test])))
            own["log_loss"].append(log_loss(chances, label[test], base))
    return {model: {what: spread(each) for what, each in own.items()} for model, own in found.items()}


def by_task(told: Mapping[str, Any], base: np.ndarray, tasks: int) -> np.ndarray:
    """Chances of labels by task, [tasks, 3]; of tasks that nobody was seen to judge, how frequent each is."""
    chances = np.tile(base, (tasks, 1))
    chances[np.ix_(told["tasks"], told["labels"])] = told["chances"]
    return chances


def log_loss(chances: np.ndarray, said: np.ndarray, base: np.ndarray) -> float:
    """The mean of -log p at the best of eleven mixtures with the frequencies, chosen on what is foretold.

    It flatters those that are too certain, which no peer is then punished for.
    """
    rows = np.arange(len(said))
    mixed = ((1 - x) * chances[rows, said] + x * base[said] for x in np.linspace(0, 1, 11))
    return min(float(-np.log(np.maximum(own, 1e-12)).mean()) for own in mixed)


def main() -> None:
    """Measure, write results.json, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="fits of each side that are timed")
    parser.add_argument("--python", type=Path, default=PEER, help="Python of an environment with crowd-kit")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results.json"))
    options = parser.parse_args()
    results: dict[str, Any] = {
        "hardware": hardware(),
        "software": software(),
        "pairwise": speed(options.python, options.rounds, SIZE),
        "labels": label_speed(options.python, options.rounds, LABELS),
        "spammers": spammers(options.python, SPAMMED, SEEDS),
    }
    if CROWD.exists():
        results["held_out"] = held_out(options.python, CROWD, SPLITS)
    write_json(options.out, results)
    for name in ("pairwise", "labels"):
        print(f"{name}: {results[name]['times_as_fast']['median']:g} times as fast")
    areas = results["spammers"]["area"]
    print(
        "spammers:", ", ".join(f"{side} {statistics.fmean(own['each']):.3f}" for side, own in areas.items())
    )


if __name__ == "__main__":
    sys.exit(main())
