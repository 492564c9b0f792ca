"""Two models on the same prompts, and how often the first wins: verdicts kept, figures led back to them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gnomon.data.reader import Reader
from gnomon.errors import ConfigError
from gnomon.evaluation.agreement import clusters_of, known_pairs
from gnomon.evaluation.examine import Row, Suite, examine, sliced
from gnomon.evaluation.tasks import Ask
from gnomon.judges.judgement import PairwiseJudge, answer_text
from gnomon.judges.reference import BASELINES, VOTES
from gnomon.judges.rules import CoinToss, LongestWins
from gnomon.judges.votes import Votes, read_votes
from gnomon.pipeline.account import free_memory, peak_memory_gib
from gnomon.pipeline.examination import Opened, kept_replies, look_at, subject_of, timed
from gnomon.pipeline.hearing import Hearing
from gnomon.pipeline.judges import Case, kind_of
from gnomon.pipeline.kinship import kin
from gnomon.pipeline.lineage import software
from gnomon.pipeline.openings import record
from gnomon.pipeline.reporter import Reporter
from gnomon.pipeline.rows import write_lines
from gnomon.records import Comparison, Conversation, Message
from gnomon.rollouts.engine import Sampling
from gnomon.runs import RunFolder, write_json


@dataclass(frozen=True)
class Contest:
    """Two models and those who judge them (name to reference), the prompts, and how many of them are asked.

    `calibration` is a file of comparisons whose labels are known.
    """

    models: Mapping[str, str]
    judges: Mapping[str, str]
    suite: Suite
    sampling: Sampling
    limit: int | None = None
    calibration: Path | None = None
    seed: int = 0


@dataclass(frozen=True)
class Place:
    """Where a contest is held: the folder, who is told, what asks servers, and what stages took so far."""

    out: Path
    reporter: Reporter
    opened: Opened | None = None
    seconds: dict[str, float] = field(default_factory=dict)


def win_rate(contest: Contest, place: Place) -> dict[str, Any]:
    """How often the first model's answers win, by each judge; `rows.jsonl`, `summary.json`, kept replies.

    A model called `base` or `elicited` is asked as in an examination, whose replies are used where the folder
    has them. There is one model in memory at a time, judges included. Votes and labelled pairs that cannot be
    used are a DataError, other than two models, a second file of votes, a judge called like a baseline or a
    folder that another process holds a ConfigError, before any model is loaded.
    """
    people = _people(contest)
    votes = _votes(contest, people) if people else {}
    known, calibration = _known(contest.calibration)
    relatives = kin(contest.judges, contest.models)
    for name, sentences in relatives.items():
        for sentence in sentences:
            place.reporter.warning(f"judge {name} is no stranger to what it judges: {sentence}")
    suite = sliced(contest.suite, contest.limit, contest.seed)
    asked = [task for task in suite.tasks if isinstance(task, Ask)]
    with RunFolder(place.out).open():
        answers = [_answers(name, contest, suite, place) for name in contest.models]
        pairs = pairs_of(asked, *answers)
        hearing = Hearing(pairs, [task.cluster for task in asked], known, clusters_of(known))
        checks = {task.id: task.facts["checks"][0] for task in asked}
        _hear(contest, hearing, Case(checks, votes, _cut_off(*answers), place.opened), place)
        if people:
            hearing.anchor(people, [name for name in hearing.figures if name != people])
        summary = _summary(contest, hearing, relatives) | {
            "cut_off": [sum(not all(row["values"]["ends_turn"]) for row in own) for own in answers],
            "calibration": calibration,
            "costs": {"seconds": dict(place.seconds), "peak_memory_gib": round(peak_memory_gib(), 2)},
        }
        write_lines(place.out / "rows.jsonl", hearing.rows)
        write_json(place.out / "summary.json", summary)
    return summary


def pairs_of(asked: Sequence[Ask], first: Sequence[Row], second: Sequence[Row]) -> list[Comparison]:
    """Both models' answers to each prompt of one turn, as comparisons that wait for a judgement."""
    return [
        Comparison(
            task.id,
            Conversation((*task.history, Message("user", task.turns[0]))),
            (Message("assistant", one["answer"]),),
            (Message("assistant", other["answer"]),),
        )
        for task, one, other in zip(asked, first, second, strict=True)
    ]


def _people(contest: Contest) -> str | None:
    """The judge that is people's votes, if any."""
    if len(contest.models) != 2 or contest.judges.keys() & set(BASELINES):
        raise ConfigError(f"a win rate is of two models, and no judge is called {' or '.join(BASELINES)}")
    voters = [name for name, ref in contest.judges.items() if kind_of(ref) == "votes"]
    if len(voters) > 1:
        raise ConfigError(f"votes come from {len(voters)} files; put them into one, a row for each vote")
    return voters[0] if voters else None


def _answers(name: str, contest: Contest, suite: Suite, place: Place) -> list[Row]:
    """A model's answers; it is out of memory when they are there."""
    with timed(place.reporter, name, place.seconds) as told:
        subject = subject_of(name, contest.models[name], place.opened)
        kept = kept_replies(place.out, subject, suite)
        rows = examine(subject, suite, kept, contest.sampling, seed=contest.seed, progress=told)
    look = look_at(subject, suite, contest.sampling, contest.seed)
    if twice := record(RunFolder(place.out), [look]):
        place.reporter.warning(twice)
    del subject
    free_memory()
    return rows


def _hear(contest: Contest, hearing: Hearing, case: Case, place: Place) -> None:
    """Ask every judge, one after the other, and the baselines last."""
    for name, ref in contest.judges.items():
        with timed(place.reporter, f"judge {name}", place.seconds) as told:
            hearing.hear(name, ref, case, place.out / "judgements", told)
        free_memory()
    baselines: tuple[PairwiseJudge, ...] = (LongestWins(), CoinToss(contest.seed))
    for name, judge in zip(BASELINES, baselines, strict=True):
        hearing.stand_beside(name, judge)


def _cut_off(*answers: Sequence[Row]) -> frozenset[tuple[str, str]]:
    """Prompt and text of the answers that did not end."""
    return frozenset(
        (row["id"], row["answer"]) for rows in answers for row in rows if not all(row["values"]["ends_turn"])
    )


def _votes(contest: Contest, people: str) -> Votes:
    first, second = contest.models
    file = Path(contest.judges[people].removeprefix(VOTES))
    return read_votes(file, (first, second), {task.id for task in contest.suite.tasks})


def _known(file: Path | None) -> tuple[list[Comparison], dict[str, Any] | None]:
    """The pairs of a file to measure judges on, and what became of its rows."""
    if file is None:
        return [], None
    reader = Reader("skip")
    labelled = reader.read("comparisons", Comparison, [str(file)])
    known = known_pairs(labelled)
    dropped = {reason: count for reasons in reader.dropped.values() for reason, count in reasons.items()}
    sources = sorted({row.label.source for row in known if row.label is not None})
    told = {"file": str(file), "pairs": len(known), "label_ties": len(labelled) - len(known)}
    return known, {**told, "dropped": dropped, "judged_by": sources}


def _summary(contest: Contest, hearing: Hearing, relatives: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    judges = {
        name: {"ref": ref, "kind": kind_of(ref), "kin": list(relatives[name]), **hearing.figures[name]}
        for name, ref in contest.judges.items()
    }
    baselines = {name: {"kind": "baseline", **hearing.figures[name]} for name in BASELINES}
    first, second = contest.models
    return {
        "first": first,
        "second": second,
        "models": dict(contest.models),
        "prompts": len(hearing.pairs),
        "identical": sum(answer_text(pair.first) == answer_text(pair.second) for pair in hearing.pairs),
        "judges": judges | baselines,
        "settings": {**asdict(contest.sampling), "limit": contest.limit, "seed": contest.seed},
        "software": software(),
    }
