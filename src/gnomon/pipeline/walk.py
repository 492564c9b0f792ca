"""Which stage follows which, what each is made of, and which recipes have it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gnomon.config import Recipe, RewardSettings, Until
from gnomon.constitution.principles import Constitution, load_constitution
from gnomon.distributed import gather, leads, processes, size
from gnomon.errors import ModelError
from gnomon.models.load import resolve
from gnomon.models.reference import parse_model_ref
from gnomon.pipeline.answers import answers_stage
from gnomon.pipeline.constitutional import ENOUGH, constitutional_stage, revise_stage
from gnomon.pipeline.direct import direct_stage, without_constitution
from gnomon.pipeline.feedback import feedback_stage
from gnomon.pipeline.labellers import (
    DIRECT,
    DIRECT_JUDGE,
    FEEDBACK,
    FEEDBACK_JUDGE,
    deciding,
    wants_direct,
    wants_direct_judge,
    wants_feedback,
    wants_feedback_judge,
    wants_judge,
)
from gnomon.pipeline.openings import Opening, of_stages, record
from gnomon.pipeline.optimisation import policy_stage
from gnomon.pipeline.paying import Payers
from gnomon.pipeline.preference import preference_stage
from gnomon.pipeline.reporter import Reporter, SilentReporter
from gnomon.pipeline.snapshots import SNAPSHOT, measures, snapshot_stage, snapshots_stage
from gnomon.pipeline.stage import Artefact, Stage, execute, promised
from gnomon.pipeline.stages import Start, reward_stage, sft_stage
from gnomon.pipeline.suites import suites_stage
from gnomon.runs import RunFolder, read_json
from gnomon.store import Store


@dataclass
class Road:
    """A run in progress: what has been made, by stage."""

    recipe: Recipe
    run: RunFolder
    store: Store
    reporter: Reporter
    made: dict[str, Artefact] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def make(self, stage: Stage) -> Artefact:
        """Execute a stage, or take it from the store."""
        artefact = execute(stage, self.store, self.run, self.reporter)
        self.made[stage.name] = artefact
        self.warnings += self.store.about(artefact.id)["warnings"]
        return artefact

    def warn(self, text: str) -> None:
        """Tell a person something that no single stage knows."""
        self.warnings.append(text)
        self.reporter.warning(text)

    def open_test(self, *looks: Opening) -> None:
        """Count these looks at held-out rows and those of all stages; a second by the same is warned of."""
        told = record(self.run, [*of_stages(self.store), *looks])
        if told:
            self.warn(told)

    def start(self, name: str) -> Start:
        """The model a stage made."""
        return Start.of(self.made[name])

    def figure(self, stage: str, name: str, unmade: int) -> int:
        """A count in the report of a stage; `unmade` stands for it as long as the stage is only promised."""
        artefact = self.made[stage]
        report = read_json(artefact.path / "report.json") if self.store.has(artefact.id) else {}
        return int(report.get(name, unmade))

    @property
    def principles(self) -> Constitution:
        """The constitution."""
        return load_constitution(self.recipe.data.constitution)


@contextmanager
def opened(recipe: Recipe, out: Path, reporter: Reporter) -> Iterator[Road]:
    """A road in the folder `out`, held until the block ends: by the first of several processes, for all.

    All of them walk it, and all must see the same folder.
    """
    run = RunFolder(out, recipe.trackers)
    with processes(), run.open() if leads() else nullcontext():
        road = Road(recipe, run, Store(out / "artefacts"), reporter if leads() else SilentReporter())
        if size() > 1 and leads():
            resolve(parse_model_ref(recipe.model.ref))  # a packaged model is prepared by one process
        gather(None)
        yield road


@dataclass(frozen=True, slots=True)
class Step:
    """How a stage is built from what was made before it (None where that leaves nothing to do), and which
    sections of a recipe it needs; some are `wanted` for more than that."""

    build: Callable[[Road], Stage | None]
    needs: tuple[str, ...] = ()
    wanted: Callable[[Recipe], bool] = lambda recipe: True


def names(recipe: Recipe, until: Until | None = None) -> tuple[str, ...]:
    """The stages a recipe walks, in order; those of a constitutional model go where revisions are too few."""
    order = list(WALK)
    reached = order if until is None else order[: 1 + order.index(LAST[until])]

    def wanted(name: str) -> bool:
        step = WALK[name]
        return all(getattr(recipe, section) is not None for section in step.needs) and step.wanted(recipe)

    return ("data", *filter(wanted, reached))


def walk(road: Road, stages: Sequence[str]) -> None:
    """Make the stages of these names; ModelError where the gate of AI labels, or of whoever scores answers,
    stays shut and the recipe says to stop then."""
    for name in stages:
        stage = WALK[name].build(road)
        if stage is None:
            continue
        made = road.make(stage)
        if name in GATED:
            _stop_where_shut(road.recipe, read_json(made.path / "report.json"))


def _stop_where_shut(recipe: Recipe, report: Mapping[str, Any]) -> None:
    assert recipe.constitution is not None
    if report["gate_held"] and recipe.constitution.feedback.when_shut == "stop":
        raise ModelError(
            f"{report['gate']['message']}; constitution.feedback.when_shut is stop: helpful_only goes on "
            "without AI labels, trained_judge with those of a judge trained on the given comparisons"
        )


def unmade(road: Road, stages: Sequence[str]) -> set[str]:
    """Those of the stages that are not in the store, as far as can be told before they are made."""
    ahead = Road(road.recipe, road.run, road.store, road.reporter, dict(road.made))
    missing = set()
    for name in stages:
        stage = WALK[name].build(ahead)
        if stage is None:
            continue
        ahead.made[name] = promised(stage, road.store)
        if not road.store.has(stage.id):
            missing.add(name)
    return missing


def _sft(road: Road) -> Stage:
    return sft_stage(road.recipe, road.made["data"], Start(road.recipe.model.ref))


def _revise(road: Road) -> Stage:
    settings, data = road.recipe.constitution, road.made["data"]
    assert settings is not None
    return revise_stage(road.recipe, settings, road.principles, data, road.start("sft"))


def _constitutional(road: Road) -> Stage | None:
    settings, made = road.recipe.constitution, road.made
    assert settings is not None
    if road.figure("revise", "kept", unmade=ENOUGH) < ENOUGH:
        return None
    base = Start(road.recipe.model.ref)
    start = base if settings.sl_start == "base" else road.start("sft")
    return constitutional_stage(road.recipe, settings, made["data"], start, made["revise"])


def rl_start(road: Road) -> str:
    """The stage whose model answers the pairs that are labelled, and is optimised."""
    settings = road.recipe.constitution
    after = settings is not None and settings.rl_start == "constitutional"
    return "constitutional" if after and "constitutional" in road.made else "sft"


def _feedback(road: Road) -> Stage:
    """By whom the roles name."""
    settings, data = road.recipe.constitution, road.made["data"]
    assert settings is not None
    return feedback_stage(road.recipe, settings, road.principles, data, road.start(rl_start(road)))


def _shut_out(road: Road, stage: str) -> bool:
    """Whether whoever the roles name was measured in a stage, and may not go on."""
    return stage in road.made and bool(road.figure(stage, "gate_held", unmade=0))


def _let_in(road: Road, stage: str) -> bool:
    """Whether somebody was measured in a stage, and goes on."""
    return stage in road.made and not _shut_out(road, stage)


def _direct(road: Road) -> Stage:
    """Whoever the roles name, as who scores single answers."""
    settings = road.recipe.constitution
    assert settings is not None
    return direct_stage(road.recipe, settings, road.made["data"], road.start(rl_start(road)))


def _judge(road: Road) -> Stage | None:
    """A reward model of the given comparisons alone, where it is to label, or to pay."""
    made = road.made
    measured = [stage for stage in (FEEDBACK, DIRECT) if stage in made]
    if measured and not any(_shut_out(road, stage) for stage in measured):
        return None
    own = (road.recipe.reward or RewardSettings()).model_copy(update={"without": ()})
    return replace(reward_stage(road.recipe, own, made["data"], road.start("sft")), name="judge")


def _feedback_judge(road: Road) -> Stage | None:
    settings, made = road.recipe.constitution, road.made
    assert settings is not None
    if "judge" not in made or _let_in(road, FEEDBACK):
        return None
    start = road.start(rl_start(road))
    return feedback_stage(road.recipe, settings, road.principles, made["data"], start, judge=made["judge"])


def _direct_judge(road: Road) -> Stage | None:
    settings, made = road.recipe.constitution, road.made
    assert settings is not None
    if "judge" not in made or _let_in(road, DIRECT):
        return None
    return direct_stage(road.recipe, settings, made["data"], road.start(rl_start(road)), made["judge"])


def _reward(road: Road, roles: Sequence[str], extra: Artefact | None = None) -> Stage:
    settings, data = road.recipe.reward, road.made["data"]
    assert settings is not None
    if "reward" not in roles:
        settings = settings.model_copy(update={"without": ()})
    return reward_stage(road.recipe, settings, data, road.start("sft"), roles, extra)


def _first_reward(road: Road) -> Stage:
    """On the comparisons of the rows, and on the AI's where the gate let any pass."""
    return _reward(road, ("reward",), _labelled_by_ai(road))


def _labelled_by_ai(road: Road) -> Artefact | None:
    found = deciding(road.made)
    if found is None or not road.figure(found.stage, "ai_comparisons", unmade=0):
        return None
    return found.only("comparisons.jsonl")


def _preference(road: Road) -> Stage:
    """On the comparisons that teach the first reward model."""
    settings, data, extra = road.recipe.preference, road.made["data"], _labelled_by_ai(road)
    assert settings is not None
    return preference_stage(road.recipe, settings, data, road.start(rl_start(road)), ("reward",), extra)


def _policy(road: Road) -> Stage:
    settings, made = road.recipe.policy, road.made
    assert settings is not None
    own, start = road.recipe.constitution, rl_start(road)
    usual = own.red_team_share if own is not None and start == "constitutional" else 0.0
    share = usual if settings.red_team_share is None else settings.red_team_share
    reward, second = (road.start(name) if name in made else None for name in ("reward", "reward_second"))
    direct = made[DIRECT] if _let_in(road, DIRECT) else None
    judge = road.start("judge") if _let_in(road, DIRECT_JUDGE) else None
    if settings.by_constitution and direct is None and judge is None:
        settings = without_constitution(settings, model=reward is not None)
    payers = Payers(reward, second, direct, judge)
    return policy_stage(road.recipe, settings, made["data"], road.start(start), payers, share)


def _answers(name: str) -> Callable[[Road], Stage | None]:
    """A trained model's answers, with its distance from the instruction-tuned one."""

    def build(road: Road) -> Stage | None:
        if name not in road.made:
            return None
        made = road.made
        reference = None if name == "sft" else made["sft"]
        second = made.get("reward_second")
        return answers_stage(
            name, road.recipe, made["data"], road.start(name), second=second, reference=reference
        )

    return build


def _suites(name: str) -> Callable[[Road], Stage | None]:
    """A trained model examined by the suites of the recipe."""

    def build(road: Road) -> Stage | None:
        return suites_stage(name, road.recipe, road.start(name)) if name in road.made else None

    return build


def _optimises(recipe: Recipe) -> bool:
    return recipe.optimises


def _examines(recipe: Recipe) -> bool:
    return bool(recipe.evaluation.suites)


def _examines_a_policy(recipe: Recipe) -> bool:
    return _examines(recipe) and _optimises(recipe)


def _measures_a_policy(recipe: Recipe) -> bool:
    return measures(recipe) and _optimises(recipe)


def _base_answers(road: Road) -> Stage:
    """The base model's answers, under the raw text."""
    made, base = road.made, Start(road.recipe.model.ref)
    return answers_stage("base", road.recipe, made["data"], base, second=made.get("reward_second"), raw=True)


def _snapshot(name: str) -> Callable[[Road], Stage | None]:
    """A model's answers to prompts that ask for harm, and to those that only look so."""

    def build(road: Road) -> Stage | None:
        if name != "base" and name not in road.made:
            return None
        start = Start(road.recipe.model.ref) if name == "base" else road.start(name)
        return snapshot_stage(name, road.recipe, start, second=road.made.get("reward_second"))

    return build


def _snapshots(road: Road) -> Stage:
    return snapshots_stage(road.recipe, road.made)


WALK: Mapping[str, Step] = MappingProxyType(
    {
        "sft": Step(_sft),
        "revise": Step(_revise, ("constitution",)),
        "constitutional": Step(_constitutional, ("constitution",)),
        FEEDBACK: Step(_feedback, ("constitution",), wants_feedback),
        DIRECT: Step(_direct, ("constitution", "policy"), wants_direct),
        "judge": Step(_judge, ("constitution",), wants_judge),
        DIRECT_JUDGE: Step(_direct_judge, ("constitution", "policy"), wants_direct_judge),
        FEEDBACK_JUDGE: Step(_feedback_judge, ("constitution",), wants_feedback_judge),
        "preference": Step(_preference, ("preference",)),
        "reward": Step(_first_reward, ("reward",)),
        "reward_second": Step(lambda road: _reward(road, ("second",)), ("reward",)),
        "policy": Step(_policy, ("policy",), _optimises),
        "answers_base": Step(_base_answers),
        "answers_sft": Step(_answers("sft")),
        "answers_preference": Step(_answers("preference"), ("preference",)),
        "answers_policy": Step(_answers("policy"), ("policy",), _optimises),
        "answers_constitutional": Step(_answers("constitutional"), ("constitution",)),
        "suites_sft": Step(_suites("sft"), (), _examines),
        "suites_preference": Step(_suites("preference"), ("preference",), _examines),
        "suites_policy": Step(_suites("policy"), ("policy",), _examines_a_policy),
        "suites_constitutional": Step(_suites("constitutional"), ("constitution",), _examines),
        f"{SNAPSHOT}base": Step(_snapshot("base"), ("constitution",), measures),
        f"{SNAPSHOT}sft": Step(_snapshot("sft"), ("constitution",), measures),
        f"{SNAPSHOT}constitutional": Step(_snapshot("constitutional"), ("constitution",), measures),
        f"{SNAPSHOT}preference": Step(_snapshot("preference"), ("constitution", "preference"), measures),
        f"{SNAPSHOT}policy": Step(_snapshot("policy"), ("constitution", "policy"), _measures_a_policy),
        "snapshots": Step(_snapshots, ("constitution",), measures),
    }
)
"""After the rows, in order."""

GATED = (FEEDBACK, FEEDBACK_JUDGE, DIRECT, DIRECT_JUDGE)
"""Those that measure whoever is to teach."""

LAST: Mapping[Until, str] = {
    "sft": "sft",
    "constitution": FEEDBACK_JUDGE,
    "preference": "preference",
    "reward": "reward",
    "policy": "policy",
}
"""Where each `until` stops."""
