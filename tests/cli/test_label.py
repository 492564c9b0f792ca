import json
import os
import re
import signal
import subprocess
import sys

import httpx
import pytest
from sqlalchemy import select

from gnomon.data.reader import FOLDER
from gnomon.labelling import items
from gnomon.labelling.client import LabelClient
from gnomon.labelling.judgement import Judgement
from gnomon.labelling.queue import Queue, Turn
from gnomon.labelling.store import database, people, projects
from gnomon.labelling.store.database import open_store
from gnomon.labelling.store.tables import invitations

WRONG = FOLDER / "comparisons" / "wrong.jsonl"
REMOTE = ("--endpoint", "http://127.0.0.1:9/v1", "--endpoint-model", "tiny")


@pytest.fixture
def made(gnomon):
    """A project with the built-in comparisons of one kind."""
    assert gnomon("label", "init", "talk", "--title", "Talk", "--set", "overlap=2").code == 0
    assert gnomon("label", "import", "talk", WRONG, "--origin", "good", "--origin", "bad").code == 0
    return gnomon


def test_a_project_is_made_filled_and_counted(made, tmp_path):
    again = made("label", "init", "talk")
    assert (again.code, "there already" in again.err) == (2, True)
    count = len(WRONG.read_text("utf-8").splitlines())
    assert json.loads(made("label", "stats", "talk", "--json").out)["items"] == {"ordinary": count}
    gold = tmp_path / "gold.jsonl"
    gold.write_text(WRONG.read_text("utf-8").replace("pair-wrong", "gold-wrong"), "utf-8")
    assert json.loads(made("label", "import", "talk", gold, "--as", "gold", "--json").out)["items"] == count
    shown = made("label", "stats", "talk")
    assert f"items: {count} gold, {count} ordinary" in shown.out
    store = open_store(tmp_path / "labels.db")
    with store.read() as tx:
        assert projects.named(tx, "talk").settings.overlap == 2
    store.close()


def test_what_cannot_be_done_is_told(made, tmp_path):
    (tmp_path / "latin.md").write_bytes("Sé amable.".encode("latin-1"))
    (tmp_path / "file").write_text("")
    for arguments, code, said in (
        (("stats", "nothing"), 2, "there is no project 'nothing' (there is: talk)"),
        (("init", "other", "--set", "overlop=2"), 2, "settings: kind, overlap"),
        (("init", "Other"), 2, "small letters"),
        (("init", "other", "--guidelines", "none.md"), 2, "--guidelines none.md cannot be read"),
        (("init", "other", "--guidelines", "latin.md"), 2, "name a UTF-8 text"),
        (("import", "talk", WRONG), 3, "is there already"),
        (("import", "talk", WRONG, "--origin", "one"), 2, "given twice"),
        (("import", "talk", FOLDER / "prompts" / "facts.jsonl"), 3, "comparisons of two answers"),
        (("export", "nothing"), 2, "there is no project"),
        (("export", "talk", "--out", "file/t.jsonl"), 6, "file: File exists; name another folder"),
        (("serve", "--db", "mysql://x/y"), 2, "postgresql://USER@HOST/NAME"),
        (("serve", "--allow-target", "10.0.0.1/8"), 2, "write a network as 10.1.0.0/16"),
        (("serve", "--model", "endpoint:http://x/v1#y"), 2, "name a model to load"),
        (("serve", "--endpoint", "http://127.0.0.1:9/v1"), 2, "give both"),
        (("serve", "--model", "tiny:0", *REMOTE), 2, "give one of them"),
        (("serve", *REMOTE), 2, "does not lead to the public internet"),
        (("invite", "talk", "--email", "nobody"), 3, "write it as ada@example.org"),
        (("import", "talk", WRONG, "--as", "topic"), 3, "topics of dialogues are prompts"),
        (("import", "talk", FOLDER / "prompts" / "facts.jsonl", "--as", "topic"), 3, "kind=dialogue"),
    ):
        done = made("label", *arguments)
        assert (done.code, said in done.err) == (code, True), done.err


def test_only_what_makes_or_serves_a_project_makes_a_database(made, tmp_path):
    for arguments in (
        ("stats", "talk"),
        ("export", "talk"),
        ("import", "talk", WRONG),
        ("invite", "talk"),
        ("forget", "a-1"),
        ("backup", "b.db"),
        ("simulate", "talk"),
        ("webhook", "list", "talk"),
    ):
        done = made("label", *arguments, "--db", "lables.db")
        assert done.code == 2, done.err
        assert "there is no database lables.db; name it with --db or GNOMON_LABEL_DB" in done.err
    asked = ("--policy", "tiny:0", "--pairs", "1", "--project", "talk", "--db", "lables.db")
    assert "there is no database lables.db" in made("collect", *asked).err
    assert not list(tmp_path.glob("lables.db*"))
    assert made("label", "init", "other", "--db", "others.db").code == 0


def test_others_write_while_a_file_is_looked_through_for_what_to_import(made, tmp_path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    others, find = open_store(tmp_path / "labels.db"), items.items_of

    def looking(*arguments):
        for item in find(*arguments):
            with others.write() as tx:
                people.add_annotator(tx)
            yield item

    monkeypatch.setattr(items, "items_of", looking)
    rows = [{"id": f"many-{k}", "prompt": f"Why {k}?", "answers": ["x", "y", "z"]} for k in range(3)]
    (tmp_path / "answers.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    assert json.loads(made("label", "import", "talk", "answers.jsonl", "--json").out)["items"] == 3
    others.close()


OIDC = "client_id: gnomon\nurl: http://127.0.0.1:8765\nissuer: "


def test_what_is_said_of_a_provider_is_looked_at_before_anything_is_served(made, tmp_path):
    file = tmp_path / "oidc.yaml"
    for text, said in (
        ("http://login.example.org", "write https:// and a host"),
        ("http://127.0.0.1:9", "does not lead to the public internet"),
        ("https://1.1.1.1\ndomains: ['*']\nprojects: [nothing]", "there is no project 'nothing'"),
    ):
        file.write_text(f"{OIDC}{text}\n")
        done = made("label", "serve", "--port", "0", "--oidc", file)
        assert (done.code, said in done.err) == (2, True), done.err


def test_addresses_are_invited_in_the_place_of_links(made, tmp_path):
    done = made("label", "invite", "talk", "--email", "ada@example.org", "--email", "Bab@example.org")
    assert done.out.splitlines() == [
        "ada@example.org may sign in at http://127.0.0.1:8765/login for seven days",
        "Bab@example.org may sign in at http://127.0.0.1:8765/login for seven days",
    ]
    store = open_store(tmp_path / "labels.db")
    with store.read() as tx:
        found = tx.connection.execute(select(invitations.c.email)).scalars().all()
    assert sorted(found) == ["ada@example.org", "bab@example.org"]
    store.close()


def test_labels_and_backups_are_written_once(made, tmp_path):
    store = open_store(tmp_path / "labels.db")
    with store.write() as tx:
        project = projects.named(tx, "talk")
        annotator = people.add_annotator(tx)
        people.join(tx, project.id, annotator.id, "annotator")
    queue, turn = Queue(store), Turn(project, annotator.id)
    queue.submit(turn, queue.next(turn).token, Judgement(choice="left", strength=3), "key-12345")
    store.close()
    assert made("label", "export", "talk").out.strip() == "talk.jsonl"
    row = json.loads((tmp_path / "talk.jsonl").read_text("utf-8"))
    assert (row["outcome"], row["origins"]) == ("prefer", ["good", "bad"])
    assert made("label", "export", "talk", "--format", "trl", "--out", "t.jsonl").code == 0
    assert made("data", "inspect", "t.jsonl").code == 0
    empty = made("label", "export", "talk", "--format", "rankings")
    assert (empty.code, "is empty: nothing in talk goes into rankings yet" in empty.err) == (0, True)
    again = made("label", "export", "talk")
    assert (again.code, "there already" in again.err) == (2, True)
    assert made("label", "export", "talk", "--out", "new/folder/t.jsonl").code == 0
    assert made("label", "backup", "other/copy.db").code == 0
    assert made("label", "backup", "copy.db").code == 0
    assert json.loads(made("label", "stats", "talk", "--db", "copy.db", "--json").out)["labels"] == 1
    assert "1 (prefer 1)" in made("label", "stats", "talk").out
    assert annotator.pseudonym in made("label", "forget", annotator.pseudonym).out
    again = made("label", "forget", "a-nobody")
    assert (again.code, "no annotator 'a-nobody'" in again.err) == (2, True)
    assert list(tmp_path.rglob("*.part")) == []


def test_answers_to_rank_are_imported_and_come_out_whole(made, tmp_path):
    rows = [{"id": f"many-{k}", "prompt": f"Why {k}?", "answers": ["x", "y", "z"]} for k in range(3)]
    (tmp_path / "answers.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    assert json.loads(made("label", "import", "talk", "answers.jsonl", "--json").out)["items"] == 3
    assert made("label", "import", "talk", "answers.jsonl", "--as", "gold").code == 3
    assert made("label", "simulate", "talk", "--annotators", 3).code == 0
    assert made("label", "export", "talk", "--format", "rankings").out.strip() == "talk.rankings.jsonl"
    ranked = [json.loads(line) for line in (tmp_path / "talk.rankings.jsonl").read_text("utf-8").splitlines()]
    assert len(ranked) == 6
    assert all(sorted(row["rank"]) == [1, 2, 3] and row["source"] == "planted" for row in ranked)
    assert made("data", "inspect", "talk.rankings.jsonl").code == 0


def test_prompts_are_topics_of_dialogues(made):
    assert made("label", "init", "live", "--set", "kind=dialogue", "--set", "turns=3").code == 0
    prompts = FOLDER / "prompts" / "facts.jsonl"
    count = len(prompts.read_text("utf-8").splitlines())
    done = made("label", "import", "live", prompts, "--as", "topic", "--json")
    assert json.loads(done.out) == {"items": count, "project": "live"}
    refused = made("label", "import", "live", WRONG)
    assert (refused.code, "import prompts as topics" in refused.err) == (3, True)
    refused = made("label", "simulate", "live")
    assert (refused.code, "writes no messages" in refused.err) == (2, True)


def test_a_model_is_named_and_answers_in_the_demo(tmp_path):
    command = [sys.executable, "-m", "gnomon", "label", "serve", "--demo", "--port", "0", "--model", "tiny:0"]
    told = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONUNBUFFERED": "1"}, **told
    ) as process:
        link = process.stdout.readline().strip()
        with httpx.Client(headers={"Sec-Fetch-Site": "same-origin"}) as seen:
            joined = seen.post(link, data={"name": "Ada", "password": "correct horse battery"})
            assert joined.status_code == 303
            page = seen.get(f"{link.split('/join/')[0]}/p/demo-dialogue").text
        assert 'data-state="write"' in page
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def test_probes_are_added_by_the_dozen_and_from_a_file(gnomon, tmp_path):
    assert gnomon("label", "init", "swayed", "--probes", "--set", "probe_rate=0.5").code == 0
    own = {
        "id": "door",
        "kind": "length",
        "prompt": "It squeaks.",
        "responses": ["Oil.", "Soap."],
        "remark": "So.",
    }
    (tmp_path / "own.jsonl").write_text(json.dumps(own), "utf-8")
    assert json.loads(gnomon("label", "import", "swayed", "own.jsonl", "--as", "probe", "--json").out) == {
        "items": 2, "project": "swayed",
    }  # fmt: skip
    assert json.loads(gnomon("label", "stats", "swayed", "--json").out)["items"] == {"probe": 82}
    done = gnomon("label", "import", "swayed", WRONG, "--as", "probe")
    assert (done.code, "row 1 of wrong.jsonl is no probe" in done.err) == (3, True)


def test_links_are_printed_one_for_each_person(made):
    done = made("label", "invite", "talk", "--count", "3", "--url", "https://labels.example/")
    links = done.out.split()
    assert len(set(links)) == 3
    assert made("label", "invite", "talk", "--role", "adjudicator").code == 0
    assert all(re.fullmatch(r"https://labels\.example/join/[\w-]{43}", link) for link in links)


def test_a_missing_extra_is_a_line_to_type(gnomon, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("gnomon.labelling.store")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    done = gnomon("label", "stats", "talk")
    assert (done.code, "pip install 'gnomon[label]'" in done.err) == (2, True)


def test_the_demo_is_one_command_and_one_link(tmp_path):
    """Served by the command itself: the link makes an account, which then has a pair to judge."""
    command = [sys.executable, "-m", "gnomon", "label", "serve", "--demo", "--port", "0"]
    told = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONUNBUFFERED": "1"}, **told
    ) as process:
        link = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/join/[\w-]{43}", link)
        with httpx.Client(
            headers={"Sec-Fetch-Site": "same-origin"}, base_url=link.split("/join/")[0]
        ) as seen:
            joined = seen.post(link, data={"name": "Ada", "password": "correct horse battery"})
            assert joined.status_code == 303
            page = seen.get("/p/demo").text
            assert 'data-state="task"' in page
            keys = seen.get("/p/demo/results").text
            csrf = re.search(r'name="csrf" value="(\w+)"', keys)[1]
            made = seen.post(
                "/api/v1/keys", json={"scopes": ["label"]}, headers={"X-CSRF-Token": csrf}
            ).json()
            with LabelClient(str(seen.base_url), made["key"]) as client:
                assert client.next("demo").state == "task"
                assert client.guidelines("demo").version == 1
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert out == ""
        assert "nobody has an account yet" in err
        assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
