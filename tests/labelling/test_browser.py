"""What a person sees and does, in Debian's Chromium."""

import json
from collections.abc import Iterator

import pytest
from browsing import CONTRAST, NAMELESS, done, said, visit
from hostile import HOST, PAYLOADS
from office import PLAIN, all_of, pairs, project, several, turn
from playwright.sync_api import Page, expect

from gnomon.labelling.items import Item, Response
from gnomon.labelling.judgement import Judgement
from gnomon.labelling.queue import Queue, Task
from gnomon.labelling.store import projects
from gnomon.labelling.store.database import open_store
from gnomon.labelling.store.tables import decisions
from gnomon.records import Message

pytestmark = pytest.mark.slow


@pytest.fixture
def store(tmp_path):
    """SQLite alone: nothing here depends on the database."""
    opened = open_store(tmp_path / "labels.db")
    yield opened
    opened.close()


@pytest.fixture
def seen(chromium, store) -> Iterator[Page]:
    """A page on the first task of somebody who has just come in by a link."""
    made = project(store, pairs(6), PLAIN)
    with store.write() as tx:
        projects.write_guidelines(tx, made.id, "Choose *well*.")
    with visit(chromium, store, made) as page:
        yield page


def test_everything_can_be_done_with_the_keyboard(seen, store):
    for number, (first, second) in enumerate(
        (("1", "Enter"), ("8", "8"), ("0", "0"), ("9", "Enter"), ("s", "s"))
    ):
        seen.keyboard.press(first)
        seen.keyboard.press(second)
        done(seen, number + 1)
    rows = said(store)
    assert [row["outcome"] for row in rows] == ["prefer", "prefer", "tie", "both_bad", "skip"]
    assert [row["strength"] for row in rows] == [4, 4, None, None, None]
    assert rows[0]["preferred"] == rows[0]["shown_order"][0]
    assert rows[1]["preferred"] == rows[1]["shown_order"][1]
    assert all(0 < row["active_ms"] <= row["elapsed_ms"] + 1 for row in rows)
    for key in ("q", "i", "3", "c"):
        seen.keyboard.press(key)
    seen.keyboard.type("q5 because")
    seen.keyboard.press("Control+Enter")
    expect(seen.get_by_role("heading", name="All done")).to_be_visible()
    (last,) = said(store)[5:]
    left, right = last["shown_order"]
    assert last["flags"] == {str(left): ["harmful"], str(right): ["wrong"]}
    assert (last["strength"], last["rationale"]) == (2, "q5 because")


def test_undo_brings_back_what_was_said(seen, store):
    question = seen.locator(".prompt").inner_text()
    for key in ("q", "2", "Enter"):
        seen.keyboard.press(key)
    done(seen, 1)
    seen.keyboard.press("z")
    done(seen, 0)
    assert seen.locator(".prompt").inner_text() == question
    assert seen.locator("[name=choice]:checked").get_attribute("value") == "left-3"
    assert seen.locator("[name=left_flags]:checked").get_attribute("value") == "harmful"
    assert said(store) == []


def test_a_draft_survives_a_reload(seen):
    seen.keyboard.press("6")
    seen.keyboard.press("w")
    seen.get_by_label("Why?").fill("not sent yet")
    text = seen.locator("#turn").inner_text()
    seen.reload()
    assert seen.locator("#turn").inner_text() == text
    assert seen.locator("[name=choice]:checked").get_attribute("value") == "right-2"
    assert seen.locator("[name=left_flags]:checked").get_attribute("value") == "refuses"
    expect(seen.get_by_label("Why?")).to_have_value("not sent yet")


def test_who_signs_out_leaves_no_draft_behind(seen):
    drafts = "Object.keys(localStorage).filter((name) => name.startsWith('gnomon-draft-')).length"
    seen.get_by_label("Why?").fill("not for others' eyes")
    seen.goto("/p/p/guidelines")
    seen.wait_for_load_state("load")
    assert seen.evaluate(drafts) == 1
    seen.get_by_role("button", name="Sign out").click()
    expect(seen.get_by_role("heading", name="Sign in")).to_be_visible()
    assert seen.evaluate(drafts) == 0


def test_a_lost_network_loses_nothing(seen, store):
    seen.get_by_label("Why?").fill("a thought")
    seen.get_by_label("Why?").press("Escape")
    seen.context.set_offline(True)
    seen.keyboard.press("1")
    seen.keyboard.press("1")
    expect(seen.get_by_role("alert")).to_contain_text("cannot be reached")
    seen.context.set_offline(False)
    done(seen, 1)  # it tries again by itself
    (row,) = said(store)
    assert (row["rationale"], row["strength"]) == ("a thought", 4)
    seen.problems.clear()  # the network's own complaints


def unheard(page: Page) -> None:
    """The server does what the next answer asks, the browser never hears of it.

    The page is loaded anew: of one that is open Chromium now and then sends an answer without asking here.
    """

    def swallow(route) -> None:
        route.fetch()
        route.abort("connectionreset")

    page.route("**/label", swallow, times=1)
    page.reload()


def test_what_failed_is_tried_again_and_nothing_else(seen, store):
    """An undo that finds no server sends no answer, neither when the network is back nor by the button."""
    for key in ("1", "Enter"):
        seen.keyboard.press(key)
    done(seen, 1)
    seen.keyboard.press("3")
    seen.context.set_offline(True)
    seen.keyboard.press("z")
    expect(seen.get_by_role("alert")).to_contain_text("cannot be reached")
    seen.context.set_offline(False)
    seen.wait_for_timeout(500)
    assert [row["strength"] for row in said(store)] == [4]
    seen.get_by_role("button", name="Try again").click()
    done(seen, 0)
    assert said(store) == []
    seen.problems.clear()


def test_a_key_that_is_held_down_sends_once(seen, store):
    seen.keyboard.press("1")
    seen.keyboard.down("Enter")
    done(seen, 1)
    seen.keyboard.press("2")
    seen.keyboard.down("Enter")  # a repeat, as it was not let go
    seen.wait_for_timeout(500)
    assert len(said(store)) == 1
    seen.keyboard.up("Enter")


def test_a_reply_that_is_lost_is_not_an_answer_that_is_lost(seen, store):
    """The same answer is sent again."""
    unheard(seen)
    seen.keyboard.press("5")
    seen.keyboard.press("Enter")
    expect(seen.get_by_role("alert")).to_contain_text("cannot be reached")
    assert len(said(store)) == 1
    seen.get_by_role("button", name="Try again").click()
    done(seen, 1)
    assert len(said(store)) == 1
    seen.problems.clear()


def test_an_answer_that_is_changed_after_its_reply_was_lost_is_not_thrown_away_in_silence(seen, store):
    """The page says so, and an undo has what was changed as a draft."""
    unheard(seen)
    for key in ("5", "Enter"):
        seen.keyboard.press(key)
    expect(seen.get_by_role("alert")).to_contain_text("cannot be reached")
    seen.keyboard.press("2")
    seen.get_by_role("button", name="Try again").click()
    expect(seen.get_by_role("alert")).to_contain_text("answered already; undo that first")
    seen.get_by_role("button", name="Go on").click()
    done(seen, 1)
    seen.wait_for_load_state("load")
    seen.keyboard.press("z")
    done(seen, 0)
    assert seen.locator("[name=choice]:checked").get_attribute("value") == "left-3"
    assert said(store) == []
    seen.problems.clear()


def test_the_text_as_it_is_can_be_looked_at(seen):
    rendered, raw = seen.locator(".reply .rendered").first, seen.locator(".reply .raw").first
    assert (rendered.is_visible(), raw.is_visible()) == (True, False)
    seen.keyboard.press("m")
    assert (rendered.is_visible(), raw.is_visible()) == (False, True)
    seen.get_by_role("button", name="Text as it is").click()
    assert (rendered.is_visible(), raw.is_visible()) == (True, False)


def test_a_disagreement_is_decided_with_the_keyboard(chromium, store):
    made = project(store, pairs(2), PLAIN.model_copy(update={"overlap": 2}))
    queue = Queue(store)
    for strength in (1, 4):
        who = turn(store, made)
        while isinstance(task := queue.next(who), Task):
            first = task.responses[0][0]["content"].endswith("first")
            choice = "left" if first == (strength == 1) else "right"
            said_ = Judgement(choice=choice, strength=strength, rationale=f"**because** {strength}")
            queue.submit(who, task.token, said_, f"key-{task.token}")
    with visit(chromium, store, made, "adjudicator", start="/p/p/adjudicate") as page:
        assert page.locator(".said .rendered strong").all_inner_texts() == ["because", "because"]
        assert page.locator(".said meter").count() == 2
        for key in ("2", "w", "Enter"):
            page.keyboard.press(key)
        done(page, 1)
        page.keyboard.press("z")
        done(page, 0)
        assert page.locator("[name=choice]:checked").get_attribute("value") == "left-3"
        page.keyboard.press("s")
        page.keyboard.press("s")
        done(page, 1)
        page.keyboard.press("0")
        page.reload()
        assert page.locator("[name=choice]:checked").get_attribute("value") == "tie"
        assert page.evaluate(NAMELESS) == []
        assert page.evaluate(CONTRAST)["ratio"] >= 4.5
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Nothing to decide")).to_be_visible()
    assert [row["outcome"] for row in all_of(store, decisions)] == ["skip", "tie"]


def test_answers_are_ranked_with_the_keyboard(chromium, store):
    made = project(store, [several("one"), several("two")], PLAIN)
    with visit(chromium, store, made) as page:
        order = page.locator("#order")
        for key in ("3", "1", "0", "4", "2"):
            page.keyboard.press(key)
        expect(order).to_have_text("C > A = D > B")
        page.keyboard.press("1")  # out again; D keeps its rank
        expect(order).to_have_text("C > D > B")
        page.keyboard.press("Backspace")
        page.keyboard.press("1")
        expect(order).to_have_text("C > D > A")
        page.reload()
        page.wait_for_load_state("load")
        expect(order).to_have_text("C > D > A")
        page.keyboard.press("Backspace")
        page.keyboard.press("1")
        expect(order).to_have_text("C > D > A")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("give each answer a rank")
        page.problems.clear()  # the refusal is an error of the network's
        page.keyboard.press("2")
        page.keyboard.press("c")
        page.keyboard.type("because")
        page.keyboard.press("Control+Enter")
        done(page, 1)
        page.keyboard.press("z")
        done(page, 0)
        expect(order).to_have_text("C > D > A > B")
        page.evaluate("document.querySelectorAll('details').forEach((marks) => { marks.open = true; })")
        assert page.evaluate(NAMELESS) == []
        page.keyboard.press("Enter")
        done(page, 1)
        page.keyboard.press("s")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="All done")).to_be_visible()
    first, second = said(store)
    assert [first["ranks"][place] for place in first["shown_order"]] == [3, 4, 1, 2]
    assert (first["rationale"], second["outcome"]) == ("because", "skip")


@pytest.mark.parametrize("width", [320, 390])
def test_answers_are_ranked_by_touch(chromium, store, width):
    made = project(store, [several("one", 9)], PLAIN)
    with visit(chromium, store, made, viewport={"width": width, "height": 700}, has_touch=True) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for button in page.locator(".place").all():
            assert button.bounding_box()["height"] >= 40
            button.tap()
        expect(page.locator("#order")).to_have_text(" > ".join("ABCDEFGHI"))
        assert page.evaluate(CONTRAST)["ratio"] >= 4.5
        page.get_by_role("button", name="Take back").tap()
        page.get_by_label("Rank of I").select_option("1")
        page.get_by_role("button", name="Send").tap()
        expect(page.get_by_role("heading", name="All done")).to_be_visible()
    (row,) = said(store)
    assert [row["ranks"][place] for place in row["shown_order"]] == [1, 2, 3, 4, 5, 6, 7, 8, 1]


def test_single_keys_can_be_turned_off(seen):
    seen.keyboard.press("?")
    expect(seen.get_by_role("dialog")).to_be_visible()
    seen.get_by_label("single keys act").uncheck()
    seen.get_by_role("button", name="Close").click()
    seen.keyboard.press("1")
    assert seen.locator("[name=choice]:checked").count() == 0
    assert seen.evaluate("localStorage.getItem('gnomon-keys')") == "off"


def test_new_guidelines_are_announced_until_they_are_read(seen):
    assert "version 1" in seen.locator("#news").inner_text()
    seen.get_by_role("link", name="read them").click()
    expect(seen.locator("em")).to_have_text("well")
    seen.get_by_role("link", name="To the tasks").click()
    seen.wait_for_load_state("load")
    assert seen.locator("#news").is_hidden()


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_shows_it_without_scrolling_sideways(chromium, store, width):
    made = project(store, pairs(2), PLAIN)
    with visit(chromium, store, made, viewport={"width": width, "height": 700}, has_touch=True) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.get_by_text("Tie", exact=True).tap()
        page.get_by_role("button", name="Send").tap()
        done(page, 1)
        for box in page.locator(".choice").all():
            assert box.bounding_box()["height"] >= 40


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_can_be_read_in_light_and_dark(chromium, store, scheme):
    """Text has at least 4.5 times the luminance of its ground, or the other way round (WCAG 2.2, 1.4.3)."""
    made = project(store, pairs(2), PLAIN)
    with visit(chromium, store, made, color_scheme=scheme) as page:
        page.keyboard.press("1")
        page.keyboard.press("q")
        worst = page.evaluate(CONTRAST)
        assert worst["ratio"] >= 4.5, worst


def test_everything_that_acts_has_a_name(seen):
    assert seen.evaluate(NAMELESS) == []


def answer(text: str) -> Response:
    return Response(messages=(Message("assistant", text),))


def test_hostile_text_does_nothing_in_a_real_browser(chromium, store):
    """No dialog opens, nothing is asked of another host, no script runs, whatever prompts and answers say."""
    items = [
        Item(id=f"hostile-{number}", prompt=(Message("user", payload),), responses=(answer(payload),) * 2)
        for number, payload in enumerate(PAYLOADS)
    ]
    dialogs, asked = [], []
    made = project(store, items, PLAIN)
    with store.write() as tx:
        projects.write_guidelines(tx, made.id, "\n\n".join(PAYLOADS))
    with visit(chromium, store, made) as page:
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        page.context.on("request", lambda request: asked.append(request.url))
        home = page.url.split("/p/")[0]
        for number in range(len(PAYLOADS)):
            page.get_by_label("Why?").fill(PAYLOADS[number].replace("\x00", ""))
            page.get_by_label("Why?").press("Escape")
            page.keyboard.press("m" if number % 2 else "q")
            page.keyboard.press("0")
            page.keyboard.press("0")
            done(page, number + 1)
        page.goto("/p/p/guidelines")
        page.wait_for_timeout(300)
        assert dialogs == []
        assert all(url.startswith(home) for url in asked), [url for url in asked if HOST in url]
        assert page.evaluate("document.querySelectorAll('script:not([src])').length") == 0
    kept = json.dumps([row["rationale"] for row in said(store)])
    assert "<script>alert(1)</script>" in kept
