"""Gnomon's held-out prompts that have checks, for inspect_ai: inspect eval FILE --model gnomon/REF."""

from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import json_dataset
from inspect_ai.scorer import Score, Scorer, Target, accuracy, grouped, scorer, stderr
from inspect_ai.solver import TaskState, generate

from gnomon.judges.verifiable import run_checks

ROWS = Path(__file__).with_name("answering.jsonl")


@scorer(metrics=[accuracy(), stderr(cluster="cluster"), grouped(accuracy(), "family", all=False)])  # type: ignore[untyped-decorator]
def checks() -> Scorer:
    """Whether an answer passes all checks of its prompt."""

    async def score(state: TaskState, target: Target) -> Score:
        said = state.output.completion
        wanted = state.metadata["checks"]
        passed = run_checks(said, wanted)
        failed = [check["kind"] for check, held in zip(wanted, passed, strict=True) if not held]
        return Score(value=float(not failed), answer=said, explanation=", ".join(failed) or "all passed")

    return score


@task  # type: ignore[untyped-decorator]
def answering() -> Task:
    """Every prompt answered once."""
    return Task(dataset=json_dataset(str(ROWS)), solver=generate(), scorer=checks())
