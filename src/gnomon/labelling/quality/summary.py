"""Everything that is known of a project's labels, as one JSON object."""

from collections.abc import Iterable, Mapping
from typing import Any

from gnomon.labelling.quality.adjudication import adjudication
from gnomon.labelling.quality.agreement import agreement, divided, triads
from gnomon.labelling.quality.annotators import LEVEL, annotators, fitted, leanings
from gnomon.labelling.quality.ballots import read
from gnomon.labelling.quality.findings import findings
from gnomon.labelling.quality.groups import by_group
from gnomon.labelling.quality.probes import probes
from gnomon.labelling.quality.rankings import rankings
from gnomon.labelling.quality.unknown import unknown


def summarise(
    about: Mapping[str, Any],
    items: Mapping[str, int],
    rows: Iterable[Mapping[str, Any]],
    groups: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The statistics of an export with texts, and what to do about them.

    `about` says which project it is (`slug` and `title`), `items` how many there are of each purpose, and
    `groups` which group an annotator belongs to. Where something cannot be known, it says why.
    """
    ballots, counts = read(rows)
    model = fitted(ballots)
    found: dict[str, Any] = {
        "project": dict(about),
        "items": dict(items),
        "labels": counts.outcomes.total(),
        "outcomes": dict(counts.outcomes),
        "until": counts.until,
        "agreement": agreement(ballots),
        "triads": triads(ballots),
        "position": leanings(ballots, model),
        "annotators": annotators(ballots, counts, model),
        "divided": divided(ballots),
        "adjudication": adjudication(ballots, counts, model),
        "rankings": rankings(counts),
        "probes": probes(ballots, counts),
        "groups": by_group(ballots, groups) if groups is not None else None,
        "fit": {
            "why": model.why or None,
            "settled": model.fit is None or model.fit.settled,
            "level": LEVEL,
        },
    }
    return found | {"findings": findings(found), "unknown": unknown(found)}
