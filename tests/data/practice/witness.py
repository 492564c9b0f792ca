"""Answers that keep to every constraint of a prompt, made of a few words: proof that it can be done.

Everything that has to be in an answer is something that was seen: "We saw linen and 7 cups and *mugs*."
"""

import json
import re
from collections.abc import Callable, Mapping
from math import ceil
from typing import Any

from gnomon.data.practice.generate import Made
from gnomon.judges import counting

OPENERS = ("We", "They", "You", "She", "He", "Kids", "Men", "All", "Both", "Some")
SEEN = ("cups", "mugs", "pans", "hats", "jugs", "nets", "oars", "urns", "eels", "yaks", "vats", "inns")
INITIALS = {
    "b": "bags beads bells boats buns",
    "c": "caps coins cones crabs cubs",
    "d": "dogs doors drums ducks dolls",
    "f": "figs fans forks frogs flags",
    "g": "gulls gates goats grapes gems",
    "h": "hooks hens horns hoops hills",
    "l": "lids logs lambs lakes lilies",
    "m": "maps moths mills mats masks",
    "p": "pots pins pears pegs poles",
    "r": "rugs rings roofs roses rakes",
    "s": "socks seeds spades stones swans",
    "t": "tents trays tyres toads tills",
    "w": "wasps wells whips wands weeds",
}
ACROSTIC = {
    **{"a": "As", "b": "Briefly", "d": "Daily", "e": "Even", "f": "Fondly", "i": "Indoors", "k": "Kindly"},
    **{"l": "Later", "m": "Mostly", "n": "Now", "o": "Outside", "r": "Rarely", "s": "So", "t": "Then"},
    **{"u": "Upstairs", "w": "What"},
}
ONE_SENTENCE = {"sentences_exactly", "sentences_at_least", "sentences_at_most", "sentences_less_than"}
TERSE = {"short_sentences", "words_at_most", "words_less_than", "words_between"}

Values = Mapping[str, Any]
By = Mapping[str, Values]


def witness(made: Made) -> str:
    """An answer that passes all checks of a prompt that was made."""
    by = {constraint.kind: constraint.values for constraint in made.constraints}
    least = max(_least(by), 6)
    for more in range(60):
        text = _cased(_text(by, _seen(by) + [SEEN[i % len(SEEN)] for i in range(more)]), by)
        if counting.words(text) >= least:
            return text
    raise AssertionError(by)


def _least(by: By) -> int:
    values = by.get("words_at_least") or by.get("words_between") or {}
    return int(values.get("count", values.get("low", 0)))


def _seen(by: By) -> list[str]:
    """What has to be in it, in an order that `word_order` is content with."""
    seen = list(by.get("keywords", {}).get("words", ()))
    if order := by.get("word_order"):
        seen = [word for word in seen if word not in order.values()] + [order["first"], order["second"]]
    for kind in ("keyword_at_least", "exactly"):
        if kind in by:
            word = by[kind]["word"]
            seen += [word] * max(0, by[kind]["count"] - seen.count(word))
    if "initial_letter" in by:
        seen += INITIALS[by["initial_letter"]["letter"]].split()[: by["initial_letter"]["count"]]
    seen += (
        [f"[{by['placeholders']['sample']}]"] * by["placeholders"]["count"] if "placeholders" in by else []
    )
    seen += ["*cups*"] * by["highlights"]["count"] if "highlights" in by else []
    capitals = by.get("capital_words_at_least", {"count": 0})
    seen += ["CUPS"] * capitals["count"]
    return seen + ["7 cups"] * ("number" in by) + ["mugs (old)"] * ("brackets" in by)


def _text(by: By, seen: list[str]) -> str:
    if "semicolons" in by:
        return "; ".join(_dealt(seen, by["semicolons"]["count"], by))
    if "acrostic" in by:
        letters = by["acrostic"]["letters"].lower()
        said = [f"{ACROSTIC[letter]} we saw" for letter in letters]
    else:
        said = _openings(by, seen)
    return _laid_out(_closed(_sentences(said, seen, by), by), by)


def _openings(by: By, seen: list[str]) -> list[str]:
    """How each sentence begins; the first, or that of a paragraph, with the word asked for."""
    number = _number(by, len(seen))
    said = [f"{OPENERS[i % len(OPENERS)]} saw" for i in range(number)]
    if "first_word" in by and "heading" not in by:
        said[0] = f"{by['first_word']['word']} we saw"
    if opening := by.get("paragraph_opening"):
        place = ["first", "second", "third"].index(opening["nth"])
        said[place] = f"{opening['word']} we saw"
    return said


def _number(by: By, seen: int) -> int:
    """Sentences: as many as are asked for, or as there have to be to keep them short."""
    for kind in ("sentences_exactly", "sentences_at_least", "openings_differ", "bullets", "ordered"):
        if kind in by:
            return int(by[kind]["count"])
    if "sections" in by:
        return int(by["sections"]["count"])
    if "paragraph_opening" in by:  # and one sentence more, for what comes last
        return int(by["paragraph_opening"]["count"]) + 1
    if by.keys() & {"sentences_at_most", "sentences_less_than"}:
        return 1
    if "short_sentences" in by:
        return max(2, ceil(seen / 2))
    return 2


def _sentences(openings: list[str], seen: list[str], by: By) -> list[str]:
    parts = _dealt(seen, len(openings), by)
    return [f"{opening} {part}." for opening, part in zip(openings, parts, strict=True)]


def _dealt(seen: list[str], number: int, by: By) -> list[str]:
    """What was seen in so many parts, in order; a part may be empty only where there is too little."""
    between = " " if by.keys() & TERSE else " and "
    bounds = [len(seen) * i // number for i in range(number + 1)]
    dealt = [between.join(seen[bounds[i] : bounds[i + 1]]) for i in range(number)]
    return [part or "it" for part in dealt]


def _closed(said: list[str], by: By) -> list[str]:
    """With as many questions as are asked for before the last sentence, and with its ending."""
    asked = ["Is it so?", "Was it so?"][: by["question"]["count"]] if "question" in by else []
    said = [*said[:-1], *asked, said[-1]]
    if "options" in by:
        chosen = by["options"]["options"][0]
        said = [*said[:-1], f"{said[-1][:-1]} and {chosen}"] if by.keys() & ONE_SENTENCE else [*said, chosen]
    if "last_word" in by:
        said[-1] = f"{said[-1][:-1]} and {by['last_word']['word']}."
    if "closing" in by:
        said[-1] = f"{said[-1]} {by['closing']['phrase']}"
    if "ends_asking" in by:
        said[-1] = f"{said[-1][:-1]}?"
    return said


def _sectioned(said: list[str], values: Values, by: By) -> str:
    return "\n\n".join(f"{values['splitter']} {i}\n{part}" for i, part in enumerate(said, start=1))


def _in_paragraphs(said: list[str], values: Values, by: By) -> str:
    last = values["count"] - 1
    return "\n\n".join([*said[:last], " ".join(said[last:])])


def _on_lines(said: list[str], values: Values, by: By) -> str:
    phrase = by["closing"]["phrase"] if "closing" in by else ""  # which must not be broken
    words, number = " ".join(said).removesuffix(phrase).split(), values["count"]
    bounds = [len(words) * i // number for i in range(number + 1)]
    return (
        "\n".join(" ".join(words[bounds[i] : bounds[i + 1]]) for i in range(number)) + f" {phrase}".rstrip()
    )


def _headed(said: list[str], values: Values, by: By) -> str:
    head = f"{by['first_word']['word']} more" if "first_word" in by else "What we saw"
    return f"{head}:\n{' '.join(said)}"


LAYOUTS: Mapping[str, Callable[[list[str], Values, By], str]] = {
    "bullets": lambda said, v, by: "\n".join(f"{v['mark']} {line}" for line in said),
    "dashed_lines": lambda said, v, by: "\n".join(f"- {line}" for line in said),
    "ordered": lambda said, v, by: "\n".join(f"{i}. {line}" for i, line in enumerate(said, start=1)),
    "sections": _sectioned,
    "paragraph_opening": _in_paragraphs,
    "json": lambda said, v, by: json.dumps(dict.fromkeys(v["keys"], " ".join(said))),
    "json_block": lambda said, v, by: f"```json\n{json.dumps({'text': ' '.join(said)})}\n```",
    "short_and_full": lambda said, v, by: f"{said[0]}\n******\n{' '.join(said)}",
    "lines": _on_lines,
    "acrostic": lambda said, v, by: "\n".join(said),
    "heading": _headed,
}


def _laid_out(said: list[str], by: By) -> str:
    for kind, laid_out in LAYOUTS.items():
        if kind in by:
            return laid_out(said, by[kind], by)
    return " ".join(said)


def _cased(text: str, by: By) -> str:
    if "lower_case" in by:
        return text.lower()
    if "capital_initials" in by:
        return re.sub(r"(?<![\w'-])[a-z]", lambda match: match[0].upper(), text)
    return text
