"""Model text to safe HTML: escaped first, then newlines and fenced code; nothing else is interpreted."""

import re
from collections.abc import Iterator
from html import escape

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})[^`\n]*$")
_PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")
_CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"}
_CONTROLS |= (
    {0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD) | dict.fromkeys(range(0xD800, 0xE000), 0xFFFD)
)


def visible(text: str) -> str:
    """The text with line ends as newlines and control characters as their pictures (ESC becomes ␛).

    Terminals obey control characters and UTF-8 cannot hold lone surrogates, so neither may pass through.
    """
    return text.replace("\r\n", "\n").translate(_CONTROLS)


def to_html(text: str) -> str:
    """Safe HTML that shows the text as text: paragraphs, line breaks and fenced code are all it makes.

    Tags, links, images and entities in the text stay the characters they are. An unclosed fence runs to the
    end, as in Markdown. Safe as the content of an element; not inside a tag, a script or a style.
    """
    return "".join(
        _code(lines) if code else _prose(lines) for code, lines in _blocks(visible(text).split("\n"))
    )


def _blocks(lines: list[str]) -> Iterator[tuple[bool, list[str]]]:
    """Runs of lines, each with whether it is code; the fences themselves are left out."""
    fence, run = "", list[str]()
    for line in lines:
        mark = _FENCE.match(line)
        opens = not fence and mark is not None
        closes = bool(fence) and line.strip().startswith(fence) and not line.strip().strip(fence[0])
        if not opens and not closes:
            run.append(line)
            continue
        yield bool(fence), run
        fence, run = (mark.group(1) if mark and opens else ""), []
    yield bool(fence), run


def _code(lines: list[str]) -> str:
    return f"<pre><code>{escape(chr(10).join(lines))}</code></pre>"


def _prose(lines: list[str]) -> str:
    paragraphs = _PARAGRAPHS.split(escape("\n".join(lines)).strip("\n"))
    return "".join(f"<p>{part.replace(chr(10), '<br>')}</p>" for part in paragraphs if part.strip())
