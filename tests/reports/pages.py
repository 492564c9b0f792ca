"""Pages as a browser would read them, for the tests of what is on them."""

from html.parser import HTMLParser

VOID = {"meta", "link", "br", "input"}


class Page(HTMLParser):
    """What a browser would see: tags with attributes, text outside scripts and styles, and cells by table."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags, self.text, self.scripts, self.styles = [], "", [], []
        self.open, self.tables = [], {}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag not in VOID:
            self.open.append((tag, attributes.get("class", "")))
        if tag == "tr" and self._table() is not None:
            self.tables.setdefault(self._table(), []).append([])
        if tag in ("td", "th") and self._table() is not None:
            self.tables[self._table()][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        inside = self.open[-1][0] if self.open else ""
        if inside == "script":
            self.scripts.append(data)
        elif inside == "style":
            self.styles.append(data)
        else:
            self.text += data
            if any(tag in ("td", "th") for tag, _ in self.open) and self._table() is not None:
                self.tables[self._table()][-1][-1] += data

    def _table(self):
        return next((name for tag, name in reversed(self.open) if tag == "table"), None)

    def sections(self):
        return [attributes["id"] for tag, attributes in self.tags if tag == "section"]
