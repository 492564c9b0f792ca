from collections import Counter

from gnomon.config import ConstitutionSettings
from gnomon.constitution.principles import Constitution, Principle, load_constitution
from gnomon.constitution.revise import EXAMPLES, Step, critique_request, revise, revision_request
from gnomon.models.load import load
from gnomon.records import Conversation, Prompt, from_json, to_json
from gnomon.rollouts.engine import Sample
from gnomon.rollouts.local import LocalEngine

KIND = Principle(
    id="kind", text="The answer is kind.", critique="What is unkind in it?", revision="Make it kind."
)
TRUE = Principle(
    id="true", text="The answer is true.", critique="What is wrong in it?", revision="Make it true."
)
TWO = Constitution(name="two", principles=(KIND, TRUE))
STEP = Step("p/1", Conversation.of("How are cakes made?"), "Badly, by you.", KIND)


class Scripted:
    """A generator that says known texts: the model's part is played, everything around it is real."""

    def __init__(self, revise_to, ended=True):
        self.revise_to, self.ended = revise_to, ended
        self.calls = []

    def sample(self, prompts, sampling, seeds):
        raise AssertionError("critique and revision speak in conversations")

    def answer(self, conversations, sampling, seed=0, *, raw=False):
        self.calls.append((tuple(conversations), sampling, seed))
        return [Sample((), (), (), self.says(c.messages[-1].content), self.ended) for c in conversations]

    def says(self, text):
        if "\nTask: Make" in text:
            answer = text.split("\nAnswer: ")[1].split("\n")[0]
            return self.revise_to(answer)
        return "It insults the baker." if "\nTask: What" in text else f"Bad cake for {text.split()[-1]}"


def prompts(n):
    return [Prompt(f"p{i}", Conversation.of(f"How do I bake cake number {i}")) for i in range(n)]


def test_one_round_keeps_what_was_said_under_which_principle():
    engine = Scripted(lambda answer: answer.replace("Bad", "A better"))
    rows = revise(engine, prompts(20), TWO, ConstitutionSettings(max_new_tokens=50), seed=3)
    assert [row.id for row in rows] == [f"p{i}/1" for i in range(20)]
    assert rows[4].response == "Bad cake for 4"
    assert rows[4].critique == "It insults the baker."
    assert rows[4].revision == "A better cake for 4"
    assert rows[4].prompt == Conversation.of("How do I bake cake number 4")
    assert all(row.kept and row.constitution == TWO.digest for row in rows)
    assert set(Counter(row.principle for row in rows)) == {"kind", "true"}
    assert [from_json(type(row), to_json(row)) for row in rows] == rows


def test_the_model_is_asked_in_three_batches_each_with_its_own_seed():
    engine = Scripted(lambda answer: answer + " with sugar")
    revise(engine, prompts(5), TWO, ConstitutionSettings(max_new_tokens=50), seed=3)
    assert [len(conversations) for conversations, _, _ in engine.calls] == [5, 5, 5]
    assert [s.temperature for _, s, _ in engine.calls] == [1.0, 0.3, 0.3]
    assert {s.max_new_tokens for _, s, _ in engine.calls} == {50}
    assert len({seed for _, _, seed in engine.calls}) == 3
    assert engine.calls[0][0] == tuple(p.conversation for p in prompts(5))


def test_the_row_of_a_prompt_does_not_depend_on_its_neighbours():
    def ids(some):
        rows = revise(Scripted(str.upper), some, TWO, ConstitutionSettings(revisions=2), seed=9)
        return {row.id: row.principle for row in rows}

    few, many = ids(prompts(20)[5:8]), ids(prompts(20))
    assert few == {key: many[key] for key in few}


def test_later_rounds_revise_the_last_revision():
    engine = Scripted(lambda answer: answer + " and sugar")
    rows = revise(engine, prompts(1), TWO, ConstitutionSettings(revisions=3), seed=0)
    assert [row.id for row in rows] == ["p0/1", "p0/2", "p0/3"]
    assert [row.response for row in rows] == [
        "Bad cake for 0",
        "Bad cake for 0 and sugar",
        "Bad cake for 0 and sugar and sugar",
    ]


def test_a_rejected_revision_is_kept_for_reading_and_not_built_upon():
    engine = Scripted(lambda answer: answer + "\nUser: more")
    rows = revise(engine, prompts(1), TWO, ConstitutionSettings(revisions=2), seed=0)
    assert [row.rejected_for for row in rows] == [("role leak",), ("role leak",)]
    assert [row.response for row in rows] == ["Bad cake for 0", "Bad cake for 0"]
    assert rows[0].revision == "Bad cake for 0\nUser: more"


def test_unchanged_cut_off_and_copied_revisions_are_counted():
    def told(text, ended=True):
        (row,) = revise(Scripted(lambda _: text, ended), prompts(1), TWO, ConstitutionSettings(), seed=0)
        return row.rejected_for

    assert told("Bad cake for 0") == ("unchanged",)
    assert told("A good cake for 0", ended=False) == ("cut off",)
    assert "echo" in told(EXAMPLES[1].revision)


def test_every_turn_of_a_request_has_the_role_that_is_asked_for():
    critique = critique_request(STEP)
    assert [m.role for m in critique.messages] == [*3 * ["user", "assistant"], "user"]
    assert [m.content for m in critique.messages if m.role == "assistant"] == [e.critique for e in EXAMPLES]
    assert critique.messages[-1].content == (
        "Request: How are cakes made?\nAnswer: Badly, by you.\nTask: What is unkind in it?"
    )
    revision = revision_request(STEP, "It insults the baker.")
    assert [m.content for m in revision.messages if m.role == "assistant"] == [e.revision for e in EXAMPLES]
    assert revision.messages[-1].content == (
        "Request: How are cakes made?\nAnswer: Badly, by you.\n"
        "Problem: It insults the baker.\nTask: Make it kind."
    )


def test_a_critique_that_names_no_fault_is_not_shown_to_the_reviser():
    def asked(critique):
        return [m.content for m in revision_request(STEP, critique).messages if m.role == "user"]

    for nothing in ("No.", "Not in the least, it is fine.", "I can't help with cakes.", EXAMPLES[1].critique):
        assert (
            asked(nothing)[-1] == "Request: How are cakes made?\nAnswer: Badly, by you.\nTask: Make it kind."
        )
        assert not any("Problem:" in text for text in asked(nothing))
    assert all("Problem:" in text for text in asked("It insults the baker."))


def test_red_team_answers_are_revised_by_the_principles_of_harmlessness():
    constitution = load_constitution("builtin")
    engine = Scripted(lambda answer: answer + " with sugar")
    rows = revise(engine, prompts(60), constitution, ConstitutionSettings(), seed=0)
    harmless = {p.id for p in constitution.principles if "harmless" in p.tags}
    assert {row.principle for row in rows} <= harmless
    assert len({row.principle for row in rows}) > 4
    assert {row.constitution for row in rows} == {constitution.digest}


def test_no_prompts_give_no_rows():
    assert revise(Scripted(str), [], TWO, ConstitutionSettings(revisions=2), seed=0) == []


def test_a_real_model_goes_the_whole_way_and_repeats_itself_by_seed():
    lm = load("tiny:0", dtype="float32")
    settings = ConstitutionSettings(max_new_tokens=8)

    def rows(seed):
        return revise(LocalEngine(lm), prompts(3), load_constitution("builtin"), settings, seed)

    once = rows(0)
    assert [row.id for row in once] == ["p0/1", "p1/1", "p2/1"]
    assert all("cut off" in row.rejected_for or "empty" in row.rejected_for for row in once)
    assert rows(0) == once
    assert [row.response for row in rows(1)] != [row.response for row in once]
