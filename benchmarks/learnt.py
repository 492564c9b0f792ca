"""Training that a benchmark measures the end of, and keeps nothing of."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import nn

from gnomon.runs import MetricsLog
from gnomon.settings.base import AdamSettings, StepSettings
from gnomon.training.loop import Trainer
from gnomon.training.objective import Objective


def train(
    objective: Objective,
    module: nn.Module,
    optim: StepSettings,
    apart: Mapping[str, AdamSettings] | None = None,
) -> None:
    """Train a module in a folder that nothing else looks at."""
    with TemporaryDirectory() as folder:
        log = MetricsLog(Path(folder) / "metrics.jsonl")
        trainer = Trainer(module, objective, optim, work=Path(folder), metrics=log)
        for prefix, settings in (apart or {}).items():
            trainer.apart(prefix, settings)
        trainer.run()
