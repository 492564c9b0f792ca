import json

import pytest
from labellers import THREE, labeller, pairs, right

from gnomon.constitution.feedback import row_of
from gnomon.errors import ConfigError, DataError
from gnomon.pipeline.audit import audit_of
from gnomon.pipeline.rows import write_lines, write_records
from gnomon.records import Conversation, Critique
from gnomon.runs import RunFolder


@pytest.fixture
def labels():
    own, rows = labeller(right(), ensemble=3), pairs(20)
    return [row_of(own, row, said) for row, said in zip(rows, own.feedback(rows), strict=True)]


CRITIQUE = Critique("c/1", Conversation.of("How?"), "Badly.", "kind", "It is rude.", "Gently.", "0" * 16)
ANSWER = {"model": "sft", "prompt_id": "p", "prompt": "How?", "answer": "Gently.", "family": "bread"}


def test_a_folder_is_audited_for_what_it_holds(labels, tmp_path):
    write_lines(tmp_path / "labels.jsonl", labels)
    report = audit_of(tmp_path)
    assert report["labels"]["comparisons"] == 20
    assert report.keys() == {"labels", "warnings"}
    assert json.loads((tmp_path / "audit.json").read_text()) == json.loads(json.dumps(report))
    write_records(tmp_path / "critiques.jsonl", [CRITIQUE])
    write_lines(tmp_path / "answers.jsonl", [ANSWER])
    assert audit_of(tmp_path).keys() == {"labels", "revisions", "answers", "warnings"}


def test_a_folder_that_another_writes_to_is_not_audited_but_its_files_are(labels, tmp_path):
    write_lines(tmp_path / "labels.jsonl", labels)
    with RunFolder(tmp_path).open():
        with pytest.raises(ConfigError, match="is in use by process"):
            audit_of(tmp_path)
        assert not (tmp_path / "audit.json").exists()
        assert audit_of(tmp_path / "labels.jsonl")["labels"]["comparisons"] == 20
    audit_of(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audit.json", "labels.jsonl"]


def test_a_file_is_told_by_its_rows(labels, tmp_path):
    write_lines(tmp_path / "mine.jsonl", labels)
    assert audit_of(tmp_path / "mine.jsonl").keys() == {"labels", "warnings"}
    assert not (tmp_path / "audit.json").exists()
    write_records(tmp_path / "others.jsonl", [CRITIQUE])
    assert audit_of(tmp_path / "others.jsonl").keys() == {"revisions", "warnings"}


def test_stated_weights_are_of_the_constitution_named_or_of_the_run_s(labels, tmp_path):
    (tmp_path / "three.yaml").write_text(json.dumps(THREE.model_dump(mode="json")))
    write_lines(tmp_path / "labels.jsonl", labels)

    def stated(*named):
        return audit_of(tmp_path, *named)["labels"]["principles"]["short"]["stated"]

    assert stated() is None
    assert stated(str(tmp_path / "three.yaml")) == 0.5
    (tmp_path / "config.yaml").write_text(
        json.dumps({"data": {"constitution": str(tmp_path / "three.yaml")}})
    )
    assert stated() == 0.5
    (tmp_path / "three.yaml").write_text(json.dumps(THREE.model_dump(mode="json") | {"version": "2"}))
    assert stated() is None
    assert "its weights are not shown" in audit_of(tmp_path)["warnings"][0]
    assert stated(str(tmp_path / "three.yaml")) == 0.5
    (tmp_path / "config.yaml").write_text("data: 3")
    assert stated() is None


def test_a_row_that_cannot_be_read_is_named_and_nothing_is_to_be_deleted(labels, tmp_path):
    write_lines(tmp_path / "labels.jsonl", labels[:2])
    whole = (tmp_path / "labels.jsonl").read_text("utf-8")
    for place in (tmp_path, tmp_path / "labels.jsonl"):
        for wrong in ("3", '{"id": "to'):
            (tmp_path / "labels.jsonl").write_text(whole + wrong, "utf-8")
            with pytest.raises(DataError, match=r"row 3 of labels.jsonl: .*; correct or remove it"):
                audit_of(place)


def test_an_empty_file_holds_nothing_and_rows_of_suites_are_no_answers(labels, tmp_path):
    write_lines(tmp_path / "labels.jsonl", labels)
    (tmp_path / "critiques.jsonl").touch()
    assert audit_of(tmp_path).keys() == {"labels", "warnings"}
    write_lines(tmp_path / "rows.jsonl", [{"model": "sft", "id": "p", "prompt": "How?", "answer": "Gently."}])
    with pytest.raises(DataError, match="holds no labels"):
        audit_of(tmp_path / "rows.jsonl")


def test_nothing_to_audit_is_said(tmp_path):
    with pytest.raises(DataError, match="holds no labels"):
        audit_of(tmp_path)
    with pytest.raises(DataError, match="is not there"):
        audit_of(tmp_path / "nowhere")
