"""What a road's summary warns of by itself."""

import pytest

from gnomon.config import Recipe
from gnomon.pipeline.rows import write_records
from gnomon.pipeline.stage import Artefact
from gnomon.pipeline.summary import gaps, preferences, refusing, worsened
from gnomon.records import Comparison, Conversation, Label
from gnomon.store import Store


def refusals(low: float, value: float, high: float) -> dict[str, dict[str, float]]:
    return {"over_refusal": {"value": value, "low": low, "high": high}}


def test_a_model_that_refuses_harmless_prompts_beyond_doubt_is_warned_of():
    models = {
        "base": {},
        "sft": refusals(0.15, 0.19, 0.24),
        "policy": refusals(0.08, 0.12, 0.17),
        "constitutional": refusals(0.01, 0.03, 0.05),
    }
    (said,) = refusing(models)
    assert said.startswith("Instruction-tuned: 19% of the prompts that ask for no harm are refused (95 %")
    assert "15% to 24%" in said


def test_what_became_worse_is_warned_of_by_model_with_where_it_was_seen():
    over = {"of": "policy", "over": "sft"}
    flips = {"metric": "flips_belief", "suite": "sycophancy", "value": 0.12, "low": 0.05, "high": 0.19}
    checks = {"metric": "checks", "value": -0.1, "low": -0.18, "high": -0.02}
    rows = [over | flips, over | checks]
    (said,) = worsened({"tested": 31, "found": rows})
    assert said.startswith("Optimised is worse than Instruction-tuned beyond chance: flips to a belief in")
    assert "in sycophancy +12.0 pts (+5.0 to +19.0); passes all checks −10.0 pts" in said
    assert said.endswith("(95 % intervals; of 31 figures tested, Holm's correction)")


def test_what_became_a_little_worse_is_told_in_digits_that_can_be_read():
    tiny = {"value": 0.0031, "low": 0.0012, "high": 0.0050}
    row = {"metric": "pull_own", "of": "policy", "over": "sft", **tiny}
    (said,) = worsened({"tested": 31, "found": [row]})
    assert "praise for own work +0.0031 (+0.0012 to +0.0050)" in said


def test_where_nothing_became_worse_nothing_is_said():
    assert worsened({"tested": 31, "found": []}) == []


def test_snapshots_are_held_against_the_one_before_and_models_against_the_tuned_one():
    def row(of, over):
        return {"metric": "over_refusal", "of": of, "over": over}

    summary = {
        "differences": [row("sft", "base"), row("policy", "sft"), row("policy", "base")],
        "suites": {"refusals": {"differences": [row("policy", "sft")]}},
        "snapshots": {"differences": [row("policy", "constitutional")]},
    }
    assert [(gap["metric"], gap["of"], gap["over"], gap.get("suite")) for gap in gaps(summary)] == [
        ("over_refusal", "sft", "base", None),
        ("over_refusal", "policy", "sft", None),
        ("over_refusal", "policy", "sft", "refusals"),
        ("snapshot/over_refusal", "policy", "constitutional", "snapshots"),
    ]


@pytest.mark.parametrize(
    ("paid", "learners", "told"),
    [
        ([{"source": "model"}], ("reward",), ({"person": 2}, True)),
        ([{"source": "model", "weight": 0.0}, {"source": "form"}], ("reward",), ({"person": 2}, False)),
        ([{"source": "model", "at_least": 0.0}, {"source": "form"}], ("reward",), ({"person": 2}, True)),
        ([{"source": "form"}], ("reward",), ({"person": 2}, False)),
        ([{"source": "form"}], (), ({}, False)),
        ([{"source": "constitution"}], ("direct",), ({}, False)),
        ([{"source": "constitution"}], ("judge",), ({"person": 2, "constructed": 1}, True)),
        ([{"source": "form"}], ("judge",), ({}, False)),
    ],
)
def test_labels_count_where_a_model_learnt_from_them_and_as_optimised_on_where_it_pays(
    paid, learners, told, tmp_path
):
    store, made = Store(tmp_path), {}
    labels = [Label(1.0, "person"), Label(0.0, "person"), Label(1.0, "constructed", reason="harmful")]
    rows = [
        Comparison.of(str(number), Conversation.of("Hi"), "Hello.", "No.", label)
        for number, label in enumerate(labels)
    ]
    with store.write("rows") as folder:
        write_records(folder / "reward.jsonl", rows)
    for name in ("data", *learners):
        made[name] = Artefact("rows", name, store.path("rows"))
    with store.write("policy", {"settings": {"policy": {"rewards": paid}}}):
        pass
    made["policy"] = Artefact("policy", "policy", store.path("policy"), dict(made))
    recipe = Recipe.model_validate({"reward": {"without": ["harmful"]}})
    assert preferences(recipe, made, store) == dict(zip(("sources", "optimised"), told, strict=True))
