"""Every prompt answered by every model, one judged row for each answer."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NotRequired, TypedDict

from gnomon.errors import DataError
from gnomon.evaluation.prompts import checked
from gnomon.judges import counting, text
from gnomon.judges.refusal import refuses
from gnomon.judges.verifiable import run_checks
from gnomon.records import Prompt
from gnomon.rollouts.engine import Engine, Sample, Sampling

BATCH = 512
"""Prompts handed to an engine at once, which fills the places of short answers with those that wait; progress
is told after each batch."""

GREEDY = Sampling(temperature=0.0)

Progress = Callable[[str, int, int], None]
"""Called with the model's name, its answers so far, and how many there will be."""

AnswerRow = TypedDict(
    "AnswerRow",
    {
        "prompt_id": str,
        "family": str,
        "cluster": str,
        "prompt": str,
        "model": str,
        "answer": str,
        "ended": bool,
        "answers": bool,
        "checks_passed": bool | None,
        "checks": list[bool],
        "tokens": int,
        "words": int,
        "repetition": float,
        "role_leak": bool,
        "refuses": bool,
        "reward/second": NotRequired[float],
        "kl/reference": NotRequired[float],
    },
)
"""One answer, judged. `checks_passed` is whether every check passed, None where there are none; `tokens`
counts the stop token; the two metrics that need further models are filled in later (nats per sequence)."""


def answer_all(
    models: Mapping[str, Engine],
    prompts: Sequence[Prompt],
    *,
    sampling: Sampling = GREEDY,
    raw: Collection[str] = ("base",),
    clusters: Mapping[str, str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[AnswerRow]:
    """Rows of every model's answer to every prompt, model by model in the order given.

    Models named in `raw` continue the last turn as plain text, the others answer under the chat template.
    The answers depend on `seed` and the order of the prompts, not on the batches. `clusters` maps prompt ids
    to their cluster of near-duplicates; a prompt that is not in it is its own. DataError for no prompts, an
    id that comes twice, bad checks, or an engine that loses a row.
    """
    _check(prompts)
    rows: list[AnswerRow] = []
    for name, engine in models.items():
        for start in range(0, len(prompts), BATCH):
            batch = prompts[start : start + BATCH]
            conversations = [prompt.conversation for prompt in batch]
            samples = engine.answer(conversations, sampling, seed + start, raw=name in raw)
            if len(samples) != len(batch):
                raise DataError(f"model {name!r} gave {len(samples)} answers to {len(batch)} prompts")
            for prompt, sample in zip(batch, samples, strict=True):
                cluster = (clusters or {}).get(prompt.id, prompt.id)
                rows.append(judge(prompt, sample, model=name, cluster=cluster))
            if progress:
                progress(name, start + len(batch), len(prompts))
    return rows


def judge(prompt: Prompt, sample: Sample, *, model: str, cluster: str) -> AnswerRow:
    """The row of one answer, with everything that text and checks alone can tell."""
    checks = run_checks(sample.text, prompt.checks)
    asked = prompt.asked
    return {
        "prompt_id": prompt.id,
        "family": prompt.family,
        "cluster": cluster,
        "prompt": prompt.conversation.text,
        "model": model,
        "answer": sample.text,
        "ended": sample.ended,
        "answers": text.answers(asked, sample.text, ended=sample.ended),
        "checks_passed": all(checks) if checks else None,
        "checks": list(checks),
        "tokens": len(sample.response_ids),
        "words": counting.words(sample.text),
        "repetition": text.repetition(sample.text),
        "role_leak": text.role_leak(sample.text),
        "refuses": refuses(sample.text),
    }


def _check(prompts: Sequence[Prompt]) -> None:
    if not prompts:
        raise DataError("nothing to evaluate: the suite has no prompts")
    for name, count in Counter(prompt.id for prompt in prompts).items():
        if count > 1:
            raise DataError(f"prompt id {name!r} comes {count} times; give each prompt its own")
    checked(prompts)
