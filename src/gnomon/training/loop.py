"""The one training loop: steps, accumulation, clipping, schedule, checkpoints, resume, interruption."""

import math
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from gnomon.config import OptimSettings
from gnomon.errors import DivergenceError
from gnomon.runs import MetricsLog
from gnomon.training import checkpoint
from gnomon.training.objective import Micro, Objective, StepWork
from gnomon.training.optim import adamw, learning_rate

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class TrainResult:
    """How training ended: `stopped_for` is None after the last step. `tokens` counts earlier attempts too."""

    steps: int
    tokens: int
    stopped_for: str | None


class Trainer:
    """Trains a module's trainable parameters on an objective; `run` may be called once."""

    def __init__(
        self,
        module: nn.Module,
        objective: Objective,
        settings: OptimSettings,
        *,
        work: Path,
        metrics: MetricsLog,
        progress: Progress = lambda done, total, note: None,
    ) -> None:
        self.module, self.objective, self.settings = module, objective, settings
        self.work, self.metrics, self.progress = work, metrics, progress
        self.accelerator = Accelerator()
        self.trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.optimizer = adamw(self.trained.values(), settings)
        self.step = 0
        self.tokens = 0
        self.warnings: list[str] = []

    def run(self) -> TrainResult:
        """Train to the objective's last step, from the newest checkpoint in `work` where there is one."""
        self._resume()
        steps = self.objective.steps
        stopped = None
        with _interruptible() as interrupted:
            while self.step < steps and stopped is None:
                started = time.monotonic()
                work = self.objective.prepare(self.step)
                stopped = work.stop
                if stopped is None:
                    self._take(work, started)
                if interrupted() or self.step == steps or self.step % self.settings.checkpoint_every == 0:
                    self._save()
                if interrupted():
                    raise KeyboardInterrupt
        return TrainResult(self.step, self.tokens, stopped)

    def _take(self, work: StepWork, started: float) -> None:
        self.module.train()
        sums: dict[str, float] = {"loss": 0.0}
        for micro in work.micros[self.accelerator.process_index :: self.accelerator.num_processes]:
            loss, values = self.objective.loss(micro)
            if not math.isfinite(value := loss.item()):
                raise self._diverged([micro], f"loss is {value}")
            self.accelerator.backward(loss)
            for name, part in {"loss": value, **values}.items():
                sums[name] = sums.get(name, 0.0) + part
        norm = self._clip(work)
        rate = learning_rate(self.step, self.objective.steps, self.settings)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        tokens = sum(micro.tokens for micro in work.micros)
        self.tokens += tokens
        seconds = time.monotonic() - started
        whole = self._summed(sums)
        if self.accelerator.is_main_process:
            values = {**whole, **work.metrics, "grad_norm": norm, "lr": rate}
            self.metrics.append(self.step, values | {"tokens": tokens, "seconds": seconds})
            self.progress(self.step, self.objective.steps, f"loss {whole['loss']:.3f}")

    def _summed(self, shares: dict[str, float]) -> dict[str, float]:
        """The step's figures: each process holds the shares of its own micro-batches."""
        if self.accelerator.num_processes == 1:
            return shares
        total: Counter[str] = Counter()
        for part in gather_object([shares]):
            total.update(part)
        return dict(total)

    def _clip(self, work: StepWork) -> float:
        if self.accelerator.num_processes > 1:  # shares are of the global mean, so gradients add up
            for parameter in self.trained.values():
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                parameter.grad = self.accelerator.reduce(parameter.grad, reduction="sum")
        norm = float(nn.utils.clip_grad_norm_(self.trained.values(), self.settings.max_grad_norm))
        if not math.isfinite(norm):
            raise self._diverged(work.micros, f"gradient norm is {norm}")
        return norm

    def _diverged(self, micros: Sequence[Micro], what: str) -> DivergenceError:
        ids = list(dict.fromkeys(row_id for micro in micros for row_id in micro.row_ids))
        path = self.work / f"diverged-at-step-{self.step}.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"row_ids": ids, "tensors": [micro.tensors for micro in micros]}, path)
        return DivergenceError(
            f"step {self.step}: {what}, on rows {', '.join(ids)}; the batch is in {path}. "
            "Look at those rows, or lower the learning rate"
        )

    def _save(self) -> None:
        if self.accelerator.is_main_process:
            checkpoint.save(
                self.work,
                self.step,
                {
                    "trained": {name: p.detach() for name, p in self.trained.items()},
                    "optimizer": self.optimizer.state_dict(),
                    "objective": self.objective.state_dict(),
                    "tokens": self.tokens,
                    **checkpoint.random_state(),
                },
            )

    def _resume(self) -> None:
        state, self.warnings = checkpoint.latest(self.work)
        self.metrics.truncate_after(-1 if state is None else int(state["step"]))
        if state is None:
            return
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parameter.copy_(state["trained"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.objective.load_state_dict(state["objective"])
        checkpoint.restore_random_state(state)
        self.step, self.tokens = int(state["step"]), int(state["tokens"])


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM wait for the step in progress and its checkpoint; a second one acts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    seen: list[int] = []
    before: dict[signal.Signals, Any] = {}

    def note(number: int, frame: Any) -> None:
        seen.append(number)
        for which, handler in before.items():
            signal.signal(which, handler)

    for which in (signal.SIGINT, signal.SIGTERM):
        before[which] = signal.signal(which, note)
    try:
        yield lambda: bool(seen)
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
