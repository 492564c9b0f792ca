"""What a prompt asks, whatever its wording: the words that carry it, in their common form, with weights."""

import re
import unicodedata
from collections.abc import Mapping, Set
from typing import NamedTuple

LIGHT = 0.375
"""Weight of a word that many prompts share; one that tells them apart has 1. Sums of both are exact."""

MISSING = 0.5
"""Weight of what two prompts are taken to differ in unseen, so that few shared words prove less than many."""

# Operators are words, since 12 - 5 is not 12 + 5; the hyphen of a compound is not one.
_WORD = re.compile(r"\w+(?:'\w+)*|[+*/×÷^=<>]|(?<![^\W\d])-(?![^\W\d])")

_FRAME = """
    a an the this that these those there here it its he she him her hers his they their theirs we our ours us
    i me my mine you your yours one ones myself yourself itself himself herself themselves oneself
    and or but nor so yet if then than as of in on at to for from by with into onto over about out up off down
    through between during under across around along upon per via while because since though although until
    is are was were be been being am do does did done doing have has had having can could will would shall
    should may might must cannot what which who whom whose when where why how whether not no
    dont doesnt didnt isnt arent wasnt cant wont im ive id youre thats whats hows whos
    hi hey hello please pls plz kindly just only also too very really quite rather even still ever some any
    each every all both either such same another else more most less least much many lot exactly actually
    roughly tell give show explain describe let know want need like help go goes going went get gets getting
    got way ways best good right easy easiest easily simple simply briefly quick quickly thing things
    something anything anyone someone somebody anybody everybody everyone
"""
"""Words of every prompt: they say how something is asked, hardly ever what."""

_COMMON = """
    make use keep take put turn start begin end find call name say ask answer reply write list mean come stop
    work change try set leave become seem happen count think believe look see feel pick choose suggest provide
    create compose draft state mention offer require request word sentence line bullet number digit letter
    comma separate result point text form order short long new old small big large little first last next
    second time day week month year hour minute now today back away person man without before after never
    always again once twice together alone pair couple kind sort type part reason idea advise tip step trick
    possible able whole full own few several enough well different bad other colour yes true false
"""

_IRREGULAR = """
    american america, ate eat, author write, began begin, begun begin, bled bleed, bought buy,
    broke break, broken break, brought bring, built build, came come, caught catch, children child,
    chose choose, chosen choose, color colour, dad father, died die, differ different,
    difference different, differs different, drawn draw, drew draw, driven drive, drove drive, dying die,
    eaten eat, european europe, fallen fall, feet foot, fell fall, felt feel, flew fly, flown fly,
    foggy fog, found find, french france, froze freeze, frozen freeze, geese goose, german germany,
    given give, gone go, grew grow, grown grow, halves half, heard hear, height high, held hold,
    hid hide, hidden hide, hung hang, iced ice, icing ice, icy ice, italian italy, kept keep, kid child,
    kids child, knew know, knives knife, known know, left leave, lives life, lost lose, lying lie,
    made make, making make, meant mean, men man, met meet, mice mouse, mouldy mould, muddy mud,
    mum mother, mums mother, paid pay, people person, rainy rain, ran run, rang ring, ridden ride,
    risen rise, rode ride, rose rise, rung ring, said say, salty salt, sang sing, sank sink, saw see,
    seen see, sent send, slept sleep, sold sell, spanish spain, spent spend, spilt spill, spoke speak,
    spoken speak, squeaky squeak, sticky stick, stole steal, stolen steal, struck strike, stuck stick,
    sung sing, sunk sink, swam swim, swum swim, taken take, taught teach, teeth tooth, thought think,
    threw throw, thrown throw, told tell, took take, tore tear, torn tear, tying tie,
    understood understand, used use, using use, woke wake, woken wake, wolves wolf, women woman, won win,
    wore wear, worn wear, worse bad, worst bad, writer write, written write, wrote write
"""
_NUMBERS = "one two three four five six seven eight nine ten eleven twelve"
_ENDINGS = dict.fromkeys(("ies", "ied", "ing"), 2) | {"ed": 3}
_ENDINGS |= dict.fromkeys(("ation", "ment", "ness", "ful", "ical", "ally", "ly"), 4)
_ENDINGS |= dict.fromkeys(("al", "ic"), 5)
"""Endings, and the letters that at least stand before each."""

_CONTRASTS = tuple(
    frozenset(group.split())
    for group in (
        "?who ?when ?where ?why ?many",
        "before after",
        "first second third last",
        "north south east west",
        "above below",
    )
)
"""Of two prompts that name different ones of a group, neither asks what the other does."""

_ASKED = re.compile(
    r"(?:^|[.,:;!?]\s+)(?:(who|whose)|(when)|(where)|(why|how come)|(how (?:many|much|long|old)))\b"
    r"|\b(?:what|which) (year|date)\b"
)
_KINDS = ("?who", "?when", "?where", "?why", "?many", "?when")

_SHORT = re.compile("[^aeiouy]*[aeiouy][^aeiouywx]")
"""One vowel before one consonant: an e behind makes another word, as in wine."""

_OPPOSED = frozenset().union(*_CONTRASTS)
_UNSAID = frozenset(_FRAME.split())
_FORMS = dict(pair.split() for pair in _IRREGULAR.split(","))
_DIGITS = {word: str(number) for number, word in enumerate(_NUMBERS.split(), 1)}


class Gist(NamedTuple):
    """What a prompt asks: the weight of each word, in its common form, and what may stand in contrast."""

    weights: Mapping[str, float]
    marks: Set[str]


def folded(text: str) -> str:
    """The text without differences of letter case, width and apostrophe."""
    return unicodedata.normalize("NFKC", text).casefold().replace("’", "'")


def normal(text: str) -> tuple[str, ...]:
    """The words of a text in order, folded; of a text without words, what stands between its spaces."""
    plain = folded(text)
    return tuple(_WORD.findall(plain) or plain.split())


def gist(text: str) -> Gist:
    """What a text asks; nothing where it is made of words that every prompt has."""
    said = [word.split("'")[0] for word in normal(text)]
    carrying = (root(_DIGITS.get(word, word)) for word in said if word not in _UNSAID)
    kinds = (_KINDS[match.lastindex - 1] for match in _ASKED.finditer(folded(text)) if match.lastindex)
    marks = _OPPOSED.intersection([*kinds, *said])
    return Gist({word: _weight(word) for word in carrying}, marks)


def contrast(one: Gist, other: Gist) -> bool:
    """Whether the two name different members of one group of opposites, such as before and after."""
    named = ((one.marks & group, other.marks & group) for group in _CONTRASTS)
    return any(mine and theirs and not mine & theirs for mine, theirs in named)


def closeness(one: str, other: str) -> float:
    """Weight of the words that two texts share over that of all their words and `MISSING`; 0 in contrast."""
    a, b = gist(one), gist(other)
    if contrast(a, b):
        return 0.0
    shared = sum(a.weights[word] for word in a.weights.keys() & b.weights.keys())
    return shared / (sum(a.weights.values()) + sum(b.weights.values()) - shared + MISSING)


def root(word: str) -> str:
    """A word without the endings of number, tense and derivation: baking, bakes and bake are one."""
    word = _FORMS.get(word, word)
    if len(word) < 4 or not word.isalpha():
        return word
    word = _singular(word)
    for ending, least in _ENDINGS.items():
        stem = word.removesuffix(ending)
        vowel = "y" if ending in ("ies", "ied") else ""
        if stem != word and len(stem) >= least and re.search("[aeiouy]", stem + vowel):
            word = _verb(stem) if ending in ("ing", "ed") else stem + vowel
            break
    word = _FORMS.get(word, word)
    if word.endswith("e") and not _SHORT.fullmatch(word[:-1]):
        word = word[:-1]
    word = f"{word[:-1]}i" if word.endswith("y") and len(word) > 3 else word
    return word.removesuffix("at") if len(word) > 5 else word


def _singular(word: str) -> str:
    if word.endswith("es") and word[:-2].endswith(("ch", "sh", "x", "ss", "zz", "o")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is", "ies")):
        word = word[:-1]
    return _FORMS.get(word, word)


def _verb(stem: str) -> str:
    """What -ing or -ed was put to: stop of stopp, bake of bak."""
    if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "lsz":
        return stem[:-1]
    return f"{stem}e" if _SHORT.fullmatch(stem) else stem


_LIGHT = frozenset(root(word) for word in _COMMON.split())


def _weight(word: str) -> float:
    light = int(word) <= len(_DIGITS) if word.isdecimal() else word in _LIGHT
    return LIGHT if light else 1.0
