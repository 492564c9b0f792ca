"""Whether people say the same: as others, as themselves, and without going round in circles."""

from typing import Any

import numpy as np

from gnomon.labelling.quality.ballots import KINDS, TIE, Ballots
from gnomon.labelling.quality.figures import Figure, figure, known, missing
from gnomon.stats.coincidence import gwet_ac1, krippendorff_alpha, leave_one_out, raw_agreement, tally
from gnomon.stats.consistency import (
    CYCLIC_BY_CHANCE,
    cyclic_triads,
    flips_of_agreement,
    self_agreement,
)
from gnomon.stats.units import Floats, Positions

AGREEMENT = ("raw", "leave_one_out", "alpha_nominal", "alpha_ordinal", "ac1", "decided")
LONGEST_EXCERPT = 200
"""Characters of a prompt that are shown beside a pair."""
MOST_DIVIDED = 10


def agreement(ballots: Ballots) -> dict[str, Figure]:
    """Agreement on ordinary items at first sight, with intervals that resample prompts.

    All but `alpha_ordinal` count first, tie and second as three kinds; `decided` leaves ties out, and flips
    at that rate explain it: `flips`, of which `ceiling` is what is left. `again` is of repeats.
    """
    rows = np.flatnonzero(ballots.counted)
    again = _again(ballots)
    if not rows.size:
        why = missing("nobody has judged an ordinary pair yet")
        return {**dict.fromkeys((*AGREEMENT, "flips", "ceiling"), why), "again": again}
    counts, clusters = _tallied(ballots, rows, ballots.directions, 3)
    strengths, _ = _tallied(ballots, rows, ballots.outcomes, KINDS)
    decided = _decided(ballots, rows)
    flips = _flips(decided)
    return {
        "raw": figure(lambda: raw_agreement(counts, clusters)),
        "leave_one_out": figure(lambda: leave_one_out(counts, clusters)),
        "alpha_nominal": figure(lambda: krippendorff_alpha(counts, "nominal", clusters)),
        "alpha_ordinal": figure(lambda: krippendorff_alpha(strengths, "ordinal", clusters)),
        "ac1": figure(lambda: gwet_ac1(counts, clusters)),
        "decided": decided,
        "flips": flips,
        "ceiling": _complement(flips),
        "again": again,
    }


def triads(ballots: Ballots) -> dict[str, Figure]:
    """How often three answers to one prompt go round: by majority (`crowd`) and by each person (`within`).

    `p` is that of so few, were every preference a coin.
    """
    rows = np.flatnonzero(ballots.counted & (ballots.outcomes != TIE))
    first = ballots.outcomes[rows] > TIE
    pair = ballots.answers[ballots.items[rows]]
    winners, losers = np.where(first, pair[:, 0], pair[:, 1]), np.where(first, pair[:, 1], pair[:, 0])
    who, crowd = ballots.annotators[rows], max(len(ballots.names), 1)
    return {
        "crowd": _rounds(winners, losers),
        "within": _rounds(winners * crowd + who, losers * crowd + who),
    }


def divided(ballots: Ballots) -> list[dict[str, Any]]:
    """The ordinary items on which people lie farthest apart in strength, with all that was said of each."""
    rows = np.flatnonzero(ballots.counted)
    size = len(ballots.item_names)
    items, outcomes = ballots.items[rows], ballots.outcomes[rows].astype(np.float64)
    count = np.bincount(items, minlength=size)
    middle = np.bincount(items, outcomes, size) / np.maximum(count, 1)
    apart = np.bincount(items, (outcomes - middle[items]) ** 2, size) / np.maximum(count - 1, 1)
    order = np.lexsort((-count, -apart))[:MOST_DIVIDED]
    return [
        {
            "item": ballots.item_names[place],
            "asked": excerpt(ballots.asked[place]),
            "said": np.bincount(ballots.directions[rows][items == place], minlength=3)[::-1].tolist(),
        }
        for place in order
        if apart[place] > 0
    ]


def excerpt(text: str) -> str:
    """The beginning of a text."""
    return text if len(text) <= LONGEST_EXCERPT else text[: LONGEST_EXCERPT - 1] + "…"


def _tallied(ballots: Ballots, rows: Positions, said: Positions, kinds: int) -> tuple[Floats, list[int]]:
    """How often each judged item got each kind, and the number of its prompt."""
    which, units = np.unique(ballots.items[rows], return_inverse=True)
    return tally(units, said[rows], kinds), ballots.prompts[which].tolist()


def _decided(ballots: Ballots, rows: Positions) -> Figure:
    """Raw agreement of votes that are no ties, on two kinds."""
    rows = rows[ballots.outcomes[rows] != TIE]
    if not rows.size:
        return missing("every vote is a tie")
    counts, clusters = _tallied(ballots, rows, ballots.directions // 2, 2)
    return figure(lambda: raw_agreement(counts, clusters))


def _flips(decided: Figure) -> Figure:
    """The flip rate behind the agreement; the lower it is, the higher the agreement."""
    if not known(decided):
        return decided
    if decided["value"] < 0.5:
        return missing("people agree on fewer than half of the pairs, as no flips of one rate make them")
    low, value, high = (flips_of_agreement(max(decided[key], 0.5)) for key in ("high", "value", "low"))
    return {"value": value, "low": low, "high": high, "n": decided["n"]}


def _complement(flips: Figure) -> Figure:
    if not known(flips):
        return flips
    return {"value": 1 - flips["value"], "low": 1 - flips["high"], "high": 1 - flips["low"], "n": flips["n"]}


def _again(ballots: Ballots) -> Figure:
    if not ballots.again.any():
        return missing("nobody was asked the same pair twice; a repeat_rate above 0 does that")
    return figure(lambda: self_agreement(ballots.items, ballots.annotators, ballots.directions))


def _rounds(winners: Positions, losers: Positions) -> Figure:
    found = cyclic_triads(winners, losers)
    if found.complete == 0:
        return missing("no three answers to one prompt were all compared with one another")
    return {
        "value": found.rate,
        "n": found.complete,
        "cyclic": found.cyclic,
        "chance": CYCLIC_BY_CHANCE,
        "p": found.below_chance,
    }
