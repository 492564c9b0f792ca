"""The constitutional stages: revise answers, learn from the revisions, label comparisons behind a gate."""

import numpy as np

from gnomon.config import ConstitutionSettings, Recipe, SftSettings
from gnomon.constitution.feedback import criteria, label, measure
from gnomon.constitution.principles import Constitution
from gnomon.constitution.revise import revise
from gnomon.judges.pairwise import multiple_choice_judge
from gnomon.models.load import load
from gnomon.pipeline.collect import answer_pairs
from gnomon.pipeline.rows import read_records, write_records
from gnomon.pipeline.stage import Artefact, Stage, StageContext
from gnomon.pipeline.stages import UNSEEN, UNSEEN_OF_MODEL, Start, tune
from gnomon.records import Comparison, Critique, Demonstration, Message, Prompt
from gnomon.rollouts.engine import Sampling
from gnomon.rollouts.local import LocalEngine
from gnomon.rollouts.shared import SharedEngine
from gnomon.runs import write_json

ENOUGH = 8
"""Kept revisions below which nothing is learnt from them."""

SUBJECT = ("harmful", "over_refusing", "evasive", "sycophantic", "unhelpful")
"""Reasons a constitution speaks about: the gate is measured on these first."""


def revise_stage(
    recipe: Recipe, settings: ConstitutionSettings, constitution: Constitution, data: Artefact, start: Start
) -> Stage:
    """Answers to red-team prompts, critiqued and revised by the model itself."""
    given = data.only("red_team.jsonl")

    def run(context: StageContext) -> None:
        lm = load(start.ref, dtype=recipe.model.trained_dtype)
        engine = SharedEngine(LocalEngine(lm))
        prompts = read_records(given.file("red_team.jsonl"), Prompt)
        rows = revise(engine, prompts, constitution, settings, recipe.seed, context.progress)
        write_records(context.folder / "critiques.jsonl", rows)
        reasons = [reason for row in rows for reason in row.rejected_for]
        kept = sum(row.kept for row in rows)
        report = {
            "name": constitution.name,
            "hash": constitution.digest,
            "critiques": len(rows),
            "kept": kept,
            "rejected": {reason: reasons.count(reason) for reason in sorted(set(reasons))},
        }
        write_json(context.folder / "report.json", report)
        if kept < ENOUGH:
            context.warn(
                f"only {kept} of {len(rows)} revisions passed hygiene; {ENOUGH} are needed to learn "
                "from them, so there is no constitutional model"
            )

    chosen = {
        "constitution": constitution.digest,
        "settings": settings.model_dump(mode="json", include={"revisions", "max_new_tokens"}),
        "seed": recipe.seed,
        "dtype": recipe.model.trained_dtype,
        **start.settings,
    }
    return Stage("revise", 3, chosen, {"data": given, **start.inputs}, run)


def kept_revisions(critiques: Artefact) -> list[Demonstration]:
    """The revisions that passed hygiene, as demonstrations."""
    rows = read_records(critiques.path / "critiques.jsonl", Critique)
    return [
        Demonstration(row.id, row.prompt.then(Message("assistant", row.revision)), "revision")
        for row in rows
        if row.kept
    ]


def constitutional_stage(
    recipe: Recipe, settings: ConstitutionSettings, data: Artefact, start: Start, critiques: Artefact
) -> Stage:
    """Fine-tuning on the kept revisions, with demonstrations mixed in so that helpfulness stays.

    The published method fine-tunes the pretrained model on revisions and helpful samples (arXiv:2212.08073,
    section 3); this first step goes on from the instruction-tuned model instead, which costs a minute.
    """
    given = data.only("sft.jsonl", "dev.jsonl")

    def run(context: StageContext) -> None:
        demonstrations = read_records(given.file("sft.jsonl"), Demonstration)
        order = np.random.default_rng(recipe.seed).permutation(len(demonstrations))
        helpful = [demonstrations[i] for i in order[: settings.helpful]]
        dev = read_records(given.file("dev.jsonl"), Demonstration)
        rows = kept_revisions(critiques) + helpful
        tune(context, recipe, start, rows, SftSettings(optim=settings.optim), dev)

    model = recipe.model.model_dump(mode="json", exclude=UNSEEN_OF_MODEL)
    optim = settings.optim.model_dump(mode="json", exclude=UNSEEN)
    chosen = {
        "model": model,
        "optim": optim,
        "helpful": settings.helpful,
        "seed": recipe.seed,
        **start.settings,
    }
    return Stage("constitutional", 2, chosen, {"data": given, "critiques": critiques, **start.inputs}, run)


def feedback_stage(
    recipe: Recipe, settings: ConstitutionSettings, constitution: Constitution, data: Artefact, start: Start
) -> Stage:
    """The model's own comparisons under the constitution, if it is measured to be fit to make them."""
    given = data.only("reward.jsonl", "red_team.jsonl")

    def run(context: StageContext) -> None:
        lm = load(start.ref, dtype=recipe.model.trained_dtype)
        judge = multiple_choice_judge(lm, criteria(constitution, recipe.seed))
        known = gate_comparisons(read_records(given.file("reward.jsonl"), Comparison), settings, recipe.seed)
        context.progress(0, 2, "measuring the labeller")
        gate = measure(judge, known, settings)
        context.progress(1, 2, "measured")
        labelled: list[Comparison] = []
        if gate.passed:
            prompts = read_records(given.file("red_team.jsonl"), Prompt)
            sampling = Sampling(settings.max_new_tokens)
            engine = SharedEngine(LocalEngine(lm))
            drawn = answer_pairs(
                engine, prompts, len(prompts), recipe.seed, sampling=sampling, only_ended=True
            )
            labelled = label(judge, drawn.pairs, gate)
        else:
            context.warn(gate.message)
        context.progress(2, 2, "labelled")
        write_records(context.folder / "comparisons.jsonl", labelled)
        write_json(context.folder / "report.json", {"gate": gate.to_json(), "ai_comparisons": len(labelled)})

    chosen = {
        "constitution": constitution.digest,
        "settings": settings.model_dump(mode="json", exclude={"optim", "revisions", "helpful"}),
        "seed": recipe.seed,
        "dtype": recipe.model.trained_dtype,
        **start.settings,
    }
    return Stage("feedback", 3, chosen, {"data": given, **start.inputs}, run)


def gate_comparisons(rows: list[Comparison], settings: ConstitutionSettings, seed: int) -> list[Comparison]:
    """Known comparisons to measure the labeller on, of the constitution's subject; sides drawn by seed."""
    rng = np.random.default_rng([seed, 1])
    shuffled = [row for i in rng.permutation(len(rows)) if not (row := rows[i]).is_tie]
    near = [row for row in shuffled if row.label is not None and row.label.reason in SUBJECT]
    chosen = (near or shuffled)[: settings.gate_comparisons]
    return [row.swap() if rng.random() < 0.5 else row for row in chosen]
