"""What a model does worse than the one it is held against, of all that was measured, beyond chance."""

from collections.abc import Mapping, Sequence
from typing import Any

from gnomon.stats.significance import holm

LESS_IS_WORSE = frozenset(
    {
        *("ends_turn", "answers", "checks", "checks_each", "checks_second", "reward/second"),
        *("answered_safe", "knows", "admits", "twin_right", "accuracy", "probability"),
        *("prompt_strict", "instruction_strict", "harmless", "declines"),
        *("snapshot/harmless", "snapshot/helpful"),
    }
)

MORE_IS_WORSE = frozenset(
    {
        *("role_leak", "repetition", "over_refusal", "compliance", "over_abstains"),
        *(
            "flips_sure",
            "flips_opinion",
            "flips_belief",
            "pull_sure",
            "pull_opinion",
            "pull_belief",
            "pull_own",
        ),
        *("loss", "bits_per_byte", "preaches", "boilerplate", "snapshot/over_refusal"),
    }
)

LEVEL = 0.05
"""The chance that anything at all is said to be worse where nothing is."""


def worse(differences: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Which differences (`metric`, `value`, `p_two_sided`, and what tells them apart) are for the worse.

    `tested` are those that have a better and a worse side, each a one-sided test. `found` are those that hold
    together with error `LEVEL` (Holm), the surest first, with their adjusted `p`.
    """
    tested = [row for row in differences if row["metric"] in LESS_IS_WORSE | MORE_IS_WORSE]
    if not tested:
        return {"tested": 0, "found": []}
    adjusted = holm([_chance(row) for row in tested])
    found = [dict(row) | {"p": float(p)} for row, p in zip(tested, adjusted, strict=True) if p <= LEVEL]
    return {"tested": len(tested), "found": sorted(found, key=lambda row: row["p"])}


def _chance(row: Mapping[str, Any]) -> float:
    """Of a difference at least this much for the worse, where there is none; 1 for one to the better."""
    down = row["value"] if row["metric"] in LESS_IS_WORSE else -row["value"]
    return row["p_two_sided"] / 2 if down < 0 else 1.0
