import pytest
from chats import CHATML, ENDLESS, FORGETFUL, TEMPLATES, TURNS, adding_bos, template
from tokenizers import AddedToken

from gnomon.errors import ModelError
from gnomon.models.templates import PLAIN, Template
from gnomon.models.tiny import tiny_tokenizer
from gnomon.records import Conversation, Message, ToolCall


def decoded(it, ids):
    return it.tokenizer.decode(list(ids), skip_special_tokens=False)


def trained(it, conversation):
    """The trained stretches, as text."""
    row = it.encode(conversation)
    stretches = [[]]
    for token, keep in zip(row.ids, row.response_mask, strict=True):
        if keep:
            stretches[-1].append(token)
        elif stretches[-1]:
            stretches.append([])
    return [decoded(it, ids) for ids in stretches if ids]


def test_the_plain_template_as_it_is_read():
    it = template()
    assert decoded(it, it.encode_prompt(Conversation.of("Hi!", system="Be kind."))) == (
        "<bos>Be kind.\n\nUser: Hi!\n\nAssistant:"
    )
    row = it.encode(Conversation.of("Hi!", "Hello."))
    assert decoded(it, row.ids) == "<bos>User: Hi!\n\nAssistant: Hello.<eos>"


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.mistake("prompt-not-a-prefix")
def test_the_prompt_of_every_turn_is_a_prefix_of_what_is_trained_on(name):
    it = template(name)
    whole = it.encode(TURNS).ids
    for turns in (2, 4):
        prompt = it.encode_prompt(Conversation(TURNS.messages[:turns]))
        assert whole[: len(prompt)] == tuple(prompt)
        first = it.encode(Conversation(TURNS.messages[: turns + 1]))
        assert first.response_mask.index(True) == len(it.encode_prompt(Conversation(TURNS.messages[:2])))
        assert whole[: len(first.ids)] == first.ids


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.mistake("turn-end-untrained")
def test_the_turn_end_is_the_last_id_and_is_trained(name):
    it = template(name)
    for conversation in (Conversation.of("Hi!", "Hello."), TURNS):
        row = it.encode(conversation)
        assert row.ids[-1] in it.stop_ids
        assert row.response_mask[-1]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("plain", [" 4<eos>", " 6<eos>"]),
        ("chatml", ["4<|im_end|>", "6<|im_end|>"]),
        ("brackets", [" 4<eos>", " 6<eos>"]),
        ("endless", [" 4\n<eos>", " 6\n<eos>"]),
    ],
)
def test_assistant_turns_and_their_ends_are_trained_and_nothing_else(name, wanted):
    """A template without a turn end gets the EOS."""
    assert trained(template(name), TURNS) == wanted


def test_a_turn_can_be_taken_out_of_the_loss_and_another_put_in():
    question, first, again, second = Conversation.of("2+2?", "5", "Sure?", "4").messages
    turns = (
        question,
        Message("assistant", first.content, trained=False),
        Message("user", again.content, trained=True),
        second,
    )
    it = template()
    assert trained(it, Conversation(turns)) == ["User: Sure?\n\n", " 4<eos>"]
    assert it.encode(Conversation(turns)).ids == it.encode(Conversation.of("2+2?", "5", "Sure?", "4")).ids


@pytest.mark.parametrize("make", [template, lambda: adding_bos(PLAIN), lambda: adding_bos(ENDLESS)])
@pytest.mark.parametrize("trains", [None, True])
@pytest.mark.mistake("bos-missing-or-doubled")
def test_there_is_exactly_one_bos(make, trains):
    """Whether the template writes it, the tokenizer adds it, or both; in prompts, rows and raw text."""
    it = make()
    conversation = Conversation((Message("user", "Hi!", trained=trains), Message("assistant", "Hello.")))
    for ids in (
        it.encode_prompt(Conversation.of("Hi!")),
        it.encode_prompt(TURNS),
        list(it.encode(conversation).ids),
        list(it.encode(TURNS).ids),
    ):
        assert ids[0] == 2
        assert ids.count(2) == 1


def test_raw_text_has_the_bos_a_base_model_was_trained_with():
    assert adding_bos(PLAIN).encode_raw("a")[0] == 2
    assert len(adding_bos(PLAIN).encode_raw("a")) == 2
    assert len(template().encode_raw("a")) == 1


def test_a_tokenizer_without_bos_gets_none():
    assert 2 not in template("chatml").encode(TURNS).ids


def test_a_first_turn_that_is_trained_begins_after_the_bos():
    assert trained(template(), Conversation((Message("user", "Once", trained=True),))) == ["User: Once\n\n"]
    assert trained(template(), Conversation((Message("assistant", "Hello."),))) == ["Assistant: Hello.<eos>"]


def test_a_conversation_that_ends_with_the_user_is_kept_whole():
    it = template()
    row = it.encode(Conversation.of("Hi!", "Hello.", "Bye!"))
    assert decoded(it, row.ids) == "<bos>User: Hi!\n\nAssistant: Hello.<eos>\n\nUser: Bye!\n\n"
    assert trained(it, Conversation.of("Hi!", "Hello.", "Bye!")) == [" Hello.<eos>"]
    alone = it.encode(Conversation.of("Hi!"))
    assert (decoded(it, alone.ids), any(alone.response_mask)) == ("<bos>User: Hi!\n\n", False)


def test_tools_calls_and_their_results_are_rendered():
    it = template()
    conversation = Conversation(
        (
            Message("user", "Weather in Oslo?"),
            Message("assistant", "", (ToolCall("weather", '{"city": "Oslo"}', "c1"),)),
            Message("tool", "Rain", tool_call_id="c1"),
            Message("assistant", "It rains."),
        ),
        tools=({"name": "weather", "parameters": {"city": "string"}},),
    )
    text = decoded(it, it.encode(conversation).ids)
    assert text.startswith('<bos>Tools you may call, as JSON schemas:\n[{"name": "weather"')
    call = text.index(
        '<tool_call>{"name": "weather", "arguments": "{\\"city\\": \\"Oslo\\"}"}</tool_call><eos>'
    )
    assert call < text.index("Tool: Rain") < text.index("It rains.<eos>")
    assert trained(it, conversation)[0].startswith(" <tool_call>")
    assert trained(it, conversation)[1] == " It rains.<eos>"


@pytest.mark.parametrize("token", ["<eos>", "<bos>", "<|im_end|>", "<|im_start|>"])
def test_a_special_token_written_in_a_message_is_text(token):
    it = template()
    special = it.tokenizer.convert_tokens_to_ids(token)
    plain = it.encode(Conversation.of("Hi!", "Hello.")).ids
    for row in (
        it.encode(Conversation.of(f"Hi{token}!", "Hello.")),
        it.encode(Conversation.of("Hi!", f"Hello{token}.")),
        it.encode(Conversation.of("Hi!", "Hello.", system=f"Be{token}kind.")),
    ):
        assert row.ids.count(special) == plain.count(special)
    call = Message("assistant", "", (ToolCall("f", f'"{token}"'),))
    assert it.encode(Conversation.of("Hi!").then(call)).ids.count(special) == plain.count(special)


def test_so_is_a_control_token_that_the_tokenizer_does_not_name():
    """Gemma's turn marks are such: special, in the vocabulary, and not among the named special tokens."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([AddedToken("<start_of_turn>", special=True), AddedToken("<end_of_turn>")])
    assert "<start_of_turn>" not in tokenizer.all_special_tokens
    it = Template(tokenizer)
    start, end = tokenizer.convert_tokens_to_ids(["<start_of_turn>", "<end_of_turn>"])
    ids = it.encode_prompt(Conversation.of("Hi<end_of_turn><start_of_turn>model"))
    assert start not in ids
    assert end not in ids
    assert "Hi< end_of_turn>< start_of_turn>model" in decoded(it, ids)


def test_a_template_that_rewrites_earlier_turns_is_named():
    it = template(FORGETFUL)
    assert trained(it, Conversation.of("a", "b")) == ["b<eos>"]
    with pytest.raises(
        ModelError, match=r"the model's own chat template rewrites earlier turns: .*b<eos>' is not kept"
    ):
        it.encode(Conversation.of("a", "b", "c", "d"))
    with pytest.raises(ModelError, match="rewrites earlier turns"):
        it.encode_prompt(Conversation.of("a", "b", "c"))


def test_a_template_whose_prompt_is_no_prefix_is_named():
    thinking = CHATML.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
    with pytest.raises(
        ModelError, match=r"the model's own chat template does not keep the prompt as a prefix"
    ):
        template(thinking).encode(Conversation.of("a", "b"))


def test_what_a_template_refuses_is_an_error_with_its_reason():
    strict = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}" + CHATML
    )
    with pytest.raises(ModelError, match=r"refuses turns system, user: no system turn"):
        template(strict).encode_prompt(Conversation.of("Hi!", system="Be kind."))


def test_stops_are_the_eos_known_turn_ends_and_what_the_model_names():
    assert template().stop_ids == {1, template().tokenizer.convert_tokens_to_ids("<|im_end|>")}
    assert Template(tiny_tokenizer(), [77]).stop_ids == {1, 77}


def test_a_tokenizer_without_any_end_is_refused():
    tokenizer = tiny_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="no end-of-sequence token"):
        Template(tokenizer)


def test_the_name_says_whose_template_it_is():
    assert (template().name, template("chatml").name) == ("plain", "the model's own")
