"""What a reward model learns from a noisy crowd's votes, by each way of making labels of them.

Built-in comparisons, whose better answer is known, are judged by a simulated crowd: 13 annotators, of whom a
fifth do not read and the others flip about one vote in four. Each way makes labels of the same votes, each
set of labels trains a reward model from the same start, and each is asked about held-out comparisons with
their clean labels. Intervals resample these, over all seeds.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.config import DEFAULT_MODEL, DataSettings, LabelSettings, ModelSettings, RewardSettings
from gnomon.data.sources import Data, read_data
from gnomon.kernels.allocator import settle as settle_memory
from gnomon.models.lora import load_trainable
from gnomon.models.reward_model import RewardModel, Scorer
from gnomon.pipeline.labels import labelled
from gnomon.pipeline.lineage import software
from gnomon.pipeline.votes import Judged, Vote, lay_out
from gnomon.records import Comparison
from gnomon.runs import write_json
from gnomon.stats.bootstrap import mean_interval, paired_difference
from gnomon.stats.crowd import Habits, Shown, assign, hire, vote
from gnomon.stats.labels import AGGREGATES
from gnomon.training.pairs import encode_comparisons
from gnomon.training.reward import RewardModelling, score_comparisons
from learnt import train
from paired import hardware

CROWD = 13
HABITS = Habits(reliability=(1.7, 0.5), spam=0.2)
CLEAN = "clean"
"""The labels that the crowd was drawn from, as what could be reached."""
OURS = "annotator_model"
TIE = 1


def judged(rows: Sequence[Comparison], overlap: int, seed: int) -> list[Judged]:
    """The rows, half of them swapped, with the votes of a crowd; how far answers lie apart is drawn too.

    A pair's difference in quality is half-normal in favour of the answer that is better.
    """
    random = np.random.default_rng([seed, 1])
    swapped = random.random(len(rows)) < 0.5
    shown = [row.swap() if turned else row for row, turned in zip(rows, swapped, strict=True)]
    differences = np.abs(random.normal(size=len(rows))) * np.where(swapped, -1.0, 1.0)
    found = [Judged(row, 0) for row in shown]
    lengths = lay_out([Judged(row, 0, [_tie()]) for row in shown]).pairs.lengths
    given = assign(len(rows), CROWD, overlap, seed)
    sides = random.choice([-1, 1], len(given.pairs))
    seen = Shown(differences[given.pairs], sides, lengths[given.pairs], np.zeros(len(sides)))
    cast = vote(hire(CROWD, HABITS, seed), given.annotators, given.indices, seen)
    for pair, who, said, side in zip(given.pairs, given.annotators, cast.outcomes, sides, strict=True):
        found[pair].votes.append(_vote(f"p{who}", int(said), int(side)))
    return found


def _vote(annotator: str, said: int, side: int) -> Vote:
    if said == TIE:
        return Vote(annotator, "tie", None, None, side, "planted")
    return Vote(annotator, "prefer", 0 if said > TIE else 1, 1, side, "planted")


def _tie() -> Vote:
    return _vote("nobody", TIE, 1)


def trained(model: ModelSettings, rows: Sequence[Comparison], settings: RewardSettings, seed: int) -> Scorer:
    """A reward model of labelled rows."""
    lm = load_trainable(model.ref, model, seed)
    scorer = Scorer(lm, RewardModel(lm))
    encoded = encode_comparisons(lm, rows, model.max_length)
    objective = RewardModelling(scorer, encoded, settings, seed)
    train(objective, scorer.model, settings.optim)
    return scorer


def margins(scorer: Scorer, rows: Sequence[Comparison]) -> np.ndarray:
    """Scores of the better answers less those of the others, [rows]."""
    first, second = (
        np.array([score.value for score in scores]) for scores in score_comparisons(scorer, rows)
    )
    better = np.array([1.0 if row.chosen is row.first else -1.0 for row in rows])
    return (first - second) * better


def scaled_loss(margin: np.ndarray) -> np.ndarray:
    """-log sigmoid(margin) of each row at the scale that makes the mean smallest, [rows].

    Labels without noise would otherwise reward whichever way makes margins steep.
    """
    scales = np.geomspace(0.25, 16, 25)
    return min((np.logaddexp(0, -scale * margin) for scale in scales), key=np.mean)


def measure(
    model: ModelSettings, data: Data, settings: RewardSettings, rows: int, seeds: Sequence[int], overlap: int
) -> dict[str, Any]:
    """Accuracy and log-loss by way, with intervals, and by how much ours is above each other way."""
    clean = (*data.reward, *data.second)[:rows]
    found: dict[str, list[np.ndarray]] = {way: [] for way in (CLEAN, *AGGREGATES)}
    flips: dict[str, list[float | None]] = {way: [] for way in AGGREGATES}
    for seed in seeds:
        crowd = judged(clean, overlap, seed)
        for way, own in found.items():
            made = None if way == CLEAN else labelled(crowd, LabelSettings(method=way))
            labels = clean if made is None else made.comparisons
            if made is not None:
                flips[way].append(made.flips)
            own.append(margins(trained(model, labels, settings, seed), data.test))
            print(f"seed {seed}, {way}: {np.mean(own[-1] > 0):.1%} right", flush=True)
    clusters = [row.id for row in data.test] * len(seeds)
    right = {way: (np.concatenate(own) > 0).astype(float) for way, own in found.items()}
    loss = {way: scaled_loss(np.concatenate(own)) for way, own in found.items()}
    others = [way for way in AGGREGATES if way != OURS]
    return {
        "accuracy": {way: mean_interval(own, clusters).to_json() for way, own in right.items()},
        "log_loss": {way: mean_interval(own, clusters).to_json() for way, own in loss.items()},
        "accuracy_above": {
            way: paired_difference(right[OURS], right[way], clusters).to_json() for way in others
        },
        "log_loss_below": {
            way: paired_difference(loss[way], loss[OURS], clusters).to_json() for way in others
        },
        "flips": flips,
        "by_seed": {way: [round(float(np.mean(one > 0)), 4) for one in own] for way, own in found.items()},
    }


def main() -> None:
    """Measure, write results.json, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL, help="what the reward models start from")
    parser.add_argument("--rows", type=int, default=480, help="comparisons that are judged")
    parser.add_argument("--seeds", type=int, default=3, help="crowds")
    parser.add_argument("--overlap", type=int, default=3, help="votes on each")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results.json"))
    options = parser.parse_args()
    settle_memory()
    model, settings = ModelSettings(ref=options.model), RewardSettings()
    data = read_data(DataSettings(), 0)
    found = measure(model, data, settings, options.rows, range(options.seeds), options.overlap)
    size = {name: getattr(options, name) for name in ("model", "rows", "seeds", "overlap")}
    results = {"size": size | {"annotators": CROWD}, "hardware": hardware(), "software": software(), **found}
    write_json(options.out, results)
    for way, estimate in found["accuracy"].items():
        print(f"{way}: {estimate['value']:.1%} ({estimate['low']:.1%} to {estimate['high']:.1%})")


if __name__ == "__main__":
    main()
