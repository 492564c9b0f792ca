"""How often held-out rows were looked at in a folder, and by what: counted in its manifest, said aloud."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Self

from gnomon.runs import RunFolder, read_json, write_json
from gnomon.store import Store

READS_TEST = (
    *("answers_", "suites_", "preference", "reward", "judge", "feedback_judge", "direct_judge"),
    "snapshot_",
)
"""Beginnings of the names of stages that read held-out rows."""

DEV = "builtin:dev"
"""Evaluation prompts to choose settings by: who looks at these opens nothing."""

COUNTS, LIST = "test_openings", "test_opened"
"""What the manifest calls the number of openings by what opened, and the openings."""


@dataclass(frozen=True, slots=True)
class Opening:
    """One look at held-out rows. With the same `by` and `id` it is the same look, which shows nothing new."""

    by: str
    id: str
    at: str

    @classmethod
    def now(cls, by: str, id: str) -> Self:
        """A look that is being taken."""
        return cls(by, id, datetime.now(UTC).isoformat(timespec="seconds"))


def of_stages(store: Store) -> list[Opening]:
    """The looks of all stages that were ever computed in this folder, whatever their settings."""
    return [
        Opening(about["stage"], about["id"], about.get("finished", ""))
        for about in map(store.about, store.ids())
        if about["stage"].startswith(READS_TEST) and not _chooses(about, store)
    ]


def entries(manifest: Mapping[str, Any], looks: Iterable[Opening]) -> dict[str, Any]:
    """What a manifest says of openings when these looks are added to those it has."""
    known = [Opening(**row) for row in manifest.get(LIST, [])]
    first: dict[tuple[str, str], Opening] = {}
    for look in sorted([*known, *looks], key=lambda look: (look.at, look.by)):
        first.setdefault((look.by, look.id), look)
    return {COUNTS: dict(Counter(by for by, _ in first)), LIST: [asdict(look) for look in first.values()]}


def earlier(run: RunFolder) -> dict[str, Any]:
    """The manifest that is there; nothing where there is none."""
    found: dict[str, Any] = read_json(run.manifest) if run.manifest.exists() else {}
    return found


def record(run: RunFolder, looks: Iterable[Opening]) -> str | None:
    """Add looks to the manifest; what to warn of where any but the first look was taken by the same."""
    manifest = earlier(run)
    manifest |= entries(manifest, looks)
    write_json(run.manifest, manifest)
    often = {by: count for by, count in manifest[COUNTS].items() if count > 1}
    if not often:
        return None
    told = ", ".join(f"{by} {count} times" for by, count in sorted(often.items()))
    return (
        f"held-out rows were opened more than once in {run.path} ({told}): what was chosen after the first "
        f"look is not measured on unseen rows any more; choose on {DEV}, and open them once, in a new folder"
    )


def _chooses(about: Mapping[str, Any], store: Store) -> bool:
    """Whether a stage answered prompts to choose by, and no others."""
    data = about["inputs"].get("data", "")
    if not about["stage"].startswith("answers_") or not store.has(data):
        return False
    return set(store.about(data)["settings"].get("data", {}).get("evaluation", ())) == {DEV}
