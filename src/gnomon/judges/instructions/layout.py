"""The detectable_format:* and detectable_content:* instructions, and two responses: how it is laid out."""

import json
import re

from gnomon.judges.instructions.splitting import parted

OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
"""The answers that `constrained_response` allows, as the prompts name them."""

_STARRED = re.compile(r"^\s*\*[^*].*", re.M)
_DASHED = re.compile(r"^\s*-", re.M)
_EMPHASIS = re.compile(r"\*([^\n*]*)\*")
_STRONG = re.compile(r"\*\*([^\n*]*)\*\*")
_TITLE = re.compile(r"<<([^\n]+)>>")
_PLACEHOLDER = re.compile(r"\[.*?\]")
_RESPONSES = re.compile(r"\*{6}")
_FENCE = re.compile(r"\A```(?:json|Json|JSON)?|```\Z")


def number_bullet_lists(response: str, *, num_bullets: int) -> bool:
    """Whether exactly so many lines begin with "-" or a single "*".

    A "*" with nothing behind it is one bullet with the next line, whatever that begins with.
    """
    return len(_STARRED.findall(response)) + len(_DASHED.findall(response)) == num_bullets


def number_highlighted_sections(response: str, *, num_highlights: int) -> bool:
    """Whether at least so many pieces within a line stand between asterisks, one or two on each side."""
    found = _EMPHASIS.findall(response) + _STRONG.findall(response)
    return sum(bool(piece.strip()) for piece in found) >= num_highlights


def multiple_sections(response: str, *, section_spliter: str, num_sections: int) -> bool:
    """Whether the word that opens a section stands before a number at least so often ("Section 2")."""
    opening = re.compile(rf"{re.escape(section_spliter.strip())}\s?\d+")
    return len(opening.findall(response)) >= num_sections


def title(response: str) -> bool:
    """Whether a line holds something between double angular brackets: <<poem of joy>>."""
    return any(found.strip("<>").strip() for found in _TITLE.findall(response))


def constrained_response(response: str) -> bool:
    """Whether one of `OPTIONS` occurs, to the letter; there may be more around it."""
    return any(option in response for option in OPTIONS)


def json_format(response: str) -> bool:
    """Whether the whole response, without a code fence around it, is JSON of any kind."""
    try:
        json.loads(_FENCE.sub("", response.strip()).strip())
    except (ValueError, RecursionError):
        return False
    return True


def number_placeholders(response: str, *, num_placeholders: int) -> bool:
    """Whether at least so many pairs of square brackets stand within a line: [address]."""
    return len(_PLACEHOLDER.findall(response)) >= num_placeholders


def postscript(response: str, *, postscript_marker: str) -> bool:
    """Whether the marker of a postscript occurs, wherever, in any case; "P. S." will do for "P.S."."""
    marker = re.escape(postscript_marker.strip())
    loose = {"P.S.": r"P\.\s?S\.", "P.P.S": r"P\.\s?P\.\s?S"}.get(postscript_marker.strip(), marker)
    return re.search(loose, response, re.IGNORECASE) is not None


def two_responses(response: str) -> bool:
    """Whether it is two different responses with "******" between them."""
    found = parted(response, _RESPONSES)
    return found is not None and len(found) == 2 and found[0].strip() != found[1].strip()
