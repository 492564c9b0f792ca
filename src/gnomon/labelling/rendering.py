"""Answers as they are read: Markdown, code and mathematics to safe HTML.

Markdown without its HTML, code coloured by Pygments, mathematics as MathML; then, last, everything goes
through an allow-list of tags and attributes. Images are left out: fetching one would tell a stranger who
reads what. `gnomon.markup` shows the same text untouched.
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from html import escape
from typing import Any

import nh3
from latex2mathml import exceptions
from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.texmath import texmath_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from gnomon.markup import visible

LONGEST_FORMULA = 2000
"""Characters of a formula; a longer one stays as it was written."""
LONGEST_COLOURED = 20_000
"""Characters of code that are coloured."""

_TEXT = "p br hr em strong s blockquote ul ol li h1 h2 h3 h4 h5 h6 code pre span a table thead tbody tr th td"
_MATHS = (
    "math mrow mi mn mo ms mtext mspace msup msub msubsup mfrac msqrt mroot mover munder munderover mtable "
    "mtr mtd mstyle mpadded mphantom menclose mfenced mmultiscripts mprescripts"
)
_ATTRIBUTES = {
    "a": {"href"},
    "ol": {"start"},
    "th": {"align"},
    "td": {"align"},
    "math": {"display"},
    "mo": {"stretchy", "fence", "separator", "form", "minsize", "maxsize", "lspace", "rspace"},
    "mi": {"mathvariant"},
    "mn": {"mathvariant"},
    "mtext": {"mathvariant"},
    "mspace": {"width", "linebreak"},
    "mfrac": {"linethickness"},
    "mtable": {"columnalign", "rowspacing", "columnspacing"},
    "mover": {"accent"},
    "munder": {"accentunder"},
    "mstyle": {"displaystyle", "scriptlevel"},
    "menclose": {"notation"},
}
_NO_FORMULA = (
    *(kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, Exception)),
    *(IndexError, KeyError, ValueError, AttributeError, TypeError, RecursionError),
)
"""What the converter raises for text that is no formula; it checks little by itself."""


@lru_cache(maxsize=4096)
def to_html(text: str) -> str:
    """Safe HTML of a text that a model or a stranger wrote, to stand inside an element."""
    return nh3.clean(
        _MARKDOWN.render(visible(text)),
        tags={*_TEXT.split(), *_MATHS.split()},
        attributes=_ATTRIBUTES,
        allowed_classes={"span": {"image"} | _COLOURS},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


def _markdown() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "highlight": _coloured}).enable(
        ["table", "strikethrough"]
    )
    parser.use(
        dollarmath_plugin, allow_labels=False, allow_space=False, allow_digits=False, double_inline=True
    )
    parser.use(texmath_plugin, delimiters="brackets")
    parser.add_render_rule("image", _image)
    for name in ("math_inline", "math_inline_double", "math_block", "math_block_eqno"):
        parser.add_render_rule(name, _formula)
    return parser


def _image(renderer: RendererHTML, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
    """What an image would show and where it is, as words."""
    token = tokens[place]
    shown = escape(f"[image: {token.content} {token.attrs.get('src', '')}]")
    return f'<span class="image">{shown}</span>'


def _formula(renderer: RendererHTML, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
    """MathML, or the source where it is no formula the converter knows."""
    source = tokens[place].content
    if len(source) <= LONGEST_FORMULA:
        with suppress(*_NO_FORMULA):
            display = "inline" if tokens[place].type == "math_inline" else "block"
            return str(convert(source, display=display))
    return f"<code>{escape(source)}</code>"


def _coloured(code: str, language: str, attributes: str) -> str:
    """Code with spans of classes, or nothing where the language is unknown: then it is shown as it is."""
    if not language or len(code) > LONGEST_COLOURED:
        return ""
    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:
        return ""
    return str(highlight(code, lexer, _FORMATTER))


_FORMATTER = HtmlFormatter(nowrap=True)
_COLOURS = frozenset(name for name in _FORMATTER.class2style if name)
_MARKDOWN = _markdown()
