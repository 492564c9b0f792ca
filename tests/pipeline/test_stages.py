"""What a training stage is made of is what it makes."""

import pytest
import torch

from gnomon.pipeline import alone
from gnomon.pipeline.reporter import SilentReporter
from gnomon.recipe import load_recipe

DROPOUT = (
    "model={ref: 'tiny:0', dtype: float32, lora: {rank: 2, dropout: 0.5}}",
    "data.limit=12",
    "sft.optim={epochs: 1, batch_size: 4, lr: 1e-2}",
)


class CutError(Exception):
    """The machine was taken away."""


class Cut(SilentReporter):
    """Takes the machine away after the second step, before any checkpoint."""

    def progress(self, name, done, total, note, eta_seconds):
        if name == "sft" and done == 2:
            raise CutError


def tuned(out, drawn, reporter):
    """The adapters of a tuned model, after so many draws by others."""
    torch.manual_seed(drawn)
    folder = alone.train("sft", load_recipe(None, DROPOUT), out, reporter)
    return (folder / "adapter_model.safetensors").read_bytes()


@pytest.mark.mistake("rounded-or-unseeded")
def test_dropout_follows_from_the_recipe_whatever_was_drawn_before(tmp_path):
    """Also where a run is cut before its first checkpoint, and another process begins anew."""
    whole = tuned(tmp_path / "one", 1, SilentReporter())
    assert tuned(tmp_path / "other", 2, SilentReporter()) == whole
    with pytest.raises(CutError):
        tuned(tmp_path / "cut", 3, Cut())
    assert tuned(tmp_path / "cut", 4, SilentReporter()) == whole
