import json

import pytest

from gnomon.data.reader import FOLDER
from gnomon.labelling.client import LabelClient
from gnomon.labelling.server import listen, serving
from gnomon.labelling.store import people
from gnomon.labelling.store.database import open_store

WRONG = FOLDER / "comparisons" / "wrong.jsonl"


@pytest.fixture
def made(gnomon, tmp_path):
    """A project with a dozen of the built-in comparisons, and five of them again as gold."""
    lines = WRONG.read_text("utf-8").splitlines()
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines[:12]) + "\n", "utf-8")
    (tmp_path / "gold.jsonl").write_text("\n".join(lines[12:17]) + "\n", "utf-8")
    settings = ("--set", "overlap=4", "--set", "gold_rate=0.3", "--set", "repeat_rate=0")
    assert gnomon("label", "init", "talk", "--title", "Talk", *settings).code == 0
    assert gnomon("label", "import", "talk", "pairs.jsonl").code == 0
    assert gnomon("label", "import", "talk", "gold.jsonl", "--as", "gold").code == 0
    return gnomon


def test_statistics_are_printed_and_written(made, tmp_path):
    done = made("label", "stats", "talk")
    assert done.code == 0
    assert "items: 5 gold, 12 ordinary" in done.out
    assert "Nobody has labelled anything yet." in done.out
    assert "page: runs/labels-talk/stats.html" in done.out
    folder = tmp_path / "runs" / "labels-talk"
    assert sorted(path.name for path in folder.iterdir()) == ["stats.html", "stats.json"]
    again = made("label", "stats", "talk", "--out", "here", "--json")
    assert json.loads(again.out) == json.loads((tmp_path / "here" / "stats.json").read_text("utf-8"))


def test_a_simulated_crowd_is_held_against_what_it_was_planted_with(made, tmp_path):
    arguments = ("--annotators", 5, "--spammers", 0.2, "--flips", 0.1, "--truth", "pairs.jsonl", "--seed", 3)
    done = made("label", "simulate", "talk", *arguments, "--adjudicate")
    assert done.code == 0, done.err
    assert "Planted, and found" in done.out
    assert "drawn for each answer" in done.out
    found = json.loads((tmp_path / "runs" / "labels-talk" / "stats.json").read_text("utf-8"))
    assert found["labels"] >= 48
    assert len(found["planted"]["annotators"]) == 5
    assert found["adjudication"]["decided"] > 0
    assert sum(one["spam"] is not None for one in found["planted"]["annotators"].values()) == 1
    again = made("label", "simulate", "talk")
    assert (again.code, "has labels already" in again.err) == (2, True)


def test_what_probes_find_stands_beside_what_was_planted(gnomon, tmp_path):
    lines = WRONG.read_text("utf-8").splitlines()
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines[:6]) + "\n", "utf-8")
    settings = (
        "--set",
        "overlap=4",
        "--set",
        "probe_rate=0.8",
        "--set",
        "repeat_gap=2",
        "--set",
        "gold_rate=0",
    )
    assert gnomon("label", "init", "swayed", "--probes", *settings).code == 0
    assert gnomon("label", "import", "swayed", "pairs.jsonl").code == 0
    arguments = ("--annotators", 4, "--spammers", 0, "--sycophancy", 2.0, "--seed", 1)
    done = gnomon("label", "simulate", "swayed", *arguments)
    assert done.code == 0, done.err
    assert "sycophancy: +2.00 log-odds planted in those who read; " in done.out
    assert "length: +0.00 log-odds planted in those who read; " in done.out
    found = json.loads((tmp_path / "runs" / "labels-swayed" / "stats.json").read_text("utf-8"))
    assert found["probes"]["sycophancy"]["shift"]["value"] > 0.1
    assert all(1 < one["sycophancy"] < 3.5 for one in found["planted"]["annotators"].values())


def test_what_cannot_be_simulated_is_told(made, tmp_path, monkeypatch):
    monkeypatch.delenv("GNOMON_LABEL_KEY", raising=False)
    for arguments, code, said in (
        (("talk", "--flips", 0.6), 3, "from 0.02 to 0.5"),
        (("nothing",), 2, "there is no project"),
        (("talk", "--server", "http://127.0.0.1:1"), 2, "GNOMON_LABEL_KEY is not set"),
        (("talk", "--truth", FOLDER / "prompts" / "facts.jsonl"), 3, "is no comparison"),
    ):
        done = made("label", "simulate", *arguments)
        assert (done.code, said in done.err) == (code, True), done.err


def test_a_running_server_is_simulated_into(made, tmp_path, monkeypatch):
    store = open_store(tmp_path / "labels.db")
    with store.write() as tx:
        admin = people.add_annotator(tx, site_admin=True)
        own = people.create_key(tx, admin.id, frozenset({"manage", "read"}))
    monkeypatch.setenv("GNOMON_LABEL_KEY", own)
    with serving(store, listen("127.0.0.1", 0)) as url:
        done = made("label", "simulate", "talk", "--annotators", 4, "--server", url, "--json")
        assert done.code == 0, done.err
        with LabelClient(url, own) as client:
            assert client.statistics("talk")["labels"] == json.loads(done.out)["labels"] > 0
    store.close()
