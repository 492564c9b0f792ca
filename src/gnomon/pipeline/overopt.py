"""The laboratory of over-optimisation as stages: what each seed draws, labels, learns and climbs."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gnomon.config import Recipe
from gnomon.models.load import LanguageModel, load
from gnomon.models.lora import has_adapters, load_trainable
from gnomon.models.reward_model import load_scorer, save_scorer
from gnomon.models.save import save_model
from gnomon.overopt.drawing import Prompts, draw, draw_pairs, from_row, to_row, words
from gnomon.overopt.measuring import Exam, Judges, best_points, point
from gnomon.overopt.planted import Gold, Pairs, choices, exact
from gnomon.overopt.proxies import encoded, unlearnt
from gnomon.overopt.settings import GuardedSettings, LaboratorySettings, ProxySettings
from gnomon.pipeline.card import model_card
from gnomon.pipeline.rows import read_lines, write_lines
from gnomon.pipeline.scoring import MODEL
from gnomon.pipeline.stage import Artefact, Stage, StageContext
from gnomon.pipeline.stages import Start, reference_of, seen, stage_settings, trainable, trained_on
from gnomon.records import Conversation
from gnomon.rewards.combine import ModelReward
from gnomon.rollouts.engine import Sampling
from gnomon.rollouts.local import LocalEngine
from gnomon.runs import write_json
from gnomon.settings.policy import EnsembleSettings
from gnomon.stats.units import Floats
from gnomon.training.loop import Evaluation
from gnomon.training.policy import PolicyOptimisation
from gnomon.training.reward import RewardModelling
from gnomon.training.samples import PolicyPrompts
from gnomon.training.sft import InstructionTuning, encode_demonstrations

POINTS = "points.jsonl"
HELD_OUT = "held_out.json"

Role = Literal["crowd", "second", "held_out"]


@dataclass(frozen=True)
class Study:
    """What all stages of a seed have in common."""

    settings: LaboratorySettings
    prompts: Sequence[Conversation]
    start: Start
    seed: int

    @property
    def recipe(self) -> Recipe:
        """The same as the stages of the road have it."""
        own = self.settings
        model = own.model.model_copy(update={"ref": self.start.ref})
        return Recipe(name=own.name, seed=self.seed, model=model, reward=own.reward, policy=own.policy)

    @property
    def gold(self) -> Gold:
        """What is planted."""
        return Gold(self.settings.gold)

    @property
    def sampling(self) -> Sampling:
        """As the policy samples."""
        return Sampling(self.settings.policy.max_new_tokens, self.settings.policy.temperature)

    def entropy(self, name: str) -> int:
        """A number of its own for each name, of the seed."""
        return zlib.crc32(f"{self.seed}/{name}".encode())

    def encoded(self, lm: LanguageModel) -> Prompts:
        """The prompts' ids."""
        return [tuple(lm.encode_prompt(prompt)) for prompt in self.prompts]

    def loaded(self) -> LanguageModel:
        """The model where every climb begins."""
        return load(self.start.ref, dtype=self.settings.model.dtype)

    def identity(self, *names: str) -> Mapping[str, Any]:
        """The settings a stage is identified by, those of these names among them."""
        own = self.settings.model_dump(mode="json", include={"gold", *names})
        return stage_settings(self.recipe, self.start, **own)


def start_stage(settings: LaboratorySettings, prompts: Sequence[Conversation]) -> Stage:
    """The model tuned to random words, all its weights, so that what it writes can be judged."""
    assert settings.start is not None
    words_of, first = settings.start, Start(settings.model.ref)
    model = settings.model.model_copy(update={"lora": None})
    recipe = Recipe(name=settings.name, model=model)

    def run(context: StageContext) -> None:
        lm = load_trainable(model.ref, model, recipe.seed)
        rows = words(words_of, prompts, recipe.seed)
        data = encode_demonstrations(lm, rows, model.max_length)
        objective = InstructionTuning(lm, data, words_of.optim, recipe.seed)
        result = trained_on(context, lm, objective, words_of.optim)
        save_model(lm, context.folder / MODEL, model_card(recipe, "start", lm, {"steps": result.steps}))

    chosen = stage_settings(recipe, first, words=seen(words_of), prompts=[prompt.text for prompt in prompts])
    return Stage("start", 1, chosen, first.inputs, run)


def labels_stage(study: Study) -> Stage:
    """Pairs of answers with what people choose of them, and answers for the best of n."""
    own, measure = study.settings, study.settings.measure
    learnt = max(proxy.labels for proxy in own.proxies)

    def run(context: StageContext) -> None:
        lm = study.loaded()
        engine, prompts = LocalEngine(lm), study.encoded(lm)

        def pairs(role: Role, count: int) -> Pairs:
            return draw_pairs(engine, prompts, count, study.sampling, [study.entropy(role), count])

        taught = pairs("crowd", learnt)
        said = choices(taught, study.gold, own.crowd, 1, study.entropy("crowd"))[:, 0]
        both = [[one, other] for one, other in zip(said, exact(taught, study.gold), strict=True)]
        _write_pairs(context.folder, "crowd", taught, np.array(both))
        others = pairs("second", own.proxies[0].labels)
        _write_pairs(
            context.folder,
            "second",
            others,
            choices(others, study.gold, own.second, 1, study.entropy("second")),
        )
        held = pairs("held_out", measure.held_out)
        votes = choices(held, study.gold, own.careful, 2, study.entropy("held_out"))
        _write_pairs(context.folder, "held_out", held, votes)
        pool = draw(engine, prompts, measure.best_of, study.sampling, [study.entropy("pool")])
        write_lines(context.folder / "pool.jsonl", map(to_row, pool))

    sampled = {"max_new_tokens": study.sampling.max_new_tokens, "temperature": study.sampling.temperature}
    counts = {"learnt": learnt, "held_out": measure.held_out, "best_of": measure.best_of}
    chosen = {
        **study.identity("crowd", "second", "careful"),
        "prompts": [prompt.text for prompt in study.prompts],
        "sampling": sampled,
        "counts": counts,
        "second_labels": own.proxies[0].labels,
    }
    return Stage(f"labels-{study.seed}", 1, chosen, study.start.inputs, run)


def proxy_stage(study: Study, name: str, proxy: ProxySettings, labels: Artefact, members: int = 1) -> Stage:
    """A reward model of the crowd's choices or exact ones; called `second` of the second crowd's."""
    role: Role = "second" if name == "second" else "crowd"
    given = labels.only(f"{role}.jsonl", "held_out.jsonl")
    settings = study.settings.reward.model_copy(update={"members": members})
    seed = study.entropy(name)

    def run(context: StageContext) -> None:
        pairs, said = _read_pairs(given.file(f"{role}.jsonl"))
        wanted = said[: proxy.labels, 1 if proxy.by == "exact" and role == "crowd" else 0]
        own = Pairs(pairs.first[: proxy.labels], pairs.second[: proxy.labels])
        scorer = unlearnt(study.recipe.model, proxy, settings, seed)
        objective = RewardModelling(scorer, encoded(own, wanted), settings, seed)
        result = trained_on(context, scorer.lm, objective, settings.optim, module=scorer.module)
        held, _ = _read_pairs(given.file("held_out.jsonl"))
        judges = Judges(scorer, scorer, study.gold, EnsembleSettings())
        margins, truth = (_margins(judges.scores(held.samples, 1)[name]) for name in ("proxy", "gold"))
        report = {"steps": result.steps, "accuracy": float((margins * truth > 0).mean())}
        write_json(context.folder / "report.json", report)
        save_scorer(scorer, context.folder / MODEL, model_card(study.recipe, "reward", scorer.lm, report))

    chosen = {**study.identity(), "reward": seen(settings), "proxy": proxy.model_dump(), "name": name}
    return Stage(f"{name}-{study.seed}", 1, chosen, {"labels": given, **study.start.inputs}, run)


def best_stage(study: Study, name: str, proxy: Artefact, second: Artefact, labels: Artefact) -> Stage:
    """What the best of n by a proxy are worth."""
    given = labels.only("pool.jsonl")

    def run(context: StageContext) -> None:
        judges = _judges(study, proxy, second, EnsembleSettings())
        pool = [from_row(row) for row in read_lines(given.file("pool.jsonl"))]
        write_lines(context.folder / POINTS, best_points(judges.scores(pool, len(study.prompts))))

    inputs = {"proxy": proxy, "second": second, "labels": given}
    return Stage(f"best-of-n-{name}-{study.seed}", 1, study.identity(), inputs, run)


@dataclass(frozen=True)
class Made:
    """What a climb is made of."""

    proxy: Artefact
    second: Artefact
    labels: Artefact


def climb_stage(study: Study, name: str, made: Made, guards: GuardedSettings | None) -> Stage:
    """Policy optimisation against a proxy, measured as it goes; and how proxy and second model err."""
    own = study.settings
    policy = own.policy_under(guards)
    given = made.labels.only("held_out.jsonl")

    def run(context: StageContext) -> None:
        judges = _judges(study, made.proxy, made.second, policy.ensemble)
        held, votes = _read_pairs(given.file("held_out.jsonl"))
        margins = {name: _margins(own) for name, own in judges.scores(held.samples, 1).items()}
        kept = {name: margins[name].tolist() for name in ("proxy", "second", "gold")}
        write_json(context.folder / HELD_OUT, {**kept, "votes": votes.tolist()})
        lm = trainable(study.recipe, study.start, measured=True)
        reference = None if has_adapters(lm.model) else reference_of(study.recipe, study.start)
        prompts = study.encoded(lm)
        names = tuple(f"prompt-{k}" for k in range(len(prompts)))
        objective = PolicyOptimisation(
            lm,
            LocalEngine(lm),
            ModelReward(judges.proxy, policy.ensemble),
            PolicyPrompts(names, tuple(prompts)),
            policy,
            seed=study.seed,
            reference=reference,
        )
        exam = Exam(prompts, own.measure.samples, study.sampling, study.seed)
        points = {row["step"]: row for row in _kept_points(context.work)}

        def measure(step: int) -> dict[str, float]:
            points[step] = {"step": step, **point(exam, judges, lm, reference)}
            write_lines(context.work / POINTS, (points[at] for at in sorted(points)))
            means = {key: float(np.mean(points[step]["samples"][key])) for key in SHOWN}
            return {SHOWN[key]: value for key, value in means.items()}

        evaluation = Evaluation(own.measure.every * policy.updates, measure, first=True)
        result = trained_on(context, lm, objective, policy.optim, evaluation=evaluation)
        if result.steps not in points:
            measure(result.steps)
        rows = [points[at] for at in sorted(points) if at <= result.steps]
        write_lines(context.folder / POINTS, rows)
        write_json(context.folder / "report.json", {"steps": result.steps, "stopped": result.stopped_for})

    chosen = {
        **study.identity(),
        "measure": own.measure.model_dump(include={"samples", "every"}),
        "policy": seen(policy),
        "prompts": [prompt.text for prompt in study.prompts],
    }
    inputs = {"proxy": made.proxy, "second": made.second, "labels": given, **study.start.inputs}
    kind = "free" if guards is None else "guarded"
    return Stage(f"climb-{name}-{kind}-{study.seed}", 1, chosen, inputs, run)


SHOWN = {
    "proxy": "eval/reward/mean",
    "second": "eval/reward/second",
    "gold": "eval/reward/gold",
    "log_ratio": "eval/kl/reference",
}
"""What is logged of a point, and as what."""


def _judges(study: Study, proxy: Artefact, second: Artefact, ensemble: EnsembleSettings) -> Judges:
    dtype = study.settings.model.dtype
    first, other = (load_scorer(made.path / MODEL, dtype=dtype) for made in (proxy, second))
    return Judges(first, other, study.gold, ensemble)


def _margins(scores: Floats) -> Floats:
    """Of pairs whose first answers stand before all second ones: [1, 2 * pairs] -> [pairs]."""
    first, second = np.split(scores.ravel(), 2)
    return np.asarray(first - second)


def _write_pairs(folder: Path, role: Role, pairs: Pairs, said: Floats) -> None:
    rows = zip(pairs.first, pairs.second, said.tolist(), strict=True)
    write_lines(
        folder / f"{role}.jsonl",
        ({"first": to_row(one), "second": to_row(other), "said": own} for one, other, own in rows),
    )


def _read_pairs(file: Path) -> tuple[Pairs, Floats]:
    rows = read_lines(file)
    first, second = ([from_row(row[side]) for row in rows] for side in ("first", "second"))
    return Pairs(first, second), np.array([row["said"] for row in rows])


def _kept_points(work: Path) -> list[Any]:
    return read_lines(work / POINTS) if (work / POINTS).exists() else []
