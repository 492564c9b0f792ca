from pathlib import Path

import pytest

from gnomon.config import LoraSettings, ModelSettings, Recipe
from gnomon.errors import ConfigError
from gnomon.recipe import ELSEWHERE, load_recipe
from gnomon.settings.base import OptimSettings
from gnomon.settings.policy import PolicySettings
from gnomon.settings.preference import PreferenceSettings


def recipe(folder: Path, text: str = "", *overrides: str) -> Recipe:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return load_recipe(path, overrides)


def complaint(folder: Path, text: str = "", *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        recipe(folder, text, *overrides)
    return str(caught.value)


def test_an_empty_recipe_is_the_defaults(tmp_path):
    assert recipe(tmp_path) == recipe(tmp_path, "# nothing\n") == Recipe()


def test_a_recipe_holds_only_differences_from_the_one_it_extends(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base/root.yaml").write_text("name: root\npolicy: {steps: 7, beta: 0.2}\nreward: null\n")
    (tmp_path / "base/middle.yaml").write_text("extends: root.yaml\npolicy: {steps: 9}\n")
    got = recipe(tmp_path, "extends: base/middle.yaml\nname: leaf\nreward: {centring: 0.5}\n")
    assert (got.name, got.policy.steps, got.policy.beta, got.reward.centring) == ("leaf", 9, 0.2, 0.5)


def test_a_section_given_in_part_keeps_its_own_stages_defaults(tmp_path):
    got = recipe(tmp_path, "policy: {optim: {batch_size: 4}}", "reward.optim.epochs=1")
    policy = got.policy.optim
    assert (policy.lr, policy.schedule, policy.batch_size) == (4e-4, "constant", 4)
    assert (got.reward.optim.lr, got.reward.optim.epochs) == (3e-4, 1.0)
    assert got.sft.optim.lr == 5e-4


def test_a_stage_set_to_null_is_left_out(tmp_path):
    assert recipe(tmp_path, "policy: null").policy is None
    assert recipe(tmp_path, "", "constitution=null").constitution is None
    assert "policy is None, not a section" in complaint(tmp_path, "policy: null", "policy.steps=3")
    assert "sft" in complaint(tmp_path, "sft: null")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("sft.optim.lr=1e-4", 1e-4),
        ("sft.optim.lr=0.001", 0.001),
        ("sft.optim.schedule=linear", "linear"),
        ("sft.optim.betas=[0.8, 0.9]", (0.8, 0.9)),
        ("policy.steps=12", 12),
        ("policy.kl_budget=3", 3.0),
        ("model.lora=null", None),
        ("data.limit=null", None),
        ("data.limit=5", 5),
        ("data.prompts=[a.jsonl, b.jsonl]", ("a.jsonl", "b.jsonl")),
        ("model.ref=hub:org/name", "hub:org/name"),
        ("name=a=b", "a=b"),
        ("name=1e5", "1e5"),
        ("name=nan", "nan"),
    ],
)
def test_an_override_has_the_type_of_its_setting(tmp_path, override, expected):
    value = recipe(tmp_path, "data: {limit: 9}", override)
    for key in override.partition("=")[0].split("."):
        value = getattr(value, key)
    assert value == expected
    assert type(value) is type(expected)


def test_a_later_override_wins_and_overrides_win_over_the_file(tmp_path):
    assert recipe(tmp_path, "seed: 1", "seed=2", "seed=3").seed == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("polcy: {}", "unknown setting 'polcy'; did you mean 'policy'?"),
        ("policy: {stepz: 3}", "unknown setting 'policy.stepz'; did you mean 'steps'?"),
        ("model: {lora: {rnk: 3}}", "unknown setting 'model.lora.rnk'; did you mean 'rank'?"),
        (
            "policy: {rewards: [{sourc: form}]}",
            "unknown setting 'policy.rewards.0.sourc'; did you mean 'source'?",
        ),
        ("model: {lora: {zzz: 3}}", "known here: rank, alpha, dropout"),
        (
            "sft: {optim: {learning_rat: 1}}",
            "unknown setting 'sft.optim.learning_rat'; known here: lr, sched",
        ),
    ],
)
def test_an_unknown_key_is_named_with_what_was_meant(tmp_path, text, expected):
    assert expected in complaint(tmp_path, text)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("sft.optim.learning_rate=1", "'sft.optim.learning_rate'; here it is 'lr': peak learning rate"),
        (
            "reward.optim.per_device_train_batch_size=8",
            "here it is 'batch_size': sequences (or pairs) in one optimiser step",
        ),
        ("sft.optim.train_batch_size=8", "here it is 'batch_size'"),
        ("sft.optim.num_train_epochs=1", "here it is 'epochs': passes over the rows"),
        ("sft.optim.warmup_ratio=0.1", "here it is 'warmup'"),
        (
            "sft.optim.lr_scheduler_type=linear",
            "unknown setting 'sft.optim.lr_scheduler_type'; here it is 'sched",
        ),
        ("policy.num_generations=8", "here it is 'samples': samples of each prompt"),
        ("policy.max_completion_length=8", "here it is 'max_new_tokens'"),
        (
            "evaluation.response_length=8",
            "unknown setting 'evaluation.response_length'; here it is 'max_new_tokens'",
        ),
        ("policy.kl_coef=0.1", "here it is 'beta'"),
        ("policy.init_kl_coef=0.1", "here it is 'beta'"),
        ("model.max_seq_length=64", "here it is 'max_length': tokens of prompt and response together"),
        ("model.lora.r=8", "here it is 'rank'"),
        ("model.lora.lora_r=8", "here it is 'rank'"),
        ("model.lora.lora_alpha=8", "here it is 'alpha'"),
        ("model.learning_rate=1", "known here: ref, dtype"),
        ("data.r=1", "known here: demonstrations,"),
    ],
)
def test_a_name_from_elsewhere_is_told_by_what_it_is_here(tmp_path, override, expected):
    assert expected in complaint(tmp_path, "", override)


def test_names_from_elsewhere_stand_for_settings_and_are_none_themselves():
    sections = (OptimSettings, PolicySettings, PreferenceSettings, ModelSettings, LoraSettings)
    known = {name for section in sections for name in section.model_fields}
    assert set(ELSEWHERE.values()) <= known
    assert not known & set(ELSEWHERE)


@pytest.mark.parametrize(
    ("override", "where", "got"),
    [
        ("policy.steps=0", "policy.steps", "0"),
        ("policy.samples=0", "policy.samples", "0"),
        ("sft.optim.lr=0", "sft.optim.lr", "0"),
        ("sft.optim.lr=.inf", "sft.optim.lr", "inf"),
        ("policy.beta=.nan", "policy.beta", "nan"),
        ("sft.optim.betas=[0.9, 1.0]", "sft.optim.betas.1", "1.0"),
        ("sft.optim.warmup=1", "sft.optim.warmup", "1"),
        ("constitution.gate_accuracy=0.4", "constitution.gate_accuracy", "0.4"),
        ("model.dtype=float16", "model.dtype", "'float16'"),
        ("policy.steps=many", "policy.steps", "'many'"),
        ("policy.steps=1.5", "policy.steps", "1.5"),
        ("seed=-1", "seed", "-1"),
        ("name.x=3", "name", "{'x': 3}"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_place(tmp_path, override, where, got):
    message = complaint(tmp_path, "", override)
    assert f"recipe.yaml: {where}: " in message
    assert f"(got {got})" in message


def test_one_value_where_a_list_belongs_is_told_how_to_write(tmp_path):
    told = complaint(tmp_path, "data: {comparisons: mine.jsonl}")
    assert "data.comparisons: write a list, [mine.jsonl]" in told
    assert "sft.optim.betas: write a list, [0.9]" in complaint(tmp_path, "", "sft.optim.betas=0.9")


def test_a_value_where_a_section_belongs_is_told_what_is_in_it(tmp_path):
    told = complaint(tmp_path, "sft: 3")
    assert "sft is a section, not 3; known here: optim," in told
    assert "model.lora is a section, not True; known here: rank," in complaint(
        tmp_path, "", "model.lora=true"
    )


@pytest.mark.parametrize("name", ["top_p", "top_k"])
@pytest.mark.mistake("ratio-of-another-distribution")
def test_a_filter_is_refused_where_samples_are_trained_on(tmp_path, name):
    told = complaint(tmp_path, "", f"policy.{name}=1")
    assert f"policy: {name}: samples that are trained on come from the whole distribution" in told


@pytest.mark.parametrize("override", ["steps", "=3", ""])
def test_an_override_without_key_or_value_is_refused(tmp_path, override):
    assert "write key.path=value" in complaint(tmp_path, "", override)


def test_extends_that_comes_back_is_refused(tmp_path):
    (tmp_path / "other.yaml").write_text("extends: recipe.yaml")
    assert "comes back to itself" in complaint(tmp_path, "extends: other.yaml")
    assert "comes back to itself" in complaint(tmp_path, "extends: ./recipe.yaml")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: No such file"):
        load_recipe(tmp_path / "nowhere.yaml")
    assert "absent.yaml: No such file" in complaint(tmp_path, "extends: absent.yaml")
    with pytest.raises(ConfigError, match="Is a directory"):
        load_recipe(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("policy: [", "not valid YAML"),
        ("policy: {steps: 1}\nseed: 3\npolicy: {beta: 0.1}", "policy is given twice"),
        ("policy:\n  steps: 1\n  steps: 2", "steps is given twice"),
        ("- policy", "not a list"),
        ("[]", "not a list"),
        ("0", "not a int"),
    ],
)
def test_what_is_not_a_mapping_in_yaml_is_refused(tmp_path, text, expected):
    message = complaint(tmp_path, text)
    assert "recipe.yaml" in message
    assert expected in message


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "recipe.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"recipe\.yaml is not text"):
        load_recipe(tmp_path / "recipe.yaml")


def test_a_value_that_is_not_yaml_is_refused_with_its_override(tmp_path):
    assert "override 'data.limit=['" in complaint(tmp_path, "", "data.limit=[")


def test_flips_are_a_share_or_estimated(tmp_path):
    assert recipe(tmp_path, "", "reward.label_smoothing=0.2").reward.flips == 0.2
    assert recipe(tmp_path, "", "reward.label_smoothing=0").reward.flips == 0
    asked = recipe(tmp_path, "", "reward.label_smoothing=estimated").reward
    with pytest.raises(ConfigError, match="estimated from votes"):
        _ = asked.flips
    for wrong in ("0.5", "-0.1", "guessed", "true", "null"):
        told = complaint(tmp_path, "", f"reward.label_smoothing={wrong}")
        assert "reward.label_smoothing: it is" in told
        assert "give a share from 0 to below 0.5, or estimated or lapses" in told


@pytest.mark.parametrize(
    "url", ["postgresql://ann:secret@host/labels", "postgresql://host/l?password=secret"]
)
def test_a_password_is_not_kept_with_the_settings(tmp_path, url):
    told = complaint(tmp_path, "", f"data.labels.db={url}")
    assert "data.labels.db: it holds a password" in told
    assert "PGPASSWORD" in told
    assert "secret" not in told


@pytest.mark.parametrize("place", ["votes/labels.db", "postgresql://ann@host/labels", "a:b@c.db"])
def test_other_places_of_votes_are_taken_as_they_are(tmp_path, place):
    assert recipe(tmp_path, "", f"data.labels.db={place}").data.labels.db == place


def test_an_order_has_no_likelihood_of_means_and_variances(tmp_path):
    said = complaint(tmp_path, "reward: {batching: rankings, head: mean_variance}")
    assert "reward" in said
    assert "set it to prompts" in said


@pytest.mark.parametrize("own", ["margin: 1", "label_smoothing: 0.1", "label_smoothing: lapses"])
def test_an_order_has_no_pairs_to_smooth_or_to_hold_apart(tmp_path, own):
    said = complaint(tmp_path, f"reward: {{batching: rankings, {own}}}")
    assert f"{own.partition(':')[0]}: a whole order has no pairs" in said
    assert "set batching to prompts" in said
    assert recipe(tmp_path, f"reward: {{batching: prompts, {own}}}").reward.batching == "prompts"


def test_one_fold_leaves_nothing_to_learn_from(tmp_path):
    assert "set 2 or more" in complaint(tmp_path, "reward: {folds: 1}")


def test_several_bodies_are_not_shared_out(tmp_path):
    text = "reward: {members: 3, trunk: own}\nmodel: {sharding: layers}"
    assert "set model.sharding to none" in complaint(tmp_path, text)
    assert recipe(tmp_path, text, "reward.trunk=shared").reward.bodies == 1
    assert recipe(tmp_path, text, "model.sharding=none").reward.bodies == 3


@pytest.mark.parametrize("batching", ["prompts", "rankings"])
def test_ai_labels_have_no_share_of_prompts_that_all_weigh_the_same(tmp_path, batching):
    text = f"reward: {{batching: {batching}}}\nconstitution: {{feedback: {{share: 0.3}}}}"
    assert "set batching to pairs, or share to null" in complaint(tmp_path, text)
    assert recipe(tmp_path, text, "reward.batching=pairs").constitution.feedback.share == 0.3
    assert recipe(tmp_path, text, "constitution.feedback.share=null").reward.batching == batching
    assert recipe(tmp_path, text, "reward=null").reward is None


def test_what_is_wrong_with_a_whole_recipe_is_said_at_once(tmp_path):
    said = complaint(tmp_path, "policy: {rewards: [constitution]}", "constitution=null")
    assert said.startswith(f"{tmp_path / 'recipe.yaml'}: policy.rewards: constitution is a source")
