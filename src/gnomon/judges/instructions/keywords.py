"""The keywords:* instructions: words and letters that a response holds, avoids, or holds so often.

Case never matters. Words are taken literally, whatever regular expressions make of their characters.
"""

import re
from collections.abc import Sequence

from gnomon.judges.instructions.relations import Relation, holds


def existence(response: str, *, keywords: Sequence[str]) -> bool:
    """Whether every keyword occurs, as part of a longer word too ("rate" in "separate")."""
    return all(_occurrences(keyword, response) for keyword in keywords)


def frequency(response: str, *, keyword: str, frequency: int, relation: Relation) -> bool:
    """Whether the keyword occurs so often, occurrences within longer words counted."""
    return holds(_occurrences(keyword.strip(), response), relation, frequency)


def forbidden_words(response: str, *, forbidden_words: Sequence[str]) -> bool:
    """Whether none of the words occurs as a whole word ("die" may stand in "soldier")."""
    return not any(
        re.search(rf"(?<!\w){re.escape(word)}(?!\w)", response, re.IGNORECASE) for word in forbidden_words
    )


def letter_frequency(response: str, *, letter: str, let_frequency: int, let_relation: Relation) -> bool:
    """Whether one character, a letter or any other, occurs so often."""
    return holds(response.lower().count(letter.strip().lower()), let_relation, let_frequency)


def _occurrences(keyword: str, response: str) -> int:
    return len(re.findall(re.escape(keyword), response, re.IGNORECASE))
