"""The training stages: what each reads, what it is set by, what it leaves behind."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gnomon.config import Recipe, RewardSettings, SftSettings
from gnomon.constitution.feedback import mixed
from gnomon.data.sources import Data
from gnomon.errors import DataError
from gnomon.models.load import LanguageModel, adapter_base, load
from gnomon.models.lora import freeze_reference, has_adapters, load_trainable
from gnomon.models.reward_model import RewardModel, Scorer, share_frozen
from gnomon.models.save import save_model
from gnomon.models.shards import shard
from gnomon.pipeline.card import model_card
from gnomon.pipeline.folds import cross_validated
from gnomon.pipeline.project import read_for, settled, write_votes
from gnomon.pipeline.rows import read_records, write_records
from gnomon.pipeline.scoring import MODEL, conclude, held_apart, refuse_unmeasured, rid_of_length
from gnomon.pipeline.stage import Artefact, Stage, StageContext
from gnomon.records import Comparison, Demonstration
from gnomon.runs import write_json
from gnomon.settings.base import AdamSettings, Settings, StepSettings
from gnomon.store import content_id, file_digest
from gnomon.training.loop import Evaluation, Trainer, TrainResult
from gnomon.training.objective import Objective
from gnomon.training.pairs import EncodedPairs, encode_comparisons
from gnomon.training.reward import RewardModelling, own_clips
from gnomon.training.sft import (
    InstructionTuning,
    encode_demonstrations,
    held_out_loss,
    usable_demonstrations,
)

CLUSTERS = "clusters.json"
"""The near-duplicate cluster of each evaluation prompt, in the artefact of the rows."""

UNSEEN_OF_MODEL = {"ref", "sharding"}
"""Settings of a model that say nothing of what is made: the start says which model it is."""

UNSEEN = {"checkpoint_every"}
"""Settings of an optimiser that cannot change what it makes."""

UNSEEN_OF_REWARDS = {"__all__": {"unreadable", "timeout", "concurrency"}}
"""Settings of rewards that cannot either: they only stop it, and it goes on from there with others."""

WEIGHTS = {".safetensors", ".bin", ".json", ".jinja", ".model"}
"""Endings of the files a model is made of."""


@dataclass(frozen=True)
class Start:
    """The model a stage begins with: a reference, and the artefact it is, where it is one."""

    ref: str
    artefact: Artefact | None = None

    @property
    def digest(self) -> str:
        """The content of a folder made elsewhere, and of its base; empty for what a name identifies."""
        if self.artefact or not self.ref.startswith("path:"):
            return ""
        files = [path for path in sorted(self.folder.rglob("*")) if path.suffix in WEIGHTS]
        digests = {path.relative_to(self.folder).as_posix(): file_digest(path) for path in files}
        if (self.folder / "adapter_config.json").exists():
            digests["base"] = Start(adapter_base(self.folder)).digest
        return content_id(digests)

    @classmethod
    def of(cls, artefact: Artefact) -> "Start":
        """The model an earlier stage made."""
        return cls(f"path:{artefact.path / MODEL}", artefact)

    @property
    def folder(self) -> Path:
        """Where its files are, for a model in a folder."""
        return Path(self.ref.removeprefix("path:"))

    @property
    def settings(self) -> dict[str, Any]:
        """What identifies it in a stage's settings; an artefact is identified by being an input."""
        return {} if self.artefact else {"start": self.ref, "digest": self.digest}

    @property
    def inputs(self) -> dict[str, Artefact]:
        """The artefact, as an input."""
        return {"start": self.artefact} if self.artefact else {}


def data_stage(recipe: Recipe, data: Data) -> Stage:
    """Rows by role, one file each: the same files for the same data, whatever machine read them."""

    def run(context: StageContext) -> None:
        for name, records in data.by_role().items():
            write_records(context.folder / f"{name}.jsonl", records)
        write_votes(context.folder, data)
        report = data.report()
        if data.planted:
            context.warn(data.planted.told)
        write_json(context.folder / CLUSTERS, report.pop("clusters"))
        write_json(context.folder / "data.json", report)

    settings = {
        "data": recipe.data.model_dump(mode="json", exclude={"constitution": True, "labels": {"db"}}),
        "seed": recipe.seed,
        "digests": data.digests,
    }
    return Stage("data", 6, settings, {}, run)


def sft_stage(recipe: Recipe, data: Artefact, start: Start) -> Stage:
    """Instruction tuning on the demonstrations."""
    given = data.only("sft.jsonl", "dev.jsonl")

    def run(context: StageContext) -> None:
        rows = read_records(given.file("sft.jsonl"), Demonstration)
        dev = read_records(given.file("dev.jsonl"), Demonstration)
        tune(context, recipe, start, rows, recipe.sft, dev)

    settings = stage_settings(recipe, start, sft=seen(recipe.sft))
    return Stage("sft", 2, settings, {"data": given, **start.inputs}, run)


def tune(
    context: StageContext,
    recipe: Recipe,
    start: Start,
    rows: list[Demonstration],
    settings: SftSettings,
    dev: list[Demonstration],
) -> None:
    """Instruction-tune a model on rows and save it, with the loss on held-out rows before and after; without
    it where none of them can be used."""
    optim, every = settings.optim, settings.evaluate_every
    lm = trainable(recipe, start)
    encoded = encode_demonstrations(lm, rows, recipe.model.max_length)
    held_out = usable_demonstrations(lm, dev, recipe.model.max_length)
    if dev and not held_out.rows:
        context.warn(
            f"no held-out demonstration can be used ({held_out.dropped}), so the loss on them is not told"
        )

    def measured() -> dict[str, float]:
        return {"eval/loss": held_out_loss(lm, held_out, optim.micro_tokens)} if held_out.rows else {}

    before = measured()
    objective = InstructionTuning(lm, encoded, optim, recipe.seed, packed=settings.packing)
    evaluation = Evaluation(every, lambda step: measured()) if every else None
    result = trained_on(context, lm, objective, optim, evaluation=evaluation)
    after = measured()
    report = {
        "rows": len(encoded.rows),
        "dropped": dict(encoded.dropped),
        "steps": result.steps,
        "loss/dev": after.get("eval/loss"),
        "loss/dev_before": before.get("eval/loss"),
    }
    write_json(context.folder / "report.json", report)
    save_model(lm, context.folder / MODEL, model_card(recipe, context.name, lm, report))


def reward_stage(
    recipe: Recipe,
    settings: RewardSettings,
    data: Artefact,
    start: Start,
    roles: Sequence[str] = ("reward",),
    extra: Artefact | None = None,
) -> Stage:
    """A reward model on the comparisons of the roles, and on those of the `extra` artefact.

    On the role `second` alone it is the second reward model, with a seed of its own; `reward.without` is of
    given comparisons, not of the `extra` ones.
    """
    second = tuple(roles) == ("second",)
    name, seed = (
        ("reward_second", zlib.crc32(f"{recipe.seed}/second".encode())) if second else ("reward", recipe.seed)
    )

    share = recipe.constitution.feedback.share if extra and recipe.constitution else None
    given = data.only(*(f"{role}.jsonl" for role in (*roles, "dev", "test")), *read_for(settings, data))

    def run(context: StageContext) -> None:
        refuse_unmeasured(read_records(given.file("test.jsonl"), Comparison))
        told = settled(settings, given)
        rows = _learnt_from(given, roles, settings.without)
        labelled = read_records(extra.file("comparisons.jsonl"), Comparison) if extra else []
        if settings.without and not rows and not labelled:
            raise DataError(
                "reward.without takes out every comparison, and AI labels are none; leave some in"
            )
        rows, sources = mixed(rows, labelled, share)
        rows, kept = held_apart(rows, told, seed)

        def learn(own: list[Comparison], place: StageContext) -> tuple[Scorer, EncodedPairs, int]:
            scorer = _unlearnt(recipe, told, start)
            encoded = encode_comparisons(scorer.lm, own, recipe.model.max_length)
            objective = RewardModelling(scorer, encoded, told, seed)
            optim, apart = own_clips(told.optim, told.bodies)
            result = trained_on(place, scorer.lm, objective, optim, module=scorer.module, apart=apart)
            return scorer, encoded, result.steps

        folds = [context.apart(f"fold-{fold}") for fold in range(told.folds)]
        figures: dict[str, Any] = {"label_smoothing": told.flips, "sources": sources}
        if folds:
            figures["cross_validated"] = cross_validated(
                rows, told.folds, seed, lambda own, fold: learn(own, folds[fold])[0]
            )
        scorer, encoded, steps = learn(rows, context)
        context.tokens = sum(place.tokens or 0 for place in (context, *folds))
        if kept:
            rid_of_length(scorer, kept)
        figures |= {"train_rows": len(encoded.pairs), "dropped": dict(encoded.dropped), "steps": steps}
        conclude(context, recipe, scorer, told, given, figures)

    inputs = {"data": given, **start.inputs} | ({"extra": extra} if extra else {})
    weighed = {} if share is None else {"ai_share": share}
    chosen = stage_settings(recipe, start, reward=seen(settings), roles=list(roles), **weighed)
    return Stage(name, 5, chosen, inputs, run)


def _learnt_from(given: Artefact, roles: Sequence[str], without: Sequence[str]) -> list[Comparison]:
    """The given comparisons of the roles, but for those of the reasons that are left out."""
    rows = [row for role in roles for row in read_records(given.file(f"{role}.jsonl"), Comparison)]
    return [row for row in rows if row.label is None or row.label.reason not in without]


def _unlearnt(recipe: Recipe, settings: RewardSettings, start: Start) -> Scorer:
    """A reward model that prefers nothing yet. Several bodies have adapters by seeds of their own, unless the
    start has adapters, which go on."""
    heads, variance = settings.members // settings.bodies, settings.head == "mean_variance"
    lms = [
        trainable(recipe.model_copy(update={"seed": recipe.seed + member}), start)
        for member in range(settings.bodies)
    ]
    models = [RewardModel(lm, heads=heads, variance=variance) for lm in lms]
    for other in models[1:]:
        share_frozen(models[0], other)
    return Scorer(lms[0], models[0], others=tuple(models[1:]))


def reference_of(recipe: Recipe, start: Start) -> LanguageModel:
    """A frozen model to be measured against."""
    lm = load(start.ref, dtype=recipe.model.dtype, device=recipe.model.loaded_to)
    shared_out(recipe, lm.model)
    return lm


def trainable(recipe: Recipe, start: Start, *, measured: bool = False) -> LanguageModel:
    """The model a stage trains; where it is `measured` against what it was, its adapters are kept as well."""
    lm = load_trainable(start.ref, recipe.model, recipe.seed)
    if measured and has_adapters(lm.model):
        freeze_reference(lm.model)
    shared_out(recipe, lm.model)
    return lm


def shared_out(recipe: Recipe, module: Any) -> None:
    """Share out a module's layers among the processes, where the recipe says so."""
    if recipe.model.sharding == "layers":
        shard(module)


def trained_on(
    context: StageContext,
    lm: LanguageModel,
    objective: Objective,
    optim: StepSettings,
    module: Any = None,
    evaluation: Evaluation | None = None,
    apart: Mapping[str, AdamSettings] | None = None,
) -> TrainResult:
    """Train a module, by default the whole model; weights `apart`, by how their names begin, have settings of
    their own. What is drawn (dropout) follows from the stage's seed, over interruptions too."""
    trainer = Trainer(
        module or lm.model,
        objective,
        optim,
        work=context.work,
        metrics=context.metrics,
        progress=context.progress,
        evaluation=evaluation,
    )
    for prefix, settings in (apart or {}).items():
        trainer.apart(prefix, settings)
    torch.manual_seed(context.seed)
    result = trainer.run()
    for text in trainer.warnings:
        context.warn(text)
    context.tokens = result.tokens
    return result


def reseeded(recipe: Recipe, seed: int | None) -> Recipe:
    """The recipe as a stage with a seed of its own sees it."""
    return recipe if seed is None else recipe.model_copy(update={"seed": seed})


def seen(settings: Settings) -> dict[str, Any]:
    """A stage's own settings, as far as they can change what it makes; for its seed see `reseeded`."""
    unseen: dict[str, Any] = {
        "optim": UNSEEN,
        "evaluate_every": True,
        "rewards": UNSEEN_OF_REWARDS,
        "seed": True,
        "red_team_share": True,
    }
    return settings.model_dump(mode="json", exclude=unseen)


def stage_settings(recipe: Recipe, start: Start, **own: Any) -> Mapping[str, Any]:
    """What a training stage is identified by, beside its inputs."""
    model = recipe.model.model_dump(mode="json", exclude=UNSEEN_OF_MODEL)
    return {"model": model, "seed": recipe.seed, **start.settings, **own}
