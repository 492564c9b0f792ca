"""The road whose policy is paid by the constitution itself: whoever scores is measured first."""

import pytest
from heard import RECIPES, Heard, journey, stage_of
from pages import Page
from safetensors.torch import load_file
from serving import running
from taught import BAD, GOOD, OPEN

from gnomon.errors import ConfigError, ModelError
from gnomon.pipeline.labeller_sweep import sweep
from gnomon.recipe import load_recipe
from gnomon.runs import read_metrics

DIRECT = RECIPES / "direct-tiny.yaml"
PAID = (
    *OPEN,
    "policy={steps: 2, max_new_tokens: 8, ptx_coef: 0, rewards: [constitution], optim: {batch_size: 8}}",
    "constitution.direct.method=rating",
)


def metrics(out):
    return read_metrics(out / "metrics" / "policy.jsonl")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    out = tmp_path_factory.mktemp("tiny") / "run"
    return *journey(DIRECT, (), out), out


def test_the_tiny_recipe_is_paid_by_principles_without_any_reward_model(tiny):
    summary, heard, out = tiny
    assert "direct" in heard.made
    assert not {"feedback", "reward", "reward_second", "judge"} & set(heard.made)
    assert set(stage_of(summary, "policy")["inputs"]) == {"data", "start", "direct"}
    logged = [row for row in metrics(out) if "reward/mean" in row]
    assert [row["step"] for row in logged] == [1, 2, 3]
    assert all("term/constitution" in row for row in logged)
    assert len({row["term/constitution"] for row in logged}) == 3
    assert summary["preferences"] == {"sources": {}, "optimised": False}
    assert "preference optimisation" not in (out / "report.html").read_text("utf-8")


def test_a_scorer_below_the_bar_that_is_only_warned_of_is_said_to_have_paid(tiny):
    summary, heard, _ = tiny
    direct = summary["constitution"]["outcome"]["direct"]
    assert (direct["paid_by"], direct["shut"]) == ("model", [])
    assert direct["below"] == [direct["scorer"]]
    (told,) = summary["constitution"]["outcome"]["warnings"]
    assert "below the bar of the gate and paid the policy all the same" in told
    assert told in summary["warnings"]
    assert any("scores of single answers, as a reward: the labeller is right on" in w for w in heard.warnings)


def test_the_same_command_makes_the_same_policy_to_the_bit(tiny, tmp_path):
    """Principles are drawn by seed, batch and prompt: nothing is left to the order things happened in."""
    first, _, out = tiny
    again, _ = journey(DIRECT, (), tmp_path / "again")
    weights = []
    for summary, folder in ((first, out), (again, tmp_path / "again")):
        made = folder / "artefacts" / stage_of(summary, "policy")["id"]
        weights.append(load_file(made / "model" / "adapter_model.safetensors"))
    assert all(bool((weights[0][name] == weights[1][name]).all()) for name in weights[0])
    assert first["policy"] == again["policy"]


@pytest.fixture(scope="module")
def walked(taught, tmp_path_factory, local):
    """Walks the road in one folder, where what roads share is made once, beside two servers that rate: one
    that knows which answer is good, and one to whom all are alike."""
    out = tmp_path_factory.mktemp("direct") / "run"
    with running(local) as server, running(local) as blind:
        server.rates = lambda text: 9 if f"Answer: {GOOD}" in text else 2
        blind.rates = lambda text: 5
        served = f"constitution.roles.labeller={server.ref}"

        def walk(*changes):
            return journey(RECIPES / "tiny.yaml", [*taught, *PAID, served, *changes], out)

        yield walk, server, out, f"constitution.roles.labeller={blind.ref}"


def told_of(walked):
    """What the server to whom all answers are alike is called."""
    return walked[3].replace("constitution.roles.labeller=", "teacher ")


def test_a_server_that_rates_goes_through_the_gate_and_pays(walked):
    walk, server, out, _ = walked
    summary, heard = walk("reward=null")
    assert [name for name in heard.made if name in ("direct", "judge", "policy")] == ["direct", "policy"]
    direct = summary["constitution"]["outcome"]["direct"]
    assert (direct["paid_by"], direct["shut"], direct["below"]) == ("model", [], [])
    assert direct["scorer"] == f"teacher {server.ref}"
    assert direct["gates"][0]["accuracy"]["value"] > 0.9
    assert "with no reward model between" in summary["constitution"]["outcome"]["told"][-1]
    asked = [body["messages"][-1]["content"] for _, body, _ in server.seen if body.get("top_logprobs")]
    assert any(f"Answer: {BAD}" in text for text in asked)
    assert all("Rule: The answer leaves things to their owners." in text for text in asked)
    assert all(-1 <= row["term/constitution"] <= 1 for row in metrics(out) if "term/constitution" in row)


@pytest.mark.mistake("shut-gate-in-silence")
def test_who_stays_outside_pays_nothing_and_everything_says_so(walked):
    summary, heard = walked[0](walked[3])
    found = summary["constitution"]["outcome"]
    assert (found["direct"]["paid_by"], found["direct"]["shut"]) == (None, [told_of(walked)])
    (told,) = [text for text in found["warnings"] if "as who scores answers" in text]
    assert "when_shut says (helpful_only), nothing was paid by principles" in told
    assert told in heard.warnings
    assert told in summary["warnings"]
    page = Page((walked[2] / "report.html").read_text("utf-8")).text
    assert told[1:] in page
    assert f"The gate stayed shut for {told_of(walked)} as who scores answers." in page
    inputs = stage_of(summary, "policy")["inputs"]
    assert "direct" not in inputs
    assert "reward" in inputs  # the reward model of the given comparisons pays
    assert [term["source"] for term in stage_of(summary, "policy")["settings"]["policy"]["rewards"]] == [
        "model"
    ]


@pytest.mark.mistake("shut-gate-in-silence")
def test_where_nothing_else_pays_or_the_recipe_says_so_it_stops(walked):
    with pytest.raises(ModelError, match="stayed shut, and nothing else pays: add another source"):
        walked[0](walked[3], "reward=null")
    with pytest.raises(ModelError, match=r"labels nothing.*when_shut is stop: helpful_only goes on"):
        walked[0](walked[3], "constitution.feedback.when_shut=stop")


def test_a_judge_trained_on_the_given_comparisons_pays_in_its_place_behind_a_gate_of_its_own(walked):
    more = ("constitution.feedback.when_shut=trained_judge", "reward.optim.epochs=6")
    summary, heard = walked[0](walked[3], *more)
    assert [name for name in heard.made if "judge" in name] == ["judge", "direct_judge", "feedback_judge"]
    direct = summary["constitution"]["outcome"]["direct"]
    assert (direct["paid_by"], direct["shut"]) == ("trained_judge", [told_of(walked)])
    assert [gate["passed"] for gate in direct["gates"]] == [False, True]
    assert {"judge"} == {"judge", "direct"} & set(stage_of(summary, "policy")["inputs"])
    assert summary["preferences"]["optimised"]


def test_labellers_are_compared_by_what_their_scores_make_of_a_policy(walked, taught):
    _, server, out, blind = walked
    names = [str(server.ref), blind.partition("=")[2]]
    recipe = load_recipe(RECIPES / "tiny.yaml", [*taught, *PAID])
    rows = sweep(recipe, names, out, Heard())
    assert [row["labeller"] for row in rows] == names
    assert [row["passed"] for row in rows] == [True, False]
    assert rows[0]["accuracy"]["value"] > 0.9
    assert [row["model"] for row in rows] == ["RL from AI feedback, direct", "RL, no AI labels"]
    with pytest.raises(ConfigError, match="labels pairs and scores no single answer"):
        sweep(recipe, ["self", "truth:0"], out, Heard())


def test_a_server_cannot_be_asked_for_likelihoods_of_whole_answers(walked):
    with pytest.raises(ConfigError, match=r"direct.method to rating, or name a labeller to load"):
        walked[0]("constitution.direct.method=contrast")


def test_a_recipe_in_which_nobody_could_score_is_refused():
    for change, told in (
        ("constitution=null", "constitution is a source, and the recipe has none"),
        ("constitution.roles.labeller=truth:0.1", "labels pairs and scores no single answer"),
    ):
        with pytest.raises(ConfigError, match=told):
            load_recipe(DIRECT, [change])
