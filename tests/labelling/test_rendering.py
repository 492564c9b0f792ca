import time
from html.parser import HTMLParser

import pytest
from hostile import PAYLOADS
from hypothesis import given
from hypothesis import strategies as st

from gnomon.labelling.rendering import to_html


class Seen(HTMLParser):
    """Every tag and attribute of a piece of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.attributes = set[str](), set[tuple[str, str | None]]()
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.add(tag)
        self.attributes |= set(attrs)


ACTIVE = {
    "script",
    "style",
    "img",
    "iframe",
    "object",
    "embed",
    "form",
    "input",
    "button",
    "link",
    "meta",
    "base",
}
ACTIVE |= {"svg", "video", "audio", "source", "textarea", "details", "template", "annotation-xml", "mglyph"}


def harmless(html: str) -> bool:
    seen = Seen(html)
    names = {name for name, _ in seen.attributes}
    links = {value or "" for name, value in seen.attributes if name == "href"}
    return (
        not seen.tags & ACTIVE
        and not any(name.startswith(("on", "hx-", "data-", "style", "src")) for name in names)
        and all(link.startswith(("http://", "https://", "mailto:")) for link in links)
    )


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("around", ["{}", "> {}", "- {}", "text\n\n{}\n\ntext", "**{}**", "${}$"])
def test_hostile_text_becomes_harmless(payload, around):
    assert harmless(to_html(around.format(payload)))


@given(st.lists(st.sampled_from((*PAYLOADS, "\n", "`", "$", "$$", "<", ">", "\\(", "|", "*")), max_size=6))
def test_hostile_texts_together_are_harmless(parts):
    assert harmless(to_html("".join(parts)))


def test_the_check_above_sees_what_is_not_harmless():
    for html in (
        "<script>x</script>",
        "<p onclick=x>",
        '<a href="javascript:x">',
        '<b style="x">',
        "<p hx-get=x>",
    ):
        assert not harmless(html)


def test_markdown_is_rendered():
    html = to_html("# Title\n\n*one* **two** ~~three~~\n\n1. a\n2. b\n\n| x | y |\n|---|---|\n| 1 | 2 |")
    for part in (
        "<h1>Title</h1>",
        "<em>one</em>",
        "<strong>two</strong>",
        "<s>three</s>",
        "<li>a</li>",
        "<td>1</td>",
    ):
        assert part in html


def test_links_open_elsewhere_and_tell_nothing():
    html = to_html("[docs](https://docs.example/a?b=1&c=2)")
    assert 'href="https://docs.example/a?b=1&amp;c=2"' in html
    assert 'rel="noopener noreferrer nofollow"' in html
    assert 'target="_blank"' in html


def test_images_are_words():
    html = to_html("![a cat](https://evil.example/cat.png)")
    assert "<img" not in html
    assert "[image: a cat https://evil.example/cat.png]" in html


def test_code_is_coloured_where_its_language_is_known():
    assert '<span class="k">def</span>' in to_html("```python\ndef f(): pass\n```")
    assert "def f(): pass" in to_html("```no-such-language\ndef f(): pass\n```")
    assert "<code>x &lt; y</code>" in to_html("`x < y`")


@pytest.mark.parametrize("text", [r"$x^2$", r"\(x^2\)", r"$$x^2$$", "\\[x^2\\]", "so $x^2$, then"])
def test_mathematics_is_mathml(text):
    html = to_html(text)
    assert "<math" in html
    assert "<msup>" in html


def test_block_mathematics_stands_alone():
    assert 'display="block"' in to_html("$$\nx^2\n$$")
    assert 'display="inline"' in to_html("$x^2$")


@pytest.mark.parametrize("text", ["it costs $5 and $6", "from 5$ to 10$", "a lone $ sign"])
def test_money_is_not_mathematics(text):
    assert "<math" not in to_html(text)
    assert text in to_html(text)


@pytest.mark.parametrize(
    "formula", [r"\frac{", r"\notacommand{x}", "{" * 300, r"\left(" * 50, "^^^", "x" * 3000]
)
def test_what_is_no_formula_is_shown_as_it_was_written(formula):
    assert harmless(to_html(f"${formula}$"))
    assert formula[:6].replace("&", "&amp;") in to_html(f"${formula}$").replace("<mi>", "").replace(
        "</mi>", ""
    )


@pytest.mark.parametrize(
    "text",
    ["*" * 20_000, "[" * 20_000, "> " * 5_000, "`" * 9_999, "$a" * 5_000, "|" * 5_000 + "\n" + "|-" * 5_000],
)
def test_no_text_takes_long(text):
    start = time.perf_counter()
    to_html(text)
    assert time.perf_counter() - start < 5
