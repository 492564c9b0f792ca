"""A study of over-optimisation from settings to figures: stages made once, rows, summary, page."""

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from gnomon.data.reader import Reader
from gnomon.errors import ConfigError
from gnomon.models.reference import parse_model_ref
from gnomon.overopt.drawing import letters
from gnomon.overopt.findings import (
    LOST,
    Climb,
    best_climb,
    findings,
    fits,
    implied,
    policy_climb,
    promised,
)
from gnomon.overopt.settings import LaboratorySettings
from gnomon.pipeline.lineage import software, write_manifest
from gnomon.pipeline.overopt import (
    HELD_OUT,
    POINTS,
    Made,
    Study,
    best_stage,
    climb_stage,
    labels_stage,
    proxy_stage,
    start_stage,
)
from gnomon.pipeline.reporter import Reporter
from gnomon.pipeline.rows import read_lines, write_lines
from gnomon.pipeline.stage import Artefact, Stage, execute
from gnomon.pipeline.stages import Start
from gnomon.records import Conversation, Prompt
from gnomon.reports.overopt import write_overopt_page
from gnomon.runs import RunFolder, read_json, write_json
from gnomon.store import Store

CLOSE = 0.05
"""The share of its gain that a guarded climb may have lost at its end."""
NEAR = 0.25
"""The error of a forecast, as a share of the distance, that is near enough."""


def overopt(settings: LaboratorySettings, out: Path, reporter: Reporter) -> dict[str, Any]:
    """Run the study in the folder `out` and return its summary; what is already made is not made again.

    `rows.jsonl` has every point of every climb, `summary.json` what they came to, `report.html` the figures.
    """
    parse_model_ref(settings.model.ref)
    prompts = _prompts(settings)
    run = RunFolder(out)
    with run.open():
        run.write_config(settings.model_dump(mode="json"))
        store = Store(out / "artefacts")
        made: list[Artefact] = []

        def make(stage: Stage) -> Artefact:
            made.append(execute(stage, store, run, reporter))
            return made[-1]

        first = Start(settings.model.ref)
        if settings.start is not None:
            first = Start.of(make(start_stage(settings, prompts)))
        climbs = [
            climb
            for seed in settings.seeds
            for climb in _seed_climbs(Study(settings, prompts, first, seed), make)
        ]
        write_manifest(run, store, made, seed=settings.seeds[0], data={})
        summary = _summary(settings, climbs, store, made)
        rows = [row for climb in climbs for row in _rows(climb)]
        write_lines(out / "rows.jsonl", rows)
        write_json(out / "summary.json", summary)
        write_overopt_page(out / "report.html", summary, rows)
    return summary


def _prompts(settings: LaboratorySettings) -> list[Conversation]:
    if not settings.prompts:
        return letters(settings.prompt_count)
    rows = Reader().read("prompts", Prompt, settings.prompts)
    if len(rows) < settings.prompt_count:
        raise ConfigError(f"prompt_count is {settings.prompt_count}, and there are {len(rows)} prompts")
    chosen = random.Random(settings.seeds[0]).sample(rows, settings.prompt_count)
    return [row.conversation for row in chosen]


def _seed_climbs(study: Study, make: Callable[[Stage], Artefact]) -> list[Climb]:
    """Everything of one seed, each proxy climbed by the best of n and by RL, the first one guarded too."""
    own = study.settings
    labels = make(labels_stage(study))
    second = make(proxy_stage(study, "second", own.proxies[0], labels))
    climbs = []
    for proxy in own.proxies:
        learnt = make(proxy_stage(study, proxy.name, proxy, labels))
        best = make(best_stage(study, proxy.name, learnt, second, labels))
        climbs.append(best_climb(study.seed, proxy.name, read_lines(best.path / POINTS)))
        climbed = make(climb_stage(study, proxy.name, Made(learnt, second, labels), None))
        climbs.append(_climb(study, proxy.name, climbed, guarded=False))
    if own.guarded is None:
        return climbs
    ensemble = make(proxy_stage(study, "ensemble", own.proxies[0], labels, own.guarded.members))
    climbed = make(climb_stage(study, "ensemble", Made(ensemble, second, labels), own.guarded))
    return [*climbs, _climb(study, own.proxies[0].name, climbed, guarded=True)]


def _climb(study: Study, proxy: str, made: Artefact, *, guarded: bool) -> Climb:
    rows, held = read_lines(made.path / POINTS), read_json(made.path / HELD_OUT)
    return policy_climb(study.seed, proxy, rows, held, guarded=guarded)


def _rows(climb: Climb) -> list[dict[str, Any]]:
    """The points of a climb, one a row: means over prompts, and what was promised and implied of gold."""
    about = {"seed": climb.seed, "method": climb.method, "proxy": climb.proxy, "guarded": climb.guarded}
    more = {"promised": promised(climb), "implied": implied(climb)}
    return [
        {
            **about,
            "step": step,
            "distance": float(climb.distances[k]),
            **{f"reward/{name}": float(values[k].mean()) for name, values in climb.means.items()},
            "gained": float(climb.course("gold")[k]),
            **{name: float(values[k]) for name, values in more.items() if values is not None},
        }
        for k, step in enumerate(climb.steps)
    ]


def _summary(
    settings: LaboratorySettings, climbs: Sequence[Climb], store: Store, made: Sequence[Artefact]
) -> dict[str, Any]:
    found = [findings(climb) for climb in climbs]
    seconds = sum(float(store.about(artefact.id)["seconds"]) for artefact in made)
    return {
        "name": settings.name,
        "model": settings.model.ref,
        "seeds": list(settings.seeds),
        "climbs": found,
        "fits": fits(climbs, settings.measure.away, settings.measure.resamples),
        "verdict": verdict(found, settings.proxies[0].name),
        "software": software(),
        "costs": {"seconds": round(seconds, 1)},
    }


MISSED = ("missed", "missed_back")
"""What following a forecast does without, staying where it is followed or going back to what it points at."""


def verdict(found: Sequence[Mapping[str, Any]], first: str) -> dict[str, Any]:
    """How often what was to be seen was seen, over seeds: of the first proxy climbed without guards and with
    them, of alarms and forecasts of all climbs by RL that over-optimised, and of alarms of the others."""
    rl = [row for row in found if row["method"] == "rl"]
    free = [row for row in rl if row["proxy"] == first and not row["guarded"]]
    guarded = [row for row in rl if row["guarded"]]
    over = [row for row in rl if row["over_optimised"]]
    told = [row["forecast"] for row in over if row["forecast"].get("peak") is not None]
    followed = [row["forecast"] for row in over if "missed" in row["forecast"]]
    clean = [row for row in rl if not row["over_optimised"]]
    alarms = {kind: sum(_in_time(row.get(kind)) for row in over) for kind in ("alarm", "alarm_freed")}
    each = {name: sum(_in_time(row["alarm"]["each"].get(name)) for row in over) for name in ("peak", "turn")}
    return {
        "free": {"over_optimised": sum(row["over_optimised"] for row in free), "of": len(free)},
        "guarded": {"close": sum(row["lost"] <= CLOSE for row in guarded), "of": len(guarded)},
        "alarms": {"in_time": alarms["alarm"], "freed": alarms["alarm_freed"], "each": each, "of": len(over)},
        "false_alarms": {"fired": sum(bool(row["alarm"]["fired"]) for row in clean), "of": len(clean)},
        "forecasts": {
            "made": len(told),
            "early": sum(one["early"] for one in told),
            "of": len(over),
            "error": median(one["error"] for one in told) if told else None,
            "near": sum(one["error"] <= NEAR for one in told),
            **{name: median(one[name] for one in followed) if followed else None for name in MISSED},
        },
    }


def _in_time(alarm: Mapping[str, Any] | None) -> bool:
    return alarm is not None and alarm["lost"] is not None and bool(alarm["lost"] < LOST)
