"""The stage of AI labels: a labeller is measured, and labels pairs where it is fit to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.config import ConstitutionSettings, Recipe
from gnomon.constitution.examples import load_examples
from gnomon.constitution.feedback import label
from gnomon.constitution.gate import GateReport, Labels, measure, with_sample
from gnomon.constitution.labeller import Labelling
from gnomon.constitution.principles import Constitution
from gnomon.data.formats import load as load_file
from gnomon.data.reader import digest_of
from gnomon.errors import DataError
from gnomon.evaluation.agreement import clusters_of
from gnomon.pipeline.collect import answer_pairs
from gnomon.pipeline.labellers import FEEDBACK, FEEDBACK_JUDGE, is_model, labeller_of
from gnomon.pipeline.roles import Cast, settings_of
from gnomon.pipeline.rows import read_records, write_lines, write_records
from gnomon.pipeline.stage import Artefact, Stage, StageContext
from gnomon.pipeline.stages import Start
from gnomon.records import HARMFUL, Comparison, Message, Prompt, Ranking
from gnomon.rollouts.engine import Sampling
from gnomon.runs import write_json
from gnomon.store import content_id

SUBJECT = (HARMFUL, "over_refusing", "evasive", "sycophantic", "unhelpful")
"""Reasons a constitution speaks about: the gate is measured on these first."""

ROWS = "labels.jsonl"
"""All that was said of each pair."""


@dataclass(frozen=True, slots=True)
class Given:
    """Pairs that are there already, in place of the model's own answers; `digest` changes where they do."""

    pairs: Sequence[Comparison]
    digest: str


def given_pairs(files: Iterable[Path]) -> Given:
    """The pairs of files and of the hub, labelled or not; DataError where one holds something else."""
    pairs: list[Comparison] = []
    digests = []
    for file in files:
        loaded = load_file(file)
        digests.append(digest_of(file, loaded))
        for record in loaded.records:
            if isinstance(record, Comparison):
                pairs.append(record)
            elif isinstance(record, Ranking):
                pairs += _waiting(record) if record.scores is None else record.comparisons()
            else:
                raise DataError(f"{file} holds no pairs of answers: {record.id} is none")
    return Given(pairs, content_id(digests))


def feedback_stage(
    recipe: Recipe,
    settings: ConstitutionSettings,
    constitution: Constitution,
    data: Artefact,
    start: Start,
    given: Given | None = None,
    judge: Artefact | None = None,
) -> Stage:
    """AI labels of given pairs, or else of the generator's own, if the labeller is measured to be fit.

    It is measured on comparisons with known answers, and on a sample of the very pairs: those of the files
    that the settings name, and what of the given pairs is labelled already. A `judge` that was trained labels
    in the place of whom the roles name, and is measured on held-out comparisons: it learnt from the others.
    Where pairs are given nothing else is trained, and all comparisons but those held out measure.
    """
    known_in = ["test.jsonl"] if judge else ["reward.jsonl", *(["second.jsonl"] if given else [])]
    read = data.only(*known_in, *(["red_team.jsonl"] if given is None else []))
    files, roles = given_pairs(map(Path, settings.feedback.sample)), settings.roles
    sample = labelled_sample([*files.pairs, *(given.pairs if given else ())])
    asked = roles.labeller if judge is None else None

    def run(context: StageContext) -> None:
        cast = Cast(start, recipe.model.dtype, context.work, roles)
        labeller = labeller_of(cast, recipe, settings, constitution, judge)
        rows = [row for name in known_in for row in read_records(read.file(name), Comparison)]
        known = gate_comparisons(rows, settings, recipe.seed)
        context.progress(0, 2, "measuring the labeller")
        gate = passed(labeller, known, sample, settings)
        context.progress(1, 2, "measured")
        if not gate.passed or gate.sample is None:
            context.warn(gate.message)
        pairs = given.pairs if given else _own_pairs(cast, recipe, settings, read, gate)
        labelled, said = label(labeller, pairs, gate, settings) if may_label(gate, settings) else ([], [])
        context.progress(2, 2, "labelled")
        write_records(context.folder / "comparisons.jsonl", labelled)
        write_lines(context.folder / ROWS, said)
        write_json(
            context.folder / "report.json", feedback_report(labeller, gate, labelled, len(said), settings)
        )

    chosen = {
        "constitution": constitution.digest,
        "settings": settings.model_dump(mode="json", exclude=UNSEEN_BY_LABELS),
        "examples": content_id([repr(example) for example in load_examples(settings.feedback.examples)]),
        "roles": settings_of(roles.generator, asked if is_model(asked) else None),
        "noise": roles.noise if judge is None else None,
        "sample": files.digest,
        "pairs": given.digest if given else None,
        "seed": recipe.seed,
        "dtype": recipe.model.dtype,
        **start.settings,
    }
    inputs = {"data": read, **start.inputs} | ({"judge": judge} if judge else {})
    return Stage(FEEDBACK if judge is None else FEEDBACK_JUDGE, 5, chosen, inputs, run)


UNSEEN_BY_LABELS: dict[str, Any] = {
    **dict.fromkeys(
        ("optim", "revisions", "critiques", "hygiene", "helpful", "repeats", "roles", "snapshots"), True
    ),
    **dict.fromkeys(("sl_start", "rl_start", "red_team_share", "direct"), True),
    "feedback": {"share", "sample", "examples", "when_shut"},
}
"""Settings that change no label, or are there by content."""


def passed(
    labeller: Labels,
    known: Sequence[Comparison],
    sample: Sequence[Comparison],
    settings: ConstitutionSettings,
) -> GateReport:
    """The gate's report, on known answers and on the sample where there is any."""
    gate = measure(labeller, known, settings, clusters_of(known))
    return with_sample(gate, labeller, sample, settings, clusters_of(sample)) if sample else gate


def may_label(gate: GateReport, settings: ConstitutionSettings) -> bool:
    """Whether there will be labels."""
    return gate.passed or settings.feedback.gate == "warns"


def labelled_sample(pairs: Iterable[Comparison]) -> list[Comparison]:
    """The pairs whose better answer is known, and not from an AI."""
    return [
        pair for pair in pairs if pair.label is not None and pair.label.source != "ai" and not pair.is_tie
    ]


def gate_comparisons(rows: list[Comparison], settings: ConstitutionSettings, seed: int) -> list[Comparison]:
    """Known comparisons to measure the labeller on, of the constitution's subject; sides drawn by seed."""
    rng = np.random.default_rng([seed, 1])
    shuffled = [row for i in rng.permutation(len(rows)) if not (row := rows[i]).is_tie]
    near = [row for row in shuffled if row.label is not None and row.label.reason in SUBJECT]
    chosen = (near or shuffled)[: settings.gate_comparisons]
    return [row.swap() if rng.random() < 0.5 else row for row in chosen]


def feedback_report(
    labeller: Labelling,
    gate: GateReport,
    labelled: Sequence[Comparison],
    asked: int,
    settings: ConstitutionSettings,
) -> dict[str, Any]:
    """What the summary says of the labels and of who gave them."""
    return {
        "gate": gate.to_json(),
        "gate_held": not may_label(gate, settings),
        "labeller": str(labeller.who),
        "mode": settings.feedback.model_dump(mode="json", exclude={"sample", "gate", "share", "when_shut"}),
        "ai_comparisons": len(labelled),
        "unlabelled": asked - len(labelled),
    }


def _own_pairs(
    cast: Cast, recipe: Recipe, settings: ConstitutionSettings, read: Artefact, gate: GateReport
) -> Sequence[Comparison]:
    """Pairs of the generator's answers to each red-team prompt; none where they would not be labelled."""
    if not may_label(gate, settings):
        return ()
    prompts = read_records(read.file("red_team.jsonl"), Prompt)
    drawn = answer_pairs(
        cast.engine("generator", settings.roles.generator),
        prompts,
        settings.pairs * len(prompts),
        recipe.seed,
        sampling=Sampling(settings.max_new_tokens),
        only_ended=True,
    )
    return drawn.pairs


def _waiting(ranking: Ranking) -> list[Comparison]:
    """Every pair of answers that wait for a judgement."""
    answers = [(Message("assistant", text),) for text in ranking.responses]
    return [
        Comparison(f"{ranking.id}/{i},{j}", ranking.prompt, answers[i], answers[j])
        for i, j in combinations(range(len(answers)), 2)
    ]
