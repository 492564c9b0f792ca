import io
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from gnomon.cli.main import call


class Done(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def gnomon(tmp_path, monkeypatch, capsys) -> Callable[..., Done]:
    """Run a command in an empty folder, with its standard input from a pipe."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, piped: str = "") -> Done:
        monkeypatch.setattr(sys, "stdin", io.StringIO(piped))
        code = call([str(argument) for argument in arguments])
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def tiny_recipe(tmp_path):
    """A recipe that walks the whole road with a random model in seconds."""
    path = tmp_path / "tiny.yaml"
    path.write_text("""
name: small
model: {ref: "tiny:0", dtype: float32, max_length: 1500, lora: {rank: 2}}
data: {limit: 10}
sft: {optim: {epochs: 1}}
reward: {optim: {epochs: 1}}
policy: {steps: 1, samples: 2, max_new_tokens: 4, optim: {batch_size: 2}}
constitution: {max_new_tokens: 4, gate_comparisons: 2}
evaluation: {max_new_tokens: 4, bootstrap: 100}
""")
    return path
