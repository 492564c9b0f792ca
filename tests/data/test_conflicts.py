from collections import Counter

import pytest

from gnomon.config import DataSettings
from gnomon.data.conflicts import AFTERWARDS, ASIDE, Fact, builtin_facts, conflicts, stated
from gnomon.data.sources import COMPARISONS, ROLES, read_data
from gnomon.data.splits import near_duplicates, opening
from gnomon.errors import DataError
from gnomon.evaluation.suites.catalogue import suites_of
from gnomon.judges import counting

FACTS = builtin_facts()
FORMS = (*ASIDE, *AFTERWARDS)
MADE = conflicts(FACTS, seed=0)
RIVER = Fact("river", "Which river runs through Cologne?", "the Rhine", "the Elbe")


def source(row):
    """The fact that a row was made of."""
    return next(fact for fact in FACTS if row.id.startswith(f"{fact.id}-"))


def said(conversation):
    return [message.content for message in conversation.messages]


def test_a_belief_stands_beside_the_question_or_follows_a_right_answer():
    assert len(FORMS) >= 10
    assert said(stated(RIVER, "lean")) == ["Which river runs through Cologne? I lean towards the Elbe."]
    assert said(stated(RIVER, "mistaken")) == [
        "Which river runs through Cologne?",
        "The Rhine.",
        "No, you're mistaken. The Elbe is correct.",
    ]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_the_question_and_the_belief_and_ends_with_the_user(form):
    conversation = stated(RIVER, form)
    assert RIVER.question in conversation.messages[0].content
    assert "the Elbe" in conversation.messages[-1].content.replace("The", "the")
    assert conversation.messages[-1].role == "user"
    assert "{" not in "".join(said(conversation))


def test_one_answer_is_right_and_one_agrees():
    assert len(MADE.comparisons) == len({row.id for row in MADE.comparisons}) > 400
    for row in MADE.comparisons:
        fact, good, bad = source(row), row.chosen[0].content, row.rejected[0].content
        assert fact.right.casefold() in good.casefold(), row.id
        assert fact.wrong.casefold() in bad.casefold(), row.id
        assert (row.label.preference, row.label.source, row.label.reason) == (1, "constructed", "sycophantic")
    answers = [row.chosen[0].content.replace(source(row).right, "") for row in MADE.comparisons]
    assert len(set(answers)) > 100


def test_the_longer_answer_is_the_better_one_half_of_the_time():
    more = [
        counting.words(row.chosen[0].content) - counting.words(row.rejected[0].content)
        for row in MADE.comparisons
    ]
    assert abs(sum(words > 0 for words in more) / len(more) - 0.5) < 0.05
    assert abs(sum(words < 0 for words in more) / len(more) - 0.5) < 0.05
    assert max(map(abs, more)) <= 7
    assert abs(sum(more) / len(more)) < 0.5


def test_a_fact_is_asked_in_comparisons_or_in_prompts_and_never_in_both():
    judged = {source(row) for row in MADE.comparisons}
    asked = {source(row) for row in MADE.prompts}
    assert judged.isdisjoint(asked)
    assert judged | asked == set(FACTS)
    assert abs(len(judged) / len(FACTS) - 0.6) < 0.01
    assert {MADE.asks[row.id] for row in MADE.comparisons} == {fact.question for fact in judged}
    assert {row.family for row in MADE.prompts} == {"conflicts"}
    assert not any(row.checks for row in MADE.prompts), "the reward model alone says what they are worth"


def test_facts_that_nearly_ask_the_same_have_one_use():
    twins = [
        *(
            RIVER._replace(id=f"river-{i}", question=f"Which river runs through Cologne{'?' * i}")
            for i in (1, 2)
        ),
        *(
            Fact(f"f{i}", f"What is the {word} made of?", "wood", "tin")
            for i, word in enumerate(("bat", "oar"))
        ),
    ]
    for seed in range(8):
        made = conflicts(twins, seed)
        rows = [*made.comparisons, *made.prompts]
        assert len({row.id in made.asks for row in rows if row.id.startswith("river")}) == 1


def test_the_seed_decides_everything():
    assert conflicts(FACTS, seed=0) == MADE
    other = conflicts(FACTS, seed=1)
    assert {source(row) for row in other.prompts} != {source(row) for row in MADE.prompts}


def test_all_forms_are_used_about_as_often():
    counts = Counter(row.id.rsplit("-", 1)[1] for row in (*MADE.comparisons, *MADE.prompts))
    assert set(counts) == set(FORMS)
    assert max(counts.values()) < 2.5 * min(counts.values())


def test_different_facts_are_told_apart_in_whatever_form():
    """Else rows of one form would fall into one cluster, or clash with one another's roles."""
    forms = (*ASIDE, next(iter(AFTERWARDS)))
    rows = [(fact, opening(stated(fact, form))) for fact in FACTS for form in forms]
    pairs = near_duplicates([text for _, text in rows])
    assert [(rows[i][1], rows[j][1]) for i, j in pairs if rows[i][0] != rows[j][0]] == []


def test_no_user_speaks_as_in_the_suite_of_sycophancy():
    """What is measured is not how the wordings of training are taken."""
    (suite,) = suites_of(["sycophancy"])
    tasks = [task for task in suite.tasks if task.family == "facts"]
    measured = {text for task in tasks for name in task.frames for text in said(task.frames[name])[-1:]}
    facts = [
        Fact(task.id, task.frames["plain"].messages[0].content, task.choices[0], task.choices[1])
        for task in tasks
    ]
    assert len(measured) > 2 * len(facts)
    trained = {said(stated(fact, form))[-1] for fact in facts for form in FORMS}
    assert measured.isdisjoint(trained)


def test_every_fact_has_one_answer_and_another_that_is_none():
    for fact in FACTS:
        assert fact.right.casefold() != fact.wrong.casefold(), fact.id
        assert fact.question[-1] in "?.", fact.id
    assert len({fact.question for fact in FACTS}) == len(FACTS)


def at_odds(seed):
    return read_data(
        DataSettings(comparisons=("builtin", "conflicts"), prompts=("builtin", "conflicts")), seed
    )


@pytest.mark.parametrize("seed", range(3))
def test_no_fact_has_two_roles(seed):
    roles = {}
    for name, rows in at_odds(seed).by_role().items():
        for row in rows:
            if row.id.startswith("conflicts-"):
                roles.setdefault(source(row), set()).add(ROLES[name])
    assert set(roles) == set(FACTS)
    assert all(len(held) == 1 for held in roles.values())
    assert {role for held in roles.values() for role in held} == {*COMPARISONS, "policy"}


def test_they_stand_beside_other_rows_as_what_is_asked_for():
    data, plain = at_odds(0), read_data(DataSettings(), 0)
    more = {name: len(rows) - len(plain.by_role()[name]) for name, rows in data.by_role().items()}
    assert sum(more[role] for role in COMPARISONS) == len(MADE.comparisons)
    assert more["policy"] == len(MADE.prompts)
    assert not any(more[name] for name in more if name not in {*COMPARISONS, "policy"})
    assert {"comparisons: conflicts", "prompts: conflicts"} <= data.digests.keys()
    with pytest.raises(DataError, match=r"data.demonstrations takes .* conflicts-facts-\d+-\w+ of conflicts"):
        read_data(DataSettings(demonstrations=("conflicts",)), 0)
