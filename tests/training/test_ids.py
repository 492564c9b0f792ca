"""A conversation is the same ids to whatever reads it: training, sampling, scoring, evaluation."""

import pytest
from architectures import drawn_head, random_model
from chats import CHATML, ENDLESS, FORGETFUL, TEMPLATES, TURNS, adding_bos, template

from gnomon.errors import ModelError
from gnomon.evaluation.runner import answer_all
from gnomon.models.load import LanguageModel
from gnomon.models.reward_model import Scorer
from gnomon.models.templates import PLAIN
from gnomon.records import Comparison, Conversation, Demonstration, Label, Message, Prompt
from gnomon.rollouts.engine import Sampling
from gnomon.rollouts.local import LocalEngine
from gnomon.training.pairs import encode_comparisons
from gnomon.training.reward import score_comparisons
from gnomon.training.sft import encode_demonstrations

CHATS = {
    **{name: lambda name=name: template(name) for name in TEMPLATES},
    "plain, BOS from the tokenizer too": lambda: adding_bos(PLAIN),
    "endless, BOS from the tokenizer": lambda: adding_bos(ENDLESS),
}
TALKS = [
    Conversation.of("Hi!"),
    Conversation.of("Hi!", system="Be kind."),
    TURNS.then(Message("user", "And?")),
]
SHORT = Sampling(max_new_tokens=2)


def language_model(make):
    it = make()
    model = random_model("llama")
    model.resize_token_embeddings(len(it.tokenizer))
    return LanguageModel(model, it.tokenizer, it, "tiny:0")


def recording(owner, method):
    """What a method is given first from now on."""
    given, plain = [], getattr(owner, method)
    setattr(owner, method, lambda first, *more: given.extend(first) or plain(first, *more))
    return given


@pytest.mark.parametrize("talk", TALKS, ids=["one turn", "system", "turns"])
@pytest.mark.parametrize("name", CHATS)
@pytest.mark.mistake("bos-missing-or-doubled")
@pytest.mark.mistake("scored-on-other-ids")
@pytest.mark.mistake("prompt-not-a-prefix")
def test_whatever_reads_a_conversation_reads_the_same_ids(name, talk):
    lm = language_model(CHATS[name])
    engine, scorer = LocalEngine(lm), Scorer(lm, drawn_head(lm))
    label = Label(1.0, "person")
    comparison = Comparison.of("c", talk, "Hello.", "No.", label)

    (prompt,) = [list(sample.prompt_ids) for sample in engine.answer([talk], SHORT)]
    sampled, scored = recording(engine, "sample"), recording(scorer, "scores")
    answer_all({"sft": engine}, [Prompt("p", talk)], sampling=SHORT)
    score_comparisons(scorer, [comparison])
    whole = talk.then(Message("assistant", "Hello."))
    (row,) = encode_demonstrations(lm, [Demonstration("d", whole)], 200).rows
    (pair,) = encode_comparisons(lm, [comparison], 200).pairs

    assert sampled == [prompt]
    assert list(row.ids[: len(prompt)]) == prompt
    assert row.response_mask[len(prompt) - 1 : len(prompt) + 1] == (False, True)
    assert [pair.first.ids, pair.second.ids] == scored
    assert pair.first.ids == row.ids
    bos = 0 if name in ("chatml", "endless") else 1
    assert all(list(ids).count(2) == bos for ids in (prompt, *scored))
    assert bos == 0 or prompt[0] == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (FORGETFUL, "the model's own chat template rewrites earlier turns"),
        (
            CHATML.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}"),
            "the model's own chat template does not keep the prompt as a prefix",
        ),
    ],
    ids=["forgets", "thinks"],
)
@pytest.mark.mistake("prompt-not-a-prefix")
def test_a_template_whose_prompts_are_no_prefix_cannot_be_trained_on(text, told):
    lm = language_model(lambda: template(text))
    whole = TURNS.then(Message("user", "And?"), Message("assistant", "Hello."))
    with pytest.raises(ModelError, match=told):
        encode_demonstrations(lm, [Demonstration("d", whole)], 200)
    with pytest.raises(ModelError, match=told):
        encode_comparisons(
            lm, [Comparison.of("c", Conversation(whole.messages[:-1]), "a", "b", Label(1.0, "person"))], 200
        )
