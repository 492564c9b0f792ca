"""What a constraint asks of an answer: its numbers and words, drawn at random, and the check that tells.

Counts are such that 64 to 128 tokens can hold what is asked for.
"""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any, NamedTuple

from gnomon.data.composing.additions import OPTIONS, SAMPLES
from gnomon.data.composing.layout import SPLITTERS
from gnomon.data.composing.measure import telling
from gnomon.data.composing.wordings import FORBIDDEN, NTH, POOLS, Value, listed
from gnomon.data.practice.tasks import Task

_NOUNS = """
    acorn attic bakery basket blanket bottle branch bridge broom bucket butter button candle carpet castle
    chimney clover cottage cradle curtain drawer eagle engine feather fiddle flour fountain gate ginger glove
    hammer harbour hedge helmet island ivory jacket kettle ladder lantern lemon linen marble meadow mirror
    needle oyster paddle pebble pencil pepper pillow plank pocket puddle quilt raven ribbon river saddle
    sailor sandal shadow silver spoon squirrel stable stove sugar summer thimble ticket tower tunnel valley
    velvet violin wagon walnut whistle window winter wool
"""
NOUNS = tuple(_NOUNS.split())
"""Words that may be asked for; none is among those that may be forbidden."""

OPENERS = ("Once", "Nobody", "Every", "Tonight", "Somewhere", "Between", "Under", "When", "Most", "Only")
"""First words of an answer or a paragraph."""

CLOSERS = ("home", "again", "together", "morning", "tea", "slowly", "enough", "tomorrow", "alone", "outside")
SPELT = ("sun", "sea", "tea", "owl", "oak", "rain", "bird", "moon", "snow", "wind", "leaf", "star")
LETTERS = "bcdfghlmprstw"
KEYS = ("text", "answer", "title", "topic", "summary", "reply", "items", "note", "details", "subject")
LAST_LINE = 7
"""Most words of a prescribed last sentence."""


class Asked(NamedTuple):
    """What stands in the constraint's wording, and the check of the answer."""

    values: Mapping[str, Value]
    check: Mapping[str, Any]


Draw = Callable[[Random, Task], Asked]


def simple(check: Mapping[str, Any]) -> Draw:
    """A constraint that leaves nothing to be drawn."""
    return lambda rng, task: Asked({}, check)


def published(id: str, **kwargs: Any) -> Mapping[str, Any]:
    """The check of a published kind of instruction."""
    return {"kind": "instruction", "id": id, "kwargs": kwargs}


def at_least(kind: str, counts: range) -> Draw:
    """So many of something, or more."""

    def draw(rng: Random, task: Task) -> Asked:
        count = rng.choice(counts)
        return Asked({"count": count}, {"kind": kind, "min": count})

    return draw


def at_most(kind: str, counts: range, *, below: int = 0) -> Draw:
    """So many of something or fewer; with `below` 1, fewer than so many."""

    def draw(rng: Random, task: Task) -> Asked:
        count = rng.choice(counts)
        return Asked({"count": count}, {"kind": kind, "max": count - below})

    return draw


def exactly(kind: str, counts: range) -> Draw:
    """So many of something."""

    def draw(rng: Random, task: Task) -> Asked:
        count = rng.choice(counts)
        return Asked({"count": count}, {"kind": kind, "min": count, "max": count})

    return draw


def words_between(rng: Random, task: Task) -> Asked:
    """Two round numbers, fifteen words or more apart."""
    low = rng.choice(range(10, 35, 5))
    high = low + rng.choice((15, 20, 25))
    return Asked({"low": low, "high": high, "below": low - 1}, {"kind": "words", "min": low, "max": high})


def ordered(rng: Random, task: Task) -> Asked:
    """Two to five points, numbered from 1."""
    count = rng.randint(2, 5)
    return Asked({"count": count, "last": count}, {"kind": "ordered", "min": count, "max": count})


def semicolons(rng: Random, task: Task) -> Asked:
    """Three to five items in a row: one line, and one semicolon fewer."""
    count = rng.randint(3, 5)
    item = r"[^;\n]*\w[^;\n]*"
    return Asked({"count": count}, {"kind": "regex", "pattern": rf"\A{item}(?:;{item}){{{count - 1}}}\Z"})


def highlights(rng: Random, task: Task) -> Asked:
    """One to three."""
    count = rng.randint(1, 3)
    return Asked(
        {"count": count}, published("detectable_format:number_highlighted_sections", num_highlights=count)
    )


def capital_words(rng: Random, task: Task) -> Asked:
    """One to four, or more."""
    count = rng.randint(1, 4)
    kwargs = {"capital_frequency": count, "capital_relation": "at least"}
    return Asked({"count": count}, published("change_case:capital_word_frequency", **kwargs))


def few_capital_words(rng: Random, task: Task) -> Asked:
    """One to three, or fewer."""
    count = rng.randint(1, 3)
    kwargs = {"capital_frequency": count + 1, "capital_relation": "less than"}
    return Asked({"count": count}, published("change_case:capital_word_frequency", **kwargs))


def placeholders(rng: Random, task: Task) -> Asked:
    """One to three, or more."""
    count = rng.randint(1, 3)
    check = published("detectable_content:number_placeholders", num_placeholders=count)
    return Asked({"count": count, "sample": rng.choice(SAMPLES)}, check)


def bullets(rng: Random, task: Task) -> Asked:
    """Two to five, with the mark to use."""
    count = rng.randint(2, 5)
    check = published("detectable_format:number_bullet_lists", num_bullets=count)
    return Asked({"count": count, "mark": rng.choice("-*")}, check)


def sections(rng: Random, task: Task) -> Asked:
    """Two or three, with the word that heads each."""
    count, splitter = rng.randint(2, 3), rng.choice(SPLITTERS)
    labels = listed([f"{splitter} {number}" for number in range(1, count + 1)])
    kwargs = {"section_spliter": splitter, "num_sections": count}
    values: dict[str, Value] = {"count": count, "splitter": splitter, "labels": labels}
    return Asked(values, published("detectable_format:multiple_sections", **kwargs))


def paragraph_opening(rng: Random, task: Task) -> Asked:
    """Two or three paragraphs, and the word that one of them begins with."""
    count = rng.randint(2, 3)
    nth, word = rng.randint(1, count), rng.choice(OPENERS)
    kwargs = {"num_paragraphs": count, "nth_paragraph": nth, "first_word": word}
    values: dict[str, Value] = {"count": count, "nth": NTH[nth - 1], "word": word}
    return Asked(values, published("length_constraints:nth_paragraph_first_word", **kwargs))


def json_keys(rng: Random, task: Task) -> Asked:
    """One or two keys of an object."""
    keys = tuple(rng.sample(KEYS, rng.randint(1, 2)))
    return Asked({"keys": keys}, {"kind": "json", "keys": list(keys)})


def closing(rng: Random, task: Task) -> Asked:
    """A short last sentence without a comma."""
    pool = POOLS["closing_piece" if task.shape == "verse" else "closing_answer"]
    phrase = rng.choice([line for line in pool if "," not in line and len(line.split()) <= LAST_LINE])
    return Asked({"phrase": phrase}, published("startend:end_checker", end_phrase=phrase))


def options(rng: Random, task: Task) -> Asked:
    """Three phrases, of which one is to be said."""
    phrases = rng.choice(OPTIONS)
    return Asked({"options": phrases}, {"kind": "contains_one", "values": list(phrases)})


def keywords(rng: Random, task: Task) -> Asked:
    """One to three words."""
    words = tuple(rng.sample(NOUNS, rng.choice((1, 1, 2, 3))))
    return Asked({"words": words}, {"kind": "contains_all", "values": list(words)})


def forbidden(rng: Random, task: Task) -> Asked:
    """One to three words that writers fall back on and that the request does not have."""
    usual = [word for word in FORBIDDEN if word not in task.request.lower()]
    words = tuple(rng.sample(usual, rng.randint(1, 3)))
    return Asked({"words": words}, {"kind": "excludes", "values": list(words)})


def word_order(rng: Random, task: Task) -> Asked:
    """Two words, one before the other."""
    first, second = rng.sample(NOUNS, 2)
    return Asked({"first": first, "second": second}, {"kind": "in_order", "values": [first, second]})


def often(bound: str) -> Draw:
    """A word of the topic, or another, and how often: `min` two or three times, `max` fewer, or exactly."""

    def draw(rng: Random, task: Task) -> Asked:
        own = telling(task.topic.lower())
        word = rng.choice(own) if own and (bound == "max" or rng.random() < 0.6) else rng.choice(NOUNS)
        count = rng.randint(2, 3)
        bounds = {
            "min": {"min": count},
            "max": {"max": count - 1},
            "exactly": {"min": count, "max": count},
        }[bound]
        return Asked({"word": word, "count": count}, {"kind": "occurrences", "value": word, **bounds})

    return draw


def first_word(rng: Random, task: Task) -> Asked:
    """A word to begin with."""
    word = rng.choice(OPENERS)
    return Asked({"word": word}, {"kind": "starts_with", "value": word})


def last_word(rng: Random, task: Task) -> Asked:
    """A word to end on."""
    word = rng.choice(CLOSERS)
    return Asked({"word": word}, {"kind": "ends_with", "value": word})


def acrostic(rng: Random, task: Task) -> Asked:
    """A short word to spell."""
    word = rng.choice(SPELT)
    return Asked({"letters": word.upper()}, {"kind": "acrostic", "value": word})


def initial_letter(rng: Random, task: Task) -> Asked:
    """Three to five words with the same initial."""
    letter, count = rng.choice(LETTERS), rng.randint(3, 5)
    return Asked({"letter": letter, "count": count}, {"kind": "initials", "value": letter, "min": count})
