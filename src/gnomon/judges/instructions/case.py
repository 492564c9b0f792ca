"""The change_case:* instructions: capitals and small letters."""

from gnomon.judges.instructions.languages import detected
from gnomon.judges.instructions.relations import Relation, holds
from gnomon.judges.instructions.splitting import tokens

_ENGLISH = ("en", None)


def capital_word_frequency(response: str, *, capital_frequency: int, capital_relation: Relation) -> bool:
    """Whether so many words are in capitals throughout; digits and hyphens may stand among them."""
    capitals = sum(token.isupper() for token in tokens(response))
    return holds(capitals, capital_relation, capital_frequency)


def english_capital(response: str) -> bool:
    """Whether it has capital letters and no small ones, and is not seen to be another language than English.

    ConfigError where langdetect is not installed.
    """
    return response.isupper() and detected(response) in _ENGLISH


def english_lowercase(response: str) -> bool:
    """Whether it has small letters and no capitals, and is not seen to be another language than English.

    ConfigError where langdetect is not installed.
    """
    return response.islower() and detected(response) in _ENGLISH
