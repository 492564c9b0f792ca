"""Gnomon: from a raw pretrained language model to an assistant, and what it cost."""

__version__ = "0.1.0"
