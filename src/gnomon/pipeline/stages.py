"""The training stages: what each reads, what it is set by, what it leaves behind."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from gnomon.config import OptimSettings, PolicySettings, Recipe, RewardSettings, SftSettings
from gnomon.constitution.feedback import mixed
from gnomon.data.sources import Data
from gnomon.errors import DataError, ModelError
from gnomon.evaluation.reward import reward_report
from gnomon.models.heads import check_head
from gnomon.models.load import LanguageModel, adapter_base, load, reads_alike
from gnomon.models.lora import freeze_reference, has_adapters, interpolate, load_trainable
from gnomon.models.reward_model import RewardModel, Scorer, load_scorer, save_scorer
from gnomon.models.save import save_model
from gnomon.models.shards import shard
from gnomon.pipeline.card import model_card
from gnomon.pipeline.project import read_for, settled, write_votes
from gnomon.pipeline.rows import read_records, write_records
from gnomon.pipeline.stage import Artefact, Stage, StageContext
from gnomon.records import Comparison, Demonstration, Prompt
from gnomon.rewards.combine import ModelReward
from gnomon.rollouts.local import LocalEngine
from gnomon.runs import read_metrics, write_json
from gnomon.store import content_id, file_digest
from gnomon.training.loop import Evaluation, Trainer, TrainResult
from gnomon.training.objective import Objective
from gnomon.training.pairs import encode_comparisons
from gnomon.training.policy import PolicyOptimisation, PolicyPrompts
from gnomon.training.reward import RewardModelling, score_comparisons
from gnomon.training.sft import InstructionTuning, encode_demonstrations, held_out_loss

MODEL = "model"
"""The folder of a stage's artefact that `path:` can load."""

CLUSTERS = "clusters.json"
"""The near-duplicate cluster of each evaluation prompt, in the artefact of the rows."""

UNSEEN_OF_MODEL = {"ref", "sharding"}
"""Settings of a model that say nothing of what is made: the start says which model it is."""

UNSEEN = {"checkpoint_every"}
"""Settings of an optimiser that cannot change what it makes."""

AGREES = 0.3
"""Agreement below which a policy's gain is taken to be its reward model's own: none carried over at 0.2."""

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
        files = [path for path in sorted(self.folder.iterdir()) if path.suffix in WEIGHTS]
        digests = {path.name: file_digest(path) for path in files}
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
        write_json(context.folder / CLUSTERS, report.pop("clusters"))
        write_json(context.folder / "data.json", report)

    settings = {
        "data": recipe.data.model_dump(mode="json", exclude={"constitution": True, "labels": {"db"}}),
        "seed": recipe.seed,
        "digests": data.digests,
    }
    return Stage("data", 3, settings, {}, run)


def sft_stage(recipe: Recipe, data: Artefact, start: Start) -> Stage:
    """Instruction tuning on the demonstrations."""
    given = data.only("sft.jsonl", "dev.jsonl")

    def run(context: StageContext) -> None:
        rows = read_records(given.file("sft.jsonl"), Demonstration)
        dev = read_records(given.file("dev.jsonl"), Demonstration)
        tune(context, recipe, start, rows, recipe.sft, dev)

    settings = _settings(recipe, start, sft=seen(recipe.sft))
    return Stage("sft", 2, settings, {"data": given, **start.inputs}, run)


def tune(
    context: StageContext,
    recipe: Recipe,
    start: Start,
    rows: list[Demonstration],
    settings: SftSettings,
    dev: list[Demonstration],
) -> None:
    """Instruction-tune a model on rows and save it, with the loss on held-out rows before and after."""
    optim, every = settings.optim, settings.evaluate_every
    lm = _trainable(recipe, start)
    encoded = encode_demonstrations(lm, rows, recipe.model.max_length)
    held_out = encode_demonstrations(lm, dev, recipe.model.max_length) if dev else None

    def measured() -> dict[str, float]:
        return {"loss": held_out_loss(lm, held_out, optim.micro_tokens)} if held_out else {}

    before = measured()
    objective = InstructionTuning(lm, encoded, optim, recipe.seed, packed=settings.packing)
    evaluation = Evaluation(every, lambda step: measured()) if every else None
    result = _train(context, lm, objective, optim, evaluation=evaluation)
    after = measured()
    report = {
        "rows": len(encoded.rows),
        "dropped": dict(encoded.dropped),
        "steps": result.steps,
        "loss/dev": after.get("loss"),
        "loss/dev_before": before.get("loss"),
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

    On the role `second` alone it is the second reward model, with a seed of its own.
    """
    second = tuple(roles) == ("second",)
    name, seed = (
        ("reward_second", zlib.crc32(f"{recipe.seed}/second".encode())) if second else ("reward", recipe.seed)
    )

    share = recipe.constitution.feedback.share if extra and recipe.constitution else None
    given = data.only(*(f"{role}.jsonl" for role in (*roles, "dev", "test")), *read_for(settings, data))

    def run(context: StageContext) -> None:
        told = settled(settings, given)
        rows = [row for role in roles for row in read_records(given.file(f"{role}.jsonl"), Comparison)]
        labelled = read_records(extra.path / "comparisons.jsonl", Comparison) if extra else []
        rows, sources = mixed(rows, labelled, share)
        lm = _trainable(recipe, start)
        scorer = Scorer(lm, RewardModel(lm))
        encoded = encode_comparisons(lm, rows, recipe.model.max_length)
        objective = RewardModelling(scorer, encoded, told, seed)
        result = _train(context, lm, objective, told.optim, module=scorer.model)
        centre(scorer, read_records(given.file("dev.jsonl"), Demonstration))
        test = read_records(given.file("test.jsonl"), Comparison)
        scores = score_comparisons(scorer, test)
        report = {
            **reward_report(test, *scores),
            "train_rows": len(encoded.pairs),
            "sources": sources,
            "label_smoothing": told.flips,
            "dropped": dict(encoded.dropped),
            "steps": result.steps,
        }
        write_json(context.folder / "report.json", report)
        write_json(context.folder / "test_scores.json", dict(zip(("first", "second"), scores, strict=True)))
        save_scorer(scorer, context.folder / MODEL, model_card(recipe, name, lm, report))

    inputs = {"data": given, **start.inputs} | ({"extra": extra} if extra else {})
    weighed = {} if share is None else {"ai_share": share}
    chosen = _settings(recipe, start, reward=seen(settings), roles=list(roles), **weighed)
    return Stage(name, 4, chosen, inputs, run)


def centre(scorer: Scorer, rows: list[Demonstration]) -> None:
    """Shift the scores so that held-out demonstrations score 0 on average (arXiv:2203.02155)."""
    scores = scorer.score([scorer.lm.encode(row.conversation).ids for row in rows])
    if scores:
        scorer.model.shift += sum(scores) / len(scores)


def policy_stage(
    recipe: Recipe,
    settings: PolicySettings,
    data: Artefact,
    start: Start,
    reward: Start,
    second: Artefact | None = None,
) -> Stage:
    """Optimise the start model against the reward model, staying near it, watched by the second one."""
    given = data.only("policy.jsonl", *(["sft.jsonl"] if settings.ptx_coef else []))

    def run(context: StageContext) -> None:
        lm = _trainable(recipe, start, measured=True)
        reference = None if has_adapters(lm.model) else _reference(recipe, start)
        scorer = _scorer(recipe, reward.folder)
        if not reads_alike(lm, scorer.lm):
            raise ModelError(
                f"the reward model in {reward.folder} reads another vocabulary or chat template than the "
                "policy; train one that starts from this policy's model"
            )
        rows = read_records(given.file("policy.jsonl"), Prompt)
        objective = PolicyOptimisation(
            lm,
            LocalEngine(lm),  # each process asks its own: the objective spreads the prompts
            ModelReward(scorer),
            policy_prompts(lm, rows, recipe.model.max_length - settings.max_new_tokens, context),
            settings,
            seed=recipe.seed,
            reference=reference,
        )
        if second is not None:
            objective.watch = ModelReward(_scorer(recipe, second.path / MODEL))
        if settings.ptx_coef:
            demonstrations = read_records(given.file("sft.jsonl"), Demonstration)
            encoded = encode_demonstrations(lm, demonstrations, recipe.model.max_length)
            mixed = settings.optim.model_copy(update={"batch_size": settings.ptx_rows})
            objective.ptx = InstructionTuning(lm, encoded, mixed, recipe.seed)
        result = _train(context, lm, objective, settings.optim)
        interpolate(lm, reference, settings.liti)
        report = {
            "steps": result.steps,
            "stopped_for": result.stopped_for,
            "reward/agreement": followed(context),
            "kl/reference": float(objective.roll_out(result.steps).kl.mean()),
            "kl_budget": settings.kl_budget,
        }
        write_json(context.folder / "report.json", report)
        save_model(lm, context.folder / MODEL, model_card(recipe, "policy", lm, report))

    chosen = _settings(recipe, start, policy=seen(settings))
    models = {"reward": reward.artefact, "second": second, **start.inputs}
    inputs = {name: artefact for name, artefact in models.items() if artefact is not None}
    return Stage("policy", 3, chosen, {"data": given, **inputs}, run)


def followed(context: StageContext) -> float | None:
    """Agreement of both reward models on the samples, the mean of all steps; little of it is warned of."""
    rows = read_metrics(context.metrics.path)
    logged = [row["reward/agreement"] for row in rows if "reward/agreement" in row]
    if not logged:
        return None
    agreement = fmean(logged)
    if agreement < AGREES:
        context.warn(
            f"on answers to one prompt both reward models agree by {agreement:.2f} only (1 is always, 0 by "
            "chance): what the policy gained is mostly the first one's own; train them on more comparisons"
        )
    return agreement


def policy_prompts(
    lm: LanguageModel, rows: list[Prompt], longest: int, context: StageContext
) -> PolicyPrompts:
    """Encoded prompts; those that leave no room for a response are left out, and said so."""
    encoded = [(row, tuple(lm.encode_prompt(row.conversation))) for row in rows]
    fitting = [(row, ids) for row, ids in encoded if len(ids) <= longest]
    if not fitting:
        raise DataError(
            f"none of {len(encoded)} policy prompts leaves room for a response within {longest} tokens; "
            "raise model.max_length, lower policy.max_new_tokens, or check data.prompts"
        )
    if len(fitting) < len(encoded):
        context.warn(
            f"{len(encoded) - len(fitting)} prompts are longer than {longest} tokens and were left out"
        )
    return PolicyPrompts(
        tuple(row.id for row, _ in fitting),
        tuple(ids for _, ids in fitting),
        {ids: row.checks for row, ids in fitting if row.checks},
    )


def _trainable(recipe: Recipe, start: Start, *, measured: bool = False) -> LanguageModel:
    """The model a stage trains; where it is `measured` against what it was, its adapters are kept as well."""
    lm = load_trainable(start.ref, recipe.model, recipe.seed)
    check_head(lm.model)
    if measured and has_adapters(lm.model):
        freeze_reference(lm.model)
    _share_out(recipe, lm.model)
    return lm


def _reference(recipe: Recipe, start: Start) -> LanguageModel:
    """A frozen model to be measured against."""
    lm = load(start.ref, dtype=recipe.model.trained_dtype, device=recipe.model.loaded_to)
    _share_out(recipe, lm.model)
    return lm


def _scorer(recipe: Recipe, folder: Path) -> Scorer:
    """A reward model that is no longer trained."""
    scorer = load_scorer(folder, dtype=recipe.model.trained_dtype, device=recipe.model.loaded_to)
    _share_out(recipe, scorer.model)
    return scorer


def _share_out(recipe: Recipe, module: Any) -> None:
    if recipe.model.sharding == "layers":
        shard(module)


def _train(
    context: StageContext,
    lm: LanguageModel,
    objective: Objective,
    optim: OptimSettings,
    module: Any = None,
    evaluation: Evaluation | None = None,
) -> TrainResult:
    trainer = Trainer(
        module or lm.model,
        objective,
        optim,
        work=context.work,
        metrics=context.metrics,
        progress=context.progress,
        evaluation=evaluation,
    )
    result = trainer.run()
    for text in trainer.warnings:
        context.warn(text)
    context.tokens = result.tokens
    return result


def seen(settings: SftSettings | RewardSettings | PolicySettings) -> dict[str, Any]:
    """A stage's own settings, as far as they can change what it makes."""
    return settings.model_dump(mode="json", exclude={"optim": UNSEEN, "evaluate_every": True})


def _settings(recipe: Recipe, start: Start, **own: Any) -> Mapping[str, Any]:
    model = recipe.model.model_dump(mode="json", exclude=UNSEEN_OF_MODEL)
    return {"model": model, "seed": recipe.seed, **start.settings, **own}
