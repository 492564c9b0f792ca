"""What the documentation says, held against the code."""

import ast
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from architectures import drawn_head

from gnomon import errors
from gnomon.cli.main import app
from gnomon.config import RewardSettings
from gnomon.constitution.modes import MODES
from gnomon.constitution.modes import OWN as OWN_WAY
from gnomon.data.dialects import DIALECTS
from gnomon.evaluation.reward import scored_report
from gnomon.evaluation.summary import METRICS
from gnomon.judges.verifiable import KINDS
from gnomon.models.critic import Critic, ValueModel
from gnomon.models.load import LanguageModel, load
from gnomon.models.reward_model import RewardModel, Scorer
from gnomon.pipeline.walk import names
from gnomon.recipe import load_recipe
from gnomon.records import Comparison, Conversation, Demonstration, Label
from gnomon.reports.snapshots import METRICS as SNAPSHOT_METRICS
from gnomon.reports.tables import METRICS as SHOWN
from gnomon.rewards.combine import ModelReward, Reward, Term, Terms
from gnomon.rewards.told import Told
from gnomon.rollouts.engine import Sample
from gnomon.rollouts.local import LocalEngine
from gnomon.runs import MetricsLog, read_metrics
from gnomon.settings.base import OptimSettings
from gnomon.settings.feedback import DirectSettings, FeedbackSettings, SnapshotSettings
from gnomon.settings.policy import PolicySettings
from gnomon.settings.preference import OWN, Loss, PreferenceSettings
from gnomon.training.loop import Evaluation, Trainer
from gnomon.training.objective import Objective
from gnomon.training.offline import offline
from gnomon.training.pairs import encode_comparisons
from gnomon.training.policy import PolicyOptimisation, PolicyPrompts
from gnomon.training.reward import RewardModelling, score_comparisons
from gnomon.training.sft import InstructionTuning, encode_demonstrations

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`]+)`")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def section(page: str, heading: str) -> str:
    """The text under a heading, up to the next of any level."""
    return re.split(r"^#+ .*$", page.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.M)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of a table's rows, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub names them in links."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), f"{target} leads nowhere"
        assert not anchor or anchor in anchors(there), f"{target}: no such heading"


def test_the_index_names_every_page():
    named = {(ROOT / "docs" / target).resolve() for target in LINK.findall(read("docs/index.md"))}
    assert {page.resolve() for page in (ROOT / "docs").rglob("*.md") if page.name != "index.md"} <= named


def test_evaluation_metrics_are_defined():
    table = rows(section(read("docs/metrics.md"), "In an evaluation"))
    assert {name.strip("`") for name, *_ in table} == set(METRICS)


def test_what_is_reported_of_reward_models_is_defined():
    lm = load("tiny:0", dtype="float32")
    pair = Comparison.of("a", Conversation.of("Hi"), "Hello.", "Hi Hi Hi", Label(1.0, "constructed"))
    told = {
        name.strip(" `")
        for names, *_ in rows(section(read("docs/metrics.md"), "Of a reward model"))
        for name in names.split(",")
    }
    for shape in ({"heads": 2}, {"variance": True}):
        scorer = Scorer(lm, RewardModel(lm, **shape))
        report = scored_report(scorer, [pair, pair], *score_comparisons(scorer, [pair, pair]))
        assert set(report) - {"by_reason"} <= told
        assert ("uncertainty" in report, "explained" in report) == ("heads" in shape, "variance" in shape)


def test_metrics_of_a_constitution_are_defined():
    table = rows(section(read("docs/metrics.md"), "Of a constitution"))
    assert {name.strip("`") for name, *_ in table} == {
        name for name in SHOWN if name.startswith("constitution/")
    }


def test_metrics_of_a_snapshot_are_defined_and_shown():
    told = {name.strip("`") for name, *_ in rows(section(read("docs/metrics.md"), "Of a snapshot"))}
    assert told == {name for name in SHOWN if name.startswith("snapshot/")}
    assert told == {f"snapshot/{name}" for name in SNAPSHOT_METRICS}


def test_settings_of_snapshots_are_listed():
    table = rows(section(read("docs/constitution.md"), "Each snapshot"))
    assert {cell.strip("`") for cell, *_ in table} == set(SnapshotSettings.model_fields)


def test_settings_of_direct_reward_are_listed():
    table = rows(section(read("docs/constitution.md"), "Paid by principles"))
    assert {cell.strip("`") for cell, *_ in table} == set(DirectSettings.model_fields)


def test_settings_and_modes_of_labelling_are_listed():
    page = read("docs/constitution.md")
    told = {name for cell, *_ in rows(section(page, "How pairs are labelled")) for name in CODE.findall(cell)}
    assert told == set(FeedbackSettings.model_fields)
    modes = {name.strip("`") for name, _ in rows(section(page, "Which way of judging"))}
    assert modes == {*MODES, OWN_WAY}


class Verdicts:
    """A reward model whose scores count as verdicts that could be read."""

    def __init__(self, reward: ModelReward) -> None:
        self.reward = reward

    def told(self, samples: Sequence[Sample]) -> list[Told]:
        return [one._replace(read=1) for one in self.reward.told(samples)]


class Tiny:
    """One training step of each kind on the tiny model, and the names it logs."""

    def __init__(self, work: Path) -> None:
        self.lm, self.work = load("tiny:0", dtype="float32"), work

    @cache  # noqa: B019  a handful of calls in one test
    def logged(self, stage: str) -> set[str]:
        module, objective = getattr(self, stage)()
        log = MetricsLog(self.work / f"{stage}.jsonl")
        evaluation = Evaluation(1, lambda step: {"eval/loss": 1.0}) if stage == "sft" else None
        if isinstance(objective, PolicyOptimisation):
            evaluation = Evaluation(objective.steps, objective.evaluate, first=True)
        Trainer(
            module,
            objective,
            OptimSettings(lr=1e-4),
            work=self.work / stage,
            metrics=log,
            evaluation=evaluation,
        ).run()
        return {name for row in read_metrics(log.path) for name in row} - {"step"}

    def sft(self) -> tuple[torch.nn.Module, Objective]:
        rows = [Demonstration("a", Conversation.of("Hi", "Hello."))]
        data = encode_demonstrations(self.lm, rows, 64)
        return self.lm.model, InstructionTuning(self.lm, data, OptimSettings(epochs=1), 0)

    def reward(self) -> tuple[torch.nn.Module, Objective]:
        scorer = Scorer(self.lm, RewardModel(self.lm))
        pair = Comparison.of("a", Conversation.of("Hi"), "Hello.", "Hi Hi Hi", Label(1.0, "constructed"))
        settings = RewardSettings(optim=OptimSettings(epochs=1))
        return scorer.model, RewardModelling(scorer, encode_comparisons(self.lm, [pair], 64), settings, 0)

    def preference(self, loss: Loss = "dpo") -> tuple[torch.nn.Module, Objective]:
        pair = Comparison.of("a", Conversation.of("Hi"), "Hello.", "Hi Hi Hi", Label(1.0, "constructed"))
        reference: LanguageModel = load("tiny:0", dtype="float32")
        settings = PreferenceSettings(loss=loss, optim=OptimSettings(epochs=1))
        data = encode_comparisons(self.lm, [pair], 64)
        return self.lm.model, offline(self.lm, data.pairs, settings, 0, reference)

    def kto(self) -> tuple[torch.nn.Module, Objective]:
        return self.preference("kto")

    def policy(self, **own: Any) -> tuple[torch.nn.Module, PolicyOptimisation]:
        reference: LanguageModel = load("tiny:0", dtype="float32")
        reward = ModelReward(Scorer(reference, drawn_head(reference, heads=2)))
        prompts, aside = self.prompts("abcdefgh"), self.prompts("ijklmnop")
        common = {"steps": 1, "samples": 2, "max_new_tokens": 4, "ptx_coef": 1, "guards": {"every": 1}}
        settings = PolicySettings(**(common | own), optim=OptimSettings(batch_size=16))
        pays: Reward | Terms = reward
        if settings.limits:
            pays = Terms((Term(settings.rewards[0], Verdicts(reward)),))
        engine = LocalEngine(self.lm)
        objective = PolicyOptimisation(self.lm, engine, pays, prompts, settings, seed=0, reference=reference)
        objective.watch, objective.ptx = reward, self.sft()[1]
        objective.set_aside(aside)
        return self.lm.model, objective

    def dapo(self) -> tuple[torch.nn.Module, Objective]:
        return self.policy(algorithm="dapo", beta=0)

    def prompts(self, letters: str) -> PolicyPrompts:
        rows = tuple(tuple(self.lm.encode_prompt(Conversation.of(letter))) for letter in letters)
        return PolicyPrompts(tuple(letters), rows, {rows[0]: ({"kind": "words", "max": 3},)})

    def ppo(self) -> tuple[torch.nn.Module, Objective]:
        """With every part that logs something."""
        limit = {"source": "model", "name": "NAME", "weight": 1, "at_most": 0}
        own = {"algorithm": "ppo", "kl": {"target": 1}, "scale_rewards": True}
        _, objective = self.policy(**own, rewards=[limit])
        lm = load("tiny:0", dtype="float32")
        objective.critic = Critic(lm, ValueModel(lm, 2))
        return objective.module, objective


PARTS = {"ppo": {"policy", "ppo"}, "dapo": {"policy", "dapo"}}
"""Whose metrics a run of a stage logs, beside those of its own name."""


def test_what_training_logs_is_defined_and_nothing_else(tmp_path: Path):
    table = rows(section(read("docs/metrics.md"), "While training"))
    tiny = Tiny(tmp_path)
    for stage in ("sft", "reward", "preference", "policy", "ppo", "dapo"):
        own = PARTS.get(stage, {stage})
        defined = {name.strip("`") for name, _, by, _ in table if own & set(by.split(", "))}
        found = tiny.logged(stage) | (tiny.logged("kto") if stage == "preference" else set())
        again = {name for name in found - defined if name.removeprefix("eval/") in defined}
        assert found - again | ({"eval/NAME"} if again else set()) == defined, stage


def test_every_loss_of_preferences_has_a_page_with_what_is_its_own_to_set():
    pages = [path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "algorithms").glob("*.md")]
    for loss, own in OWN.items():
        (page,) = (page for page in pages if f"`loss: {loss}`" in page)
        assert {name for name in own if f"`{name}`" not in page} == set(), loss


def marked() -> dict[str, set[str]]:
    """The tests that guard against each mistake, by the marks they bear."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.FunctionDef):
                continue
            for name in re.findall(
                r"\bmistake\('([\w-]+)'\)", "".join(map(ast.unparse, node.decorator_list))
            ):
                where = path.relative_to(ROOT / "tests").as_posix()
                found.setdefault(name, set()).add(f"{where}::{node.name}")
    return found


def test_every_mistake_has_the_tests_that_guard_against_it():
    """Those that are told of and those that are marked are the same, and no mistake is without."""
    told = {
        name.strip("`"): set(CODE.findall(tests))
        for name, _, _, tests, _ in rows(section(read("docs/mistakes.md"), "Mistakes"))
    }
    assert told == marked()


def test_shapes_of_rows_are_listed_in_the_order_they_are_asked():
    table = rows(section(read("docs/data.md"), "Shapes"))
    assert [name.strip("`") for name, *_ in table] == [dialect.name for dialect in DIALECTS]


def test_a_shape_that_says_nothing_of_its_judge_is_told_so():
    for (name, _, _, judged), dialect in zip(
        rows(section(read("docs/data.md"), "Shapes")), DIALECTS, strict=True
    ):
        silent = not dialect.names_judge({"annotator": "gpt"})
        assert ("assumed" in judged) == silent, name


def test_every_kind_of_check_is_listed():
    assert set(CODE.findall(section(read("docs/data.md"), "Checks"))) - {"kind"} >= set(KINDS)


def test_the_built_in_rows_are_counted():
    folder = files("gnomon.data") / "builtin"
    count = {
        f"{kind.name}/{entry.name}": len(entry.read_text(encoding="utf-8").splitlines())
        for kind in folder.iterdir()
        if kind.is_dir()
        for entry in kind.iterdir()
    }

    def total(kind: str) -> int:
        return sum(n for name, n in count.items() if name.startswith(kind))

    told = section(read("docs/data.md"), "What is built in")
    for said in (
        f"{total('demonstrations')} demonstrations",
        f"{total('comparisons')} comparisons",
        f"{total('prompts')} prompts",
        f"{total('red_team')} red-team",
        f"{total('evaluation')} evaluation prompts",
    ):
        assert said in " ".join(told.split())


def commands(group: Any, name: str = "gnomon") -> Iterator[tuple[str, set[str]]]:
    """Every command by the words that call it, with its long options."""
    for word, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{name} {word}")
        else:
            options = {option for param in command.params for option in param.opts if option[:2] == "--"}
            yield f"{name} {word}", options - {"--help"}


def test_every_command_is_told_with_all_its_options():
    page = read("docs/cli.md")
    headings = re.findall(r"^### (.*)$", page, re.M)
    told = {
        re.match(r"gnomon(?: [a-z-]+)+", heading)[0]: {
            option.strip("`") for option, _ in rows(section(page, heading)) if option.startswith("`--")
        }
        for heading in headings
    }
    assert told == dict(commands(typer.main.get_command(app)))


def kinds_of_error() -> Iterator[type[errors.GnomonError]]:
    yield errors.GnomonError
    yield from errors.GnomonError.__subclasses__()


def test_exit_codes_are_those_of_the_errors():
    told = {int(code): kind for code, kind, _ in rows(section(read("docs/cli.md"), "Exit codes"))}
    for kind in kinds_of_error():
        assert told[kind.exit_code] == f"`{kind.__name__}`" or kind is errors.GnomonError
    assert set(told) == {0, errors.INTERRUPTED, *(kind.exit_code for kind in kinds_of_error())}


def test_the_example_of_a_new_loss_works():
    blocks = re.findall(r"```python\n(.*?)```", read("CONTRIBUTING.md"), re.S)
    room: dict[str, object] = {}
    exec("import torch\nfrom torch import Tensor\nfrom torch.testing import assert_close", room)
    exec("from jaxtyping import Float", room)
    for block in (blocks[0], blocks[3]):
        exec(block, room)
    test = room["test_a_pair_that_is_right_by_one_stops_paying"]
    assert callable(test)
    test()


YAML = re.compile(r"```yaml\n(.*?)```", re.S)
SET = [
    page
    for page in [
        *(ROOT / "docs" / name for name in ("rewards.md", "guards.md", "coming-from.md")),
        *sorted((ROOT / "docs" / "algorithms").glob("*.md")),
    ]
    if YAML.search(page.read_text(encoding="utf-8"))
]


def test_the_models_that_pages_name_are_those_of_the_demo():
    pages = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = set(re.findall(r"runs/demo/([\w/.-]+)", pages))
    assert "models/policy" in named
    assert named <= {f"models/{stage}" for stage in names(load_recipe(ROOT / "recipes" / "demo.yaml"))}


@pytest.mark.parametrize("page", SET, ids=lambda page: page.stem)
def test_the_settings_of_a_page_are_a_recipe(page: Path, tmp_path: Path):
    for block in YAML.findall(page.read_text(encoding="utf-8")):
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(block, encoding="utf-8")
        assert load_recipe(recipe) != load_recipe()
