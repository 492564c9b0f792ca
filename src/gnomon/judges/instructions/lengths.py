"""The length_constraints:* instructions: how many words, sentences and paragraphs."""

import re

from gnomon.judges.instructions.relations import Relation, holds
from gnomon.judges.instructions.sentences import sentences
from gnomon.judges.instructions.splitting import parted, words

_DIVIDER = re.compile(r"\s?\*{3}\s?")
_FIRST_WORD = re.compile(r"'*\"*([^\s.,?!'\"]*)")


def number_words(response: str, *, num_words: int, relation: Relation) -> bool:
    """Whether it has so many words."""
    return holds(len(words(response)), relation, num_words)


def number_sentences(response: str, *, num_sentences: int, relation: Relation) -> bool:
    """Whether it has so many sentences."""
    return holds(len(sentences(response)), relation, num_sentences)


def number_paragraphs(response: str, *, num_paragraphs: int) -> bool:
    """Whether dividers, "***", part it into exactly so many paragraphs."""
    paragraphs = parted(response, _DIVIDER)
    return paragraphs is not None and len(paragraphs) == num_paragraphs


def nth_paragraph_first_word(
    response: str, *, num_paragraphs: int, nth_paragraph: int, first_word: str
) -> bool:
    """Whether blank lines part it into exactly so many paragraphs, and the nth begins with the word.

    A word ends at white space and at . , ? ! and straight quotes, and its case does not matter. Blank parts
    (of four newlines in a row) are no paragraphs, but take a number: the nth may not be one of them.
    """
    parts = response.split("\n\n")
    if sum(bool(part.strip()) for part in parts) != num_paragraphs or nth_paragraph > num_paragraphs:
        return False
    found = _FIRST_WORD.match(parts[nth_paragraph - 1].strip())
    return found is not None and found[1].lower() == first_word.lower()
