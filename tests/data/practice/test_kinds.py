"""Every kind of constraint can be kept to, alone and beside each it may stand beside, and can be broken."""

import re
from itertools import combinations, product
from random import Random

import pytest
from witness import witness

from gnomon.data.composing.published import HELD_OUT, PUBLISHED
from gnomon.data.composing.wordings import ALL_WORDINGS, FORBIDDEN, FURTHER
from gnomon.data.practice.draws import CLOSERS, KEYS, NOUNS, OPENERS
from gnomon.data.practice.generate import constrained, prompts_made
from gnomon.data.practice.kinds import KINDS, SLOTS
from gnomon.data.practice.tasks import tasks
from gnomon.judges.instructions.kinds import KINDS as ALL_PUBLISHED
from gnomon.judges.verifiable import run_checks

BY_NAME = {kind.name: kind for kind in KINDS}
TASKS = tasks(apart=False)
ALLOWED = [pair for pair in combinations(KINDS, 2) if pair[0].beside(pair[1])]


def made(*kinds, seed=0):
    """A prompt with these constraints, of a request that suits them all."""
    rng = Random(f"{seed}/{[kind.name for kind in kinds]}")
    fitting = [task for task in TASKS if all(kind.suits(task) for kind in kinds)]
    return constrained(rng.choice(fitting), list(kinds), rng)


def broken(prompt, answer):
    return [
        constraint.kind
        for constraint, passed in zip(
            prompt.constraints, run_checks(answer, prompt.prompt.checks), strict=True
        )
        if not passed
    ]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_kind_can_be_kept_to(kind):
    for seed in range(12):
        prompt = made(kind, seed=seed)
        assert broken(prompt, witness(prompt)) == [], (prompt.constraints, witness(prompt))


def test_each_two_kinds_that_may_stand_together_can_be_kept_to_together():
    assert len(ALLOWED) > 350
    failed = []
    for one, other in ALLOWED:
        for seed in range(3):
            prompt = made(one, other, seed=seed)
            if found := broken(prompt, witness(prompt)):
                failed.append((one.name, other.name, found, witness(prompt)))
    assert failed == []


def test_every_prompt_that_is_made_can_be_kept_to():
    """Three constraints together, too: what excludes what is told of two."""
    prompts = prompts_made(1200, 3)
    failed = [prompt for prompt in prompts if broken(prompt, witness(prompt))]
    assert failed == []


def many(text):
    """The text with far more of everything."""
    return text + " ZEBRAS (Xylophones) went on and on and Did so again." * 8


SPOILT = {
    "no_commas": lambda a, v: f"{a},",
    "highlights": lambda a, v: a.replace("*", ""),
    "capital_words_at_least": lambda a, v: a.lower(),
    "capital_words_at_most": lambda a, v: f"{a} ONE TWO SIX TEN",
    "placeholders": lambda a, v: re.sub(r"[\[\]]", "", a),
    "bullets": lambda a, v: f"{a}\n{v['mark']} One more",
    "sections": lambda a, v: a.replace(f"{v['splitter']} 1", ""),
    "paragraph_opening": lambda a, v: a.replace(v["word"], "Never"),
    "json": lambda a, v: a[:-1],
    "json_block": lambda a, v: f"{a} Here.",
    "short_and_full": lambda a, v: a.replace("******", "*****"),
    "closing": lambda a, v: f"{a} Yes.",
    "lower_case": lambda a, v: f"{a} I",
    "options": lambda a, v: " ".join(v["options"]),
    "words_at_least": lambda a, v: "Too few words.",
    "words_at_most": lambda a, v: many(a),
    "words_less_than": lambda a, v: many(a),
    "words_between": lambda a, v: many(a),
    "sentences_at_least": lambda a, v: "Only one.",
    "sentences_at_most": lambda a, v: many(a),
    "sentences_less_than": lambda a, v: many(a),
    "sentences_exactly": lambda a, v: f"{a} One more.",
    "keywords": lambda a, v: a.replace(v["words"][0], f"{v['words'][0]}ish"),
    "keyword_at_least": lambda a, v: a.replace(v["word"], "it", 1),
    "keyword_less_than": lambda a, v: f"{a} {v['word']} {v['word']} {v['word']}",
    "forbidden": lambda a, v: f"{a} {v['words'][-1].title()}!",
    "first_word": lambda a, v: f"Well. {a}",
    "last_word": lambda a, v: f"{a} Then it rained.",
    "ends_asking": lambda a, v: f"{a} No.",
    "question": lambda a, v: a.replace("?", "."),
    "lines": lambda a, v: f"{a}\nOne more.",
    "dashed_lines": lambda a, v: f"{a}\nAnd this.",
    "ordered": lambda a, v: a.replace("1.", "0.", 1),
    "semicolons": lambda a, v: a.replace(";", "\n;", 1),
    "acrostic": lambda a, v: f"{a}\nZoos.",
    "heading": lambda a, v: a.replace(":\n", ".\n"),
    "number": lambda a, v: a.replace("7", "seven"),
    "brackets": lambda a, v: a.replace("(", ""),
    "short_sentences": lambda a, v: a[:-1] + " and so on" * 5 + ".",
    "short_words": lambda a, v: f"{a} Extraordinarily.",
    "initial_letter": lambda a, v: re.sub(rf"\b{v['letter']}", "k", a, flags=re.I),
    "exactly": lambda a, v: f"{a} The {v['word'].upper()}.",
    "word_order": lambda a, v: a.replace(v["first"], "it") + f" {v['first']}",
    "capital_initials": lambda a, v: f"{a} so",
    "openings_differ": lambda a, v: f"{a} {a}",
}
"""Of the witness and the constraint's values: an answer that breaks it."""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_kind_can_be_broken(kind):
    for seed in range(6):
        prompt = made(kind, seed=seed)
        spoilt = SPOILT[kind.name](witness(prompt), prompt.constraints[0].values)
        assert broken(prompt, spoilt) == [kind.name], spoilt


def test_capitals_throughout_are_no_capital_initials():
    """They are a kind that is held out, and would be learnt where they are paid."""
    prompt = made(BY_NAME["capital_initials"])
    assert broken(prompt, witness(prompt).upper()) == ["capital_initials"]


def test_one_kind_of_every_published_group_but_punctuation_is_held_out():
    assert set(PUBLISHED.values()) == set(ALL_PUBLISHED)
    assert len(ALL_PUBLISHED) == 25
    assert len(HELD_OUT) == 8
    groups = {name.partition(":")[0] for name in ALL_PUBLISHED}
    assert sorted(name.partition(":")[0] for name in HELD_OUT) == sorted(groups - {"punctuation"})


@pytest.mark.mistake("yardstick-practised")
def test_the_kinds_practised_are_all_others_and_kinds_beyond():
    names = [kind.name for kind in KINDS]
    assert len(names) == len(set(names))
    assert {PUBLISHED[name] for name in names if name in PUBLISHED} == set(ALL_PUBLISHED) - HELD_OUT
    beyond = {name for name in names if name not in PUBLISHED}
    assert beyond == set(FURTHER)
    assert len(beyond) >= 15


def test_constraints_of_our_own_have_six_wordings_or_more():
    assert all(len(set(forms["sentences"])) >= 6 for forms in FURTHER.values())
    assert all(sentence[-1] in '.:>*?!}")' for forms in FURTHER.values() for sentence in forms["sentences"])
    assert all(ALL_WORDINGS[kind.name]["sentences"] for kind in KINDS)


def test_slots_are_known_and_what_excludes_what_is_mutual():
    assert {kind.slot for kind in KINDS} | {slot for kind in KINDS for slot in kind.clashes} == SLOTS
    assert all(one.beside(other) == other.beside(one) for one, other in product(KINDS, KINDS))
    assert not any(kind.beside(kind) for kind in KINDS)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("lower_case", "capital_words_at_least"), ("json", "closing"), ("bullets", "sentences_exactly")),
        *(("acrostic", "first_word"), ("short_words", "keywords"), ("closing", "ends_asking")),
        *(("options", "forbidden"), ("short_sentences", "words_at_least"), ("closing", "lower_case")),
        *(("openings_differ", "sentences_at_most"), ("sections", "short_and_full")),
    ],
)
def test_kinds_that_contradict_each_other_never_meet(one, other):
    assert not BY_NAME[one].beside(BY_NAME[other])


def test_no_word_is_asked_for_and_forbidden():
    wanted = {word.lower() for word in (*NOUNS, *OPENERS, *CLOSERS, *KEYS)}
    assert wanted & set(FORBIDDEN) == set()
