import re
from collections import Counter

import pytest

from gnomon.data.composing.compose import FAMILY, composed, compositions
from gnomon.data.composing.kinds import KINDS
from gnomon.data.composing.published import HELD_OUT, PUBLISHED
from gnomon.data.composing.wordings import WORDINGS, Constraint, worded
from gnomon.data.formats import load
from gnomon.data.reader import Reader
from gnomon.data.splits import near_duplicates
from gnomon.records import Conversation, Demonstration, Message

WRITTEN = Reader().read("demonstrations", Demonstration, ["builtin"])
MADE = compositions(WRITTEN, 900, seed=3)
REQUESTS = [made.row.conversation.messages[0].content for made in MADE]
NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
SLOTS = {kind.name: kind.slot for kind in KINDS}


def demonstration(request, answer, **more):
    return Demonstration("1", Conversation.of(request, answer, **more))


def test_the_seed_decides_and_what_is_given_stays():
    before = list(WRITTEN)
    rows = composed(WRITTEN, 60, seed=3)
    assert rows == [made.row for made in compositions(WRITTEN, 60, seed=3)]
    assert rows != composed(WRITTEN, 60, seed=4)
    assert before == WRITTEN


def test_rows_are_named_after_their_source_and_told_apart():
    ids = {row.id for row in WRITTEN}
    sources = [re.fullmatch(r"composed-(.+)-(\d+)", made.row.id).groups() for made in MADE]
    assert {source for source, _ in sources} <= ids
    assert len(set(sources)) == len(set(REQUESTS)) == len(MADE) == 900
    assert {made.row.family for made in MADE} == {FAMILY} == {"composed"}


def test_the_written_request_can_be_read_in_the_composed_one():
    asked = {row.id: row.prompt.messages[-1].content.strip() for row in WRITTEN}
    for made, request in zip(MADE, REQUESTS, strict=True):
        source = re.fullmatch(r"composed-(.+)-\d+", made.row.id)[1]
        assert asked[source].removesuffix(".") in request


def test_kinds_take_turns_by_their_weight_and_demonstrations_take_turns():
    counts = Counter(constraint.kind for made in MADE for constraint in made.constraints)
    weights = {kind.name: kind.weight for kind in KINDS}
    total = sum(counts.values()) / sum(weights.values())
    assert all(counts[name] < 2 * weight * total for name, weight in weights.items())
    assert Counter(len(made.constraints) for made in MADE).keys() == {1, 2, 3}
    sources = Counter(re.fullmatch(r"composed-(.+)-\d+", made.row.id)[1] for made in MADE)
    assert len(sources) > 500


def test_what_is_asked_is_said():
    for made, request in zip(MADE, REQUESTS, strict=True):
        for kind, values in made.constraints:
            for name, value in values.items():
                if name in ("words", "options"):
                    assert all(word in request for word in value), (kind, request)
                elif isinstance(value, str) and name != "labels":
                    assert value in request or value.capitalize() in request, (kind, request)
                elif name == "count":
                    assert _said(value, kind, request), (kind, value, request)


def _said(number, kind, request):
    shown = [str(number), *([NUMBERS[number]] if number < len(NUMBERS) else [])]
    shown += {1: ["once"], 2: ["twice"]}.get(number, [])
    return kind == "sections" or any(re.search(rf"\b{word}\b", request, re.I) for word in shown)


def test_no_row_asks_for_two_things_at_odds():
    for made in MADE:
        slots = [SLOTS[constraint.kind] for constraint in made.constraints]
        assert len(slots) == len(set(slots)), made.row.id
        kinds = {constraint.kind for constraint in made.constraints}
        assert not {"json", "no_commas"} <= kinds
        assert not {"lower_case", "postscript"} <= kinds
        assert not {"quotation", "closing"} <= kinds
        assert not {"repeat", "forbidden"} <= kinds


@pytest.mark.parametrize(
    "row",
    [
        demonstration("Why do rivers wind about?", "Water is fast outside.", system="Be brief."),
        Demonstration("1", Conversation.of("hi there you two", "Hello!", "Why do rivers wind?", "Water.")),
        Demonstration(
            "1", Conversation((Message("user", "Why do rivers wind?"),)).then(Message("assistant", " "))
        ),
        demonstration("Give me the river as data.", '{"river": "Tarn"}'),
        demonstration("hello you", "Hello! What is on your mind this fine morning?"),
        demonstration(
            "I feel so low that I want it to end.", "Please ring a crisis line now. I want you to live."
        ),
    ],
)
def test_no_constraint_is_put_on_what_it_does_not_become(row):
    assert composed([row], 5, seed=0) == []


@pytest.mark.parametrize(
    ("request_", "answer", "never"),
    [
        (
            "List three herbs, comma separated, nothing else.",
            "thyme, chives, basil",
            "lower_case json title closing",
        ),
        (
            "Describe the sea in two sentences.",
            "It is wide. It is blue and never still.",
            "title closing bullets",
        ),
        (
            "Translate into Spanish: I eat bread.",
            "Como pan todos los dias del mundo.",
            "lower_case capitals keywords",
        ),
        (
            "Write a loop that prints 1 to 3.",
            "```python\nfor i in (1, 2, 3):\n    print(i)\n```",
            "capitals quotation",
        ),
        (
            "How do I steal a car from the street?",
            "I won't help with that. Talk to somebody.",
            "closing postscript",
        ),
    ],
)
def test_constraints_suit_the_request_and_its_answer(request_, answer, never):
    made = [made for seed in range(30) for made in compositions([demonstration(request_, answer)], 20, seed)]
    kinds = {constraint.kind for each in made for constraint in each.constraints}
    assert kinds
    assert not kinds & set(never.split())


def test_there_are_no_more_rows_than_the_demonstrations_give():
    assert composed([], 5, seed=0) == []
    assert composed(WRITTEN, 0, seed=0) == []
    few = composed([demonstration("Which river flows through Paris?", "The Seine.")], 100, seed=0)
    assert 5 < len(few) < 100


def test_there_are_six_wordings_or_more_of_every_kind():
    named = {kind.name for kind in KINDS} - {"repeat"} | {"repeat_above", "repeat_below"}
    assert set(WORDINGS) == named
    assert min(len(set(forms["sentences"])) for forms in WORDINGS.values()) >= 6
    assert all(sentence[-1] in '.:>*?!}")' for forms in WORDINGS.values() for sentence in forms["sentences"])


def test_no_wording_is_one_of_the_yardstick_and_no_request_resembles_one(published):
    prompts = [row.conversation.text for row in load(published("ifeval/input_data.jsonl")).records]
    said = [" ".join(re.findall(r"\w+", text.lower())) for text in prompts]
    sentences = [text for forms in WORDINGS.values() for text in forms["sentences"] if "{" not in text]
    mine = [" ".join(re.findall(r"\w+", text.lower())) for text in sentences]
    assert [text for text in mine if len(text.split()) > 4 and any(text in prompt for prompt in said)] == []
    pairs = near_duplicates(REQUESTS + prompts)
    assert [(i, j) for i, j in pairs if i < len(REQUESTS) <= j] == []


class First:
    """Chance that always takes the first."""

    def choice(self, options):
        return options[0]

    def random(self):
        return 0.0


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        ("words_at_most", {"count": 40}, "Use at most 40 words."),
        ("sentences_exactly", {"count": 3}, "Write exactly three sentences."),
        ("highlights", {"count": 1}, "Highlight at least one phrase with asterisks, like *this*."),
        ("keyword_at_least", {"word": "rain", "count": 2}, 'Use the word "rain" at least twice.'),
        ("forbidden", {"words": ("fog", "mist")}, 'Don\'t use the words "fog" or "mist".'),
        ("keywords", {"words": ("fog",)}, 'Work in the word "fog".'),
        (
            "json",
            {"keys": ("title", "text")},
            'Give the whole answer as JSON with the keys "title" and "text".',
        ),
    ],
)
def test_a_constraint_is_put_into_words(kind, values, said):
    assert worded(Constraint(kind, values), "sentences", First()) == said


@pytest.mark.mistake("yardstick-practised")
def test_kinds_that_are_held_out_can_be_left_out():
    made = compositions(WRITTEN, 300, seed=3, choice="practised")
    kinds = {constraint.kind for each in made for constraint in each.constraints}
    assert kinds == {kind.name for kind in KINDS if PUBLISHED[kind.name] not in HELD_OUT}
    assert len(made) == 300
