"""What the tests in a browser share: somebody who comes in by a link, what they said, what they can see."""

from collections.abc import Iterator
from contextlib import contextmanager

from office import PASSWORD, running
from playwright.sync_api import Page, expect
from sqlalchemy import select

from gnomon.labelling.store import people
from gnomon.labelling.store.tables import assignments, labels


@contextmanager
def visit(chromium, store, made, role="annotator", start=None, partner=None, **more) -> Iterator[Page]:
    """A browser of its own for somebody who comes in by a link; errors of scripts fail the test."""
    with store.write() as tx:
        token = people.invite(tx, role, made.id)
    with running(store, partner=partner) as url:
        context = chromium.new_context(base_url=url, **more)
        page, problems = context.new_page(), []
        page.on("pageerror", lambda problem: problems.append(str(problem)))
        page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
        page.goto(f"/join/{token}")
        page.get_by_label("Name").fill("Ada")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Join").click()
        if start:
            page.goto(start)
        expect(page.locator("#answer")).to_be_visible()
        page.wait_for_load_state("load")  # until then keys do nothing
        page.problems = problems
        yield page
        context.close()
        assert problems == []


def said(store) -> list:
    with store.read() as tx:
        query = select(labels, assignments.c.shown_order).join(
            assignments, assignments.c.id == labels.c.assignment_id
        )
        return [row._mapping for row in tx.connection.execute(query.order_by(labels.c.id))]


def done(page: Page, count: int) -> None:
    expect(page.locator(".standing b")).to_have_text(str(count))


CONTRAST = """() => {
  const rgb = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = (c) => c.slice(0, 3).map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => { for (; e; e = e.parentElement) {
    const c = rgb(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] > 0) return c; } };
  let worst = { ratio: 99 };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !e.checkVisibility()) continue;
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst.ratio) worst = { ratio, at: e.outerHTML.slice(0, 80) };
  }
  return worst;
}"""


NAMELESS = """() => [...document.querySelectorAll("button, a, input:not([type=hidden]), textarea")]
  .filter((e) => ![e.innerText, e.ariaLabel,
    ...Array.from(e.labels || [], (l) => l.innerText)].join("").trim())
  .map((e) => e.outerHTML.slice(0, 100))"""
