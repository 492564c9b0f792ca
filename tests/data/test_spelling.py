"""The built-in data is spelt right, as the British do; `spelling.yaml` lists what the dictionary lacks."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from gnomon.data.reader import FOLDER

spellchecker = pytest.importorskip("spellchecker", reason="pip install pyspellchecker, or make install")

WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
NO_TEXT = {"id", "role", "kind", "pattern", "reason"}
"""Keys whose values are not read by anybody as text."""
ELSEWHERE = {"sft-rewriting-020", "sft-plan-028"}
"""One row turns British spelling into American, the other says "por favor"."""


def listed(part):
    """The words of one part of the list."""
    words = LIST[part]
    return set(words.split()) if isinstance(words, str) else set(words)


def texts(value, where="", *, good=False):
    """The texts in a row, each with the key it stands under and whether a model learns to write it."""
    if isinstance(value, str):
        yield where, good, value
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner, where, good=good)
    elif isinstance(value, dict):
        good = good or value.get("role") == "assistant"
        for key, inner in value.items():
            if key not in NO_TEXT:
                yield from texts(inner, key, good=good or key == "chosen")


def words(rows):
    """Each word of the rows in lower case, with its row's id, its key and whether it is to be learnt."""
    for row in rows:
        for where, good, text in texts(row):
            for word in WORD.findall(text):
                yield word.casefold(), row.get("id", ""), where, good


def misspelt(rows):
    """Words that neither the dictionary nor the list has, or that the list has for other places."""
    return {(word, row) for word, row, _, good in words(rows) if not spelt(word, row, good=good)}


def spelt(word, row, *, good):
    """Whether a word may stand in a row, in what a model learns to write or elsewhere."""
    if len(word) == 1 or word in KNOWN or word.removesuffix("'s") in KNOWN:
        return True
    return word in WRONG.get(row, ()) or (word in TYPED and not good)


OFFERED = {"values", "twin_values"}
"""Keys of answers that a check accepts: from models that learnt to spell elsewhere, too."""

LIST = yaml.safe_load((Path(__file__).parent / "spelling.yaml").read_text("utf-8"))
ANYWHERE = ("british", "alone", "technical", "foreign", "names", "rare")
DICTIONARY = set(spellchecker.SpellChecker(language="en").word_frequency.words())
KNOWN = DICTIONARY.union(*map(listed, ANYWHERE)) - set(LIST["british"].values())
ROWS = [
    *(json.loads(line) for path in FOLDER.glob("*/*.jsonl") for line in path.read_text("utf-8").splitlines()),
    yaml.safe_load((FOLDER / "constitution.yaml").read_text("utf-8")),
]
TYPED = listed("typed")
WRONG = {row: words.split() for row, words in LIST["wrong"].items()}
FOUND = Counter(word for word, *_ in words(ROWS))


def test_every_word_is_spelt_right_or_listed():
    american = set(LIST["british"].values())
    accepted = {(word, row) for word, row, where, _ in words(ROWS) if word in american and where in OFFERED}
    found = {(word, row) for word, row in misspelt(ROWS) - accepted if row not in ELSEWHERE}
    assert sorted(found) == []


def test_what_is_listed_is_used_and_is_not_in_the_dictionary():
    parts = {part: listed(part) for part in (*ANYWHERE, "typed")}
    parts["wrong"] = {word for words in WRONG.values() for word in words}
    assert {part: sorted(words - FOUND.keys()) for part, words in parts.items() if words - FOUND.keys()} == {}
    spare = {part: sorted(words & DICTIONARY) for part, words in parts.items() if part != "british"}
    assert {part: words for part, words in spare.items() if words} == {}
    assert sum(map(len, parts.values())) == len(set().union(*parts.values()))


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"chosen": "They recieved it seperately."}, {"recieved", "seperately"}),
        ({"prompt": "What color is my neighbor's car?"}, {"color", "neighbor's"}),
        (
            {"messages": [{"role": "user", "content": "dont"}, {"role": "assistant", "content": "dont"}]},
            {"dont"},
        ),
        ({"messages": [{"role": "user", "content": "thats fine, thx"}]}, set()),
        ({"chosen": "The colour isn't Priya's favourite."}, set()),
        ({"checks": [{"kind": "regex", "pattern": "xqzt"}]}, set()),
    ],
)
def test_a_misspelling_is_found(row, found):
    assert misspelt([{"id": "a", **row}]) == {(word, "a") for word in found}


def test_what_one_row_misspells_on_purpose_another_may_not():
    rows = [{"id": name, "prompt": "The goverment"} for name in ("sft-rewriting-007", "sft-rewriting-008")]
    assert misspelt(rows) == {("goverment", "sft-rewriting-008")}
