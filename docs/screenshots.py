"""Pictures of the labelling application, light and dark, on a laptop and on a phone: `make screenshots`.

All of them go to a folder, and those that the documentation shows to docs/images. They are made of the demo's
pairs, judged by a simulated crowd, and so are the same each time but for pseudonyms and fonts.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, BrowserContext, sync_playwright

from gnomon.labelling import demo
from gnomon.labelling.client import LabelClient
from gnomon.labelling.host import here
from gnomon.labelling.items import Item, Response
from gnomon.labelling.judgement import Judgement
from gnomon.labelling.probes import builtin_probes
from gnomon.labelling.queue import Queue, Task, Turn
from gnomon.labelling.server import listen, serving
from gnomon.labelling.settings import ProjectSettings
from gnomon.labelling.simulate import Truth, join, work
from gnomon.labelling.store import people, projects
from gnomon.labelling.store.database import Store, open_store
from gnomon.records import Message
from gnomon.reports.labels import write_label_page
from gnomon.stats.crowd import Habits, hire

SIZES = {"laptop": (1280, 800), "phone": (390, 844)}
SCHEMES = ("light", "dark")
LARGEST = 120_000
"""Bytes of a picture."""
SHOWN = (
    "comparison-light-laptop",
    "ranking-dark-phone",
    "adjudication-light-laptop",
    "statistics-dark-laptop",
)
"""What the documentation shows."""
IMAGES = Path(__file__).parent / "images"
CROWD, SEED = 8, 7

ASKED = "My bread dough does not rise. What can I do?"
ANSWERS = (
    "Give it **warmth and time**:\n\n1. Put the bowl into the oven with only the lamp on.\n"
    "2. Wait an hour; cold dough may need two.\n3. If nothing happens, the yeast is dead: stir fresh yeast "
    "into a little lukewarm water and knead it in.",
    "Dough that does not rise has yeast that is too old, too cold or was scalded. Warm the bowl a little; if "
    "there are no bubbles after an hour, begin again with new yeast.",
    "Bake it anyway. Flat bread is bread too.",
)
SAID = (
    ("left", 3, "It says what to do, *in order*."),
    ("left", 1, "Both are right; this one is easier to follow with sticky hands."),
    ("right", 2, "It names the causes, so that I know it next time."),
)


def item(name: str, answers: tuple[str, ...]) -> Item:
    """The question with some of the answers."""
    responses = tuple(Response(messages=(Message("assistant", text),)) for text in answers)
    return Item(id=name, prompt=(Message("user", ASKED),), responses=responses)


def fill(store: Store) -> None:
    """Projects with one task each: a pair of the demo's, answers to rank, a pair people disagree on."""
    settings = ProjectSettings(overlap=len(SAID), gold_rate=0, repeat_rate=0)
    with store.write() as tx:
        pairs = (one for one in demo.sample() if 120 < len(one.responses[0].messages[0].content) < 400)
        for slug, own in (
            ("compare", next(pairs)),
            ("rank", item("bread", ANSWERS)),
            ("decide", item("bread", ANSWERS[:2])),
        ):
            made = projects.create(tx, slug, "Which answer would you rather have?", settings)
            projects.add_items(tx, made.id, [own])
    for side, strength, why in SAID:
        disagree(store, side, strength, why)


def disagree(store: Store, place: str, strength: int, why: str) -> None:
    """Somebody's vote for the answer that stands in its own order first (`left`) or second."""
    with store.write() as tx:
        project, who = projects.named(tx, "decide"), people.add_annotator(tx)
        people.join(tx, project.id, who.id, "annotator")
    queue, turn = Queue(store, rng=Random(SEED)), Turn(project, who.id)
    task = queue.next(turn)
    assert isinstance(task, Task)
    first = task.responses[0][0]["content"] == ANSWERS[0]
    choice = "left" if first == (place == "left") else "right"
    queue.submit(
        turn, task.token, Judgement(choice=choice, strength=strength, rationale=why), "key-" + task.token
    )


def judged(store: Store, page: Path) -> None:
    """The demo's project, with probes, judged by a crowd; the page of its statistics."""
    project = demo.fill(store)
    with store.write() as tx:
        projects.add_items(tx, project.id, builtin_probes())
        projects.settle(tx, project, project.settings.model_copy(update={"overlap": 3, "probe_rate": 0.3}))
    crowd = hire(CROWD, Habits(sycophancy=(0.9, 0.3), length=(0.3, 0.2), spam=1 / CROWD), SEED)
    with here(store, demo.SLUG, SEED) as host:
        keys = [join(host.url, host.invite("annotator"), f"annotator {number}") for number in range(CROWD)]
        clients = [LabelClient(host.url, key) for key in keys]
        work(clients, demo.SLUG, crowd, Truth(host.known, SEED, host.stands))
        for client in clients:
            client.close()
        write_label_page(page, host.summary())


def pictures(browser: Browser, url: str, link: str, statistics: Path) -> Iterator[tuple[str, bytes]]:
    """Every page in every look, as PNG, by name."""
    entered = browser.new_context(base_url=url)
    page = entered.new_page()
    page.goto(link)
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("Password").fill("a password for pictures")
    page.get_by_role("button", name="Join").click()
    page.get_by_role("button", name="Sign out").wait_for()
    for scheme in SCHEMES:
        for size, (width, height) in SIZES.items():
            with looking(browser, entered, url, scheme, (width, height)) as context:
                for name, address in (
                    ("comparison", "/p/compare"),
                    ("ranking", "/p/rank"),
                    ("adjudication", "/p/decide/adjudicate"),
                    ("statistics", statistics.as_uri()),
                ):
                    yield f"{name}-{scheme}-{size}", taken(context, name, address)


@contextmanager
def looking(
    browser: Browser, entered: BrowserContext, url: str, scheme: str, size: tuple[int, int]
) -> Iterator[BrowserContext]:
    """The same person with another screen."""
    context = browser.new_context(
        base_url=url,
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": size[0], "height": size[1]},
        storage_state=entered.storage_state(),
    )
    yield context
    context.close()


def taken(context: BrowserContext, name: str, address: str) -> bytes:
    """One picture, with something chosen where there is something to choose."""
    page = context.new_page()
    page.goto(address)
    page.wait_for_load_state("load")
    keys = {"comparison": ("2",), "ranking": ("1", "3")}
    for key in keys.get(name, ()):
        page.keyboard.press(key)
    if name == "statistics":
        page.evaluate("document.getElementById('probes').scrollIntoView({ behavior: 'instant' })")
    picture = page.screenshot()
    page.close()
    return picture


def main(folder: Path) -> None:
    """Write all pictures into a folder, and those that are shown beside the documentation."""
    chromium = shutil.which("chromium") or sys.exit("Chromium is not installed: bash .ci/services")
    folder.mkdir(parents=True, exist_ok=True)
    IMAGES.mkdir(exist_ok=True)
    with TemporaryDirectory() as place, closing(open_store(Path(place) / "labels.db")) as store:
        statistics = Path(place) / "stats.html"
        judged(store, statistics)
        fill(store)
        with store.write() as tx:
            link = f"/join/{people.invite(tx, 'admin')}"
        with serving(store, listen("127.0.0.1", 0)) as url, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            for name, picture in pictures(browser, url, link, statistics):
                if len(picture) > LARGEST:
                    sys.exit(f"{name} has {len(picture)} bytes, more than {LARGEST}: make it show less")
                (folder / f"{name}.png").write_bytes(picture)
                if name in SHOWN:
                    (IMAGES / f"{name}.png").write_bytes(picture)
            browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/screenshots"))
