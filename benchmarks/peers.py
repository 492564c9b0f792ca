"""What Gnomon is timed against, and the settings each library is tried with to find its fastest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PLAIN = {"bf16": False, "gradient_checkpointing": False}
"""Weights are bfloat16 already, and memory does not ask for checkpoints."""
NARROWED = {"gradient_checkpointing": False}
"""Weights that all train are float32, and computed with in bfloat16."""
HALVES = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
QUARTERS = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
EIGHTHS = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8}
PARTS = {"dpo": EIGHTHS}
"""How a peer takes a step in float32, where all of its logits at once would fill the memory."""
GIVES_BACK = {"gives_back": True}
"""Between its steps, outside the time, a peer gives back memory that was freed in pieces: a sampler's growing
caches leave holes of so many sizes that a heap which keeps all of it outgrows the machine."""
INTEL = {"LD_PRELOAD": "../.venv-vllm/lib/libiomp5.so", "KMP_BLOCKTIME": "1"}
"""Threads as vLLM recommends them, told to wait without spinning for longer than a millisecond."""
CANDIDATES: Mapping[str, Mapping[str, Sequence[dict[str, Any]]]] = {
    "trl": {
        "sft": (PLAIN, PLAIN | HALVES, PLAIN | QUARTERS, PLAIN | {"padding_free": True}),
        "sft_full": (NARROWED, NARROWED | HALVES, NARROWED | QUARTERS, NARROWED | {"padding_free": True}),
        "reward": (PLAIN, PLAIN | HALVES, PLAIN | QUARTERS),
        "dpo": (
            PLAIN,
            PLAIN | HALVES,
            PLAIN | QUARTERS,
            PLAIN | EIGHTHS,
            PLAIN | {"precompute_ref_log_probs": True},
            PLAIN | QUARTERS | {"precompute_ref_log_probs": True},
        ),
        "policy": (
            PLAIN | GIVES_BACK,
            PLAIN | GIVES_BACK | {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 4},
            PLAIN | GIVES_BACK | {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 8},
        ),
        "sampling": ({}, {"cache_implementation": "static"}),
    },
    "vllm": {
        "sampling": (
            {},
            {"enforce_eager": True},
            {"env": INTEL},
            {"env": INTEL, "enforce_eager": True},
            {"env": INTEL, "compilation_config": {"custom_ops": ["all"]}},
            {"env": INTEL, "max_num_seqs": 16},
        ),
    },
}
"""What each library is tried with, by a work's name or else its kind; `env` are variables of its process, and
`gives_back` is for the coordinator."""
NOT_ITS_OWN = ("env", "gives_back")


@dataclass(frozen=True)
class Peer:
    """What Gnomon is timed against: a side as it comes, or `tuned`, with the fastest of its candidates."""

    side: str
    tuned: bool = False
    settled: bool = True
    """Whether its allocator is set as Gnomon sets its own."""


PEERS = {
    "untouched": Peer("trl", settled=False),
    "default": Peer("trl"),
    "tuned": Peer("trl", tuned=True),
    "vllm_default": Peer("vllm"),
    "vllm_tuned": Peer("vllm", tuned=True),
}
"""By the name under which its results stand."""

ON_GPU = ("default", "tuned")
"""Those that a GPU tells apart: an allocator is a processor's, and vLLM's build is for processors."""
