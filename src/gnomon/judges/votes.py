"""People's votes between two models' answers, from a file of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar

from gnomon.data.files import file_name, read_rows
from gnomon.errors import DataError
from gnomon.judges.judgement import Abstention, Judgement, Said
from gnomon.records import Comparison

TIED = "tie"
FIELDS = ("prompt_id", "winner", "annotator")

Votes = Mapping[str, Mapping[str, float]]
"""By prompt, by voter: 1 for the first model, 0 for the second, a half for a tie."""


@dataclass(frozen=True)
class VotesJudge:
    """What people said of the answers to each prompt: the mean of their votes."""

    votes: Votes
    ordered: ClassVar[bool] = False
    probabilistic: ClassVar[bool] = False

    def prefer(self, comparisons: Sequence[Comparison]) -> list[Said]:
        """Where nobody voted, nothing is said."""
        return [self._said(self.votes.get(comparison.id, {})) for comparison in comparisons]

    def _said(self, votes: Mapping[str, float]) -> Said:
        if not votes:
            return Abstention("no votes")
        share = fmean(votes.values())
        return Judgement.of(share, share, "votes", tuple(f"{who}: {vote:g}" for who, vote in votes.items()))


def read_votes(path: Path, models: tuple[str, str], prompts: Collection[str]) -> Votes:
    """The votes of a file, one a row: `prompt_id`, `winner` (a model's name or `tie`) and `annotator`.

    DataError names file and row: a field is missing, the prompt is none of `prompts`, the winner is neither
    of the `models`, or somebody votes twice on a prompt.
    """
    votes: dict[str, dict[str, float]] = {}
    worth = {models[0]: 1.0, models[1]: 0.0, TIED: 0.5}
    for number, row in read_rows(path):
        where = f"row {number} of {file_name(path)}"
        prompt, winner, annotator = (_field(row, name, where) for name in FIELDS)
        if prompt not in prompts:
            raise DataError(f"{where}: there is no prompt {prompt!r} among those asked; check --prompts")
        if winner not in worth:
            raise DataError(
                f"{where}: winner {winner!r} is not one of {', '.join(map(repr, worth))}; name the models as "
                "the votes do, NAME=MODEL"
            )
        own = votes.setdefault(prompt, {})
        if annotator in own:
            raise DataError(
                f"{where}: {annotator!r} votes on prompt {prompt!r} for the second time; keep one of both"
            )
        own[annotator] = worth[winner]
    return votes


def _field(row: Mapping[str, Any], name: str, where: str) -> str:
    value = row.get(name)
    if not isinstance(value, str | int) or value == "":
        raise DataError(f"{where}: {name!r} is missing; a vote has {', '.join(FIELDS)}")
    return str(value)
