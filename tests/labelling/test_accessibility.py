"""Every kind of page held against the rules of WCAG 2.2, levels A and AA, that axe can tell."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import NamedTuple

import pytest
from exported import decision, row
from issuing import application, issuing
from listening import LOCAL
from office import PASSWORD, PLAIN, pair, pairs, project, running, several, turn
from playwright.sync_api import Page, expect
from sqlalchemy import select
from talking import Script, live

from gnomon.labelling.courier import Courier, Pace
from gnomon.labelling.items import Item, Response
from gnomon.labelling.judgement import Judgement
from gnomon.labelling.partner import Partner
from gnomon.labelling.quality.summary import summarise
from gnomon.labelling.queue import Queue, Task, Turn
from gnomon.labelling.server import listen, serving
from gnomon.labelling.settings import ProjectSettings
from gnomon.labelling.store import people, projects, subjects
from gnomon.labelling.store.database import Store, open_store
from gnomon.labelling.store.tables import annotators
from gnomon.records import Message
from gnomon.reports.labels import write_label_page

pytestmark = pytest.mark.slow

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gnomon"
RICH = """# A heading
Some *emphasis*, `code`, a [link](https://example.org/) and an image ![of a door](https://example.org/a.png).

> Quoted, and $a^2 + b^2 = c^2$.

| one | two | three | four | five | six | seven | eight | nine |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
| incomprehensibilities | counterrevolutionaries | 3 | 4 | 5 | 6 | 7 | 8 | uncharacteristically |

```python
# a comment
@decorated
def f(x: int = 0x1F) -> str:
    return "text" + str(x)  # and another
```

1. first
2. second
"""
VIOLATIONS = """async () => (await axe.run(document, {
  runOnly: { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] },
  resultTypes: ["violations"], preload: false,
})).violations.flatMap(
  (rule) => rule.nodes.map((node) => `${rule.id}: ${node.target} ${node.html.slice(0, 120)}`))"""


@pytest.fixture(scope="module")
def axe() -> Path:
    found = sorted(CACHE.glob("axe-core-*/axe.min.js"))
    if not found:
        pytest.skip("axe-core is not installed: bash .ci/services")
    return found[-1]


@pytest.fixture
def store(tmp_path) -> Iterator[Store]:
    """SQLite alone: nothing here depends on the database."""
    opened = open_store(tmp_path / "labels.db")
    yield opened
    opened.close()


class Look(NamedTuple):
    scheme: str
    width: int


LOOKS = [Look(scheme, width) for scheme in ("light", "dark") for width in (1280, 390)]


@pytest.fixture(params=LOOKS, ids=lambda look: f"{look.scheme}-{look.width}")
def look(request) -> Look:
    return request.param


class Walker:
    """Somebody with axe who opens pages and writes down what breaks a rule, by page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.seen: list[str] = []
        self.broken: dict[str, list[str]] = {}

    def look(self, name: str, path: str | None = None) -> None:
        """Open a page, or take it as it stands."""
        if path:
            self.page.goto(path)
            self.page.wait_for_load_state("load")
        self.seen.append(name)
        if found := self.page.evaluate(VIOLATIONS):
            self.broken[name] = found


@contextmanager
def walking(chromium, axe: Path, look: Look, url: str | None = None) -> Iterator[Walker]:
    context = chromium.new_context(
        base_url=url, color_scheme=look.scheme, viewport={"width": look.width, "height": 900}
    )
    context.add_init_script(path=axe)
    yield Walker(context.new_page())
    context.close()


def rich(name: str) -> Item:
    """A conversation of several turns with all that text can hold."""
    prompt = (Message("system", "Be *brief*."), Message("user", RICH), Message("assistant", "What?"))
    texts = (RICH, "Short.")
    responses = tuple(Response(messages=(Message("assistant", text),)) for text in texts)
    return Item(id=name, prompt=(*prompt, Message("user", "That.")), responses=responses)


def answer_all(store: Store, who: Turn, judgement: Judgement) -> None:
    queue = Queue(store)
    while isinstance(task := queue.next(who), Task):
        queue.submit(who, task.token, judgement, f"key-{task.token}")


def disagreement(store: Store) -> None:
    """A pair with votes that differ in everything that can differ."""
    made = project(store, [rich("case")], PLAIN.model_copy(update={"overlap": 2}), "cases")
    for choice, flags in (("left", {"wrong"}), ("right", {"harmful", "off-topic"})):
        said = Judgement(choice=choice, strength=1, left_flags=flags, rationale=RICH)
        answer_all(store, turn(store, made), said)


def filled(store: Store) -> None:
    """Projects in which an administrator meets every state a page can be in."""
    made = project(store, [rich("rich")], PLAIN, "pairs")
    with store.write() as tx:
        projects.write_guidelines(tx, made.id, RICH)
        (admin,) = tx.connection.execute(select(annotators.c.id).where(annotators.c.site_admin)).scalars()
    project(store, [several("one"), several("two", 9)], PLAIN, "ranks")
    disagreement(store)
    project(store, [], PLAIN, "empty")
    Queue(store).next(turn(store, project(store, pairs(1), PLAIN, "waiting")))
    exam = project(store, [pair("exam", "qualification", 0), *pairs(1)], ProjectSettings(), "exam")
    for made in (exam, project(store, pairs(2), PLAIN, "over")):
        answer_all(store, Turn(made, admin), Judgement(choice="tie"))


def test_the_ways_in_break_no_rule(chromium, axe, store, look):
    with running(store) as url, walking(chromium, axe, look, url) as walker:
        walker.look("sign in", "/login")
        walker.page.get_by_label("Name").fill("nobody")
        walker.page.get_by_label("Password").fill("not right at all")
        walker.page.get_by_role("button", name="Sign in").click()
        expect(walker.page.get_by_role("alert")).to_be_visible()
        walker.look("sign in, refused")
        walker.look("a bad link", "/join/not-a-link")
        with store.write() as tx:
            token = people.invite(tx, "admin")
        walker.look("an invitation", f"/join/{token}")
        walker.page.get_by_label("Name").fill("Ada")
        walker.page.get_by_label("Password").fill(PASSWORD)
        walker.page.get_by_role("button", name="Join").click()
        expect(walker.page.get_by_role("button", name="Sign out")).to_be_visible()
        walker.look("no projects")
        made = project(store, [], PLAIN)
        with store.write() as tx:
            token = people.invite(tx, "viewer", made.id)
        walker.look("an invitation to who has an account", f"/join/{token}")
        walker.look("not found", "/p/nowhere")
    assert walker.broken == {}
    assert len(walker.seen) == 7


def test_the_way_in_by_a_provider_leads_there_and_back_and_breaks_no_rule(chromium, axe, store, look):
    """Under another name than the application's, so that the browser takes it for another site."""
    made = project(store, pairs(1))
    with (
        issuing(store.clock, "localhost") as issuer,
        application(store, issuer, title="Example Org") as url,
        walking(chromium, axe, look, url) as walker,
    ):
        page, way_in = walker.page, walker.page.get_by_role("link", name="Sign in with Example Org")
        walker.look("sign in", "/login")
        way_in.click()
        expect(page.get_by_role("heading", name="You are not invited")).to_be_visible()
        walker.look("not invited")
        with store.write() as tx:
            subjects.invite_address(tx, made.id, "ada@example.org", "admin")
            token = people.invite(tx, "viewer", made.id)
        page.goto("/login?next=/p/p/results")
        way_in.click()
        expect(page.get_by_label("E-mail address, for Example Org")).to_be_visible()
        walker.look("inviting")
        page.get_by_label("E-mail address, for Example Org").fill("babbage@example.org")
        page.get_by_role("button", name="Invite").click()
        expect(page.get_by_role("heading", name="babbage@example.org may sign in")).to_be_visible()
        walker.look("invited")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("link", name="sign out there as well")).to_be_visible()
        walker.look("signed out")
        walker.look("an invitation", f"/join/{token}")
    assert walker.broken == {}
    assert len(walker.seen) == 6


def test_no_page_of_the_application_breaks_a_rule(chromium, axe, store, look):
    with store.write() as tx:
        token = people.invite(tx, "admin")
    with running(store) as url, walking(chromium, axe, look, url) as walker:
        page = walker.page
        page.goto(f"/join/{token}")
        page.get_by_label("Name").fill("Ada")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Join").click()
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        filled(store)
        walker.look("projects", "/")
        walker.look("comparison", "/p/pairs")
        page.keyboard.press("1")
        page.keyboard.press("q")
        walker.look("comparison, chosen and flagged")
        page.keyboard.press("m")
        walker.look("text as it is")
        page.keyboard.press("?")
        walker.look("keys")
        page.get_by_role("button", name="Close").click()
        expect(page.locator("#help button")).not_to_be_focused()  # until then Enter is its
        page.route("**/label", lambda route: route.abort("connectionreset"))
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_be_visible()
        walker.look("comparison, not kept")
        page.unroute("**/label")
        walker.look("guidelines", "/p/pairs/guidelines")
        walker.look("no guidelines", "/p/ranks/guidelines")
        walker.look("ranking", "/p/ranks")
        page.keyboard.press("2")
        page.evaluate("document.querySelectorAll('details').forEach((marks) => { marks.open = true; })")
        walker.look("ranking, begun, with flags")
        walker.look("adjudication", "/p/cases/adjudicate")
        for name, slug in (("waiting", "waiting"), ("empty", "empty"), ("over", "over"), ("failed", "exam")):
            walker.look(name, f"/p/{slug}")
        walker.look("nothing to decide", "/p/pairs/adjudicate")
        walker.look("results", "/p/cases/results")
        walker.look("no results", "/p/empty/results")
        page.get_by_role("button", name="Make a one-time link").click()
        expect(page.get_by_role("textbox", name="One-time link")).to_be_visible()
        walker.look("a link")
    assert walker.broken == {}
    assert len(walker.seen) == 19


class Waiting(Script):
    """Answers when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may = Event()

    def answer(self, *of, **more):
        assert self.may.wait(60)
        return super().answer(*of, **more)


def test_dialogues_and_webhooks_break_no_rule(chromium, axe, store, look):
    live(store, ["cats"])
    with store.write() as tx:
        token = people.invite(tx, "admin")
    engine, slow = Waiting(), Courier(store, LOCAL, Pace(look=3600))
    with (
        serving(store, listen("127.0.0.1", 0), courier=slow, partner=Partner(engine, "a-script")) as url,
        walking(chromium, axe, look, url) as walker,
    ):
        page = walker.page
        page.goto(f"/join/{token}")
        page.get_by_label("Name").fill("Ada")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Join").click()
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        walker.look("a dialogue", "/p/p")
        page.get_by_label("Your message").fill("**Why**?")
        page.get_by_role("button", name="Send").click()
        expect(page.locator("#writing")).to_be_visible()
        walker.look("the model writes")
        engine.may.set()
        expect(page.get_by_role("article", name="Answer B")).to_be_visible()
        walker.look("its answers")
        walker.look("no webhooks", "/p/p/webhooks")
        page.get_by_label("Address").fill("http://127.0.0.1:9/hook")
        page.get_by_role("button", name="Add").click()
        expect(page.get_by_label("Secret")).to_be_visible()
        walker.look("a secret")
        walker.look("a webhook", "/p/p/webhooks/1")
        page.get_by_role("button", name="Send a test").click()
        expect(page.get_by_role("button", name="Discard")).to_be_visible()
        walker.look("messages")
        walker.look("webhooks", "/p/p/webhooks")
    assert walker.broken == {}
    assert len(walker.seen) == 8


def crowd() -> list[dict]:
    """Labels with something for every section: known answers, repeats, probes, rankings left aside."""
    names, rows = ("ada", "ben", "cat", "eve"), []
    for k in range(24):
        for own, name in enumerate(names):
            said = {"left": k % 2, "expected": 0 if k % 4 == 0 else None, "seconds": 20 + (k * own) % 7}
            rows.append(row(f"i{k}", name, k % 2 if name == "eve" else int(k % 10 == own), **said))
            if k % 4 == 1:
                rows.append(row(f"i{k}", name, int(k % 10 == own), left=1 - k % 2, again=True))
            for favours in (0, 1):
                told = row(f"t{k}/{favours}", name, favours if k % 3 else own % 2)
                probe = {"pair": f"t{k}", "kind": "sycophancy", "favours": favours}
                rows.append(told | {"purpose": "probe", "probe": probe})
    return [*rows, decision("i1", 1), decision("i2", None, "skip")]


def test_the_page_of_statistics_breaks_no_rule(chromium, axe, tmp_path, look):
    about = {"slug": "talk", "title": "Which answer helps more?"}
    groups = {"ada": "north", "ben": "north", "cat": "south", "eve": "south"}
    for name, rows, shared in (("full", crowd(), groups), ("nothing", [], None)):
        write_label_page(tmp_path / f"{name}.html", summarise(about, {"ordinary": 24}, rows, shared))
    with walking(chromium, axe, look) as walker:
        walker.look("statistics", (tmp_path / "full.html").as_uri())
        assert walker.page.locator("#probes").is_visible()
        walker.look("statistics of nothing", (tmp_path / "nothing.html").as_uri())
    assert walker.broken == {}
    assert len(walker.seen) == 2


@pytest.mark.parametrize(
    ("markup", "rule"),
    [
        ("<button></button>", "button-name"),
        ("<p style='color: #999; background: #fff'>pale</p>", "color-contrast"),
        ("<img src='data:,'>", "image-alt"),
    ],
)
def test_a_rule_that_is_broken_is_told(chromium, axe, tmp_path, markup, rule):
    """Otherwise the tests above could not fail."""
    path = tmp_path / "bad.html"
    path.write_text(f"<!doctype html><html lang='en'><title>Bad</title><main>{markup}</main></html>", "utf-8")
    with walking(chromium, axe, LOOKS[0]) as walker:
        walker.look("bad", path.as_uri())
    assert [found.partition(":")[0] for found in walker.broken["bad"]] == [rule]
