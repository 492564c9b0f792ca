"""Samples by their texts, to one prompt or to several."""

from gnomon.rollouts.engine import Sample


def said(*texts, prompt=(7,)):
    """Samples with these texts, a token for each character."""
    return [Sample(prompt, tuple(map(ord, text)), (), text, False) for text in texts]
