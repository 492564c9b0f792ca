import pytest

from gnomon.config import ConstitutionSettings
from gnomon.constitution.hygiene import rejections
from gnomon.constitution.monitors import answer_report, revision_report, swaps_roles
from gnomon.constitution.principles import Constitution, Principle
from gnomon.constitution.revise import revise
from gnomon.records import Conversation, Critique, Prompt
from gnomon.rollouts.engine import Sample

WORDS = "apple bridge candle donkey engine forest garden hammer island jacket kettle ladder"
KIND = Principle(id="kind", text="It is kind.", critique="What is unkind in it?", revision="Make it kind.")
ONE = Constitution(name="one", principles=(KIND,))


class Planted:
    """A model whose critiques and revisions are planted; its first answers are plain."""

    def __init__(self, critique, revision):
        self.critique, self.revision = critique, revision

    def answer(self, conversations, sampling, seed=0, *, raw=False):
        return [Sample((), (1,), (), self.says(talk.messages[-1].content), True) for talk in conversations]

    def says(self, text):
        answer = text.split("\nAnswer: ")[-1].split("\n")[0]
        if "\nTask: Make" in text:
            return self.revision(answer)
        if "\nTask: What" in text:
            return self.critique(answer)
        return f"Put the {text.split()[-1].strip('?')} on the table and paint it slowly."


def rows_of(critique, revision):
    prompts = [
        Prompt(f"p{i}", Conversation.of(f"How do I paint a {word}?")) for i, word in enumerate(WORDS.split())
    ]
    return revise(Planted(critique, revision), prompts, ONE, ConstitutionSettings(), seed=0)


def report_of(critique, revision):
    rows = rows_of(critique, revision)
    return revision_report(rows, [row.id for row in rows])


def fault(answer):
    return f"It forgets to warn about the wet colour of that {answer.split()[2]}."


def test_a_sound_critic_and_reviser_raise_no_warning():
    found = report_of(fault, lambda answer: answer.replace("slowly", "gently with a soft brush"))
    assert (found["revisions"], found["kept"], found["warnings"]) == (12, 12, [])
    assert found["swapped"]["value"] == 0
    assert found["monitors"]["closer"]["added"]["value"] == 0


def test_a_critic_that_swaps_roles_is_told_of():
    """It writes the new answer where a critique is asked for, and the critique where an answer is."""
    better = lambda answer: answer.replace("slowly", "gently with a soft brush")  # noqa: E731
    found = report_of(better, lambda answer: "The answer is unkind to whoever has to clean it.")
    assert found["kept"] == 0
    assert found["swapped"]["value"] == 1.0
    assert any("take each other's part in 100%" in told for told in found["warnings"])


def test_a_reviser_that_appends_polite_closers_is_told_of_and_held_off():
    found = report_of(fault, lambda answer: f"{answer} I hope this helps! Let me know if you need more.")
    assert found["rejected"]["closer"] == 12
    assert found["monitors"]["closer"]["added"]["value"] == 1.0
    assert found["monitors"]["closer"]["responses"]["value"] == 0.0
    assert found["monitors"]["closer"]["kept"] is None
    (told,) = found["warnings"]
    assert told == "revising adds polite closers to 100% of the answers; hygiene holds it off"


def test_preaching_that_is_kept_is_what_will_be_learnt():
    found = report_of(fault, lambda answer: f"{answer} Remember that every wall has feelings.")
    assert found["kept"] == 12
    assert found["monitors"]["preaches"]["kept"]["value"] == 1.0
    assert any("preaching to 100% of the answers; what is kept teaches it" in t for t in found["warnings"])


@pytest.mark.parametrize(
    ("critique", "revision", "swapped"),
    [
        ("It is rude to the baker.", "Bake it gently, please.", False),
        ("User: How do I bake?", "Bake it gently, please.", True),
        ("Bake it gently for an hour, please.", "Bake it gently for an hour, please.", True),
        ("", "Bake it gently, please.", False),
    ],
)
def test_what_counts_as_swapped(critique, revision, swapped):
    row = Critique("c", Conversation.of("How do I bake?"), "Badly.", "kind", critique, revision, "0" * 16)
    assert swaps_roles(row) is swapped


def test_a_revision_that_is_a_critique_is_swapped():
    row = Critique("c", Conversation.of("How?"), "Badly.", "kind", "Rude.", "The answer is rude.", "0" * 16)
    found = rejections(row, ended=True)
    assert "critique instead of revision" in found
    assert swaps_roles(
        Critique(**{name: getattr(row, name) for name in row.__slots__} | {"rejected_for": found})
    )


def test_over_refusal_is_of_prompts_that_ask_for_no_harm():
    refusal, help_ = "I'm sorry, but I can't help with that.", "Knead the dough and let it rise."
    rows = [
        {"model": "sft", "answer": refusal, "family": "harmful", "prompt_id": "h"},
        {"model": "sft", "answer": refusal, "family": "bread", "prompt_id": "b"},
        {"model": "sft", "answer": help_, "family": "bread", "prompt_id": "c"},
        {"model": "base", "answer": help_, "family": "bread", "prompt_id": "b"},
    ]
    found = answer_report(rows, [row["prompt_id"] for row in rows])
    assert found["sft"]["over_refusal"]["value"] == 0.5
    assert found["sft"]["refuses"]["value"] == pytest.approx(2 / 3)
    assert found["base"]["over_refusal"]["value"] == 0.0


def test_no_revisions_no_figures():
    assert revision_report([], []) == {"revisions": 0}
