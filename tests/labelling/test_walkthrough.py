"""From a fresh project to a report, with people in between; and what is left of a person who is forgotten."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from office import PASSWORD
from playwright.sync_api import Page, expect

from gnomon.cli.main import call

pytestmark = pytest.mark.slow

PAIRS = 20
QUESTIONS = (
    "Why does a church bell ring longer in winter?",
    "Who built the first iron bridge in Wales?",
    "My shirt has lost a button. What now?",
    "How is a candle dipped?",
    "Name a good carpet for stairs.",
    "Do storks still nest on chimneys?",
    "What were combs once made of?",
    "Tell a drummer from a percussionist.",
    "Is a feather heavier when wet?",
    "Hammer or mallet for tent pegs?",
    "Which wind suits a small kite best?",
    "Rhyme something with ladder.",
    "Where do paper lanterns come from?",
    "Can parrots know themselves in a mirror?",
    "Threading needles with poor eyes: any tricks?",
    "Describe the sound of a paddle in still water.",
    "How long a ribbon does a hat need?",
    "Which oil is right for an old saddle?",
    "Our teapot drips. Whose fault is that?",
    "Could a shepherd whistle across a valley?",
)
TINY = (
    *("model.ref=tiny:0", "model.dtype=float32", "model.max_length=1500", "model.lora.rank=2"),
    *("data.limit=24", "data.on_bad_row=skip", "sft.optim.epochs=1", "reward.optim.epochs=1"),
)
ROAD = """
name: walk
data:
  comparisons: [labels:talk]
  labels: {db: labels.db}
policy: {steps: 1, samples: 2, max_new_tokens: 4, optim: {batch_size: 2}}
constitution: null
evaluation: {max_new_tokens: 4, bootstrap: 100}
"""


def gnomon(*arguments: object) -> None:
    """A command as a terminal runs it, which must succeed."""
    assert call([str(argument) for argument in arguments]) == 0, arguments


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, str]]:
    """`gnomon label serve` in a process of its own: its address, and the administrator's link."""
    command = [sys.executable, "-m", "gnomon", "label", "serve", "--port", "0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        link = process.stdout.readline().strip()
        process.stderr.readline()
        assert "serving" in process.stderr.readline()
        try:
            yield link.split("/join/")[0], link
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)


def joined(chromium, link: str, name: str) -> Page:
    """Somebody who has used a one-time link, in a browser of their own."""
    page = chromium.new_context().new_page()
    page.goto(link)
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Join").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    page.wait_for_load_state("load")  # until then keys do nothing
    return page


def dissents(texts: list[str]) -> bool:
    """Whether one of the two differs from the other on a pair: on a third of them, whatever the sides."""
    return int(sha256("".join(sorted(texts)).encode()).hexdigest(), 16) % 3 == 0


def label_everything(page: Page, *, contrary: bool) -> tuple[int, int]:
    """By the keyboard, until nothing is left: how many pairs, and on how many the contrary one differs."""
    done = differ = 0
    while page.locator("#answer").count():
        texts = page.locator(".reply .raw").all_text_contents()
        aside = dissents(texts)
        left = (texts[0] < texts[1]) != (contrary and aside)
        page.keyboard.press("2" if left else "7")
        page.keyboard.press("Enter")
        done, differ = done + 1, differ + aside
        expect(page.locator(".standing b")).to_have_text(str(done))
    expect(page.get_by_role("heading", name="All done")).to_be_visible()
    return done, differ


def everything_kept(folder: Path) -> dict[str, bytes]:
    """The database as rows, as its dump and as bytes of its files, and every form of its export."""
    with closing(sqlite3.connect(folder / "labels.db")) as connection:
        tables = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        found = {name: repr(connection.execute(f"SELECT * FROM {name}").fetchall()) for name in tables}
        found["dump"] = "\n".join(connection.iterdump())
    kept = {name: text.encode() for name, text in found.items()}
    kept |= {path.name: path.read_bytes() for path in folder.glob("labels.db*")}
    for form in ("jsonl", "csv", "parquet", "comparisons", "rankings", "trl"):
        target = folder / f"export.{form}"
        target.unlink(missing_ok=True)
        gnomon("label", "export", "talk", "--format", form, "--out", target)
        kept[target.name] = target.read_bytes()
    return kept


def seen(page: Page, address: str) -> dict[str, bytes]:
    """The pages that an administrator can open, and what the interface says of people."""
    paths = ("/", "/p/talk", "/p/talk/results", "/p/talk/guidelines", "/p/talk/adjudicate")
    paths += tuple(f"/api/v1/projects/talk/{name}" for name in ("members", "statistics", "audit", "export"))
    replies = {path: page.request.get(f"{address}{path}") for path in paths}
    assert all(reply.ok for reply in replies.values())
    return {path: reply.body() for path, reply in replies.items()}


def test_people_judge_a_policys_pairs_a_run_learns_from_them_and_one_is_forgotten(
    chromium, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    asked = [{"prompt": question} for question in QUESTIONS]
    Path("asked.jsonl").write_text("\n".join(map(json.dumps, asked)), "utf-8")
    Path("walk.yaml").write_text(ROAD, "utf-8")

    gnomon("train", "sft", *TINY, "--out", "tuned")
    gnomon("label", "init", "talk", "--set", "overlap=2", "--set", "gold_rate=0", "--set", "repeat_rate=0")
    collect = ("--policy", "path:tuned/model", "--prompts", "asked.jsonl", "--pairs", PAIRS)
    gnomon("collect", *collect, "--project", "talk")
    with served(tmp_path) as (address, link):
        root = joined(chromium, link, "Root")
        capfd.readouterr()
        gnomon("label", "invite", "talk", "--count", 2, "--url", address)
        links = capfd.readouterr().out.split()
        ada, ben = (
            joined(chromium, *both) for both in zip(links, ("Ada Lovelace", "Ben Bitdiddle"), strict=True)
        )
        done, differ = label_everything(ada, contrary=False)
        assert label_everything(ben, contrary=True) == (done, differ) == (PAIRS, differ)
        assert 0 < differ < PAIRS / 2

        gnomon("run", "walk.yaml", *TINY, "--out", "run")
        report = Path("run/report.html").read_text("utf-8")
        (said,) = json.loads(Path("run/summary.json").read_text("utf-8"))["data"]["labels"].values()
        (two,) = said["between"]
        assert (two["shared"], two["differ"], said["disputed"]) == (PAIRS, differ, differ)
        assert "Who disagreed with whom" in report
        assert " and ".join(two["annotators"]) in report
        assert f"<td>{PAIRS}</td><td>{differ}</td>" in report

        before = everything_kept(tmp_path)
        assert b"Ada Lovelace" in before["identities"]
        ((pseudonym, secret),) = whose(tmp_path, "Ada Lovelace")
        gnomon("label", "forget", pseudonym)
        traces = (
            b"Ada Lovelace",
            b"Lovelace",
            secret.encode(),
            sha256(b"Ada Lovelace").hexdigest()[:16].encode(),
        )
        left = everything_kept(tmp_path) | seen(root, address)
        gnomon("label", "stats", "talk", "--out", "stats")
        left |= {path.name: path.read_bytes() for path in (Path("stats/stats.html"), Path("run/report.html"))}
        assert [name for name, content in left.items() if any(trace in content for trace in traces)] == []
        votes = [json.loads(line) for line in left["export.jsonl"].splitlines()]
        assert sum(vote["annotator"] == pseudonym for vote in votes) == PAIRS
        assert left["export.jsonl"] == before["export.jsonl"]
        ada.goto(f"{address}/p/talk")
        expect(ada.get_by_role("heading", name="Sign in")).to_be_visible()
        ada.get_by_label("Name").fill("Ada Lovelace")
        ada.get_by_label("Password").fill(PASSWORD)
        ada.get_by_role("button", name="Sign in").click()
        expect(ada.get_by_role("alert")).to_be_visible()


def whose(folder: Path, name: str) -> list[tuple[str, str]]:
    """The pseudonym of whoever has a name, and what is kept of the password."""
    query = (
        "SELECT pseudonym, password_hash FROM identities JOIN annotators ON id = annotator_id WHERE name = ?"
    )
    with closing(sqlite3.connect(folder / "labels.db")) as connection:
        return connection.execute(query, (name,)).fetchall()
