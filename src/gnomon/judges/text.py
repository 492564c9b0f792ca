"""Judges of text that need no model: role leak, repetition, continuing instead of answering, evasion.

All are heuristics with stated rules, made to be conservative: an odd answer counts as an answer.
"""

import re
from collections import Counter

from gnomon.judges.counting import sentences

_WORD = re.compile(r"\w+(?:'\w+)?")

_OPENS_TURN = re.compile(
    r"""^[ \t]*[\[*#<]*[ \t]*(?:user|human|assistant|ai|bot|chatbot|system|instruction|response|prompt|me)
          (?:[ ]?\d+)?[\]*>]*[ \t]*:
      | [.!?]["')]*[ ]+(?:user|human|assistant)(?:[ ]?\d+)?: | \[(?:user|human|assistant)\b[^\]\n]*\]
      | <\|?(?:im_)?(?:start|end)(?:_of_turn)?\|?> | <\|\w+\|> | </?s> | \[/?INST\]
      | ^\s*\#{2,}\s*(?:instruction|input|response|user|human|assistant)\b""",
    re.I | re.M | re.X,
)
_NEXT_QUESTION = re.compile(
    r"(?:^[ \t]*(?:q|question)(?:[ ]?\d+)?[ \t]*[:.)]|[.!?][ ]+question[ ]\d+[:.])", re.I | re.M
)
_FURNITURE = re.compile(
    r"""\b(?:posted|asked|submitted|edited)[ ](?:by|on|in)\b.{0,40}(?:\d|\bin\b|\bago\b)
      | \blast[ ]reply\b | \bfollow[ ]this[ ]question\b | \bfollowing[ ]this[ ]thread\b
      | \bclosed[ ]as[ ]duplicate\b | \bviewed[ ][\d.,]+k?[ ]times\b
      | \b\d+[ ](?:comments|replies|upvotes)\b | ^\s*\d+[ ]answers?\s*$
      | ^\s*re:[ ] | \b(?:update|edit):[ ] | ^\s*(?:tags:|bump\b) | ^\s*home[ ]*[>»/|]
      | \btable[ ]of[ ]contents,[ ]page\b | \bnext[ ]chapter\b
      | \bin[ ]this[ ](?:chapter|article|lesson|tutorial)\b
      | \bread[ ](?:more|on)(?:[ ]for|[.:»>…]|$)
      | \b(?:related|recent|popular)[ ](?:articles|posts|questions)\b
      | \ball[ ]rights[ ]reserved\b | \bcopyright[ ](?:©|\(c\)|\d{4}) | \bclick[ ]here\b
      | \[\d+[ ]marks?\] | \.{12,} | \b(?:check[ ]your[ ]answers|score[ ]one[ ]point)\b
      | \b(?:exercise|lesson)[ ]\d+:""",
    re.I | re.M | re.X,
)
_ASKER = re.compile(
    r"""\b(?:can|could|does|has|is)[ ](?:any|some)(?:one|body)\b.{0,60}\?
      | \bany(?:one|body)[ ](?:else|know|knows|got)\b.{0,60}\?
      | \bany[ ](?:advice|help|ideas?|suggestions?|tips)\b.{0,30}(?:welcome|appreciated|\?)
      | \bthank(?:s|[ ]you)[ ]in[ ]advance\b
      | \bi[ ](?:also[ ])?have[ ]the[ ]same[ ](?:problem|question|issue)\b
      | ^\s*(?:hi|hello|hey)\b.{0,12}\bi(?:'m|[ ]am)[ ](?:new|trying|having|wondering)\b
      | \bi(?:'m|[ ]am)[ ](?:(?:a[ ]bit|a[ ]little|so|very|really)[ ])?(?:confused[ ]about|new[ ]to)\b
      | \A\s*(?:(?:i|can[ ]you|could[ ]you)[ ]also\b|i(?:'m|[ ]am)[ ](?:trying|looking|wondering)\b
              |i[ ](?:want|need)[ ]to[ ](?:know|learn|make)\b)""",
    re.I | re.M | re.X,
)
_RUNS_ON = re.compile(r"\s*(?:[,;:)?!.](?:\s|$)|[.…]{3})")
_OPTION = re.compile(r"(?:^|\s)\(?([a-dA-D])[.):]\s", re.M)
_WANTS_QUESTIONS = re.compile(
    r"\b(?:questions?|questioner|quiz|riddles?|ask|asking|interview|faq|dialogue|joke|quer(?:y|ies))\b", re.I
)
_EVASION = re.compile(
    r"""\bi(?:'m|[ ]am)[ ](?:sorry|afraid|not[ ]able|unable|in[ ]no[ ]position)\b | \bi'd[ ]rather[ ]not\b
      | \bi[ ](?:can't|cannot|won't|couldn't)[ ](?:help|say|answer|advise|assist|write|give|tell|do|comment)\b
      | \bas[ ]an[ ](?:ai|artificial)\b | \b(?:it|that)[ ](?:really[ ]|all[ ])?depends\b
      | \b(?:both|all|two)[ ]sides\b | \bpros[ ]and[ ]cons\b | \byes[ ]and[ ]no\b
      | \b(?:everyone|everybody|every[ ]\w+)[ ]is[ ]different\b | \bno[ ]two[ ]\w+[ ]are[ ]the[ ]same\b
      | \b(?:opinions|views|tastes|prices|answers)[ ](?:differ|vary)\b
      | \b(?:hard|difficult|impossible)[ ]to[ ]say\b | \bsome[ ]would[ ]say\b
      | \b(?:speak[ ]to|ask|consult|see)[ ]an?[ ](?:professional|expert)\b
      | \bfollow[ ]your[ ]heart\b | \bwhat[ ]feels[ ]right\b | \bcan't[ ](?:really[ ])?go[ ]wrong\b""",
    re.I | re.X,
)
_CLOSER = re.compile(
    r"""\b(?:(?:i[ ])?hope[ ](?:this|that|it)[ ]helps | let[ ]me[ ]know | feel[ ]free[ ]to | don't[ ]hesitate
      | happy[ ]to[ ](?:help|assist) | anything[ ]else[ ]i[ ]can | is[ ]there[ ]anything[ ]else
      | have[ ]a[ ](?:great|nice|wonderful)[ ]day)\b""",
    re.I | re.X,
)
_BOILERPLATE = re.compile(
    r"""\b(?:as[ ]an?[ ](?:ai|artificial[ ]intelligence|(?:large[ ])?language[ ]model)\b
      | i(?:'m|[ ]am)[ ](?:just[ ]|only[ ])?an?[ ](?:ai|language[ ]model)\b
      | (?:great|good|excellent|interesting)[ ]question\b | certainly[!,] | of[ ]course! | absolutely! | sure!
      | sure,[ ](?:here|i[ ]can)\b | i(?:'d|[ ]would)[ ]be[ ]happy[ ]to\b
      | thank[ ]you[ ]for[ ](?:asking|your[ ]question)\b
      | it(?:'s|[ ]is)[ ]important[ ]to[ ](?:note|remember)\b)""",
    re.I | re.X,
)


def role_leak(text: str) -> bool:
    """Whether the text plays a turn of a chat.

    That is: a line that opens with a speaker of one ("User:", "AI:", "[User 0001]", "### Instruction"),
    "User:", "Human:" or "Assistant:" after a sentence, or the markup of a chat template. Other names
    ("Baker:") may belong to a dialogue somebody asked for.
    """
    return _OPENS_TURN.search(text) is not None


def repetition(text: str) -> float:
    """The share of 4-word windows that occurred before in the text; 0 for fewer than five words."""
    found = _words(text)
    windows = [tuple(found[i : i + 4]) for i in range(len(found) - 3)]
    return 1 - len(set(windows)) / len(windows) if windows else 0.0


def loops(text: str) -> bool:
    """Whether the text goes round in circles.

    That is: over 40 % of its 4-word windows are repeats, and it has ten words or more; or one line or
    sentence of two words or more comes three times and makes up half the text; or one letter, digit, ! or ?
    comes eleven times in a row.
    """
    if len(_words(text)) >= 10 and repetition(text) > 0.4:
        return True
    for units in (text.splitlines(), sentences(text)):
        spoken = [tuple(_words(unit)) for unit in units if _words(unit)]
        unit, often = Counter(spoken).most_common(1)[0] if spoken else ((), 0)
        if often >= 3 and len(unit) >= 2 and 2 * often >= len(spoken):
            return True
    return re.search(r"(\w|[!?])\1{10}", text.replace("_", " ")) is not None


def continues(prompt: str, text: str) -> bool:
    """Whether the text carries the prompt on, as a web page or a forum would, instead of answering it.

    That is, any of: it begins with punctuation; a sentence begins with the prompt's first three words ("How
    do I make tea?" after "How do I make bread?"); where the prompt asks for no questions, one that shares
    over half its words with the prompt, two or more and nothing else, or "Q:" after an answer; the furniture
    of forums, web pages and exam papers; somebody who asks the same; multiple-choice options nobody offered.
    """
    plain = _plain(text)
    return (
        _RUNS_ON.match(plain) is not None
        or _echoes(prompt, plain)
        or _only_asks(prompt, plain)
        or _FURNITURE.search(plain) is not None
        or _ASKER.search(plain) is not None
        or (len(set(_OPTION.findall(plain))) >= 2 and not _OPTION.search(prompt))
    )


def answers(prompt: str, text: str, *, ended: bool) -> bool:
    """Whether the text answers the prompt (its last turn) rather than continues it: the bread test.

    True unless the text is blank, leaks a role, loops or `continues` the prompt. A text that never `ended`
    may not ask two questions or more either, as a model that talks on to itself does. Whether what it says
    is right is for checks and reward models.
    """
    if not any(c.isalnum() for c in text) or role_leak(text) or loops(text) or continues(prompt, text):
        return False
    return ended or text.count("?") < 2 or _WANTS_QUESTIONS.search(prompt) is not None


def evasive(text: str) -> bool:
    """Whether a short text (40 words or fewer) declines, or says that it depends, instead of answering."""
    return len(text.split()) <= 40 and _EVASION.search(_plain(text)) is not None


def closers(text: str) -> tuple[str, ...]:
    """The stock endings in the text ("Let me know", "I hope this helps"), in order."""
    return tuple(match[0] for match in _CLOSER.finditer(_plain(text)))


def boilerplate(text: str) -> tuple[str, ...]:
    """The stock phrases of assistants in the text ("As an AI", "Great question"), in order."""
    return tuple(match[0] for match in _BOILERPLATE.finditer(_plain(text)))


def _plain(text: str) -> str:
    return text.replace("’", "'")


def _words(text: str) -> list[str]:
    return _WORD.findall(_plain(text).casefold())


def _echoes(prompt: str, text: str) -> bool:
    asked, invites = _words(prompt), _WANTS_QUESTIONS.search(prompt)
    for sentence in {*sentences(text), *text.splitlines()}:
        said = _words(sentence)
        if said[:3] == asked[:3] and len(said) >= 3:
            return True
        shared = len(set(said) & set(asked)) / max(1, len(set(said) | set(asked)))
        if invites is None and _is_question(sentence) and len(said) >= 4 and shared > 0.5:
            return True
    return False


def _only_asks(prompt: str, text: str) -> bool:
    if _WANTS_QUESTIONS.search(prompt):
        return False
    found = sentences(text)
    next_question = any(text[: match.start()].strip() for match in _NEXT_QUESTION.finditer(text))
    return next_question or (len(found) >= 2 and all(map(_is_question, found)))


def _is_question(sentence: str) -> bool:
    return sentence.rstrip("\"')*_ ").endswith("?")
