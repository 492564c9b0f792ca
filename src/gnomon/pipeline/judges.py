"""Judges by their references: a model of likelihoods or one on a server, a reward model, votes, checks."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from gnomon.errors import ConfigError
from gnomon.judges.judgement import QUALITY, PairwiseJudge, answer_text
from gnomon.judges.pairwise import multiple_choice_judge
from gnomon.judges.reference import CHECKS, VOTES
from gnomon.judges.reward_model import RewardJudge
from gnomon.judges.rules import ChecksJudge
from gnomon.judges.verifiable import Check
from gnomon.judges.votes import Votes, VotesJudge
from gnomon.judges.written import WrittenJudge
from gnomon.models.load import load
from gnomon.models.reference import is_served
from gnomon.models.reward_model import HEAD_FILE, load_scorer
from gnomon.pipeline.examination import Opened
from gnomon.pipeline.stages import Start
from gnomon.records import Comparison, to_json
from gnomon.store import content_id


@dataclass(frozen=True)
class Case:
    """What judges are given beside two texts: checks and votes by the pair's id.

    `cut_off` has pair and text of the answers that did not end; `opened` asks servers.
    """

    checks: Mapping[str, Sequence[Check]]
    votes: Votes
    cut_off: frozenset[tuple[str, str]] = frozenset()
    opened: Opened | None = None


def kind_of(ref: str) -> str:
    """What kind of judge a reference names: `checks`, `votes`, `endpoint`, `reward` or `model`."""
    if ref == CHECKS or ref.startswith(VOTES) or is_served(ref):
        return ref.partition(":")[0]
    folder = ref.removeprefix("path:")
    return "reward" if ref != folder and (Path(folder) / HEAD_FILE).exists() else "model"


def open_judge(ref: str, case: Case, replies: Path) -> PairwiseJudge:
    """The judge itself, in memory where it is a model; what a server says is added to the file `replies`."""
    kind = kind_of(ref)
    if kind == CHECKS:
        return ChecksJudge(case.checks)
    if kind == "votes":
        return VotesJudge(case.votes)
    if kind == "endpoint":
        if case.opened is None:
            raise ConfigError(f"{ref} is on a server; there is nothing here that asks it")
        return WrittenJudge(case.opened(ref, replies), QUALITY)
    if kind == "reward":
        return RewardJudge(load_scorer(Path(ref.removeprefix("path:"))), case.cut_off)
    return multiple_choice_judge(load(ref), lambda _: QUALITY)


def judge_id(ref: str) -> str:
    """Changes where the judge does, or what it judges by, and with it all that is kept of it."""
    return content_id([ref, Start(ref).digest, asdict(QUALITY)])


def question_ids(judge: str, pairs: Sequence[Comparison], case: Case) -> list[str]:
    """An id for each pair as a question to the judge of this id: texts, and which answers were cut off."""
    cut = [
        [(pair.id, answer_text(answer)) in case.cut_off for answer in (pair.first, pair.second)]
        for pair in pairs
    ]
    return [content_id([judge, to_json(pair), ends]) for pair, ends in zip(pairs, cut, strict=True)]
