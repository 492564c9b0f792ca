"""Every kind of constraint: what it does to a draft, which drafts it suits and what it can stand beside."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from gnomon.data.composing import additions, counts, layout, surface
from gnomon.data.composing.draft import Draft, Shape, Topic, Voice
from gnomon.data.composing.steps import Step, applied
from gnomon.data.composing.wordings import Constraint

TEXT: frozenset[Shape] = frozenset(("prose", "letter", "verse", "list", "marked"))
PLAIN = TEXT - {"marked"}
PROSE: frozenset[Shape] = frozenset(("prose",))
LETTER: frozenset[Shape] = frozenset(("letter",))
BRIEF: frozenset[Shape] = frozenset(("brief",))
FOREIGN: frozenset[Shape] = frozenset(("foreign",))
CODE: frozenset[Shape] = frozenset(("code",))

ANY: frozenset[Voice] = frozenset(("answer", "piece", "letter", "work"))
TOLD: frozenset[Voice] = frozenset(("answer", "piece"))
ANSWER: frozenset[Voice] = frozenset(("answer",))

FREE: frozenset[Topic] = frozenset()
FORM: frozenset[Topic] = frozenset(("form",))
LENGTH: frozenset[Topic] = frozenset(("length", "count"))
SHAPED: frozenset[Topic] = frozenset(("form", "count"))

SLOTS = frozenset(
    (
        *("case", "commas", "wrap", "title", "end", "highlights", "layout", "placeholders", "options"),
        *("language", "words", "sentences", "keywords", "frequency", "forbidden", "letter", "repeat"),
    )
)
"""One thing that an answer can be asked for."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of constraint.

    Kinds of one `slot` exclude each other, and a kind those whose slot is among its `clashes`. `ruled` are
    topics on which the request must not rule itself. `weight` is how often it is wanted beside others.
    """

    name: str
    apply: Callable[[Draft, Random], Step]
    slot: str
    weight: float
    shapes: frozenset[Shape]
    voices: frozenset[Voice] = ANY
    ruled: frozenset[Topic] = FREE
    clashes: frozenset[str] = frozenset()

    def suits(self, draft: Draft) -> bool:
        """Whether it makes sense for a request and answer of this sort."""
        return draft.shape in self.shapes and draft.voice in self.voices and not self.ruled & draft.ruled

    def beside(self, other: "Kind") -> bool:
        """Whether an answer can be asked to obey both."""
        return self.slot != other.slot and self.slot not in other.clashes and other.slot not in self.clashes


def repeat(draft: Draft, _: Random) -> Step:
    """The request copied before the answer, which is done when all the rest has been put into words."""
    return applied(draft, draft.answer, Constraint("repeat", {}))


_JSON = SLOTS - {"layout", "keywords", "forbidden"}
_TWO = SLOTS - {"layout", "case", "commas", "keywords", "forbidden"}
_REPEATED = SLOTS - {"repeat", "title", "end", "highlights", "keywords", "frequency", "placeholders"}
_FOREIGN = SLOTS - {"language", "words", "wrap"}
_PARTED = frozenset(("title", "end", "wrap", "repeat"))
_SECTIONED = frozenset(("case", "wrap", "repeat"))
_BULLETED = frozenset(("wrap", "repeat"))
_CASED = frozenset(("end", "repeat", "options"))
_QUOTED = frozenset(("title", "end", "layout", "repeat"))
_CHOSEN = frozenset(("case", "layout", "repeat", "highlights", "end"))
_COUNTED = frozenset(("layout", "title", "case", "repeat"))
_WORDS = frozenset(("repeat",))

KINDS = (
    Kind("two_requests", layout.two_requests, "layout", 0.5, PROSE, ANSWER, FORM | LENGTH, _TWO),
    Kind("short_and_full", layout.short_and_full, "layout", 0.4, PROSE, ANSWER, FORM | LENGTH, _TWO),
    Kind("no_commas", surface.no_commas, "commas", 1.2, PLAIN, ANY, FORM, _WORDS),
    Kind("options", additions.options, "options", 0.4, PROSE | BRIEF, ANSWER, SHAPED, _CHOSEN),
    Kind("highlights", surface.highlights, "highlights", 1.2, PLAIN, ANY, FORM),
    Kind("capital_words_at_least", surface.capital_words_at_least, "case", 0.5, PLAIN, ANY, FORM),
    Kind("placeholders", additions.placeholders, "placeholders", 0.7, LETTER, ANY, FORM),
    Kind("bullets", layout.bulleted, "layout", 1.0, PROSE | {"list"}, ANSWER, SHAPED, _BULLETED),
    Kind("sections", layout.sections, "layout", 0.8, PROSE, TOLD, SHAPED, _SECTIONED),
    Kind("dividers", layout.dividers, "layout", 0.8, PROSE, TOLD, SHAPED, _PARTED),
    Kind("paragraphs", layout.blank_lines, "layout", 0.4, PROSE, TOLD, SHAPED, _PARTED),
    Kind(
        "paragraph_opening", layout.paragraph_opening, "layout", 0.6, PROSE, TOLD, SHAPED, _PARTED | {"case"}
    ),
    Kind("json", layout.as_json, "layout", 0.5, PROSE | {"list", "brief"}, ANY, SHAPED, _JSON),
    Kind("json_block", layout.as_json_block, "layout", 0.3, PROSE | {"list", "brief"}, ANY, SHAPED, _JSON),
    Kind("title", additions.titled, "title", 1.0, TEXT, ANY, SHAPED),
    Kind("closing", additions.closing, "end", 1.0, TEXT - LETTER, TOLD, SHAPED),
    Kind("postscript", additions.postscript, "end", 1.0, TEXT, ANY - {"work"}, SHAPED),
    Kind("lower_case", surface.lower_case, "case", 1.0, TEXT | BRIEF, ANY, FORM, _CASED),
    Kind("capitals", surface.capitals, "case", 0.8, TEXT | BRIEF, ANY, FORM, _CASED),
    Kind(
        "quotation", surface.quotation, "wrap", 1.0, PROSE | BRIEF | FOREIGN | {"verse"}, ANY, FORM, _QUOTED
    ),
    Kind("language", counts.language, "language", 0.3, FOREIGN, ANY, FREE, _FOREIGN),
    Kind("words_at_least", counts.words_at_least, "words", 0.5, TEXT, ANY, LENGTH, _WORDS),
    Kind("words_at_most", counts.words_at_most, "words", 0.4, TEXT | BRIEF | FOREIGN, ANY, LENGTH, _WORDS),
    Kind("words_less_than", counts.words_less_than, "words", 0.3, TEXT, ANY, LENGTH, _WORDS),
    Kind("words_around", counts.words_around, "words", 0.15, TEXT, ANY, LENGTH, _WORDS),
    Kind("words_between", counts.words_between, "words", 0.15, TEXT, ANY, LENGTH, _WORDS),
    Kind("sentences_at_least", counts.sentences_at_least, "sentences", 0.4, PROSE, ANY, LENGTH, _COUNTED),
    Kind("sentences_at_most", counts.sentences_at_most, "sentences", 0.3, PROSE, ANY, LENGTH, _COUNTED),
    Kind("sentences_less_than", counts.sentences_less_than, "sentences", 0.3, PROSE, ANY, LENGTH, _COUNTED),
    Kind("sentences_exactly", counts.sentences_exactly, "sentences", 0.3, PROSE, ANY, LENGTH, _COUNTED),
    Kind("keywords", counts.keywords, "keywords", 1.0, TEXT),
    Kind("keyword_at_least", counts.keyword_at_least, "frequency", 0.6, TEXT),
    Kind("keyword_less_than", counts.keyword_less_than, "frequency", 0.4, TEXT, ANY, FREE, _WORDS),
    Kind("forbidden", counts.forbidden, "forbidden", 1.2, TEXT),
    Kind("letter_at_least", counts.letter_at_least, "letter", 0.4, PLAIN),
    Kind("letter_at_most", counts.letter_at_most, "letter", 0.2, PLAIN),
    Kind("letter_less_than", counts.letter_less_than, "letter", 0.2, PLAIN),
    Kind("capital_words_at_most", counts.capital_words_at_most, "case", 0.2, PROSE),
    Kind("repeat", repeat, "repeat", 1.0, TEXT | BRIEF | FOREIGN | CODE, ANY, FORM, _REPEATED),
)
"""In the order in which they are applied: what is only counted comes last, so that it holds of the whole."""
