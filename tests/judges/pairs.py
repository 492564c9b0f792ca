"""Pairs of answers, as judges get them."""

from gnomon.records import Comparison, Conversation, Label, Message


def pair(name: str, first: str, second: str, label: float | None = None, prompt: str = "Why?") -> Comparison:
    """Two answers; with a label, people said with this probability that the first is the better."""
    one, other = ((Message("assistant", text),) for text in (first, second))
    known = None if label is None else Label(label, "person")
    return Comparison(name, Conversation.of(prompt), one, other, known)
