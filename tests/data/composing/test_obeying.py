"""Composed answers obey what their requests ask, by checks that share nothing with what composed them."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.data.composing.compose import compositions
from gnomon.data.composing.kinds import KINDS
from gnomon.data.reader import Reader
from gnomon.records import Conversation, Demonstration

WRITTEN = Reader().read("demonstrations", Demonstration, ["builtin"])
ROUNDS = [compositions(WRITTEN, 1200, seed) for seed in (0, 1)]
COMPOSED = [composition for made in ROUNDS for composition in made]


def spaced(text):
    return len(text.split())


def runs(text):
    return len(re.findall(r"\w+", text))


def stops(text):
    """Sentences, counted by every stop before a space, and by the lines that have none."""
    ends = re.findall(r"[.!?]+[\"')\]*]*(?=\s|$)", text)
    return len(ends), len(ends) + sum(
        not re.search(r"[.!?]\W*$", line) for line in text.splitlines() if line.strip()
    )


def whole(word, text):
    return len(re.findall(rf"\b{word}\b", text, re.IGNORECASE))


def shouted(text):
    return [word for word in re.findall(r"\w+", text) if word.isupper()]


def parts(text, between, count):
    pieces = [piece.strip() for piece in text.split(between)]
    return len(pieces) == count and all(pieces)


def starts_paragraph(values, answer):
    number = ["first", "second", "third", "fourth", "fifth", "sixth"].index(values["nth"])
    return answer.split("\n\n")[number].split()[0].strip("\"'.,;:").lower() == values["word"].lower()


def sectioned(values, answer):
    heads = re.findall(rf"^{values['splitter']} (\d+)\b(.*)", answer, re.MULTILINE)
    return [int(number) for number, _ in heads] == list(range(1, values["count"] + 1))


def fenced(answer):
    return isinstance(json.loads(answer.removeprefix("```json\n").removesuffix("\n```")), dict)


def repeats(values, request, answer):
    text = values["text"]
    rest = answer.removeprefix(text)
    return text in request and answer != rest and bool(rest.strip()) and rest.startswith("\n\n")


OBEYS = {
    "lower_case": lambda v, q, a: a == a.lower() != a.upper(),
    "capitals": lambda v, q, a: a == a.upper() != a.lower(),
    "no_commas": lambda v, q, a: "," not in a,
    "quotation": lambda v, q, a: len(a) > 2 and a[0] == a[-1] == '"',
    "title": lambda v, q, a: re.fullmatch(r"<<[^<>]*\w[^<>]*>>", a.split("\n")[0]) is not None,
    "postscript": lambda v, q, a: a.split("\n\n")[-1].lower().startswith(v["marker"].lower() + " "),
    "highlights": lambda v, q, a: len(re.findall(r"\*\w[^*\n]*\w\*", a)) >= v["count"],
    "bullets": lambda v, q, a: (
        len(re.findall(rf"^ *{re.escape(v['mark'])} ", a, re.MULTILINE)) == v["count"]
        and len(re.findall(r"^ *[*-] ", a, re.MULTILINE)) == v["count"]
    ),
    "sections": lambda v, q, a: sectioned(v, a),
    "dividers": lambda v, q, a: parts(a, "***", v["count"]),
    "paragraphs": lambda v, q, a: parts(a, "\n\n", v["count"]),
    "paragraph_opening": lambda v, q, a: parts(a, "\n\n", v["count"]) and starts_paragraph(v, a),
    "json": lambda v, q, a: tuple(json.loads(a)) == v["keys"],
    "json_block": lambda v, q, a: a.startswith("```json\n{") and a.endswith("}\n```") and fenced(a),
    "two_requests": lambda v, q, a: parts(a, "******", 2),
    "short_and_full": lambda v, q, a: parts(a, "******", 2) and stops(a.split("******")[0].strip())[0] == 1,
    "repeat": repeats,
    "closing": lambda v, q, a: a.endswith(v["phrase"]),
    "options": lambda v, q, a: sum(option in a for option in v["options"]) == 1,
    "capital_words_at_least": lambda v, q, a: sum(len(w) > 1 for w in shouted(a)) >= v["count"],
    "capital_words_at_most": lambda v, q, a: len(shouted(a)) <= v["count"],
    "placeholders": lambda v, q, a: len(re.findall(r"\[\w[^\[\]]*\]", a)) >= v["count"],
    "language": lambda v, q, a: not re.search(r"\b(?:the|and|you|with|are|was|have|your)\b", a.lower()),
    "words_at_least": lambda v, q, a: min(spaced(re.sub(r"(?m)^\W+ ", "", a)), runs(a)) >= v["count"],
    "words_at_most": lambda v, q, a: max(spaced(a), runs(a)) <= v["count"],
    "words_less_than": lambda v, q, a: max(spaced(a), runs(a)) < v["count"],
    "words_around": lambda v, q, a: all(abs(n - v["count"]) <= v["count"] / 10 for n in (spaced(a), runs(a))),
    "words_between": lambda v, q, a: all(
        v["below"] < v["low"] <= n <= v["high"] for n in (spaced(a), runs(a))
    ),
    "sentences_at_least": lambda v, q, a: stops(a)[0] >= v["count"],
    "sentences_at_most": lambda v, q, a: stops(a)[1] <= v["count"],
    "sentences_less_than": lambda v, q, a: stops(a)[1] < v["count"],
    "sentences_exactly": lambda v, q, a: stops(a) == (v["count"], v["count"]),
    "keywords": lambda v, q, a: all(whole(word, a) for word in v["words"]),
    "keyword_at_least": lambda v, q, a: whole(v["word"], a) >= v["count"],
    "keyword_less_than": lambda v, q, a: a.lower().count(v["word"]) < v["count"],
    "forbidden": lambda v, q, a: not any(word in a.lower() for word in v["words"]),
    "letter_at_least": lambda v, q, a: a.lower().count(v["letter"]) >= v["count"],
    "letter_at_most": lambda v, q, a: a.lower().count(v["letter"]) <= v["count"],
    "letter_less_than": lambda v, q, a: a.lower().count(v["letter"]) < v["count"],
}
"""Of the constraint's values, the request and the answer: whether the answer obeys."""


def many(text):
    """The text with far more of everything."""
    return f"{text} A NIL. " * 9


SPOILT = {
    "lower_case": lambda v, a: f"{a}I",
    "capitals": lambda v, a: f"{a}i",
    "no_commas": lambda v, a: f"{a},",
    "quotation": lambda v, a: f"{a}.",
    "title": lambda v, a: a[1:],
    "postscript": lambda v, a: f"{a}\n\nYours",
    "highlights": lambda v, a: a.replace("*", ""),
    "bullets": lambda v, a: f"{a}\n- one more",
    "sections": lambda v, a: a.replace(f"{v['splitter']} 1", f"{v['splitter']} 2", 1),
    "dividers": lambda v, a: f"{a}\n***\nmore",
    "paragraphs": lambda v, a: f"{a}\n\nmore",
    "paragraph_opening": lambda v, a: "zzz " + a.replace("\n\n", "\n\nzzz "),
    "json": lambda v, a: f"Here: {a}",
    "json_block": lambda v, a: f"Here: {a}",
    "two_requests": lambda v, a: a.replace("******", ""),
    "short_and_full": lambda v, a: f"One more. {a}",
    "repeat": lambda v, a: f"Gladly. {a}",
    "closing": lambda v, a: f"{a} Bye.",
    "options": lambda v, a: f"{a} {' '.join(v['options'])}",
    "capital_words_at_least": lambda v, a: a.lower(),
    "capital_words_at_most": lambda v, a: many(a),
    "placeholders": lambda v, a: a.replace("[", "("),
    "language": lambda v, a: f"{a} and the rest",
    "words_at_least": lambda v, a: a[:1],
    "words_between": lambda v, a: many(a),
    "sentences_at_least": lambda v, a: re.sub("[.!?]", "", a),
    "sentences_exactly": lambda v, a: many(a),
    "keywords": lambda v, a: re.sub(v["words"][0], "", a, flags=re.IGNORECASE),
    "keyword_at_least": lambda v, a: "",
    "keyword_less_than": lambda v, a: f"{a} {v['word']}" * v["count"],
    "forbidden": lambda v, a: f"{a} {v['words'][-1].upper()}",
    "letter_at_least": lambda v, a: "",
    "letter_less_than": lambda v, a: a + v["letter"] * v["count"],
    "letter_at_most": lambda v, a: a + v["letter"] * (v["count"] + 1),
}
"""An answer that obeys, made to disobey; where a kind is missing, by far more of everything."""


def disobedient(composition):
    """The constraints that do not hold; those beside a repeated request are for what comes after it."""
    request, answer = (turn.content for turn in composition.row.conversation.messages)
    copied = "".join(c.values["text"] for c in composition.constraints if c.kind == "repeat")
    return [
        constraint
        for constraint in composition.constraints
        if not OBEYS[constraint.kind](
            constraint.values,
            request,
            answer if constraint.kind == "repeat" else answer.removeprefix(copied).strip(),
        )
    ]


def test_every_composed_answer_obeys_its_request():
    assert [(row.row.id, wrong) for row in COMPOSED if (wrong := disobedient(row))] == []


def test_every_kind_is_composed_and_can_be_checked():
    kinds = {constraint.kind for row in COMPOSED for constraint in row.constraints}
    assert kinds == {kind.name for kind in KINDS} == set(OBEYS)


@pytest.mark.parametrize("kind", OBEYS)
def test_an_answer_made_to_disobey_is_seen(kind):
    rows = [row for row in COMPOSED for constraint in row.constraints if constraint.kind == kind]
    for composition in rows:
        request, answer = (turn.content for turn in composition.row.conversation.messages)
        values = next(c.values for c in composition.constraints if c.kind == kind)
        if kind == "title":
            answer = answer[answer.index("<<") :]
        spoilt = SPOILT[kind](values, answer) if kind in SPOILT else many(answer)
        assert not _seen(kind, values, request, spoilt), (composition.row.id, spoilt)


def _seen(kind, values, request, answer):
    try:
        return OBEYS[kind](values, request, answer)
    except ValueError:  # no longer JSON
        return False


WORDS = (
    *(
        "Yes.",
        "No,",
        "the",
        "river",
        "RIVERS",
        "runs",
        "and,",
        "Mr.",
        "e.g.",
        "3.5",
        '"so"',
        "it's",
        "a-b",
        "*so*",
    ),
    *(
        "SECTION 1",
        "P.S.",
        "[gap]",
        "<b>",
        "***",
        "I",
        "wind.",
        "Why?",
        "end!",
        "\n",
        "\n\n",
        "\n- ",
        "\n* ",
        "\n1. ",
    ),
)
ODD = st.lists(st.sampled_from(WORDS), min_size=1, max_size=60).map(
    lambda words: " ".join(words).strip() or "so"
)
ASKED = st.sampled_from(
    [
        *(
            "Why do rivers wind?",
            "Write a story about a river and a mill.",
            "Letter to the mayor about a bridge.",
        ),
        *(
            "How would you say it in German: the river winds.",
            "is a river older than its valley",
            "List some rivers.",
        ),
    ]
)


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (
            "Do spiders count as insects?",
            "No. Spiders are arachnids: they have eight legs and parts in pairs of two.",
        ),
        ("How much is 12 times 12?", "144"),
        (
            "Which river is long?",
            "*The Nile* is, by most counts, and the Amazon comes close to it in a dry year.",
        ),
        (
            "Write to Ms Bee about the drill.",
            "Dear Ms Bee,\n\nthe drill is broken.\n\nYours,\nMax, who broke it",
        ),
    ],
)
def test_one_demonstration_obeys_in_every_way_it_is_composed(request_, answer):
    row = Demonstration("1", Conversation.of(request_, answer))
    made = [made for seed in range(60) for made in compositions([row], 50, seed)]
    assert len(made) > 200
    assert [(made, wrong) for made in made if (wrong := disobedient(made))] == []


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(ASKED, ODD), min_size=1, max_size=3), st.integers(0, 99))
def test_no_answer_is_so_odd_that_a_row_claims_what_does_not_hold(pairs, seed):
    rows = [Demonstration(str(n), Conversation.of(*pair)) for n, pair in enumerate(pairs)]
    assert [wrong for made in compositions(rows, 40, seed) if (wrong := disobedient(made))] == []
