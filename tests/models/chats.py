"""Chat templates of every shape there is, on the tiny tokenizer."""

from tokenizers.processors import TemplateProcessing

from gnomon.models.templates import PLAIN, Template
from gnomon.models.tiny import tiny_tokenizer
from gnomon.records import Conversation

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
BRACKETS = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %} {{ message['content'] }}{{ eos_token }}"
    "{% else %}[Q] {{ message['content'] }} [/Q]{% endif %}{% endfor %}"
)
ENDLESS = (
    "{% for message in messages %}{{ message['role'] }}> {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant>{% endif %}"
)
FORGETFUL = (
    "{% for message in messages %}{{ message['role'] }}> "
    "{% if loop.last or message['role'] != 'assistant' %}{{ message['content'] }}{% else %}...{% endif %}"
    "{{ eos_token }}{% endfor %}{% if add_generation_prompt %}assistant> {% endif %}"
)
TEMPLATES = {"plain": PLAIN, "chatml": CHATML, "brackets": BRACKETS, "endless": ENDLESS}
TURNS = Conversation.of("What is 2+2?", "4", "And 3+3?", "6", system="Be brief.")


def template(name: str = "plain") -> Template:
    """One of `TEMPLATES`, or a template as it is written, where two turn tokens are in the vocabulary."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = TEMPLATES.get(name, name)
    return Template(tokenizer)


def adding_bos(text: str) -> Template:
    """A template on a tokenizer that puts a BOS before what it is asked to encode with special tokens."""
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", 2)]
    )
    tokenizer.chat_template = text
    return Template(tokenizer)
