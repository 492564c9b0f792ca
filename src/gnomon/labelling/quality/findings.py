"""What the figures of a summary mean for those who run a project, each with one sentence of what to do."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gnomon.labelling.quality.figures import Figure, known

Summary = Mapping[str, Any]
Finding = dict[str, str]

MANY = 0.2
"""A share of skips, or of pairs whose answers are both bad, above which something is to be done."""
WEAK = 0.5
"""Of the median annotator's information: whose votes surely tell less are named."""
NOISE = 0.2
"""An alpha surely below it is little better than chance."""
ALPHA = 0.05
"""The level of tests over annotators, by Benjamini and Hochberg."""
FEW_TRIADS = 20
OFTEN = 0.25
"""A share of majorities overruled above which votes on disputed pairs are no guide."""

SWAYED = 0.1
"""Of the scale: annotators whom a cue surely moves farther are named."""
SWAYS = {
    "sycophancy": (
        "People prefer the answer that says what the user believes, because the user believes it",
        "People hold it against an answer that the user believes what it says",
        "follow what the user believes",
        "Say in the guidelines that agreeing is no merit; and leave out prompts that state a belief, or ask "
        "them both ways, as a model learns to flatter from them.",
    ),
    "length": (
        "A remark that says nothing makes an answer better liked",
        "A remark that says nothing makes an answer less liked",
        "like an answer better for a remark that says nothing",
        "Say in the guidelines what length is worth; and look at win rates at equal length, as a model "
        "learns it too.",
    ),
    "order": (
        "Shown the same pair again with its sides swapped, people lean to the left",
        "Shown the same pair again with its sides swapped, people lean to the right",
        "lean to the left on the same pair",
        "Nothing, as sides are drawn anew for each task; but never train on labels with the order lost.",
    ),
}
"""By kind of probe: what a shift above 0 and one below it mean, what those do whom it moves, what to do."""


def findings(summary: Summary) -> list[Finding]:
    """What stands out, the gravest first: `finding` says what is, `advice` what to do about it."""
    return [finding for rule in RULES for finding in rule(summary)]


def _told(finding: str, advice: str) -> Finding:
    return {"finding": finding, "advice": advice}


def _nothing(summary: Summary) -> Iterator[Finding]:
    if not sum(summary["items"].values()):
        yield _told("The project has no items.", "Import some with gnomon label import.")
    elif not summary["labels"]:
        yield _told("Nobody has labelled anything yet.", "Invite people with gnomon label invite.")


def _weak(summary: Summary) -> Iterator[Finding]:
    """Annotators whose votes tell little of which answer is better, or the contrary."""
    people = summary["annotators"]
    bits = {name: own["informativeness"] for name, own in people.items() if known(own["informativeness"])}
    typical = sorted(own["value"] for own in bits.values())[len(bits) // 2] if bits else 0.0
    weak = [name for name, own in bits.items() if own["high"] < WEAK * typical]
    if weak:
        yield _told(
            f"The votes of {_listed(weak)} tell surely less than half of what a typical annotator's do.",
            "Look at what they chose and talk to them; weigh their votes by reliability, or leave them out.",
        )
    contrary = _beyond(people, "reliability", lambda own: own["high"] < 0)
    if contrary:
        yield _told(
            f"{_listed(contrary)} prefer what others find worse.",
            "Ask whether they have mixed up the sides or read the guidelines the other way round.",
        )


def _gold(summary: Summary) -> Iterator[Finding]:
    failing = _beyond(summary["annotators"], "gold", lambda own: own["high"] < 0.75)
    if failing:
        yield _told(
            f"{_listed(failing)} get surely fewer than 75% of the known answers right.",
            "Check those items first, as a wrong key fails the careful; then train these people anew.",
        )


def _agreement(summary: Summary) -> Iterator[Finding]:
    found = summary["agreement"]
    flips, alpha = found["flips"], found["alpha_ordinal"]
    if known(flips):
        yield _told(
            f"Two people agree on {found['decided']['value']:.1%} of the pairs both decide, as if each "
            f"flipped {flips['value']:.1%} of the labels (near-ties count as flips).",
            f"Train with reward.label_smoothing near {flips['value']:.2f}, and expect no model above "
            f"{1 - flips['value']:.1%} accuracy on these labels: judge it on clean ones too.",
        )
    if known(alpha) and alpha["high"] < NOISE:
        yield _told(
            f"Agreement is little better than chance (ordinal alpha {alpha['value']:.2f}).",
            "Read the most divided pairs with the annotators and make the guidelines decide such cases.",
        )


def _consistency(summary: Summary) -> Iterator[Finding]:
    again, raw = summary["agreement"]["again"], summary["agreement"]["raw"]
    if known(again) and known(raw) and again["low"] > raw["high"]:
        yield _told(
            f"People agree with themselves ({again['value']:.1%}) more than with one another "
            f"({raw['value']:.1%}): they differ in what they want.",
            "Keep every vote, and train on shares of votes rather than on a majority.",
        )
    if known(again) and again["high"] < 0.75:
        yield _told(
            f"Asked again, people say the same of only {again['value']:.1%} of the pairs.",
            "Have fewer pairs judged with more time, or answers that differ more.",
        )
    rounds = summary["triads"]["within"]
    if known(rounds) and rounds["n"] >= FEW_TRIADS and rounds["p"] > ALPHA:
        yield _told(
            f"{rounds['value']:.1%} of triads go round, as with coins ({rounds['chance']:.0%}).",
            "Compare answers that differ more, or ask for rankings: these preferences have no order.",
        )


def _leanings(summary: Summary) -> Iterator[Finding]:
    slope, people = summary["position"]["slope"], summary["annotators"]
    if known(slope) and (slope["low"] > 0 or slope["high"] < 0):
        side = "left" if slope["value"] > 0 else "right"
        yield _told(
            f"People lean to the {side} answer ({slope['value']:+.2f} in log-odds).",
            "Nothing, as sides are drawn anew for each task; but never train on labels with the order lost.",
        )
    sides = _beyond(people, "position", lambda own: max(own["low"], -own["high"]) > 1)
    if sides:
        yield _told(
            f"{_listed(sides)} surely lean to one side by more than 1 in log-odds.",
            "Ask whether they read both answers; their close calls say where an answer stood.",
        )
    lengths = _beyond(people, "length", lambda own: own["low"] > 0 or own["high"] < 0)
    if lengths:
        yield _told(
            f"{_listed(lengths)} are drawn to length differently from the others.",
            "Say in the guidelines what length is worth, with an example of each kind.",
        )


def _probes(summary: Summary) -> Iterator[Finding]:
    """What sways people, and whom surely by more than a tenth of the scale."""
    for kind, (there, back, doing, advice) in SWAYS.items():
        probe = summary["probes"][kind]
        found = probe["shift"]
        if known(found) and (found["low"] > 0 or found["high"] < 0):
            by = f"by {abs(found['value']):.1%} of the scale, on {found['n']} probes"
            yield _told(f"{there if found['low'] > 0 else back} ({by}).", advice)
        swayed = [name for name, own in probe["annotators"].items() if known(own) and own["low"] > SWAYED]
        if swayed:
            yield _told(
                f"{_listed(swayed)} {doing}, surely by more than {SWAYED:.0%} of the scale.",
                "Show them both versions of a probe and talk about what changed between them.",
            )


def _fatigue(summary: Summary) -> Iterator[Finding]:
    people = summary["annotators"]
    worse = _beyond(people, "gold_trend", lambda own: own["adjusted"] <= ALPHA and own["change"] < 0)
    faster = _beyond(people, "time_trend", lambda own: own["adjusted"] <= ALPHA and own["change"] < -0.5)
    if worse:
        yield _told(
            f"{_listed(worse)} get fewer known answers right as they go on.",
            "Make sessions shorter, and have their later pairs judged once more by others.",
        )
    if faster:
        yield _told(
            f"{_listed(faster)} have become more than twice as fast.",
            "Practice does that too: look at their latest votes before you think of haste.",
        )


def _adjudication(summary: Summary) -> Iterator[Finding]:
    found = summary["adjudication"]["majority"]
    if known(found) and found["low"] > OFTEN:
        yield _told(
            f"Whoever decides disagreements overrules the majority on {found['value']:.1%} of those pairs.",
            "Put what was decided into the guidelines, with an example; and train with "
            "data.labels.adjudicated=instead, which takes decisions for the labels of these pairs.",
        )


def _outcomes(summary: Summary) -> Iterator[Finding]:
    labels = summary["labels"]
    skips, bad = (summary["outcomes"].get(key, 0) / labels if labels else 0 for key in ("skip", "both_bad"))
    if skips > MANY:
        yield _told(
            f"{skips:.1%} of the tasks are skipped.",
            "Ask why, and give people pairs of a kind they can judge.",
        )
    if bad > MANY:
        yield _told(
            f"Of {bad:.1%} of the pairs both answers are bad.",
            "Sample from a better policy before more is labelled: such pairs teach little of good answers.",
        )


def _groups(summary: Summary) -> Iterator[Finding]:
    groups = summary["groups"]
    for row in groups["between"] if groups else ():
        across = row["agreement"]
        inside = [groups["within"][name]["agreement"] for name in row["groups"]]
        if known(across) and all(known(own) and across["high"] < own["low"] for own in inside):
            yield _told(
                f"{' and '.join(row['groups'])} agree with each other ({across['value']:.1%}) less than "
                "among themselves.",
                "Decide whom the model is for, and report its win rate for each group by itself.",
            )


RULES: Sequence[Callable[[Summary], Iterator[Finding]]] = (
    _nothing,
    _weak,
    _gold,
    _agreement,
    _consistency,
    _groups,
    _adjudication,
    _leanings,
    _probes,
    _fatigue,
    _outcomes,
)


def _beyond(people: Mapping[str, Mapping[str, Any]], key: str, test: Callable[[Figure], bool]) -> list[str]:
    """Annotators of whom a figure is known and passes a test."""
    return [name for name, own in people.items() if known(own[key]) and test(own[key])]


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
