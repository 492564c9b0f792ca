"""Gnomon: from a raw pretrained language model to an assistant, and what it cost."""

import os

__version__ = "0.1.0"

SPINS = "1000"
"""How often an idle thread of torch looks for work before it sleeps: some microseconds. By itself libgomp
lets it look 300,000 times; beside any other busy process a core is then lost to waiting, and a training step
on two cores took 35 times as long. Alone it is as fast as before (docs/log.md)."""

os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # read once, when torch is loaded: so before anything else
