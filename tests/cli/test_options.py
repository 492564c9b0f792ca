import pytest

from gnomon.cli.options import model_ref, new_folder, recipe_of
from gnomon.config import Recipe
from gnomon.errors import ConfigError


def test_a_folder_is_a_model_as_it_is(tmp_path):
    assert model_ref(str(tmp_path)) == f"path:{tmp_path}"
    assert model_ref("hub:a/b") == "hub:a/b"
    with pytest.raises(ConfigError, match=r"nowhere': there is no such folder; .* write hub:ORG/NAME"):
        model_ref(str(tmp_path / "nowhere"))


def test_without_a_file_there_are_the_defaults_and_what_is_asked_for():
    assert recipe_of(None, None) == Recipe()
    recipe = recipe_of(None, ["policy.steps=3"], model="tiny:1", data={"prompts": ("a.jsonl",)})
    assert (recipe.policy.steps, recipe.model.ref, recipe.data.prompts) == (3, "tiny:1", ("a.jsonl",))
    assert recipe.data.comparisons == ("builtin",)


def test_options_win_over_the_file(tmp_path):
    (tmp_path / "r.yaml").write_text("name: r\nmodel: {ref: 'tiny:0', max_length: 64}")
    recipe = recipe_of(tmp_path / "r.yaml", [], model="tiny:1")
    assert (recipe.name, recipe.model.ref, recipe.model.max_length) == ("r", "tiny:1", 64)


def test_a_wrong_model_in_the_file_is_told_before_anything_is_loaded(tmp_path):
    (tmp_path / "r.yaml").write_text("model: {ref: gemma}")
    with pytest.raises(ConfigError, match="'gemma'"):
        recipe_of(tmp_path / "r.yaml", [])


def test_a_folder_with_something_in_it_is_not_written_over(tmp_path):
    assert new_folder(tmp_path / "new") == tmp_path / "new"
    assert new_folder(tmp_path) == tmp_path
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ConfigError, match="is there already"):
        new_folder(tmp_path)
