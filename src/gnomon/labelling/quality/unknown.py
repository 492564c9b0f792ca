"""What the labels of a project cannot tell, and why."""

from collections.abc import Iterator, Mapping
from typing import Any

from gnomon.labelling.quality.figures import known

Summary = Mapping[str, Any]
Unknown = dict[str, Any]

FEW_PAIRS = 20
"""Pairs below which resampled intervals are too narrow."""
LENGTH = (
    "what all are drawn to alike cannot be told from longer answers being better; probes that differ in "
    "length alone would tell (gnomon label init --probes)"
)
SYCOPHANCY = (
    "that takes the same answers shown twice with the user's belief turned round, as probes do (gnomon "
    "label init --probes), and nobody has judged both versions of one yet"
)


def unknown(summary: Summary) -> list[Unknown]:
    """Each reason once: `of` names the figures (and annotators) it keeps from being known, `why` says it."""
    return [*_missing(summary), *_people(summary), *_doubtful(summary), *_unprobed(summary)]


def _unknown(of: list[str], why: str) -> Unknown:
    return {"of": of, "why": why}


def _unprobed(summary: Summary) -> Iterator[Unknown]:
    """What only probes tell, where there are none."""
    for kind, name, why in (("length", "length_itself", LENGTH), ("sycophancy", "sycophancy", SYCOPHANCY)):
        if not summary["probes"][kind]["judged"]:
            yield _unknown([name], why)


def _missing(summary: Summary) -> Iterator[Unknown]:
    """Figures of the whole project that are not there."""
    reasons: dict[str, list[str]] = {}
    whole = {
        **summary["agreement"],
        "lean": summary["position"]["slope"],
        "triads": summary["triads"]["crowd"],
    }
    for key, found in whole.items():
        if not known(found):
            reasons.setdefault(found["missing"], []).append(key)
    if not any(known(own["gold"]) for own in summary["annotators"].values()):
        reasons.setdefault("no item with a known answer was judged", []).append("gold")
    if summary["groups"] is None:
        reasons.setdefault("no file of groups was given", []).append("groups")
    yield from (_unknown(keys, why) for why, keys in reasons.items())


def _people(summary: Summary) -> Iterator[Unknown]:
    """Annotators whose votes nothing checks."""
    reasons: dict[str, list[str]] = {}
    for name, own in summary["annotators"].items():
        if not known(own["reliability"]):
            reasons.setdefault(own["reliability"]["missing"], []).append(name)
    yield from (_unknown(["reliability", *names], why) for why, names in reasons.items())


def _doubtful(summary: Summary) -> Iterator[Unknown]:
    """What is there, but less well known than its interval says."""
    raw, people = summary["agreement"]["raw"], summary["annotators"].values()
    if known(raw) and raw["n"] < FEW_PAIRS:
        why = f"only {raw['n']} pairs were judged by two people, and intervals from so few are too narrow"
        yield _unknown(["intervals"], why)
    checked = [own for own in people if known(own["reliability"])]
    if len(checked) == 2 and not any(known(own["gold"]) for own in people):
        why = (
            "votes of two only say that they differ; a third annotator, or known answers, would say who errs"
        )
        yield _unknown(["who_errs"], why)
    if not summary["fit"]["settled"]:
        yield _unknown(["reliability"], "estimates had not settled when the fit stopped; take them as rough")
