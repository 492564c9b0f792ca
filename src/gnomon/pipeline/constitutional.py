"""The stages of a constitution before its labels: answers criticised and revised, and learning from them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gnomon.config import ConstitutionSettings, Recipe, SftSettings
from gnomon.constitution.principles import Constitution
from gnomon.constitution.revise import revise
from gnomon.data.splits import take
from gnomon.errors import DataError
from gnomon.pipeline.roles import Cast, settings_of, who
from gnomon.pipeline.rows import read_records, write_records
from gnomon.pipeline.stage import Artefact, Stage, StageContext
from gnomon.pipeline.stages import UNSEEN, UNSEEN_OF_MODEL, Start, tune
from gnomon.records import HARMFUL, Conversation, Critique, Demonstration, Message, Prompt
from gnomon.runs import write_json

ENOUGH = 8
"""Kept revisions below which nothing is learnt from them."""


def revise_stage(
    recipe: Recipe, settings: ConstitutionSettings, constitution: Constitution, data: Artefact, start: Start
) -> Stage:
    """Answers to red-team prompts, critiqued and revised by the model itself or by whom the roles name."""
    given, roles = data.only("red_team.jsonl"), settings.roles

    def run(context: StageContext) -> None:
        cast = Cast(start, recipe.model.dtype, context.work, roles)
        engine = cast.engine("generator", roles.generator)
        critic = engine if roles.critic == roles.generator else cast.engine("critic", roles.critic)
        prompts = read_records(given.file("red_team.jsonl"), Prompt)
        said = revise(engine, prompts, constitution, settings, recipe.seed, context.progress, critic)
        generator, judged_by = str(who(roles.generator, start)), str(who(roles.critic, start))
        rows = [replace(row, generator=generator, critic=judged_by) for row in said]
        write_records(context.folder / "critiques.jsonl", rows)
        reasons = [reason for row in rows for reason in row.rejected_for]
        kept = sum(row.kept for row in rows)
        report = {
            "name": constitution.name,
            "hash": constitution.digest,
            "critiques": len(rows),
            "kept": kept,
            "rejected": {reason: reasons.count(reason) for reason in sorted(set(reasons))},
            "generator": generator,
            "critic": judged_by,
        }
        write_json(context.folder / "report.json", report)
        if kept < ENOUGH:
            context.warn(
                f"only {kept} of {len(rows)} revisions passed hygiene; {ENOUGH} are needed to learn "
                "from them, so there is no constitutional model"
            )

    chosen = {
        "constitution": constitution.digest,
        "settings": settings.model_dump(
            mode="json", include={"revisions", "critiques", "hygiene", "max_new_tokens"}
        ),
        "roles": settings_of(roles.generator, roles.critic),
        "seed": recipe.seed,
        "dtype": recipe.model.dtype,
        **start.settings,
    }
    return Stage("revise", 5, chosen, {"data": given, **start.inputs}, run)


def kept_revisions(critiques: Artefact) -> list[Demonstration]:
    """The revisions that passed hygiene, as demonstrations: what was said before them is no lesson."""
    rows = read_records(critiques.path / "critiques.jsonl", Critique)
    return [
        Demonstration(row.id, _given(row.prompt).then(Message("assistant", row.revision)), "revision")
        for row in rows
        if row.kept
    ]


def _given(prompt: Conversation) -> Conversation:
    """The same with no turn that carries loss."""
    turns = [replace(turn, trained=False) if turn.carries_loss else turn for turn in prompt.messages]
    return replace(prompt, messages=tuple(turns))


def constitutional_stage(
    recipe: Recipe, settings: ConstitutionSettings, data: Artefact, start: Start, critiques: Artefact
) -> Stage:
    """Fine-tuning on the kept revisions, with demonstrations mixed in so that helpfulness stays.

    The published method fine-tunes the pretrained model on revisions and helpful samples (arXiv:2212.08073,
    section 3); a `start` that is the instruction-tuned model needs fewer of both. Helpful rows are
    demonstrations where the paper has samples of the helpful model.
    """
    given = data.only("sft.jsonl", "dev.jsonl")

    def run(context: StageContext) -> None:
        demonstrations = read_records(given.file("sft.jsonl"), Demonstration)
        order = np.random.default_rng(recipe.seed).permutation(len(demonstrations))
        helpful = [demonstrations[i] for i in order[: settings.helpful]]
        dev = read_records(given.file("dev.jsonl"), Demonstration)
        rows = kept_revisions(critiques) * settings.repeats + helpful
        tune(context, recipe, start, rows, SftSettings(optim=settings.optim), dev)

    model = recipe.model.model_dump(mode="json", exclude=UNSEEN_OF_MODEL)
    optim = settings.optim.model_dump(mode="json", exclude=UNSEEN)
    chosen = {
        "model": model,
        "optim": optim,
        "helpful": settings.helpful,
        "repeats": settings.repeats,
        "seed": recipe.seed,
        **start.settings,
    }
    return Stage("constitutional", 4, chosen, {"data": given, "critiques": critiques, **start.inputs}, run)


def mixed_prompts(
    helpful: Sequence[Prompt], red_team: Sequence[Prompt], share: float, seed: int
) -> list[Prompt]:
    """Prompts for policy optimisation: all of the red team, of the family `HARMFUL` whatever their file, and,
    so that these are a `share` of them, a seeded slice of the others, every family in proportion. DataError
    for a red team of nobody."""
    if not red_team:
        raise DataError(
            f"a share of {share:g} of the policy's prompts is to ask for harm, and data.red_team has none; "
            "name some there, or set policy.red_team_share=0"
        )
    wanted = max(1, round(len(red_team) * (1 - share) / share))
    asking = [replace(prompt, family=HARMFUL) for prompt in red_team]
    return [*take(helpful, wanted, seed, lambda prompt: prompt.family), *asking]
