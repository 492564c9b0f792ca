"""Guards of a policy that is paid too much for too little: evaluation points, alarms, the best kept."""

from dataclasses import replace

import pytest
import torch
from guarded import ASIDE, enough, guarded
from objectives import build

from gnomon.runs import read_metrics

SECOND = "eval/reward/second"


def rows(folder):
    return read_metrics(folder / "metrics.jsonl")


@pytest.fixture(scope="module")
def turned(tmp_path_factory):
    """A run that passes its best and goes on to the end; what it logged, told and left."""
    folder, told = tmp_path_factory.mktemp("turned"), []
    built = guarded(steps=24, best=SECOND)
    built.objective.lookout.told = told.append
    result = built.trainer(folder).run()
    return built, result, rows(folder), told


@pytest.mark.mistake("the-last-taken-for-the-best")
def test_the_best_policy_by_a_second_model_goes_on(turned):
    built, result, logged, _ = turned
    seconds = [row[SECOND] for row in logged]
    assert [row["step"] for row in logged] == list(range(25))
    assert (result.steps, result.kept) == (24, seconds.index(max(seconds)))
    assert seconds[-1] < seconds[result.kept] - 0.03
    assert built.objective.evaluate(25)[SECOND] == pytest.approx(max(seconds), abs=1e-6)


def test_an_alarm_tells_of_the_turn_after_it(turned):
    built, result, logged, told = turned
    turns = [alarm for alarm in built.objective.lookout.fired if alarm.name == "turn"]
    assert len(turns) == 1
    assert turns[0].step > result.kept
    assert any(text.startswith("over-optimisation: from step") for text in told)
    fired = [row["step"] for row in logged if row.get("alarm/turn")]
    assert fired[0] == turns[0].step
    looks = [row["step"] for row in logged if "alarm/turn" in row]
    assert len(looks) <= 13
    assert looks[-1] == 24


def test_a_run_ends_for_an_alarm(tmp_path, turned):
    of_turn = guarded(steps=24, guards={"every": 1, "stop": ["turn"]})
    result = of_turn.trainer(tmp_path).run()
    (alarm,) = [it for it in turned[0].objective.lookout.fired if it.name == "turn"]
    assert result.steps == alarm.step
    assert result.stopped_for.startswith("alarm: over-optimisation")


def test_prompts_set_aside_are_asked_alike_at_every_point_and_train_nothing():
    objective = guarded(steps=2).objective
    once, again = objective.evaluate(0), objective.evaluate(0)
    seen = {key: value for key, value in once.items() if not key.startswith("alarm/")}
    assert seen == {key: again[key] for key in seen}
    assert once["eval/kl/reference"] == pytest.approx(0.0, abs=1e-4)
    trained = {prompt for batch in range(4) for prompt in objective.roll_out(batch).ids}
    assert trained.isdisjoint(ASIDE)


def test_evaluation_points_change_nothing_of_what_is_learnt(tmp_path):
    """With alarms or without, with points or without: the same losses, rewards and weights."""
    plain, watched = replace(guarded(steps=3), evaluation=None), guarded(steps=3)
    plain.objective.lookout = None
    plain.trainer(tmp_path / "plain").run()
    watched.trainer(tmp_path / "watched").run()
    ours = [row for row in rows(tmp_path / "watched") if row["step"]]
    for own, row in zip(ours, rows(tmp_path / "plain"), strict=True):
        assert {name: own[name] for name in row if name != "seconds"} == {
            name: value for name, value in row.items() if name != "seconds"
        }
    for one, other in zip(plain.module.parameters(), watched.module.parameters(), strict=True):
        assert torch.equal(one, other)


def test_without_evaluation_points_batches_are_looked_at(tmp_path):
    """Four prompts are too few to judge, and eight are enough."""
    prompts = tuple(f"{word}?" for word in ("a", "b", "c", "d", "e", "f", "g", "h"))
    shapes = []
    for some in (prompts[:4], prompts):
        built = build(
            "policy", policy={"steps": 3, "samples": 4}, optim={"batch_size": 4 * len(some)}, prompts=some
        )
        built.objective.watch = enough
        built.trainer(tmp_path / str(len(some))).run()
        shapes.append(
            [sorted(k for k in row if k.startswith("alarm/")) for row in rows(tmp_path / str(len(some)))]
        )
        assert len(built.objective.lookout.seen) == 3
    wanted = [
        f"alarm/{name}" for name in ("distinct", "ends", "entropy", "longer", "peak", "shorter", "turn")
    ]
    assert shapes == [[[]] * 3, [wanted] * 3]


def test_alarms_can_be_off(tmp_path):
    built = build("policy", policy={"steps": 2, "guards": {"alarms": False}})
    built.trainer(tmp_path).run()
    assert built.objective.lookout is None
    assert not any(name.startswith("alarm/") for row in rows(tmp_path) for name in row)


def test_without_a_kl_budget_a_policy_goes_as_far_as_it_is_paid_for(tmp_path, turned):
    far = max(row["eval/kl/reference"] for row in turned[2])
    assert far > 5.0
    held = guarded(steps=24, kl_budget=3.0).trainer(tmp_path).run()
    assert held.steps < 24
    assert held.stopped_for.startswith("KL budget")
    assert max(row["eval/kl/reference"] for row in rows(tmp_path)) < 3.5
