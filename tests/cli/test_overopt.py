import json

from small import SMALL


def test_a_study_is_told_in_tables_and_sentences(gnomon, tmp_path):
    done = gnomon("overopt", *SMALL, "--out", "study")
    assert done.code == 0, done.err
    for told in ("Climbs", "Gao's forms", "Without guards gold rose", "report: study/report.html"):
        assert told in done.out
    again = gnomon("overopt", *SMALL, "--out", "study", "--json")
    summary = json.loads(again.out)
    assert "made before" in again.err
    assert summary["verdict"]["free"]["of"] == 1
    assert (tmp_path / "study" / "config.yaml").read_text("utf-8").startswith("name: overopt")


def test_a_wrong_setting_is_named(gnomon):
    done = gnomon("overopt", "policy.step=3")
    assert (done.code, "did you mean 'steps'" in done.err) == (2, True)
    done = gnomon("overopt", "model.ref=nowhere:1")
    assert (done.code, "nowhere:1" in done.err) == (2, True)
