"""Texts under a model, by the conventions of lm-evaluation-harness; it need not be installed."""

import pytest
import torch

from gnomon.errors import ConfigError
from gnomon.evaluation.adapters import texts as module
from gnomon.evaluation.adapters.texts import Texts, generation, opening, windows
from gnomon.evaluation.subjects import Local
from gnomon.evaluation.suites.choices import ONLY, knowledge
from gnomon.models.load import load
from gnomon.models.tiny import tiny_tokenizer
from gnomon.rollouts.engine import Sample, Sampling
from gnomon.rollouts.local import LocalEngine

BOS = 2


def tiny():
    return Texts(LocalEngine(load("tiny:0", dtype="float32")))


@pytest.fixture(scope="module")
def texts():
    return tiny()


def ids_of(texts, text):
    return texts.lm.tokenizer.encode(text, add_special_tokens=False)


def logits_after(texts, ids):
    """The model's own, after each token but the last."""
    with torch.no_grad():
        return texts.lm.model(input_ids=torch.tensor([ids])).logits[0, :-1]


def logp(texts, ids, count):
    """Of the last so many tokens, all but the first of which have others before them."""
    logps = logits_after(texts, ids).log_softmax(dim=-1)[torch.arange(len(ids) - 1), torch.tensor(ids[1:])]
    return float(logps[-count:].sum())


def test_a_text_has_the_log_prob_of_its_tokens_after_its_context(texts):
    ((ours, _),) = texts.likelihoods([("The cat", " sat")])
    assert ours == pytest.approx(logp(texts, ids_of(texts, "The cat sat"), 4), abs=1e-4)


def test_spaces_between_a_context_and_a_text_are_the_texts(texts):
    one, other = texts.likelihoods([("The cat ", "sat"), ("The cat", " sat")])
    assert one == other


def test_a_text_that_follows_on_nothing_follows_on_the_prefix(texts):
    assert texts.prefix == BOS
    wanted = logp(texts, [BOS, *ids_of(texts, "Hi")], 2)
    empty, blank, spelt = texts.likelihoods([("", "Hi"), (" ", "Hi"), ("", "<bos>Hi")])
    assert (empty[0], spelt[0]) == (pytest.approx(wanted, abs=1e-4), pytest.approx(wanted, abs=1e-4))
    assert blank[0] == pytest.approx(logp(texts, [BOS, *ids_of(texts, " Hi")], 3), abs=1e-4)
    (rolled,) = texts.rolling(["Hi"])
    assert rolled == pytest.approx(wanted, abs=1e-4)


def test_no_text_is_certain(texts):
    assert texts.likelihoods([("The cat", "")]) == [(0.0, True)]


def test_a_text_is_greedy_where_each_of_its_tokens_is_the_likeliest(texts):
    found = []
    for context in map(chr, range(ord("A"), ord("z"))):
        best = int(logits_after(texts, [*ids_of(texts, context), 0])[-1].argmax())
        text = texts.lm.tokenizer.decode([best])
        if text.strip() and ids_of(texts, text) == [best]:
            found += [(context, text), (context, text + chr(ord("a") + len(found) % 20))]
    assert len(found) > 10
    greedy = [flag for _, flag in texts.likelihoods(found)]
    assert all(greedy[::2])
    assert sum(greedy[1::2]) < len(found) / 8


def test_figures_are_those_of_lots_however_small(texts, monkeypatch):
    pairs = [("The cat", f" sat {i}") for i in range(5)]
    together, told = texts.likelihoods(pairs), []
    monkeypatch.setattr(module, "ROWS", 2)
    apart = Texts(texts.engine, lambda done, total: told.append((done, total))).likelihoods(pairs)
    assert [one for one, _ in apart] == pytest.approx([one for one, _ in together], abs=1e-4)
    assert told == [(2, 5), (4, 5), (5, 5)]


def test_a_text_beyond_the_context_is_read_in_windows():
    """As lm-evaluation-harness draws it: ten tokens after a prefix, and rows of five."""
    assert list(windows([-1], list(range(10)), 5)) == [
        ([-1], [0, 1, 2, 3]),
        ([3], [4, 5, 6, 7]),
        ([5, 6, 7], [8, 9]),
    ]


def test_of_a_long_context_the_end_is_kept():
    assert list(windows(list(range(9)), [10, 11], 5)) == [([6, 7, 8], [10, 11])]


@pytest.mark.parametrize("size", [2, 3, 7, 12, 40])
@pytest.mark.parametrize("length", [1, 9])
def test_each_token_is_predicted_once_in_rows_that_fit(size, length):
    rows = list(windows(list(range(length)), list(range(100, 111)), size))
    assert [token for _, part in rows for token in part] == list(range(100, 111))
    assert all(before and len(before) + len(part) <= size for before, part in rows)


def test_long_texts_are_summed_over_their_windows():
    texts = tiny()
    texts.lm.model.config.max_position_embeddings = 16
    text = "A sentence that is longer than sixteen bytes."
    parts = windows([BOS], ids_of(texts, text), 16)
    wanted = sum(logp(texts, [*before, *part], len(part)) for before, part in parts)
    assert texts.rolling([text])[0] == pytest.approx(wanted, abs=1e-3)


def test_a_continuation_ends_before_the_first_text_to_stop_at(texts):
    asked, drawn = ["Once upon", "The", "A list:"], {"max_gen_toks": 40, "do_sample": True}
    whole = texts.continuations(asked, [drawn] * 3)
    signs = [[sign for sign in text if " " < sign < "~"] for text in whole]
    stops = [[own[1], own[0], "no such text"] for own in signs]  # the second of them is sampled as well
    cut = [text[: min(text.index(stop) for stop in own[:2])] for text, own in zip(whole, stops, strict=True)]
    assert texts.continuations(asked, [{**drawn, "until": own} for own in stops]) == cut
    assert any(0 < len(text) < len(all_of_it) for text, all_of_it in zip(cut, whole, strict=True))


def test_the_beginning_of_a_long_text_is_left_out_and_told(texts, caplog):
    (short,) = texts.continuations(["b" * 2000], [{"max_gen_toks": 48}])
    assert not caplog.messages
    (cut,) = texts.continuations(["a" * 100 + "b" * 2000], [{"max_gen_toks": 48}])
    assert cut == short
    assert "1 of 1 texts are longer" in caplog.text
    with pytest.raises(ConfigError, match="asks for 2048 tokens, and the model's context has 2048"):
        texts.continuations(["Hi"], [{"max_gen_toks": 2048}])


@pytest.mark.parametrize(
    ("settings", "sampling", "stops"),
    [
        ({}, Sampling(256, 0.0), ()),
        ({"until": ["\n\n", ""], "do_sample": False, "temperature": 0.7}, Sampling(256, 0.0), ("\n\n",)),
        ({"until": "Q:", "max_new_tokens": 9, "temperature": "0.0"}, Sampling(9, 0.0), ("Q:",)),
        ({"do_sample": True, "num_beams": 1}, Sampling(256, 1.0), ()),
        ({"temperature": 0.7, "top_p": 0.9, "top_k": 0}, Sampling(256, 0.7, None, 0.9), ()),
        ({"temperature": 0.7, "max_gen_toks": 5, "max_tokens": 6, "top_k": 3}, Sampling(5, 0.7, 3), ()),
    ],
)
def test_a_tasks_settings_are_read_as_the_harness_means_them(settings, sampling, stops):
    assert generation(settings) == (sampling, stops)


def test_settings_that_would_change_the_text_are_not_ignored():
    with pytest.raises(ConfigError, match="knows no num_beams, typical_p"):
        generation({"num_beams": 4, "typical_p": 0.5})


TAGS = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"  # noqa: E501


def test_a_template_tells_where_an_answer_begins(texts):
    assert opening(texts.lm.tokenizer) == ("Assistant:", " ")
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = TAGS
    assert opening(tokenizer) == ("<assistant>", "")


def test_an_answer_under_the_template_is_asked_for_as_it_is_trained():
    """Our own suites, which encode conversations, and the harness, which joins texts, say the same."""
    texts = tiny()
    local = Local("tiny", "tiny:0", texts.lm, texts.engine)
    tasks = knowledge().tasks[:4]
    for task, ours in zip(tasks, local.choose(tasks), strict=True):
        (question,) = task.frames[ONLY].messages
        context = texts.render([{"role": "user", "content": question.content}], answering=True)
        theirs = texts.likelihoods([(context, choice) for choice in task.choices])
        assert [one for one, _ in theirs] == pytest.approx(list(ours.logps[ONLY]), abs=1e-3)


def test_the_space_before_an_answer_is_not_the_answers():
    texts, how = tiny(), [{"max_gen_toks": 5}]
    context = "User: Hi\n\nAssistant:"
    texts.engine.sample = lambda prompts, *how: [said(texts, " Paris ") for _ in prompts]
    assert texts.continuations([context], how) == [" Paris "]
    texts.render([{"role": "user", "content": "Hi"}], answering=True)
    assert texts.continuations([context, "Paris is"], how * 2) == ["Paris ", " Paris "]


def said(texts, text):
    ids = ids_of(texts, text)
    return Sample((BOS,), tuple(ids), (0.0,) * len(ids), text.strip(), ended=False)


def test_plain_texts_are_joined_as_they_are(texts):
    bare, spaced = texts.likelihoods([("Assistant:", "Paris"), ("Assistant:", " Paris")])
    assert bare[0] == pytest.approx(logp(texts, ids_of(texts, "Assistant:Paris"), 5), abs=1e-4)
    assert spaced[0] != pytest.approx(bare[0], abs=0.1)


def test_an_answer_can_be_begun():
    messages = [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": "It is"}]
    assert tiny().render(messages, answering=False) == "<bos>User: Which?\n\nAssistant: It is"
