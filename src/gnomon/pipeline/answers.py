"""The evaluation stages: one for each model, so that an interrupted evaluation keeps what it has."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gnomon.config import Recipe
from gnomon.distributed import spread_over
from gnomon.errors import DataError
from gnomon.evaluation.runner import AnswerRow, answer_all
from gnomon.judges.reward_model import answered
from gnomon.models.load import LanguageModel, load
from gnomon.models.reward_model import Scorer, load_scorer
from gnomon.pipeline.account import free_memory
from gnomon.pipeline.rows import read_lines, read_records, write_lines
from gnomon.pipeline.scoring import MODEL
from gnomon.pipeline.stage import Artefact, Stage, StageContext
from gnomon.pipeline.stages import CLUSTERS, Start
from gnomon.records import Message, Prompt
from gnomon.rollouts.engine import Sample, Sampling
from gnomon.rollouts.kl import log_ratios
from gnomon.rollouts.local import LocalEngine
from gnomon.rollouts.shared import SharedEngine
from gnomon.runs import read_json


def answers_stage(
    name: str,
    recipe: Recipe,
    data: Artefact,
    model: Start,
    *,
    second: Artefact | None = None,
    reference: Artefact | None = None,
    raw: bool = False,
) -> Stage:
    """A model's answers to the held-out prompts, judged.

    With a second reward model they are scored; with a reference, sequence KL from it is estimated on fresh
    samples. There is one model in memory at a time.
    """
    given, dtype = data.only("evaluation.jsonl", CLUSTERS), recipe.model.dtype
    sampling = Sampling(recipe.evaluation.max_new_tokens, recipe.evaluation.temperature)

    def run(context: StageContext) -> None:
        prompts = read_records(given.file("evaluation.jsonl"), Prompt)
        parts = 1 + (reference is not None) + (second is not None)
        lm = load(model.ref, dtype=dtype)
        engine = LocalEngine(lm, told=lambda done, total: context.progress(done, parts * total, "answered"))
        refuse_long(engine, prompts, sampling, raw=raw)
        rows = answer_all(
            {name: SharedEngine(engine)},
            prompts,
            sampling=sampling,
            raw=(name,) if raw else (),
            clusters=read_json(given.file(CLUSTERS)),
            seed=zlib.crc32(f"{recipe.seed}/answers".encode()),
        )
        fresh = fresh_samples(lm, recipe, prompts) if reference is not None else None
        del lm, engine
        free_memory()
        if reference is not None and fresh is not None:
            far = distances(load(f"path:{reference.path / MODEL}", dtype=dtype), fresh.samples)
            for i, nats in zip(fresh.places, far, strict=True):
                rows[i]["kl/reference"] = nats
            free_memory()
            context.progress(2 * len(rows), parts * len(rows), "sequence KL")
        if second is not None:
            score_answers(load_scorer(second.path / MODEL, dtype=dtype), prompts, rows)
        context.progress(parts * len(rows), parts * len(rows), "")
        context.tokens = sum(row["tokens"] for row in rows)
        write_lines(context.folder / "answers.jsonl", rows)

    unseen = {"bootstrap", "suites", "suite_tokens", "suite_limit"}
    unseen |= set() if reference is not None else {"kl_prompts"}
    settings = {
        "evaluation": recipe.evaluation.model_dump(mode="json", exclude=unseen),
        "dtype": dtype,
        "seed": recipe.seed,
        "raw": raw,
        "name": name,
        **model.settings,
    }
    models: Mapping[str, Artefact | None] = {**model.inputs, "second": second, "reference": reference}
    inputs = {"data": given} | {key: made for key, made in models.items() if made is not None}
    return Stage(f"answers_{name}", 4, settings, inputs, run)


def refuse_long(engine: LocalEngine, prompts: list[Prompt], sampling: Sampling, *, raw: bool) -> None:
    """DataError names the prompts that leave no room for an answer: every model must answer the same ones."""
    fits = engine.room([prompt.conversation for prompt in prompts], sampling, raw=raw)
    long = [prompt.id for prompt, fitting in zip(prompts, fits, strict=True) if not fitting]
    if long:
        raise DataError(
            f"{len(long)} evaluation prompts leave no room for {sampling.max_new_tokens} tokens in the "
            f"model's context: {', '.join(long[:5])}; shorten them or lower evaluation.max_new_tokens"
        )


def answer_rows(artefact: Artefact) -> list[Any]:
    """The rows an answers stage wrote."""
    return read_lines(artefact.path / "answers.jsonl")


@dataclass(frozen=True)
class Fresh:
    """Samples at temperature 1; `places` says which of the evaluation's prompts they answer."""

    places: list[int]
    samples: list[Sample]


def fresh_samples(lm: LanguageModel, recipe: Recipe, prompts: list[Prompt]) -> Fresh:
    """What KL is estimated on: greedy answers would bias it, and a slice of the prompts is enough."""
    order = np.random.default_rng([recipe.seed, len(prompts)]).permutation(len(prompts))
    places = sorted(int(i) for i in order[: recipe.evaluation.kl_prompts])
    samples = SharedEngine(LocalEngine(lm)).answer(
        [prompts[i].conversation for i in places],
        Sampling(recipe.evaluation.max_new_tokens, 1.0),
        zlib.crc32(f"{recipe.seed}/kl".encode()),
    )
    return Fresh(places, samples)


def distances(reference: LanguageModel, samples: Sequence[Sample]) -> list[float]:
    """Sequence KL of each sample from the reference, in nats; each process reads its share of them."""

    def read(own: list[Sample]) -> list[float]:
        return [float(ratio.sum()) for ratio in log_ratios(reference, own)]

    return spread_over(samples, lambda sample: sample.length, read)


def score_answers(scorer: Scorer, prompts: list[Prompt], rows: list[AnswerRow]) -> None:
    """Fill in what the second reward model gives each answer, under the same template for every model."""
    ids = [
        answered(scorer.lm, prompt.conversation, [Message("assistant", row["answer"])], ended=row["ended"])
        for prompt, row in zip(prompts, rows, strict=True)
    ]
    for row, score in zip(rows, spread_over(ids, len, scorer.score), strict=True):
        row["reward/second"] = score
