"""vLLM on this machine, which serves the packaged model from its folder."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from gnomon.config import DEFAULT_MODEL
from gnomon.models.load import LanguageModel, resolve
from gnomon.models.reference import EndpointRef, parse_model_ref

PYTHON = Path(__file__).parents[2] / ".venv-vllm" / "bin" / "python"
SERVER = ("-m", "vllm.entrypoints.openai.api_server")
"""The command `vllm` asks for the version of a package that the build for CPUs is not called."""
STARTING = 300
"""Seconds."""
PROCESSED = ("--logprobs-mode", "processed_logprobs")


@contextmanager
def serving(lm: LanguageModel, folder: Path, context: int) -> Iterator[EndpointRef]:
    """The server as long as the block lasts, with the template that Gnomon gives the model; its log is in the
    folder."""
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON} is not there; make peers installs it")
    (folder / "template.jinja").write_text(str(lm.tokenizer.chat_template), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(PYTHON), *SERVER, "--model", str(resolve(parse_model_ref(DEFAULT_MODEL)))]
    command += ["--served-model-name", "base", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--dtype", "bfloat16", "--enforce-eager"]
    command += ["--max-model-len", str(context), "--kv-cache-memory-bytes", str(1 << 28), *PROCESSED]
    command += ["--chat-template", str(folder / "template.jinja")]
    alone = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    with (folder / "log").open("w") as log:
        # in a session of its own: it starts processes that would outlive it
        served = subprocess.Popen(
            command, env={**os.environ, **alone}, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/health", served, folder / "log")
            yield EndpointRef(f"http://127.0.0.1:{port}/v1", "base")
        finally:
            _end(served)


def _end(served: subprocess.Popen[bytes]) -> None:
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(served.pid, how)
            served.wait(timeout=30)
            return


def _wait_for(url: str, served: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + STARTING
    while True:
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            pass
        if served.poll() is not None or time.monotonic() > until:
            pytest.fail(f"vLLM does not come up:\n{log.read_text()[-3000:]}")
        time.sleep(1)
