"""Conversations to token ids: the prompt is always a prefix, one BOS, the turn's end is trained.

A conversation is rendered as text by the tokenizer's own chat template, or by `PLAIN` where a base model has
none. Each piece between a generation prompt and a turn's end is tokenised by itself, so that training sees
exactly the ids that sampling starts from.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from jinja2 import TemplateError

from gnomon.errors import ModelError
from gnomon.records import Conversation, EncodedRow, Message

PLAIN = (
    "{{ bos_token }}"
    "{% if tools %}Tools you may call, as JSON schemas:\n{{ tools | tojson }}\n\n{% endif %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] | trim }}\n\n"
    "{% elif message['role'] == 'user' %}User: {{ message['content'] | trim }}\n\n"
    "{% elif message['role'] == 'tool' %}Tool: {{ message['content'] | trim }}\n\n"
    "{% else %}Assistant:{% if message['content'] %} {{ message['content'] | trim }}{% endif %}"
    "{% for call in message.get('tool_calls') or [] %} <tool_call>{{ call['function'] | tojson }}</tool_call>"
    "{% endfor %}{{ eos_token }}\n\n{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""For base models: only tokens the model has been trained on, so that adapters alone can learn it."""

TURN_ENDS = ("<end_of_turn>", "<|im_end|>", "<|eot_id|>", "<|end|>", "<|end_of_text|>", "<turn|>")
"""Turn ends of well-known templates; those in the vocabulary stop generation too."""


class ChatTokenizer(Protocol):
    """What a template needs of a tokenizer (transformers' fast tokenizers have it)."""

    chat_template: Any
    bos_token: str | None
    eos_token_id: int | None
    bos_token_id: int | None
    all_special_tokens: list[str]
    added_tokens_decoder: Mapping[int, Any]

    def apply_chat_template(self, conversation: Any, **settings: Any) -> Any:
        """Render messages."""
        ...

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Text to ids."""
        ...

    def get_vocab(self) -> dict[str, int]:
        """Token to id."""
        ...


class Template:
    """A tokenizer's chat template, checked as it is used."""

    def __init__(self, tokenizer: ChatTokenizer, extra_stops: Sequence[int] = ()) -> None:
        self.tokenizer = tokenizer
        if tokenizer.chat_template is None:
            tokenizer.chat_template = PLAIN
        vocabulary = tokenizer.get_vocab()
        ends = [vocabulary[token] for token in TURN_ENDS if token in vocabulary]
        eos = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
        self.stop_ids = frozenset([*eos, *extra_stops, *ends])
        if not self.stop_ids:
            raise ModelError("the tokenizer has no end-of-sequence token; set `eos_token` in its config")
        special = {t.content for t in tokenizer.added_tokens_decoder.values() if t.special}
        special |= {*tokenizer.all_special_tokens, *(token for token in TURN_ENDS if token in vocabulary)}
        self._special = re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))) or "(?!)")
        self.name = "plain" if tokenizer.chat_template == PLAIN else "the model's own"

    def encode_prompt(self, conversation: Conversation) -> list[int]:
        """Ids up to and including the generation prompt."""
        ids, _, rendered = self._turns(conversation)
        rest = self._render(conversation.messages, conversation, prompt=True)
        return ids + self._pieces(rest, rendered)

    def encode(self, conversation: Conversation) -> EncodedRow:
        """The whole conversation; the mask follows `Message.carries_loss`, turn ends included."""
        ids, mask, rendered = self._turns(conversation)
        if conversation.messages[-1].role == "assistant":
            # what a template adds after the turn is not sampled
            end = max(i for i, token in enumerate(ids) if token in self.stop_ids) + 1
            return EncodedRow(tuple(ids[:end]), tuple(mask[:end]))
        rest = self._pieces(self._render(conversation.messages, conversation, prompt=False), rendered)
        return EncodedRow(tuple(ids + rest), (*mask, *[False] * len(rest)))

    def encode_raw(self, text: str) -> list[int]:
        """Plain text as a base model meets it: BOS where the model has one, and the text."""
        return self._with_bos(self.tokenizer.encode(text, add_special_tokens=False))

    def _turns(self, conversation: Conversation) -> tuple[list[int], list[bool], str]:
        ids: list[int] = []
        mask: list[bool] = []
        rendered = ""
        messages = conversation.messages
        for i, message in enumerate(messages):
            if message.role != "assistant" and not message.carries_loss:
                continue
            after = self._render(messages[: i + 1], conversation, prompt=False)
            if i:
                before = self._render(messages[:i], conversation, prompt=message.role == "assistant")
            else:  # nothing comes before but the BOS
                bos = self.tokenizer.bos_token or ""
                before = bos if after.startswith(bos) else ""
            if not after.startswith(before):
                raise ModelError(
                    f"{self.name} chat template does not keep the prompt as a prefix: turn {i} begins "
                    f"{after[: len(before)][-60:]!r}, its prompt ends {before[-60:]!r}; pass another template"
                )
            prompt_ids = self._pieces(before, rendered)
            turn_ids, trained = self._turn(after[len(before) :], message)
            ids += prompt_ids + turn_ids
            mask += [False] * len(prompt_ids) + trained
            rendered = after
        return ids, mask, rendered

    def _turn(self, text: str, message: Message) -> tuple[list[int], list[bool]]:
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        ends = [i for i, token in enumerate(ids) if token in self.stop_ids]
        if message.role == "assistant" and not ends:
            ends, ids = [len(ids)], [*ids, min(self.stop_ids)]
        last = ends[-1] if ends else len(ids) - 1
        return ids, [message.carries_loss and i <= last for i in range(len(ids))]

    def _pieces(self, text: str, rendered: str) -> list[int]:
        if not text.startswith(rendered):
            raise ModelError(
                f"{self.name} chat template rewrites earlier turns: {rendered[-60:]!r} is not kept; "
                "train on single-turn rows or pass another template"
            )
        ids = self.tokenizer.encode(text[len(rendered) :], add_special_tokens=False)
        return ids if rendered else self._with_bos(ids)

    def _with_bos(self, ids: list[int]) -> list[int]:
        bos = self.tokenizer.bos_token_id
        if bos is None or ids[:1] == [bos]:
            return ids
        adds_bos = self.tokenizer.encode("a", add_special_tokens=True)[:1] == [bos]
        return [bos, *ids] if adds_bos else ids

    def _render(self, messages: Sequence[Message], conversation: Conversation, *, prompt: bool) -> str:
        try:
            text = self.tokenizer.apply_chat_template(
                [self._message(m) for m in messages],
                tools=[dict(tool) for tool in conversation.tools] or None,
                tokenize=False,
                add_generation_prompt=prompt,
            )
        except TemplateError as problem:
            raise ModelError(
                f"{self.name} chat template refuses turns {', '.join(m.role for m in messages)}: {problem}; "
                "leave such rows out or pass another template"
            ) from problem
        return str(text)

    def _message(self, message: Message) -> Mapping[str, Any]:
        values: dict[str, Any] = {"role": message.role, "content": self._defused(message.content)}
        if message.tool_calls:
            values["tool_calls"] = [
                {
                    "type": "function",
                    "id": call.id,
                    "function": {"name": call.name, "arguments": self._defused(call.arguments)},
                }
                for call in message.tool_calls
            ]
        if message.tool_call_id is not None:
            values["tool_call_id"] = message.tool_call_id
        return values

    def _defused(self, text: str) -> str:
        """A special token written out in a message is text, not a turn's end."""
        return self._special.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)
