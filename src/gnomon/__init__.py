"""Gnomon: from a raw pretrained language model to an assistant, and what it cost."""

import os

__version__ = "0.1.0"

SPINS = "1000"
"""How often an idle thread of torch looks for work before it sleeps: some microseconds. By itself libgomp
lets it look 300,000 times; beside any other busy process a core is then lost to waiting, and a training step
on two cores took 35 times as long. Alone it is as fast as before (docs/log.md)."""

SHAPES = "128"
"""Of how many shapes of matrix products oneDNN keeps the code it made. Micro-batches are hardly ever of the
same number of tokens, so that it is made anew for each, of some 50 shapes; by itself oneDNN keeps the latest
1,024, up to 2 MiB apiece, which nothing asks for again: 0.6 GiB after 15 micro-batches (docs/log.md)."""

# read once, when torch is loaded or first multiplies: so before anything else
os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", SHAPES)
