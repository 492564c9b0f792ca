"""What a person who talks with a model sees and does, in Debian's Chromium."""

import pytest
from browsing import CONTRAST, NAMELESS, done, said, visit
from playwright.sync_api import expect
from talking import live, partner

from gnomon.labelling.store.database import open_store

pytestmark = pytest.mark.slow


@pytest.fixture
def store(tmp_path):
    """SQLite alone: nothing here depends on the database."""
    opened = open_store(tmp_path / "labels.db")
    yield opened
    opened.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1200, "dark")])
def test_a_dialogue_is_led_with_the_keyboard(chromium, store, width, scheme):
    """With a real model: draft, answers, vote, undo, end; on a phone and in the dark."""
    made = live(store, ["cats"], turns=3)
    shape = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    with visit(chromium, store, made, partner=partner(), **shape) as page:
        expect(page.get_by_role("note", name="Topic")).to_contain_text("Ask about cats.")
        page.keyboard.press("c")
        page.keyboard.type("x Hello <b>you</b>?")
        page.reload()
        page.wait_for_load_state("load")
        expect(page.get_by_label("Your message")).to_have_value("x Hello <b>you</b>?")
        page.get_by_label("Your message").press("Control+Enter")
        expect(page.get_by_role("article", name="Answer B")).to_be_visible()
        assert page.evaluate(NAMELESS) == []
        assert page.evaluate(CONTRAST)["ratio"] >= 4.5
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for key in ("7", "7"):
            page.keyboard.press(key)
        expect(page.get_by_label("Your message")).to_be_focused()
        done(page, 1)
        expect(page.locator(".message")).to_have_count(2)
        page.keyboard.press("Escape")
        page.keyboard.press("z")
        done(page, 0)
        assert page.locator("[name=choice]:checked").get_attribute("value") == "right-3"
        page.keyboard.press("Enter")
        done(page, 1)
        page.keyboard.type("And then?")
        page.keyboard.press("Control+Enter")
        expect(page.get_by_role("article", name="Answer B")).to_be_visible()
        expect(page.locator(".prompt .message")).to_have_count(3)
        page.keyboard.press("0")
        page.keyboard.press("0")
        done(page, 2)
        assert page.evaluate(CONTRAST)["ratio"] >= 4.5
        page.once("dialog", lambda asked: asked.accept())
        page.keyboard.press("Escape")
        page.keyboard.press("x")
        expect(page.get_by_role("heading", name="All done")).to_be_visible()
    assert [row["outcome"] for row in said(store)] == ["prefer", "tie"]
