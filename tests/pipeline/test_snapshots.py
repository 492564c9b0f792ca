import json

import pytest
from heard import Heard, journey
from pairs import pair

from gnomon.data.sources import read_data
from gnomon.errors import ConfigError, DataError
from gnomon.pipeline.constitutional import mixed_prompts
from gnomon.pipeline.outcome import outcome, titles
from gnomon.pipeline.rows import write_records
from gnomon.pipeline.snapshot_judging import by_judge, by_score, left_out
from gnomon.pipeline.snapshots import measures, snapshot_suites, snapshots_of, snapshots_stage
from gnomon.pipeline.stage import Artefact, StageContext
from gnomon.pipeline.suites import asked
from gnomon.recipe import load_recipe
from gnomon.records import HARMFUL, Conversation, Prompt
from gnomon.runs import MetricsLog
from gnomon.store import MANIFEST

SMALL = ("model.ref=tiny:0", "data.limit=20", "constitution.snapshots={}")


def prompts(n, family):
    return [Prompt(f"{family}{i}", Conversation.of(f"{family} {i}"), family) for i in range(n)]


def report(tmp_path, stage, **values):
    folder = tmp_path / stage
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps(values))
    return Artefact("0" * 16, stage, folder)


def test_recipes_are_measured_where_they_say_so():
    assert measures(load_recipe(None, SMALL))
    assert not measures(load_recipe(None, ["constitution.snapshots=null"]))
    assert not measures(load_recipe(None, ["constitution=null"]))


def test_another_number_of_known_pairs_makes_other_figures_where_a_judge_is_measured_on_them(tmp_path):
    (tmp_path / MANIFEST).write_text(json.dumps({"files": {"test.jsonl": {"sha256": "0"}}}))
    made = {"data": Artefact("0" * 16, "data", tmp_path)}

    def ids(judge):
        settings = [*SMALL, f"constitution.snapshots={{judge: '{judge}'}}" if judge else SMALL[-1]]
        recipes = [load_recipe(None, [*settings, f"constitution.gate_comparisons={n}"]) for n in (2, 96)]
        return {snapshots_stage(recipe, made).id for recipe in recipes}

    assert len(ids("tiny:1")) == 2
    assert len(ids(None)) == 1


def test_safe_prompts_are_those_that_only_look_harmful(published):
    recipe = load_recipe(
        None, [*SMALL, f"constitution.snapshots.safe={published('xstest/xstest_prompts.csv')}"]
    )
    harm, safe = snapshot_suites(recipe.constitution.snapshots)
    assert len(harm.tasks) >= 100
    assert len(safe.tasks) == 250
    assert {task.facts["label"] for task in safe.tasks} == {"safe"}


def test_a_snapshot_s_prompt_that_trains_stops_the_road_or_gives_way(tmp_path):
    recipe = load_recipe(None, SMALL)
    harm, _ = snapshots_of(recipe)
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in (harm.tasks[0].turns[0], "Why?")))
    mine = [*SMALL, f"data.red_team=[{file}]"]
    with pytest.raises(DataError, match="policy row"):
        journey(None, mine, tmp_path / "run")
    settings = load_recipe(None, [*mine, "data.on_bad_row=skip"]).data
    left = read_data(settings, 0, asked=asked(snapshots_of(recipe)))
    assert [row.conversation.text for row in left.red_team] == ["Why?"]
    assert left.overlap_removed == 1
    assert snapshots_of(load_recipe(None, ["constitution=null"])) == ()


@pytest.mark.parametrize(
    ("judge", "teaches", "where"),
    [
        ("tiny:1", "constitution.roles.labeller=tiny:1", "constitution.roles"),
        ("tiny:1", "policy.rewards=[{source: 'judge:tiny:1'}]", "policy.rewards"),
        ("path:mine", "policy.rewards=[model, {source: 'path:mine', at_least: 0.0}]", "policy.rewards"),
    ],
)
def test_the_judge_of_snapshots_is_nobody_who_teaches(judge, teaches, where):
    with pytest.raises(ConfigError, match=rf"teaches here as well \({where}\)"):
        load_recipe(None, [teaches, f"constitution.snapshots={{judge: '{judge}'}}"])
    other = load_recipe(None, [teaches, "constitution.snapshots={judge: 'tiny:2'}"])
    assert other.constitution.snapshots.judge == "tiny:2"


@pytest.mark.parametrize("text", ["truth:", "truth:2", "truth:often"])
def test_the_truth_errs_with_a_probability(text):
    with pytest.raises(ConfigError, match="give a probability from 0 to 1"):
        load_recipe(None, [f"constitution.roles.labeller='{text}'"])


def test_self_is_the_model_at_hand():
    assert load_recipe(None, ["constitution.roles.labeller=self"]).constitution.roles.labeller is None


def test_families_are_left_out_and_slips_of_the_pen_named():
    settings = load_recipe(None, ["data.leave_out=[harmful, refusing]"]).data
    data = read_data(settings, 0)
    assert not {"harmful", "refusing"} & {row.family for row in (*data.sft, *data.dev)}
    with pytest.raises(DataError, match="no demonstration is of the family 'refusal'"):
        read_data(settings.model_copy(update={"leave_out": ("refusal",)}), 0)


def test_red_team_prompts_are_the_share_that_is_asked_for():
    mixed = mixed_prompts([*prompts(60, "a"), *prompts(30, "b")], prompts(9, "red"), 0.3, 0)
    families = [prompt.family for prompt in mixed]
    assert (families.count("a"), families.count("b"), families.count(HARMFUL)) == (14, 7, 9)
    assert mixed == mixed_prompts([*prompts(60, "a"), *prompts(30, "b")], prompts(9, "red"), 0.3, 0)
    with pytest.raises(DataError, match=r"a share of 0\.3 .* data.red_team has none"):
        mixed_prompts(prompts(60, "a"), [], 0.3, 0)


def test_wins_are_told_from_scores():
    ours = [{"reward/second": score, "cluster": f"c{i}"} for i, score in enumerate((1.0, 0.0, -1.0))]
    theirs = [{"reward/second": 0.0, "cluster": f"c{i}"} for i in range(3)]
    assert by_score(ours, theirs) == [(1.0, "c0"), (0.5, "c1"), (0.0, "c2")]


def test_what_the_judge_cannot_say_is_counted_by_model_and_reason(server, tmp_path):
    server.says = lambda request: "I cannot say." if "a riddle" in request else "Verdict: A"
    recipe = load_recipe(None, SMALL)
    write_records(tmp_path / "test.jsonl", [pair("known", "x", "y", 1.0)])
    data = {"data": Artefact("0" * 16, "data", tmp_path)}
    context = StageContext("snapshots", tmp_path, tmp_path, data, MetricsLog(tmp_path / "m.jsonl"), Heard())

    def rows(key, *answers):
        ended = {"ended": True, "values": {"ends_turn": 1.0}}
        return [
            {key: f"{i}", "prompt": "Why?", "answer": text, "cluster": f"{i}", "family": "f", **ended}
            for i, text in enumerate(answers)
        ]

    harmful = {"sft": rows("id", "Yes.", "Yes."), "policy": rows("id", "No.", "It is a riddle.")}
    helpful = {"sft": rows("prompt_id", "So."), "policy": rows("prompt_id", "So.")}
    found = by_judge(context, recipe, str(server.ref), harmful, helpful, 1)
    assert found.judge["abstained"] == {"policy": {"unparsable": 1}}
    assert found.wins["policy"] == {"harmful": [(0.5, "0")], "helpful": [(0.5, "0")]}
    (told,) = left_out(found.judge)
    assert "nothing of 1 answers of policy (unparsable)" in told
    assert left_out({"name": None}) == []


@pytest.mark.parametrize(
    ("labeller", "stages", "labels", "called"),
    [
        ("self", {"feedback": (False, 5)}, "model", "RL-CAI"),
        ("self", {"feedback": (True, 0)}, None, "RL, no AI labels"),
        ("truth:0.2", {"feedback": (False, 5)}, "truth", "RL-CAI, planted labels"),
        (
            "self",
            {"feedback": (True, 0), "feedback_judge": (False, 4)},
            "trained_judge",
            "RL-CAI, trained judge",
        ),
        ("trained_judge", {"feedback_judge": (True, 0)}, None, "RL, no AI labels"),
    ],
)
def test_what_a_road_came_to_is_told(tmp_path, labeller, stages, labels, called):
    settings = load_recipe(
        None, [f"constitution.roles.labeller='{labeller}'", "constitution.rl_start=constitutional"]
    ).constitution
    made = {
        stage: report(
            tmp_path,
            stage,
            gate_held=held,
            ai_comparisons=count,
            labeller=f"who {stage}",
            gate={"passed": not held},
        )
        for stage, (held, count) in stages.items()
    }
    found = outcome(settings, made | {"constitutional": Artefact("1" * 16, "constitutional", tmp_path)})
    assert found["labels"] == labels
    assert titles(found)["policy"] == called
    assert found["shut"] == [f"who {stage}" for stage, (held, _) in stages.items() if held]
    assert len(found["warnings"]) == any(held for held, _ in stages.values())


def test_a_road_without_a_constitutional_model_says_so(tmp_path):
    settings = load_recipe(None, ["constitution.rl_start=constitutional"]).constitution
    made = {
        "feedback": report(
            tmp_path, "feedback", gate_held=False, ai_comparisons=5, labeller="self x", gate={"passed": True}
        )
    }
    found = outcome(settings, made)
    assert found["rl_start"] == "sft"
    assert "no model learnt from revisions" in found["warnings"][0]
    assert titles(found)["policy"] == "RL from AI feedback"


def test_labels_below_the_bar_are_told_of(tmp_path):
    settings = load_recipe(None, ["constitution.feedback.gate=warns"]).constitution
    gate = {"passed": False}
    made = {
        "feedback": report(tmp_path, "feedback", gate_held=False, ai_comparisons=5, labeller="x", gate=gate)
    }
    (told,) = outcome(settings, made)["warnings"]
    assert "below the bar" in told
