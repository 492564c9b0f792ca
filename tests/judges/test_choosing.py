from dataclasses import replace

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Metaspace
from transformers import PreTrainedTokenizerFast

from gnomon.errors import ModelError
from gnomon.judges.choosing import EndpointChooser, LocalChooser, endpoint_backend, local_backend
from gnomon.judges.judgement import Criterion
from gnomon.judges.pairwise import letters_of, multiple_choice_judge
from gnomon.models.load import load
from gnomon.models.logps import sequence_logps
from gnomon.models.templates import Template
from gnomon.models.tiny import SPECIALS
from gnomon.records import Comparison, Conversation, Label
from gnomon.rollouts.letters import Letters

KIND = Criterion("kind", "The answer is kind.", "Which answer is kinder?")
PAIR = Comparison.of("c", Conversation.of("How did I do?"), "Well done.", "Slow.", Label(1.0, "constructed"))
ASKED = [Conversation.of("Which one?"), Conversation.of("And", "yes", "of these? Reply with (A) or (B).")]


def spelt(pre_tokenizer, *more):
    """The tiny model with a token a character, and words that are told apart in another way."""
    lm = load("tiny:0", dtype="float32")
    tokens = [*SPECIALS, "▁", "\n", *map(chr, range(33, 127))]
    tokenizer = Tokenizer(BPE({token: i for i, token in enumerate([*tokens, *more])}, [*map(tuple, more)]))
    tokenizer.pre_tokenizer = pre_tokenizer
    own = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>")
    return replace(lm, tokenizer=own, template=Template(own))


@pytest.mark.parametrize(
    "make",
    [lambda: load("tiny:0", dtype="float32"), lambda: spelt(Metaspace(prepend_scheme="always"))],
    ids=["bytes", "a space before every text"],
)
def test_odds_are_those_of_both_answers_scored_as_texts_after_one_prompt(make):
    """log P of " (A" less that of " (B": what both have in common cancels."""
    lm = make()
    ids = {letter: lm.tokenizer.encode(f" ({letter}", add_special_tokens=False) for letter in "AB"}
    assert ids["A"][:-1] == ids["B"][:-1]
    assert ids["A"] != ids["B"]
    for talk, odds in zip(ASKED, LocalChooser(lm).choose(ASKED), strict=True):
        prompt = lm.encode_prompt(talk)
        a, b = sequence_logps(lm, [prompt, prompt], [ids["A"], ids["B"]])
        assert odds == pytest.approx(float(a.sum() - b.sum()), abs=1e-5)


def test_letters_that_are_no_id_of_their_own_are_refused():
    with pytest.raises(ModelError, match="cannot choose by letters"):
        letters_of(spelt(Metaspace(prepend_scheme="always"), "(A"))


def test_odds_do_not_depend_on_what_else_is_asked():
    chooser = LocalChooser(load("tiny:0", dtype="float32"))
    assert chooser.choose(ASKED) == pytest.approx([chooser.choose([talk])[0] for talk in ASKED], abs=1e-5)


def test_a_backend_in_memory_also_answers_and_contrasts():
    lm = load("tiny:0", dtype="float32")
    backend = local_backend(lm, "mine")
    assert backend.id == "mine"
    (judged,) = backend.contrast(lambda pair: KIND).prefer([PAIR])
    assert 0 < judged.preference < 1
    assert multiple_choice_judge(lm, lambda pair: KIND).prefer([PAIR])[0].criterion == "kind"


class Told:
    """An engine that tells log-probs by the length of what it is asked."""

    def choose(self, conversations, letters):
        assert letters == ("A", "B")
        told = [Letters((-1.0, -3.0), "A"), Letters((), "What?")]
        return [told[len(talk.messages) > 1] for talk in conversations]


def test_a_server_s_odds_are_the_difference_and_nothing_where_none_are_told():
    assert EndpointChooser(Told()).choose(ASKED) == [2.0, None]
    backend = endpoint_backend(Told(), "there")
    assert (backend.id, backend.contrast) == ("there", None)
    assert backend.together > local_backend(load("tiny:0"), "here").together
