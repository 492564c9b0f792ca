"""Guards on the road: prompts set aside, the best policy handed on, alarms where people read of them."""

from pathlib import Path

import pytest

from gnomon.data.splits import near_duplicates
from gnomon.errors import ConfigError
from gnomon.models.load import load
from gnomon.models.logps import sequence_logps
from gnomon.pipeline import alone
from gnomon.pipeline.guards import GOLD, best_by, set_aside
from gnomon.pipeline.reporter import SilentReporter
from gnomon.pipeline.road import run
from gnomon.pipeline.rows import read_records
from gnomon.pipeline.stages import Start
from gnomon.recipe import load_recipe
from gnomon.records import Conversation, Prompt
from gnomon.runs import read_json, read_metrics
from gnomon.settings.guards import GuardSettings

RECIPE = Path(__file__).parents[2] / "recipes" / "tiny.yaml"
SMALL = (
    "data.limit=26",
    "constitution=null",
    "policy.steps=3",
    "policy.optim.lr=2e-2",
    "policy.guards={every: 1, prompts: 8, keep: best, gold: second}",
    "policy.kl_budget=null",
    "evaluation={bootstrap: 100, max_new_tokens: 4}",
)


def prompt(name, text, checks=()):
    return Prompt(name, Conversation.of(text), checks=checks)


QUESTIONS = [
    "How do I boil an egg?",
    "Which planet is the largest of all?",
    "Why does bread rise in the oven?",
    "Write a poem about the sea.",
    "What is the capital of Peru?",
]
SAME = "How do I boil an egg? Please."
"""Nearly the first question."""


def test_prompts_set_aside_have_no_near_duplicates_left_behind():
    rows = [prompt(f"q{i}", text) for i, text in enumerate([*QUESTIONS, SAME])]
    assert list(near_duplicates([QUESTIONS[0], SAME])) == [(0, 1)]
    seen = set()
    for seed in range(20):
        train, aside = set_aside(rows, 2, seed)
        names = [row.id for row in aside]
        assert len(names) == 2
        assert "q5" not in names
        assert ("q0" in names) == ("q5" not in {row.id for row in train})
        assert {*names} | {row.id for row in train} | ({"q5"} if "q0" in names else set()) == {
            row.id for row in rows
        }
        assert (train, aside) == set_aside(rows, 2, seed)
        seen.add(tuple(names))
    assert len(seen) > 5


def test_more_than_half_of_the_prompts_are_not_set_aside():
    rows = [prompt(f"q{i}", text) for i, text in enumerate([*QUESTIONS, SAME])]
    with pytest.raises(ConfigError, match=r"guards.prompts is 3, more than half of the 5 different prompts"):
        set_aside(rows, 3, seed=0)


def test_the_gold_is_checks_where_there_are_any_and_the_second_model_else():
    plain, checked = [prompt("a", "Hi")], [prompt("b", "Ho", checks=({"kind": "words", "max": 3},))]
    best = GuardSettings(every=1, keep="best")
    assert best_by(best, checked, watched=True) == GOLD["checks"] == "eval/checks"
    assert best_by(best, plain, watched=True) == GOLD["second"] == "eval/reward/second"
    named = GuardSettings(every=1, keep="best", gold="second")
    assert best_by(named, checked, watched=True) == GOLD["second"]
    assert best_by(GuardSettings(every=1), checked, watched=True) is None


def test_a_best_that_nothing_tells_is_refused():
    plain = [prompt("a", "Hi")]
    with pytest.raises(ConfigError, match=r"no prompt that was set aside has any"):
        best_by(GuardSettings(every=1, keep="best", gold="checks"), plain, watched=True)
    with pytest.raises(ConfigError, match=r"name it in policy.guards.second"):
        best_by(GuardSettings(every=1, keep="best"), plain, watched=False)


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """A road with guards on, and its summary."""
    out = tmp_path_factory.mktemp("guards") / "run"
    return out, run(load_recipe(RECIPE, SMALL), out, SilentReporter())


def artefact(out: Path, stage: str) -> Path:
    made = read_json(out / "manifest.json")["artefacts"]
    (key,) = (key for key, about in made.items() if about["stage"] == stage)
    return out / "artefacts" / key


def test_the_policy_with_the_best_gold_is_handed_on(walked):
    out, summary = walked
    rows = read_metrics(out / "metrics" / "policy.jsonl")
    seconds = [row["eval/reward/second"] for row in rows]
    assert len(seconds) == 4
    assert summary["policy"]["kept"] == seconds.index(max(seconds))
    assert summary["policy"]["kl_budget"] is None


def test_of_an_unchanged_policy_the_kl_is_zero(walked):
    """What is measured at the start is the tuned model itself."""
    out, _ = walked
    first, *others = read_metrics(out / "metrics" / "policy.jsonl")
    assert first["step"] == 0
    assert first["eval/kl/reference"] == pytest.approx(0.0, abs=1e-4)
    assert all(abs(row["eval/kl/reference"]) > 1e-3 for row in others)


def test_prompts_set_aside_train_nothing(walked):
    out, _ = walked
    prompts = read_records(artefact(out, "data") / "policy.jsonl", Prompt)
    train, aside = set_aside(prompts, 8, seed=0)
    assert len(aside) == 8
    assert {row.id for row in train}.isdisjoint(row.id for row in aside)


def test_alarms_are_judged_at_evaluation_points_and_reported(walked):
    out, summary = walked
    rows = read_metrics(out / "metrics" / "policy.jsonl")
    assert all({"alarm/turn", "alarm/longer"} <= set(row) for row in rows)
    told = {alarm["text"] for alarm in summary["policy"]["alarms"]}
    assert {text for text in summary["warnings"] if text.startswith("alarm: ")} == {
        f"alarm: {text}" for text in told
    }
    assert len(told) == len({name for row in rows for name in row if name[:6] == "alarm/" and row[name]})


def test_a_policy_alone_is_watched_by_a_model_in_a_folder(walked, tmp_path):
    """Its files are part of what the policy is made of."""
    out, _ = walked
    first, second, tuned = (artefact(out, name) / "model" for name in ("reward", "reward_second", "sft"))
    recipe = load_recipe(
        RECIPE,
        [
            f"model.ref=path:{tuned}",
            "data.limit=26",
            "policy.steps=1",
            "policy.ptx_coef=0",
            f"policy.guards.second=path:{second}",
        ],
    )
    alone.train("policy", recipe, tmp_path / "run", SilentReporter(), reward=first)
    (row,) = read_metrics(tmp_path / "run" / "metrics" / "policy.jsonl")
    assert "reward/second" in row
    made = [read_json(path) for path in (tmp_path / "run" / "artefacts").glob("*/artefact.json")]
    (settings,) = [about["settings"] for about in made if about["stage"] == "policy"]
    assert settings["second"] == Start(f"path:{second}").digest


def test_the_best_policy_is_the_one_whose_answers_were_measured(walked):
    """The saved weights are not those of the last step, where that was not the best."""
    out, summary = walked
    tuned, policy = (load(f"path:{artefact(out, name) / 'model'}") for name in ("sft", "policy"))
    ids = [policy.encode_prompt(Conversation.of("Hi"))], [[70, 71, 72]]
    moved = float((sequence_logps(policy, *ids)[0] - sequence_logps(tuned, *ids)[0]).abs().max())
    assert (moved < 1e-4) == (summary["policy"]["kept"] == 0)
