"""Each annotator: what their votes are worth, where they lean, and whether they tire."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from gnomon.labelling.quality.ballots import TIE, Ballots, Counts, Flags
from gnomon.labelling.quality.figures import Figure, figure, missing
from gnomon.stats.annotator_fit import Fit, Interval
from gnomon.stats.annotators import fit_annotators
from gnomon.stats.bias import Trend, length_deviations, position_rate, position_slope, trend
from gnomon.stats.proportion import wilson
from gnomon.stats.units import Floats, Positions

TRAITS = ("reliability", "informativeness", "position", "length", "tie_threshold")
LEVEL = 0.9
"""Of the intervals of traits."""
SHORTEST = 0.001
"""Seconds; the clock of a browser tells no less."""
FEWEST = 5
"""Votes below which nothing is said of a trend."""


class Fitted(NamedTuple):
    """The model of annotators, or why there can be none."""

    fit: Fit | None
    why: str = ""


def fitted(ballots: Ballots) -> Fitted:
    """The model of annotators from everybody's first votes, where anything checks them."""
    if ballots.again.all():
        return Fitted(None, "nobody has judged a pair yet")
    if not _checked(ballots).any():
        why = "no pair was judged by two people, and none has a known answer: nothing checks a vote"
        return Fitted(None, why)
    return Fitted(fit_annotators(*ballots.votes()))


def annotators(ballots: Ballots, counts: Counts, model: Fitted) -> dict[str, dict[str, Any]]:
    """What is known of everybody who labelled, by pseudonym."""
    fit, why = model
    traits = _traits(fit, ballots) if fit else {name: [missing(why)] * len(ballots.names) for name in TRAITS}
    measured = {
        **traits,
        "gold": _shares(ballots, right(ballots), ballots.known[ballots.items] != 0, "no known answers yet"),
        "again": _again(ballots),
        "left": _left(ballots),
        "gold_trend": _gold_trend(ballots),
        "time_trend": _time_trend(ballots),
    }
    return {
        name: {
            "labels": counts.annotators[name].total(),
            "outcomes": dict(counts.annotators[name]),
            "votes": int((ballots.annotators == place).sum()),
            "median_seconds": _median(ballots.seconds[ballots.annotators == place]),
            **{key: column[place] for key, column in measured.items()},
        }
        for place, name in enumerate(ballots.names)
    }


def leanings(ballots: Ballots, model: Fitted) -> dict[str, Figure]:
    """How often all take what stands left, and the crowd's mean position offset in log-odds."""
    fit, why = model
    if not (ballots.outcomes[~ballots.again] != TIE).any():
        return dict.fromkeys(("rate", "slope"), missing("nobody has preferred an answer yet"))
    votes, _ = ballots.votes()
    slope = figure(lambda: position_slope(fit)) if fit else missing(why)
    return {"rate": figure(lambda: position_rate(votes)), "slope": slope}


def right(ballots: Ballots) -> Flags:
    """Whether each vote prefers the answer that is known to be better, [votes]; ties do not."""
    as_known = np.sign(ballots.outcomes - TIE) == ballots.known[ballots.items]
    preferring: Flags = as_known & (ballots.outcomes != TIE)
    return preferring


def _checked(ballots: Ballots) -> Flags:
    """Whether there is something to hold each vote against: others' votes, or a known answer."""
    judges = np.bincount(ballots.items[~ballots.again], minlength=len(ballots.item_names))
    held: Flags = (judges[ballots.items] > 1) | (ballots.known[ballots.items] != 0)
    return held


def _traits(fit: Fit, ballots: Ballots) -> dict[str, list[Figure]]:
    """Each trait of each annotator, [crowd] each."""
    count = np.bincount(ballots.annotators[~ballots.again], minlength=len(ballots.names))
    checked = np.bincount(ballots.annotators, _checked(ballots), len(ballots.names)) > 0
    reliability = fit.trait("reliability", LEVEL)
    threshold = Interval(*(np.exp(bound) for bound in fit.trait("log_threshold", LEVEL)))
    alone = "nobody else judged their pairs, and none of them has a known answer"
    found = {
        "reliability": _column(reliability, count, checked, alone),
        "informativeness": _column(_information(fit, reliability), count, checked, alone),
        "position": _column(fit.trait("position", LEVEL), count, count > 0, alone),
        "length": _column(length_deviations(fit, LEVEL), count, checked, alone),
        "tie_threshold": _column(threshold, count, count > 0, alone),
    }
    if not ballots.lengths.any():
        found["length"] = [missing("all answers are of one length")] * len(ballots.names)
    return found


def _information(fit: Fit, reliability: Interval) -> Interval:
    """Bits a vote, at each bound of reliability: 0 at the lower one where the interval holds 0."""

    def at(values: Floats) -> Floats:
        traits = fit.point.traits.copy()
        traits[:, 0] = values
        return replace(fit, point=fit.point._replace(traits=traits)).informativeness()

    own, ends = fit.informativeness(), np.array([at(reliability.low), at(reliability.high)])
    unsure = (reliability.low <= 0) & (reliability.high >= 0)
    return Interval(own, np.where(unsure, 0.0, ends.min(axis=0)), ends.max(axis=0))


def _column(interval: Interval, count: Positions, there: Flags, why: str) -> list[Figure]:
    """One figure for each annotator; those without votes have none, and some others for a reason."""
    rows = zip(*interval, count, there, strict=True)
    return [
        {"value": float(value), "low": float(low), "high": float(high), "n": int(n)}
        if found
        else missing(why if n else "no votes")
        for value, low, high, n, found in rows
    ]


def _shares(ballots: Ballots, successes: Flags, of: Flags, why: str) -> list[Figure]:
    """Each annotator's share of successes among some votes, with Wilson's interval."""
    crowd = len(ballots.names)
    trials = np.bincount(ballots.annotators[of], minlength=crowd)
    hits = np.bincount(ballots.annotators[of & successes], minlength=crowd)
    return [
        wilson(int(hit), int(n)).to_json() if n else missing(why) for hit, n in zip(hits, trials, strict=True)
    ]


def _left(ballots: Ballots) -> list[Figure]:
    left = np.sign(ballots.outcomes - TIE) == ballots.sides
    return _shares(ballots, left, ballots.outcomes != TIE, "no preference yet")


def _again(ballots: Ballots) -> list[Figure]:
    """How often each says the same of a pair that comes again; it counts where the first vote still does."""
    directions = ballots.directions
    first = {
        (item, who): said
        for item, who, said, again in zip(
            ballots.items, ballots.annotators, directions, ballots.again, strict=True
        )
        if not again
    }
    keys = list(zip(ballots.items, ballots.annotators, strict=True))
    same = np.array([first.get(key) == said for key, said in zip(keys, directions, strict=True)], dtype=bool)
    both = np.array([key in first for key in keys], dtype=bool)
    return _shares(ballots, same, ballots.again & both, "no pair came again")


def _gold_trend(ballots: Ballots) -> list[Figure]:
    """Whether accuracy on known answers falls: `change` in share from the first to the last of them.

    The qualification round is left out: who is here has passed it, so that it is better than what follows.
    """
    rows = np.flatnonzero(((ballots.known != 0) & ~ballots.exam)[ballots.items])
    return _trends(ballots, rows, right(ballots)[rows].astype(np.float64), "known answers")


def _time_trend(ballots: Ballots) -> list[Figure]:
    """Whether votes come faster: `change` as a share of the time at first."""
    rows = np.flatnonzero(np.isfinite(ballots.seconds))
    found = _trends(ballots, rows, np.log(np.maximum(ballots.seconds[rows], SHORTEST)), "timed votes")
    return [one | {"change": float(np.expm1(one["change"]))} if "change" in one else one for one in found]


def _trends(ballots: Ballots, rows: Positions, values: Floats, what: str) -> list[Figure]:
    who, crowd = ballots.annotators[rows], len(ballots.names)
    index = ballots.indices[rows].astype(np.float64)
    count = np.bincount(who, minlength=crowd)
    if not rows.size:
        return [missing(f"no {what}")] * crowd
    found = trend(who, index, values, crowd)
    spans = [np.ptp(index[who == place]) if count[place] else 0.0 for place in range(crowd)]
    return [
        _trend(found, place, spans[place]) | {"n": int(count[place])}
        if count[place] >= FEWEST
        else missing(f"fewer than {FEWEST} {what}")
        for place in range(crowd)
    ]


def _trend(found: Trend, place: int, span: float) -> Figure:
    return {
        "change": float(found.slopes[place] * span),
        "p": float(found.p_values[place]),
        "adjusted": float(found.adjusted[place]),
    }


def _median(seconds: Floats) -> float | None:
    finite = seconds[np.isfinite(seconds)]
    return float(np.median(finite)) if finite.size else None
