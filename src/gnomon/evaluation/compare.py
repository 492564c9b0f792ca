"""Two models on the same prompts: their answers side by side and their paired differences."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gnomon.errors import DataError
from gnomon.evaluation.runner import AnswerRow
from gnomon.evaluation.summary import by_model, differences, estimates


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Two models' metrics, the differences `second` minus `first`, and each prompt's two rows."""

    first: str
    second: str
    models: dict[str, dict[str, dict[str, float | int]]]
    differences: list[dict[str, Any]]
    pairs: list[tuple[AnswerRow, AnswerRow]]

    def to_json(self) -> dict[str, Any]:
        """The comparison as plain JSON values."""
        return asdict(self)


def compare(
    rows: Sequence[AnswerRow], first: str, second: str, *, resamples: int = 10_000, seed: int = 0
) -> SideBySide:
    """Set two models of the rows side by side, in the order the prompts were asked.

    DataError where one of them has no rows, or they did not answer the same prompts.
    """
    models = by_model([row for row in rows if row["model"] in (first, second)])
    for name in (first, second):
        if name not in models:
            raise DataError(f"no answers of model {name!r} among these rows; answer the suite with it first")
    return SideBySide(
        first=first,
        second=second,
        models={name: estimates(models[name], resamples=resamples, seed=seed) for name in (first, second)},
        differences=differences(models, [(second, first)], resamples=resamples, seed=seed),
        pairs=list(zip(models[first], models[second], strict=True)),
    )
