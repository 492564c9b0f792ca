"""crowd-kit's side of the benchmark of annotators: votes in as JSON, what it found and how long it took out.

Runs in the peers' environment, one process per fit; what is timed is the fit alone.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
from crowdkit.aggregation import MACE, DawidSkene, MajorityVote, NoisyBradleyTerry, OneCoinDawidSkene

Found = dict[str, Any]


def pairwise(votes: Mapping[str, list[int]]) -> Callable[[], Found]:
    """Its model of noisy annotators of pairs, at its defaults; skills by annotator."""
    frame = pd.DataFrame(votes)[["worker", "left", "right", "label"]]
    return lambda: {"skills": NoisyBradleyTerry().fit(frame).skills_.to_dict()}


def labels(model: Callable[[], Any]) -> Callable[[Mapping[str, list[int]]], Callable[[], Found]]:
    """A model of labels of tasks; the chances of each label by task."""

    def prepared(votes: Mapping[str, list[int]]) -> Callable[[], Found]:
        frame = pd.DataFrame(votes)[["task", "worker", "label"]]

        def fit() -> Found:
            fitted = model().fit(frame)
            chances = fitted.probas_
            found = {"tasks": chances.index.tolist(), "labels": chances.columns.tolist()}
            return found | {"chances": chances.to_numpy().tolist()}

        return fit

    return prepared


MODELS = {
    "pairwise": pairwise,
    "majority": labels(MajorityVote),
    "dawid_skene": labels(DawidSkene),
    "one_coin": labels(OneCoinDawidSkene),
    "mace": labels(MACE),
}


def main() -> None:
    job = json.load(sys.stdin)
    fit = MODELS[job["model"]](job["votes"])
    started = time.perf_counter()
    found = fit()
    seconds = time.perf_counter() - started
    json.dump({"seconds": seconds, **found}, sys.stdout)


if __name__ == "__main__":
    main()
