"""How many rewordings are told, and how few prompts that are alike in form alone are taken for them."""

import time
from collections import Counter
from pathlib import Path

import pytest

from gnomon.data.splits import REWORDED, SIMILAR, cluster, similarity
from gnomon.data.wording import LIGHT, MISSING, closeness, contrast, gist, root

HERE = Path(__file__).parent


def rows(name):
    return [line.split("\t") for line in (HERE / name).read_text("utf-8").splitlines()[1:]]


REWORDINGS = rows("rewordings.tsv")
"""Depth, whether it was seen while the method was made, a built-in prompt, the same in other words: `light`
changes those around the words that carry it, `middle` their order and form as well, `deep` some of them."""

LOOKALIKES = rows("lookalikes.tsv")
"""Prompts that share their form and ask other things."""


def told(rows):
    """How many of the rewordings are told, by depth, and how many there are."""
    found, total = Counter(), Counter()
    for depth, _, one, other in rows:
        total[depth] += 1
        found[depth] += closeness(one, other) >= REWORDED
    return {depth: (found[depth], total[depth]) for depth in total}


def test_rewordings_are_told():
    assert len(REWORDINGS) == 169
    assert sum(similarity(one, other) >= SIMILAR for _, _, one, other in REWORDINGS) == 1
    seen = told(row for row in REWORDINGS if row[1] == "seen")
    assert seen["light"] == (45, 45)
    assert seen["middle"][0] >= 43
    assert seen["deep"][0] >= 20


def test_rewordings_that_the_method_was_not_made_on_are_told_where_the_words_are_left():
    unseen = told(row for row in REWORDINGS if row[1] == "unseen")
    assert unseen["light"][0] >= 13
    assert unseen["middle"] == (13, 13)
    assert unseen["deep"][0] >= 3


def test_prompts_alike_in_form_alone_are_not():
    assert len(LOOKALIKES) == 112
    alarms = [(one, other) for one, other in LOOKALIKES if closeness(one, other) >= REWORDED]
    assert alarms == []
    assert sum(similarity(one, other) >= SIMILAR for one, other in LOOKALIKES) == 3


def test_the_measure_is_no_matter_of_direction():
    pairs = [row[-2:] for row in (*REWORDINGS, *LOOKALIKES)]
    assert [closeness(one, other) for one, other in pairs] == [closeness(b, a) for a, b in pairs]


def test_closeness_is_the_weight_of_what_is_shared():
    assert gist("Write a haiku about rain, please.").weights == {"write": LIGHT, "haiku": 1, "rain": 1}
    share = 1 + LIGHT
    assert closeness("Write a haiku about rain.", "Write a haiku about snow.") == share / (
        2 + share + MISSING
    )
    assert closeness("Tell me about rain.", "What is rain?") == 1 / (1 + MISSING)
    assert closeness("What should I do?", "How can I do it?") == 0
    assert closeness("", "?") == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Who wrote Pride and Prejudice?", "When was Pride and Prejudice written?"),
        ("In what year did the First World War begin?", "In which year did the Second World War end?"),
        ("Which month comes before October?", "Which month comes after October?"),
        ("Why do bees dance?", "Where do bees dance?"),
    ],
)
def test_opposites_are_never_the_same(one, other):
    assert contrast(gist(one), gist(other))
    assert closeness(one, other) == 0


def test_what_asks_for_the_same_in_another_way_is_no_contrast():
    assert not contrast(gist("In what year did it end?"), gist("When did it end?"))
    assert not contrast(gist("How come it floats?"), gist("Why does it float?"))
    assert not contrast(gist("What made it so?"), gist("Why is it so?"))


def test_forms_of_a_word_are_one():
    for forms in (
        ("bake", "bakes", "baked", "baking"),
        ("stop", "stops", "stopped", "stopping"),
        ("country", "countries"),
        ("dry", "dries", "dried", "drying"),
        ("write", "wrote", "written", "writing"),
        ("politics", "political"),
        ("box", "boxes"),
        ("mouse", "mice"),
    ):
        assert len({root(form) for form in forms}) == 1, forms
    assert len({root(word) for word in ("plan", "plane", "win", "wine", "bus", "class", "ring")}) == 7


def test_thousands_of_prompts_take_seconds():
    texts = [f"{one} {number}" for number in range(30) for row in REWORDINGS for one in row[-2:]][:5000]
    began = time.process_time()
    assert len(cluster(texts)) == 5000
    assert time.process_time() - began < 20
