"""summary.json: every figure of a run, from what its stages left."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import gnomon
from gnomon.config import Recipe
from gnomon.evaluation.reward import error_correlation
from gnomon.evaluation.summary import summarise
from gnomon.evaluation.worse import worse
from gnomon.pipeline.labellers import deciding
from gnomon.pipeline.outcome import outcome, titles
from gnomon.pipeline.rows import read_records
from gnomon.pipeline.stage import Artefact
from gnomon.pipeline.suites import examined
from gnomon.records import Comparison, Rating
from gnomon.reports.tables import difference, difference_interval, metric, title
from gnomon.runs import read_json
from gnomon.settings.policy import CONSTITUTION, RewardTerm
from gnomon.store import Store, content_id

BREAD = "test-bread-001"

REFUSED = 0.1
"""Of prompts that ask for no harm, the share that may be refused before it is warned of."""

TRAINING = ("sft", "preference", "judge", "reward", "reward_second", "policy", "constitutional")


def build_summary(
    recipe: Recipe,
    made: Mapping[str, Artefact],
    answers: Sequence[Any],
    warnings: Sequence[str],
    store: Store,
) -> dict[str, Any]:
    """The whole of it; a section whose stage was left out is left out. Timings stand under "costs" alone."""
    summary: dict[str, Any] = {
        "run": {
            "name": recipe.name,
            "seed": recipe.seed,
            "model": recipe.model.ref,
            "settings": content_id(recipe.model_dump(mode="json")),
            "gnomon": gnomon.__version__,
        },
        "preferences": preferences(recipe, made, store),
        "data": read_json(made["data"].path / "data.json"),
        "warnings": list(warnings),
        "costs": _costs(made, store),
    }
    for name in TRAINING:
        if name in made:
            summary[name] = read_json(made[name].path / "report.json")
    if "revise" in made and recipe.constitution is not None:
        summary["constitution"] = read_json(made["revise"].path / "report.json")
        labelled = deciding(made)
        summary["constitution"] |= read_json(labelled.path / "report.json") if labelled else {}
        found = outcome(recipe.constitution, made)
        summary["constitution"]["outcome"] = found
        if "snapshots" in made:
            report = read_json(made["snapshots"].path / "report.json")
            summary["snapshots"] = report | {"titles": titles(found)}
    if "reward" in made and "reward_second" in made:
        summary["reward_error_correlation"] = _error_correlation(made)
    summary |= examined(recipe, made)
    if answers:
        summary |= summarise(answers, resamples=recipe.evaluation.bootstrap, seed=recipe.seed)
        summary["warnings"] += refusing(summary["models"])
        summary["worse"] = worse(gaps(summary))
        summary["warnings"] += worsened(summary["worse"])
        bread = [row for row in answers if row["prompt_id"] == BREAD] or answers[:1]
        told = [row for row in answers if row["prompt_id"] == bread[0]["prompt_id"]]
        summary["bread"] = {
            "prompt": bread[0]["prompt"],
            "answers": {row["model"]: row["answer"] for row in told},
        }
    return summary


def gaps(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """How the instruction-tuned model differs from the base, and all later ones from it, suites included; and
    how every snapshot of a constitutional road from the one before."""
    suites = summary.get("suites", {}).items()
    of_suites = [row | {"suite": name} for name, found in suites for row in found["differences"]]
    every = [*summary["differences"], *of_suites]
    told = [row for row in every if row["over"] == "sft" or (row["of"], row["over"]) == ("sft", "base")]
    snapshots = summary.get("snapshots", {}).get("differences", [])
    return told + [row | {"metric": f"snapshot/{row['metric']}", "suite": "snapshots"} for row in snapshots]


def worsened(found: Mapping[str, Any]) -> list[str]:
    """A warning for each model that does something worse than before: what, by how much, and where."""
    models = dict.fromkeys((row["of"], row["over"]) for row in found["found"])
    said = []
    for of, over in models:
        own = [row for row in found["found"] if (row["of"], row["over"]) == (of, over)]
        each = [
            f"{metric(row['metric']).title.lower()}{_where(row)} {difference(row['metric'], row)} "
            f"({difference_interval(row['metric'], row)})"
            for row in own
        ]
        said.append(
            f"{title(of)} is worse than {title(over)} beyond chance: {'; '.join(each)} (95 % intervals; of "
            f"{found['tested']} figures tested, Holm's correction)"
        )
    return said


def _where(row: Mapping[str, Any]) -> str:
    return f" in {row['suite']}" if "suite" in row else ""


def refusing(models: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A warning for each model that refuses more than `REFUSED` of what asks for no harm, beyond doubt."""
    found = {name: metrics.get("over_refusal") for name, metrics in models.items()}
    return [
        f"{title(name)}: {share['value']:.0%} of the prompts that ask for no harm are refused (95 % interval "
        f"{share['low']:.0%} to {share['high']:.0%}); mix in more plain help, or fewer refusals"
        for name, share in found.items()
        if share and share["low"] > REFUSED
    ]


def preferences(recipe: Recipe, made: Mapping[str, Artefact], store: Store) -> dict[str, Any]:
    """How many labels of each source a model of this road learnt from, be it one of rewards, and whether any
    model was optimised on what they prefer."""
    paying = _paying(made, store)
    learners = made.keys() & {"preference", "reward"} | paying
    without = recipe.reward.without if recipe.reward and learners == {"reward"} else ()
    labels = [row.label for row in read_records(made["data"].path / "reward.jsonl", Comparison)]
    learnt = [label for label in labels if label and label.reason not in without] if learners else []
    labelled = deciding(made)
    if labelled is not None and learners & {"preference", "reward"}:
        rows = read_records(labelled.path / "comparisons.jsonl", Comparison)
        learnt += [row.label for row in rows if row.label]
    sources = dict(Counter([*(label.source for label in learnt), *_rated(recipe, made)]))
    return {"sources": sources, "optimised": "preference" in made or bool(paying)}


def _rated(recipe: Recipe, made: Mapping[str, Artefact]) -> list[str]:
    """Who judged each answer that was learnt from by itself."""
    if "preference" not in made or not recipe.data.ratings:
        return []
    return [row.source for row in read_records(made["data"].path / "ratings.jsonl", Rating)]


def _paying(made: Mapping[str, Artefact], store: Store) -> set[str]:
    """The models of comparisons that pay this road's policy: the reward model, the judge in others' place."""
    if "policy" not in made:
        return set()
    policy = made["policy"]
    rewards = store.about(policy.id)["settings"]["policy"]["rewards"]
    terms = [RewardTerm.model_validate(term) for term in rewards]
    sources = {term.source for term in terms if term.weighs or term.bounded}
    models = {"model": "reward", CONSTITUTION: "judge"}
    return {models[source] for source in sources & models.keys()} & policy.inputs.keys()


def _error_correlation(made: Mapping[str, Artefact]) -> float | None:
    test = read_records(made["data"].path / "test.jsonl", Comparison)
    scores = [read_json(made[name].path / "test_scores.json") for name in ("reward", "reward_second")]
    one, other = (
        ([row["score"] for row in of["first"]], [row["score"] for row in of["second"]]) for of in scores
    )
    return error_correlation(test, one, other)


def _costs(made: Mapping[str, Artefact], store: Store) -> dict[str, Any]:
    stages = {}
    for name, artefact in made.items():
        about = store.about(artefact.id)
        stages[name] = {key: about[key] for key in ("seconds", "peak_memory_gib", "tokens")}
    return {
        "seconds": round(sum(stage["seconds"] for stage in stages.values()), 1),
        "peak_memory_gib": max(stage["peak_memory_gib"] for stage in stages.values()),
        "stages": stages,
    }
