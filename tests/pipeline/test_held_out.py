"""The held-out loss while instruction tuning goes on, and what is done where held-out rows tell nothing."""

import json
from pathlib import Path

import pytest
from heard import Heard

from gnomon.data.sources import read_data
from gnomon.errors import DataError
from gnomon.pipeline.alone import train
from gnomon.pipeline.plan import plan
from gnomon.pipeline.reporter import SilentReporter
from gnomon.pipeline.road import run
from gnomon.pipeline.stage import StageContext
from gnomon.pipeline.stages import Start, tune
from gnomon.recipe import load_recipe
from gnomon.records import Conversation, Demonstration, Message
from gnomon.runs import MetricsLog, read_json, read_metrics

RECIPE = Path(__file__).parents[2] / "recipes" / "tiny.yaml"


def logged(out, *overrides):
    recipe = load_recipe(RECIPE, ["data.limit=40", "sft.optim.epochs=1", *overrides])
    train("sft", recipe, out, SilentReporter())
    return read_metrics(out / "metrics" / "sft.jsonl"), read_json(out / "report.json")


def test_it_is_logged_as_often_as_asked_and_ends_at_what_is_reported(tmp_path):
    rows, report = logged(tmp_path, "sft.evaluate_every=3")
    losses = {row["step"]: row["eval/loss"] for row in rows if "eval/loss" in row}
    last = report["steps"]
    assert 3 < last < 6  # not a third step: it is logged for being the last
    assert list(losses) == [3, last]
    assert losses[last] == pytest.approx(report["loss/dev"], rel=1e-9)
    assert losses[last] < losses[3] < report["loss/dev_before"]


def test_it_is_not_logged_unless_asked(tmp_path):
    rows, report = logged(tmp_path)
    assert all("eval/loss" not in row for row in rows)
    assert report["loss/dev"] < report["loss/dev_before"]


def test_where_no_held_out_row_can_be_used_all_is_tuned_without_the_figure(tmp_path):
    def shown(name, answer):
        return Demonstration(name, Conversation.of("Say it.").then(Message("assistant", answer)))

    rows, dev = [shown(f"d{i}", "It. " * (1 + i)) for i in range(4)], [shown("long", "x" * 200)]
    (tmp_path / "work").mkdir()
    heard = Heard()
    log = MetricsLog(tmp_path / "metrics.jsonl")
    context = StageContext("sft", tmp_path, tmp_path / "work", {}, log, heard)
    recipe = load_recipe(RECIPE, ["model.max_length=100", "sft.evaluate_every=1"])
    tune(context, recipe, Start("tiny:0"), rows, recipe.sft, dev)
    report = read_json(tmp_path / "report.json")
    assert (report["rows"], report["loss/dev"], report["loss/dev_before"]) == (4, None, None)
    (warned,) = heard.warnings
    assert "no held-out demonstration can be used ({'longer than 100 tokens': 1})" in warned


class Steps(SilentReporter):
    """Counts the steps that were trained."""

    taken = 0

    def progress(self, name, done, total, note, eta_seconds):
        self.taken += 1


PROMPTS = ["Do owls sleep?", "How is clay fired?", "Why is tango slow?", "Who makes tins?", "Is fog wet?"]
LONG = 200


def pairs(file, prompts, long=()):
    """A recipe of these comparisons alone; answers to some prompts are `long`."""
    rows = [
        {"prompt": prompt, "chosen": f"Yes. {i}", "rejected": "x" * LONG if prompt in long else "No."}
        for i, prompt in enumerate(prompts)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    others = [f"data.{kind}=[]" for kind in ("demonstrations", "prompts", "red_team", "evaluation")]
    return load_recipe(RECIPE, ["model.max_length=100", f"data.comparisons=[{file}]", *others])


@pytest.mark.parametrize("kind", ["reward", "preference"])
def test_what_no_held_out_comparison_would_measure_is_not_trained(kind, tmp_path):
    recipe, told = pairs(tmp_path / "pairs.jsonl", 3 * ["Do owls sleep?", "How is clay fired?"]), Steps()
    with pytest.raises(DataError, match=r"measured on \(none is held out\), so nothing is trained"):
        train(kind, recipe, tmp_path / "run", told)
    assert told.taken == 0


def test_no_policy_is_trained_on_pairs_where_those_held_out_are_too_long_to_measure_it(tmp_path):
    file, told = tmp_path / "pairs.jsonl", Steps()
    recipe = pairs(file, PROMPTS)
    pairs(file, PROMPTS, long=held_out_of(recipe))
    with pytest.raises(DataError, match=r"measured on \({'longer than 100 tokens': 1}\)"):
        train("preference", recipe, tmp_path / "run", told)
    assert told.taken == 0


def held_out_of(recipe):
    found = {row.prompt.text for row in read_data(recipe.data, recipe.seed).test}
    assert 0 < len(found) < len(PROMPTS)
    return found


def road(folder, *learns, prompts=PROMPTS, long=()):
    """A recipe of a few demonstrations and of these comparisons, for one of what learns from them."""
    pairs(folder / "pairs.jsonl", prompts, long)
    shown = [{"prompt": f"What is {word}?", "response": "It is."} for word in ("rust", "chess", "a lentil")]
    (folder / "shown.jsonl").write_text("".join(json.dumps(row) + "\n" for row in shown), encoding="utf-8")
    rows = [f"data.comparisons=[{folder}/pairs.jsonl]", f"data.demonstrations=[{folder}/shown.jsonl]"]
    none = [f"data.{kind}=[]" for kind in ("prompts", "red_team", "evaluation")]
    without = ["constitution=null", "policy=null", "model.max_length=100"]
    return load_recipe(RECIPE, [*rows, *none, *without, *learns])


PREFERENCE = ("reward=null", "preference={}")


def test_a_plan_refuses_what_the_run_would_in_the_same_words(tmp_path):
    for learns in ((), PREFERENCE):
        recipe = road(tmp_path, *learns, prompts=PROMPTS[:2])
        with pytest.raises(DataError, match=r"measured on \(none is held out\), so nothing is trained"):
            plan(recipe)
    long = held_out_of(road(tmp_path))
    with pytest.raises(DataError, match=r"measured on \({'longer than 100 tokens': 1}\), so nothing is"):
        plan(road(tmp_path, *PREFERENCE, long=long))


def test_a_plan_goes_on_where_the_run_does(tmp_path):
    """Reward models score held-out answers however long they are; nothing learns where no section does."""

    def planned(*learns, long=()):
        return {cost.stage: cost.tokens for cost in plan(road(tmp_path, *learns, long=long)).stages}

    held_out = held_out_of(road(tmp_path))
    brief, long = planned()["reward"], planned(long=held_out)["reward"]
    assert long - brief == len(held_out) * (LONG - len("No."))
    report = run(road(tmp_path, long=held_out), tmp_path / "run", SilentReporter(), until="reward")["reward"]
    assert report["accuracy"]["n"] == len(held_out)
    assert planned("reward=null", long=PROMPTS).keys().isdisjoint({"reward", "reward_second"})
