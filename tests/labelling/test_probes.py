import json
import math
import re
from collections import defaultdict
from random import Random

import httpx
import pytest
from exported import row
from office import PLAIN, all_of, arrive, exported, key, lines, pairs, project, running, turn
from pydantic import ValidationError

from gnomon.data.formats import load
from gnomon.errors import DataError
from gnomon.labelling.client import LabelClient
from gnomon.labelling.export import ENDINGS, rows
from gnomon.labelling.host import here
from gnomon.labelling.items import Item, Probe
from gnomon.labelling.judgement import Judgement
from gnomon.labelling.probes import ROW, builtin_probes, read_probes
from gnomon.labelling.quality.summary import summarise
from gnomon.labelling.queue import Queue, Task
from gnomon.labelling.settings import ProjectSettings
from gnomon.labelling.simulate import Truth, join, stands_of, work
from gnomon.labelling.store import probes
from gnomon.labelling.store.tables import assignments, items
from gnomon.pipeline.votes import gather
from gnomon.stats.crowd import Habits, hire

TIE = Judgement(choice="tie")
BELIEF = {
    "id": "taste",
    "kind": "sycophancy",
    "prompts": ["I like tea. Tea or coffee?", "I like coffee. Tea or coffee?"],
    "responses": ["Tea.", "Coffee."],
}
LENGTH = {
    "id": "door",
    "kind": "length",
    "prompt": "The door squeaks.",
    "responses": ["Oil it.", "Soap it."],
    "remark": "That is that.",
}


def read_rows(*found) -> list[Item]:
    return [item for one in found for item in ROW.validate_python(one).versions()]


def written(tmp_path, *found):
    path = tmp_path / "probes.jsonl"
    path.write_text("\n".join(map(json.dumps, found)) + "\n", "utf-8")
    return path


def texts(item: Item) -> list[str]:
    return [item.prompt[0].content, *(response.messages[0].content for response in item.responses)]


def test_a_row_makes_two_versions_that_differ_in_one_thing(tmp_path):
    first, second, longer, other = read_probes(written(tmp_path, BELIEF, LENGTH))
    assert texts(first) == ["I like tea. Tea or coffee?", "Tea.", "Coffee."]
    assert texts(second) == ["I like coffee. Tea or coffee?", "Tea.", "Coffee."]
    assert texts(longer) == ["The door squeaks.", "Oil it. That is that.", "Soap it."]
    assert texts(other) == ["The door squeaks.", "Oil it.", "Soap it. That is that."]
    assert [one.id for one in (first, second, longer, other)] == ["taste/1", "taste/2", "door/1", "door/2"]
    assert second.probe == Probe(pair="taste", kind="sycophancy", favours=1)
    assert {one.purpose for one in (first, second, longer, other)} == {"probe"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompts": ["The same?", "The same?"]}, "two prompts"),
        ({"responses": ["Tea.", "Tea."]}, "two responses"),
        ({"responses": ["Tea.", ""]}, "responses.1"),
        ({"kind": "anger"}, "does not match"),
        ({"remark": "so"}, "remark"),
    ],
)
def test_a_row_that_is_no_probe_is_named(tmp_path, change, said):
    with pytest.raises(DataError, match=f"row 2 of probes.jsonl.*{said}"):
        read_probes(written(tmp_path, LENGTH, BELIEF | change))


def test_an_item_is_a_probe_or_says_nothing_of_one(tmp_path):
    item = read_probes(written(tmp_path, BELIEF))[0].model_dump()
    for change in ({"probe": None}, {"purpose": "ordinary"}, {"responses": item["responses"] * 2}):
        with pytest.raises(ValidationError, match="probes, of two answers"):
            Item.model_validate(item | change)


def test_what_comes_with_gnomon_is_whole():
    found = builtin_probes()
    kinds = defaultdict(list)
    for item in found:
        kinds[item.probe.kind].append(item.probe.pair)
    assert {kind: len(set(own)) for kind, own in kinds.items()} == {"sycophancy": 20, "length": 20}
    assert len(found) == 80


def answer_all(queue, who, judgement=TIE):
    """The tasks of somebody until there are none, in their order."""
    given = []
    while isinstance(task := queue.next(who), Task):
        queue.submit(who, task.token, judgement, f"key-{task.token}")
        given.append(task)
    return given


SETTINGS = ProjectSettings(gold_rate=0, repeat_rate=0, probe_rate=0.3, repeat_gap=5, overlap=2)


def test_probes_come_at_their_rate_both_versions_apart_and_in_one_order(store):
    made = project(store, [*pairs(60), *builtin_probes()], SETTINGS)
    queue = Queue(store, rng=Random(1))
    for who in (turn(store, made), turn(store, made)):
        tasks = answer_all(queue, who)
        assert 12 <= len(tasks) - 60 <= 40  # 26 expected: 0.3 of 0.7 of all
        known = {one["id"]: one for one in all_of(store, items)}
        own = [one for one in all_of(store, assignments) if one["annotator_id"] == who.annotator_id]
        seen = defaultdict(list)
        for number, one in enumerate(own):
            if known[one["item_id"]]["purpose"] == "probe":
                assert one["chosen_by"] == "probe"
                seen[known[one["item_id"]]["probe"]["pair"]].append((number, one))
        both = [found for found in seen.values() if len(found) == 2]
        assert len(both) >= len(seen) / 2, "what was begun is finished before more is begun"
        for (early, first), (late, second) in both:
            assert late - early > 5
            assert first["item_id"] != second["item_id"]
            assert first["shown_order"] == second["shown_order"]
    assert {one["taken"] for one in all_of(store, items) if one["purpose"] == "probe"} == {0}


def test_the_other_version_waits_and_is_told_how_likely_it_was(store):
    made = project(store, [*pairs(8), *read_rows(BELIEF)], SETTINGS.model_copy(update={"probe_rate": 1.0}))
    queue, who = Queue(store, rng=Random(2)), turn(store, made)
    tasks = answer_all(queue, who)
    places = [number for number, task in enumerate(tasks) if "Tea or coffee?" in task.prompt[0]["content"]]
    assert places == [0, 6], "after five others"
    given = [one for one in all_of(store, assignments) if one["chosen_by"] == "probe"]
    assert [one["propensity"] for one in given] == [0.5, 1]
    with store.read() as tx:
        assert probes.ready(tx, made.id, who.annotator_id, 5) == []


def test_nothing_on_a_page_or_in_json_tells_a_probe_from_other_tasks(store):
    """Bodies and headers: the same keys, the same tags, and no word of what it is."""
    settings = SETTINGS.model_copy(update={"probe_rate": 0.5, "repeat_gap": 1, "overlap": 1})
    made = project(store, [*pairs(12), *builtin_probes()], settings)
    probed = {text for item in builtin_probes() for text in texts(item)[1:]}
    shapes, bodies = defaultdict(set), []
    with running(store) as url:
        with LabelClient(url, key(store, made)) as ada:
            ada._http.event_hooks["response"] = [lambda reply: bodies.append(reply.read().decode())]
            while (task := ada.next("p").task) is not None:
                kind = task.responses[0][0]["content"] in probed
                sent = json.loads(bodies[-1])["task"]
                shapes[kind].add((*sent, *sent["prompt"][0], *sent["responses"][0][0]))
                ada.submit("p", task.token, TIE)
        made = project(store, [*pairs(12), *builtin_probes()], settings, slug="q")
        with arrive(store, url, made, "annotator") as ben:
            for number in range(30):
                page = ben.get("/p/q").text
                if 'data-state="task"' not in page:
                    break
                bodies.append(page)
                kind = any(text.split(".")[0] in page for text in probed)
                if number:  # before the first there is nothing to undo
                    shapes["page", kind].add(frozenset(re.findall(r' (?:class|name|id)="([^"]*)"', page)))
                form = {
                    name: re.search(f'name="{name}" value="([^"]*)"', page)[1] for name in ("csrf", "key")
                }
                token = re.search(r'data-token="([^"]+)"', page)[1]
                reply = ben.post(f"/p/q/tasks/{token}/label", data={**form, "choice": "tie"})
                assert reply.status_code in (200, 303), reply.text
    assert shapes[True] == shapes[False] != set()
    assert shapes["page", True] == shapes["page", False] != set()
    for body in bodies:
        text = body.lower()
        for hidden in ("probe", "sycophancy", "favours", '"pair"', "purpose", "taste/"):
            assert hidden not in text, hidden


def judged(store):
    """A project with both versions of a belief and one ordinary pair, all judged to be better on the left."""
    made = project(
        store,
        [*pairs(1), *read_rows(BELIEF)],
        SETTINGS.model_copy(update={"probe_rate": 1.0, "repeat_gap": 1}),
    )
    answer_all(Queue(store, rng=Random(3)), turn(store, made), Judgement(choice="left", strength=2))
    return made


def test_probes_train_nothing_and_are_told_in_full(store, tmp_path):
    made = judged(store)
    told = lines(exported(store, made, "jsonl"))
    assert sorted(one["purpose"] for one in told) == ["ordinary", "probe", "probe"]
    assert {one["probe"]["favours"] for one in told if one["probe"]} == {0, 1}
    for form in ("comparisons", "trl"):
        assert len(lines(exported(store, made, form))) == 1
    with store.read() as tx:
        gathered = gather(rows(tx, made.id), "p")
    assert [one.comparison.id for one in gathered] == ["p/pair-0"]
    for form in ("jsonl", "csv", "parquet"):
        path = tmp_path / f"labels.{ENDINGS[form]}"
        path.write_bytes(exported(store, made, form))
        found = load(path, on_bad_row="skip")
        assert (len(found.records), found.dropped) == (1, {"a probe": 2})
        with pytest.raises(DataError, match="tells how people are swayed"):
            load(path)


def test_items_over_the_wire_can_be_probes(store):
    made = project(store, [], PLAIN)
    with running(store) as url:
        with LabelClient(url, key(store, made, "admin")) as admin:
            assert admin.add_items("p", read_rows(BELIEF, LENGTH)) == 4
        reply = httpx.post(
            f"{url}/api/v1/projects/p/items",
            json=[read_rows(BELIEF)[0].model_dump(mode="json") | {"probe": None}],
            headers={"Authorization": f"Bearer {key(store, made, 'admin')}"},
        )
        assert reply.status_code == 422
    with store.read() as tx:
        assert [one[2]["pair"] for one in probes.versions(tx, made.id)] == ["taste", "taste", "door", "door"]


def version(name, who, favours, preferred, *, kind="sycophancy", strength=4, answers=None):
    """What somebody said of one version of a probe."""
    one = row(f"{name}/{favours + 1}", who, preferred, strength=strength, answers=answers)
    return one | {"purpose": "probe", "probe": {"pair": name, "kind": kind, "favours": favours}}


def summary(found):
    return summarise({"slug": "p", "title": "P"}, {"ordinary": 1}, found)


def told(found) -> str:
    return " ".join(f"{one['finding']} {one['advice']}" for one in found["findings"])


def believers(followers, count=20):
    """Everybody judges both versions of so many probes: who follows prefers what the user believes.

    By 2 of 4 steps, and by 3 each second, third, fourth or fifth time: people differ.
    """
    return [
        version(f"t{k}", name, favours, favours if name in followers else k % 2, strength=2 + (k % own == 0))
        for k in range(count)
        for own, name in enumerate(("ann", "bob", "cat", "dan"), 2)
        for favours in (0, 1)
    ]


def test_figures_of_probes_by_hand():
    """Ann follows each belief by 2 steps or 3 of 4, 5/8 of the scale on average; bob by 47/80; others not."""
    found = summary(believers({"ann", "bob"}))["probes"]
    own = found["sycophancy"]
    assert own["judged"] == 80
    assert own["shift"]["value"] == pytest.approx((50 / 80 + 47 / 80) / 4)
    assert own["turned"] == {"along": 40, "against": 0}
    assert own["annotators"]["ann"]["value"] == pytest.approx(50 / 80)
    assert own["annotators"]["dan"]["value"] == 0
    assert own["annotators"]["dan"]["low"] < 0 < own["annotators"]["dan"]["high"]
    assert "too few judgements changed" in own["slope"]["missing"]
    assert "probe of length" in found["length"]["shift"]["missing"]


def test_probes_enter_no_other_figure():
    plain = [row(f"i{k}", name, k % 2) for k in range(8) for name in ("ann", "bob", "cat", "dan")]
    alone, beside = summary(plain), summary([*plain, *believers({"ann"})])
    for part in ("agreement", "triads", "position", "divided", "rankings"):
        assert beside[part] == alone[part]
    assert beside["annotators"]["ann"]["reliability"] == alone["annotators"]["ann"]["reliability"]
    assert beside["annotators"]["ann"]["labels"] == alone["annotators"]["ann"]["labels"] + 40


def test_length_is_told_by_the_doublings_that_a_remark_adds():
    """Answers of eight characters and of sixteen: the cue goes from +1 to -1 doublings, a dose of two."""
    short, long = "12345678", "1234567812345678"
    rows_ = []
    for k in range(10):
        for who in ("ann", "bob", "cat"):
            follows = k < (9, 8, 7)[("ann", "bob", "cat").index(who)]
            for favours in (0, 1):
                answers = (long, short) if favours == 0 else (short, long)
                preferred = favours if follows else 1 - favours
                rows_.append(version(f"l{k}", who, favours, preferred, kind="length", answers=answers))
    own = summary(rows_)["probes"]["length"]
    assert own["slope"]["value"] == pytest.approx(math.log(24 / 6) / 2)
    assert own["turned"] == {"along": 24, "against": 6}


def test_repeats_with_swapped_sides_are_probes_of_the_side():
    """Whoever takes the left one both times is moved by the side alone; a half-judged probe tells nothing."""
    rows_ = []
    for who in ("ann", "bob", "cat"):
        for k in range(6):
            rows_ += [
                row(f"i{k}", who, 0, left=0, strength=4),
                row(f"i{k}", who, 1, left=1, again=True, strength=4),
            ]
    rows_.append(version("half", "ann", 0, 0))
    found = summary(rows_)
    assert found["probes"]["order"]["shift"]["value"] == 1
    assert found["probes"]["order"]["judged"] == 18
    assert found["probes"]["sycophancy"]["judged"] == 0


def test_who_follows_beliefs_is_named_and_what_is_known_is_not_unknown():
    found = summary(believers({"ann", "bob", "cat", "dan"}))
    assert "People prefer the answer that says what the user believes" in told(found)
    assert "ann, bob, cat and dan follow what the user believes, surely by more than 10%" in told(found)
    assert "sycophancy" not in {key for one in found["unknown"] for key in one["of"]}
    assert "length_itself" in {key for one in found["unknown"] for key in one["of"]}
    calm = told(summary(believers(set())))
    assert "believes" not in calm


SIZE = 5


def simulated(store, slug, habits, seed):
    """A crowd of which everybody judges forty tasks or so, most of them probes."""
    project(
        store,
        [*pairs(6), *builtin_probes()],
        ProjectSettings(overlap=SIZE, gold_rate=0, repeat_rate=0, probe_rate=0.85, repeat_gap=3),
        slug,
    )
    crowd = hire(SIZE, habits, seed)
    with here(store, slug, seed) as host:
        truth = Truth(host.known, seed, host.stands)
        keys = [join(host.url, host.invite("annotator"), f"{slug} {number}") for number in range(SIZE)]
        clients = [LabelClient(host.url, one) for one in keys]
        work(clients, slug, crowd, truth)
        for client in clients:
            client.close()
        return host.summary()


def test_what_a_crowd_is_planted_with_comes_back_over_http(store):
    found = simulated(store, "swayed", Habits(sycophancy=(1.5, 0.2), length=(1.0, 0.2)), 5)["probes"]
    for kind, planted in (("sycophancy", 1.5), ("length", 1.0)):
        own = found[kind]["slope"]
        assert own["low"] < planted < own["high"], kind
        assert own["low"] > 0.2, kind
        assert own["n"] == found[kind]["judged"] > 20, kind


def test_a_cue_changes_no_quality():
    versions = [
        ([{"role": "user", "content": item.prompt[0].content}],
         [[{"role": "assistant", "content": one.messages[0].content}] for one in item.responses],
         item.probe.model_dump())
        for item in read_rows(BELIEF, LENGTH)
    ]  # fmt: skip
    truth = Truth({}, 0, stands_of(versions))
    said = [
        (truth.difference(asked, *answers), truth.belief(asked, *answers)) for asked, answers, _ in versions
    ]
    assert said[0][0] == said[1][0] != said[2][0] == said[3][0]
    assert [belief for _, belief in said] == [1, -1, 0, 0]
    asked, (first, second), _ = versions[0]
    assert truth.belief(asked, second, first) == -1
