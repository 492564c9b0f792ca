import json
from collections import Counter

import pytest

from gnomon.constitution.principles import Constitution, Principle, load_constitution
from gnomon.errors import DataError

GOOD = """
name: small
version: 2
licence: CC0-1.0
principles:
  - id: kind
    text: The answer is kind.
    tags: [harmless]
    critique: What is unkind?
    revision: Make it kind.
    comparison: Which is kinder?
  - {id: short, text: The answer is short., weight: 3}
"""


def written(tmp_path, text, name="c.yaml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_shipped_constitution_serves_every_use():
    constitution = load_constitution("builtin")
    assert constitution.name == "gnomon"
    assert len(constitution.principles) >= 12
    for use in ("revision", "comparison"):
        assert constitution.serving(use) == constitution.principles


def test_a_yaml_file_loads_with_its_defaults(tmp_path):
    constitution = load_constitution(written(tmp_path, GOOD))
    kind, short = constitution.principles
    assert (constitution.version, kind.tags, kind.weight, short.weight) == (2, ("harmless",), 1.0, 3.0)
    assert constitution.serving("revision") == (kind,)
    assert constitution.serving("comparison") == (kind,)


def test_the_digest_follows_content_not_layout(tmp_path):
    digest = load_constitution(written(tmp_path, GOOD)).digest
    assert len(digest) == 16
    assert int(digest, 16) > 0
    assert load_constitution(written(tmp_path, "# a comment\n" + GOOD)).digest == digest
    assert load_constitution(written(tmp_path, GOOD.replace("kinder", "nicer"))).digest != digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("weight: 3", "weight: 0"), r"c\.yaml: principle 'short': weight: .*greater than 0 \(got 0\)"),
        (
            ("weight: 3", "wieght: 3"),
            r"c\.yaml: principle 'short': unknown setting 'wieght'; did you mean 'weight'",
        ),
        (("text: The answer is kind.", "text: ''"), r"principle 'kind': text: "),
        (("id: short, ", ""), "principle 2: id is missing"),
        (("id: short", "id: kind"), "principle 'kind' is there twice"),
        (("name: small", "title: small"), r"c\.yaml: unknown setting 'title'; known here: name,"),
        (("name: small\n", ""), r"c\.yaml: name is missing; give it"),
        (("principles:", "rules:"), "a list of 'principles'"),
        (("licence:", "licence: ["), "cannot be read"),
    ],
)
def test_a_mistake_is_named_with_file_principle_and_field(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        load_constitution(written(tmp_path, GOOD.replace(*change)))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.yaml: No such file"):
        load_constitution(str(tmp_path / "nowhere.yaml"))


def test_published_critique_and_revision_requests_load_as_they_are(published):
    constitution = load_constitution(str(published("constitution/CritiqueRevisionInstructions.json")))
    assert len(constitution.principles) == 16
    first = constitution.principles[0]
    assert first.id == "harmful0"
    assert first.critique.startswith("Identify specific ways")
    assert first.critique.endswith("dangerous, or illegal.")
    assert first.revision.startswith("Please rewrite the assistant response")
    assert first.revision.endswith("illegal content.")
    with pytest.raises(DataError, match="no principle has 'comparison'"):
        constitution.serving("comparison")


def test_published_comparison_requests_load_as_they_are(published):
    constitution = load_constitution(str(published("constitution/RLMadisonInstructions.json")))
    assert len(constitution.principles) == 16
    asks = constitution.principles[1].comparison
    assert asks == "Please choose the response that is the most helpful, honest, and harmless."
    with pytest.raises(DataError, match="no principle has 'critique' and 'revision'"):
        constitution.draw("any", 0, "revision")


def test_few_shot_files_are_not_taken_for_constitutions(published):
    with pytest.raises(DataError, match="few-shot files are not constitutions"):
        load_constitution(str(published("constitution/RLMadisonFewShotPrompts.json")))


@pytest.mark.parametrize(
    "entry", [{"prompt": []}, {"prompt": ["a"]}, {"prompt": [" "], "edit_request": "b"}, 3]
)
def test_a_broken_published_entry_is_named(tmp_path, entry):
    with pytest.raises(DataError, match=r"c\.json: principle 'harmful3': .*'(prompt|edit_request)'"):
        load_constitution(written(tmp_path, json.dumps({"harmful3": entry}), "c.json"))


def test_a_tag_narrows_the_draw_where_any_principle_has_it():
    constitution = load_constitution("builtin")
    caring = constitution.serving("revision", "caring")
    assert [p.id for p in caring] == ["care-in-danger"]
    assert {constitution.draw(str(i), 0, "revision", "caring").id for i in range(20)} == {"care-in-danger"}
    assert constitution.serving("revision", "nobody's") == constitution.principles


def test_principles_are_drawn_by_weight_and_only_where_they_serve():
    def principle(name, weight, comparison="?"):
        return Principle(id=name, text=name, weight=weight, comparison=comparison)

    three = Constitution(name="x", principles=(principle("a", 1), principle("b", 3), principle("c", 9, "")))
    drawn = Counter(three.draw(str(i), 7, "comparison").id for i in range(2000))
    assert set(drawn) == {"a", "b"}
    assert drawn["b"] / 2000 == pytest.approx(0.75, abs=0.04)
    again = [three.draw(str(i), 7, "comparison").id for i in range(50)]
    assert again == [three.draw(str(i), 7, "comparison").id for i in range(50)]
    assert again != [three.draw(str(i), 8, "comparison").id for i in range(50)]


def test_several_are_drawn_once_each_and_fewer_begin_alike():
    constitution = load_constitution("builtin")
    every = constitution.several("c1", 3, "comparison", 100)
    assert sorted(p.id for p in every) == sorted(p.id for p in constitution.principles)
    assert constitution.several("c1", 3, "comparison", 4) == every[:4]
    assert constitution.draw("c1", 3, "comparison") == every[0]
    first = Counter(constitution.several(str(i), 0, "comparison", 2)[1].id for i in range(400))
    assert len(first) == len(constitution.principles)
