"""The kinds of constraint that a policy practises, which requests each suits and what it can stand beside."""

from dataclasses import dataclass

from gnomon.data.practice import draws
from gnomon.data.practice.draws import Draw, at_least, at_most, exactly, published, simple
from gnomon.data.practice.tasks import Shape, Task

ANY: frozenset[Shape] = frozenset(("prose", "verse", "list", "letter", "polar"))
PROSE: frozenset[Shape] = frozenset(("prose",))
SAID: frozenset[Shape] = frozenset(("prose", "polar"))
LIST: frozenset[Shape] = frozenset(("list",))
VERSE: frozenset[Shape] = frozenset(("verse",))

SLOTS = frozenset(
    (
        *("layout", "case", "words", "sentences", "sentence_length", "start", "end", "commas", "highlights"),
        *("placeholders", "keywords", "frequency", "forbidden", "options", "order", "number", "short_words"),
        *("question", "brackets", "openings", "initial"),
    )
)
"""One thing that an answer can be asked for."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of constraint: kinds of one `slot` exclude each other, and a kind those of its `clashes`.

    `weight` is how often it is wanted beside others.
    """

    name: str
    draw: Draw
    slot: str
    shapes: frozenset[Shape] = ANY
    clashes: frozenset[str] = frozenset()
    weight: float = 1.0

    def suits(self, task: Task) -> bool:
        """Whether it makes sense for an answer of this shape."""
        return task.shape in self.shapes

    def beside(self, other: "Kind") -> bool:
        """Whether one answer can obey both, and some request bears both."""
        apart = self.slot != other.slot and self.slot not in other.clashes and other.slot not in self.clashes
        return apart and bool(self.shapes & other.shapes)


def _slots(names: str) -> frozenset[str]:
    return frozenset(names.split())


def _but(names: str) -> frozenset[str]:
    """All slots but these."""
    return SLOTS - _slots(names)


_POINTS = _slots("sentences start openings")
_SPLIT = _slots("sentences start openings sentence_length case")
_JSON = _but("layout keywords forbidden words number")
_TWICE = _but("layout commas keywords forbidden case")
_ROW = _but("layout commas keywords forbidden words case frequency initial number order")
_SMALL = _but(
    "short_words commas forbidden case words sentences highlights number question sentence_length brackets"
)
_CHOSEN = _slots("case layout highlights end short_words forbidden")
_FIXED_END = _slots("forbidden short_words sentences case")

KINDS = (
    Kind("no_commas", simple(published("punctuation:no_comma")), "commas"),
    Kind("highlights", draws.highlights, "highlights", ANY - {"polar"}),
    Kind("capital_words_at_least", draws.capital_words, "case", ANY - {"polar"}),
    Kind("capital_words_at_most", draws.few_capital_words, "case", PROSE, _slots("layout"), 0.4),
    Kind("placeholders", draws.placeholders, "placeholders", frozenset(("letter",))),
    Kind("bullets", draws.bullets, "layout", LIST, _POINTS | {"highlights"}),
    Kind("sections", draws.sections, "layout", PROSE, _SPLIT),
    Kind(
        "paragraph_opening",
        draws.paragraph_opening,
        "layout",
        frozenset(("prose", "letter")),
        _POINTS,
    ),
    Kind("json", draws.json_keys, "layout", frozenset(("prose", "list")), _JSON),
    Kind(
        "json_block",
        simple(published("detectable_format:json_format")),
        "layout",
        PROSE | LIST,
        _JSON,
        0.5,
    ),
    Kind("short_and_full", simple(published("combination:two_responses")), "layout", PROSE, _TWICE),
    Kind("closing", draws.closing, "end", ANY - {"letter"}, _FIXED_END),
    Kind("lower_case", simple({"kind": "case", "value": "lower"}), "case", ANY, _slots("end options")),
    Kind("options", draws.options, "options", frozenset(("polar",)), _CHOSEN),
    Kind("words_at_least", at_least("words", range(15, 45, 5)), "words", weight=0.5),
    Kind("words_at_most", at_most("words", range(20, 65, 5)), "words", weight=0.5),
    Kind("words_less_than", at_most("words", range(25, 65, 5), below=1), "words", weight=0.4),
    Kind("words_between", draws.words_between, "words", weight=0.4),
    Kind("sentences_at_least", at_least("sentences", range(2, 5)), "sentences", SAID, weight=0.4),
    Kind("sentences_at_most", at_most("sentences", range(1, 4)), "sentences", SAID, weight=0.4),
    Kind("sentences_less_than", at_most("sentences", range(2, 5), below=1), "sentences", SAID, weight=0.4),
    Kind("sentences_exactly", exactly("sentences", range(2, 5)), "sentences", SAID, weight=0.6),
    Kind("keywords", draws.keywords, "keywords"),
    Kind("keyword_at_least", draws.often("min"), "frequency", weight=0.7),
    Kind("keyword_less_than", draws.often("max"), "frequency", weight=0.5),
    Kind("forbidden", draws.forbidden, "forbidden", ANY, _slots("start end options")),
    Kind("first_word", draws.first_word, "start"),
    Kind("last_word", draws.last_word, "end", ANY, _slots("short_words")),
    Kind(
        "ends_asking",
        simple({"kind": "regex", "pattern": r"\?[\"')*_\s]*\Z"}),
        "end",
        SAID | {"letter"},
    ),
    Kind("question", at_least("questions", range(1, 3)), "question", SAID | {"letter"}, _slots("sentences")),
    Kind("lines", exactly("lines", range(2, 6)), "layout", PROSE | VERSE),
    Kind("dashed_lines", simple({"kind": "each_line", "pattern": "- .+"}), "layout", LIST, _POINTS),
    Kind("ordered", draws.ordered, "layout", LIST, _POINTS),
    Kind("semicolons", draws.semicolons, "layout", LIST, _ROW),
    Kind("acrostic", draws.acrostic, "layout", VERSE, _slots("start")),
    Kind(
        "heading",
        simple({"kind": "regex", "pattern": r"\A[^\n:]*\w[^\n:]*:[ \t*]*\n\s*\w"}),
        "layout",
        PROSE | LIST,
        _slots("sentences sentence_length openings"),
    ),
    Kind("number", simple({"kind": "regex", "pattern": r"\d"}), "number"),
    Kind(
        "brackets",
        simple({"kind": "regex", "pattern": r"\([^()\n]*\w[^()\n]*\)"}),
        "brackets",
        ANY - {"verse"},
    ),
    Kind(
        "short_sentences", at_most("sentence_words", range(8, 13)), "sentence_length", SAID, _slots("words")
    ),
    Kind("short_words", at_most("word_letters", range(7, 10)), "short_words", ANY, _SMALL),
    Kind("initial_letter", draws.initial_letter, "initial"),
    Kind("exactly", draws.often("exactly"), "frequency"),
    Kind("word_order", draws.word_order, "order"),
    Kind(
        "capital_initials",
        simple({"kind": "regex", "pattern": r"(?s)\A(?=.*[a-z])(?!.*(?<![\w'-])[a-z])"}),
        "case",
        ANY - {"polar"},
        _slots("end"),
    ),
    Kind(
        "openings_differ",
        at_least("openings_differ", range(2, 5)),
        "openings",
        PROSE,
        _slots("sentences layout end"),
    ),
)
"""17 of the 25 kinds of arXiv:2311.07911, by the names of `composing`; from `first_word` on kinds beyond."""
