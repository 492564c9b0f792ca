"""The one training loop: steps, accumulation, clipping, schedule, checkpoints, resume, interruption."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gnomon.distributed import add_up, agreed, check_alike, gather, leads, rank, share_out, size
from gnomon.errors import DivergenceError
from gnomon.kernels.allocator import release
from gnomon.models.heads import without_dropout
from gnomon.models.lanes import lanes, side_by_side
from gnomon.models.shards import evenly, is_part, part_of, sharded_layers
from gnomon.runs import MetricsLog
from gnomon.settings.base import AdamSettings, StepSettings
from gnomon.training import checkpoint
from gnomon.training.objective import Figures, Micro, Objective, StepWork, beyond
from gnomon.training.optim import adamw, clip, learning_rate
from gnomon.training.parts import own_part, taken

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class TrainResult:
    """How training ended: `stopped_for` is None after the last step. `tokens` counts earlier attempts too.
    `kept` are the steps after which the weights were as they are left, where the best were asked for."""

    steps: int
    tokens: int
    stopped_for: str | None
    kept: int | None = None


@dataclass(frozen=True)
class Evaluation:
    """A measurement on held-out rows after every `every`-th step and the last; with `first`, before any too.

    `measure` is given the steps taken so far; what it returns is logged with that step. Every process calls
    it. Training leaves the weights for which the figure `best`, where it names one, was highest.
    """

    every: int
    measure: Callable[[int], Mapping[str, float]]
    first: bool = False
    best: str | None = None


class Best(NamedTuple):
    """The highest figure so far, and the steps taken when it was measured."""

    step: int
    value: float


class Trainer:
    """Trains a module's trainable parameters on an objective; `run` may be called once.

    In several processes each learns from its share of a step's micro-batches; gradients are added up, so the
    step is that of one process up to rounding. Each holds the whole module and the first one alone writes;
    of layers that are shared out each holds, steps and writes its part.
    """

    def __init__(
        self,
        module: nn.Module,
        objective: Objective,
        settings: StepSettings,
        *,
        work: Path,
        metrics: MetricsLog,
        progress: Progress = lambda done, total, note: None,
        evaluation: Evaluation | None = None,
    ) -> None:
        self.module, self.objective, self.settings = module, objective, settings
        self.work, self.metrics, self.progress, self.evaluation = work, metrics, progress, evaluation
        self.trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.whole = [p for p in self.trained.values() if not is_part(p)]
        self.shared = bool(sharded_layers(module))
        self.others: dict[str, AdamSettings] = {}
        self.optimizer = adamw(self.trained.values(), settings)
        self.step = 0
        self.tokens, self.largest = 0, 0
        self.best: Best | None = None
        self.kept: set[int] = set()
        """The steps of checkpoints that the newest one knows as the best."""
        self.warnings: list[str] = []

    def apart(self, prefix: str, settings: AdamSettings) -> None:
        """Step the weights whose names begin with `prefix` by settings of their own; call it before `run`."""
        self.others[prefix] = settings
        first, *others = self._parts()
        self.optimizer = adamw(*first, *others)

    def run(self) -> TrainResult:
        """Train to the objective's last step, from the newest checkpoint in `work` where there is one."""
        resumed = self._resume()
        check_alike(self.whole)
        steps = self.objective.steps
        stopped = None
        with _interruptible() as interrupted, checkpoint.writing(self.work, self._part) as writer:
            if not resumed:
                self._begin(writer)
            while self.step < steps and stopped is None:
                started = time.monotonic()
                work = self.objective.prepare(self.step)
                stopped = work.stop
                if stopped is None:
                    self._take(work, started)
                writer.check()
                stop = any(gather(interrupted()))  # a signal that one process saw stops all after this step
                due = self.step == steps or self.step % self.settings.checkpoint_every == 0
                if stop or due or self._is_best():
                    self._save(writer)
                if stop:
                    raise KeyboardInterrupt
        return TrainResult(self.step, self.tokens, stopped, self._left_at_best())

    def _begin(self, writer: checkpoint.Writer) -> None:
        """Measure what there is before any step, where that is asked for, as step 0."""
        if self.evaluation is None or not self.evaluation.first:
            return
        values = self._measured(self.evaluation)
        if leads():
            self.metrics.append(self.step, values)
        if self._is_best():
            self._save(writer)

    def _take(self, work: StepWork, started: float) -> None:
        self.module.train()
        sums = self._differentiate(work.micros)
        norm = self._clip(work)
        rates = [learning_rate(self.step, self.objective.steps, by) for _, by in self._parts()]
        for group in self.optimizer.param_groups:
            group["lr"] = rates[group.get("part", 0)]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        tokens = sum(micro.tokens for micro in work.micros)
        self.tokens += tokens
        seconds = time.monotonic() - started
        values = {**sums, **work.metrics, "grad_norm": norm, "lr": rates[0], **self._evaluated()}
        if leads():
            self.metrics.append(self.step, values | {"tokens": tokens, "seconds": seconds})
            self.progress(self.step, self.objective.steps, f"loss {sums['loss']:.3f}")

    def _differentiate(self, micros: Sequence[Micro]) -> dict[str, float]:
        """The gradient of the step, and its figures: the sums over all micro-batches of all processes."""
        own = share_out([micro.tokens for micro in micros], size())[rank()]
        count = lanes(self.module)
        with evenly(self.module, own) as places:
            drawing = (micros[i] for i in _drawing(places))
            passes = self._one_by_one(drawing) if count == 1 else self._side_by_side(list(drawing), count)
        figures = [{name: float(value) for name, value in values.items()} for values in passes]
        for i, figure in zip(own, figures, strict=True):  # not before: the others come to as many passes
            if not math.isfinite(figure["loss"]):
                raise self._diverged([micros[i]], f"loss is {figure['loss']}")
        shares = gather((figures, [p.grad is not None for p in self.whole]))
        self._add_up_gradients([used for _, used in shares])
        return _sums(figure for share, _ in shares for figure in share)

    def _one_by_one(self, micros: Iterable[Micro]) -> list[Figures]:
        """Figures of each pass, its gradient added to those before."""
        passes: list[Figures] = []
        for micro in micros:
            self._make_room(micro.tokens)
            loss, values = self.objective.loss(micro)
            loss.backward()  # type: ignore[no-untyped-call]
            passes.append({"loss": loss.detach(), **values})
        return passes

    def _side_by_side(self, micros: Sequence[Micro], count: int) -> list[Figures]:
        """The same of so many passes at a time; what needs the room of two goes alone. Gradients are added in
        the order of the micro-batches, so the step is to the bit that of one pass after another.

        The module evaluates throughout, for nothing is drawn: or one pass would change another's mode.
        """

        def differentiated(micro: Micro) -> tuple[Figures, tuple[Tensor | None, ...]]:
            loss, values = self.objective.loss(micro)
            return {"loss": loss.detach(), **values}, torch.autograd.grad(loss, self.whole, allow_unused=True)

        self._make_room(max((micro.tokens for micro in micros), default=0))
        passes: list[Figures] = []
        alone = beyond(self.settings.micro_tokens // count)
        with without_dropout(self.module):
            for figures, gradients in side_by_side(differentiated, micros, count, alone):
                passes.append(figures)
                for parameter, gradient in zip(self.whole, gradients, strict=True):
                    if gradient is not None:
                        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        return passes

    def _make_room(self, tokens: int) -> None:
        """Before a pass larger than all before it: what those left free has no room for its tensors."""
        if tokens > self.largest:
            self.largest = tokens
            release()

    def _add_up_gradients(self, used: Sequence[Sequence[bool]]) -> None:
        """A parameter that some process has a gradient of gets the sum of all; shares are of one mean."""
        chosen = [p for p, uses in zip(self.whole, zip(*used, strict=True), strict=True) if any(uses)]
        for parameter in chosen:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        add_up([parameter.grad for parameter in chosen if parameter.grad is not None])

    def _clip(self, work: StepWork) -> float:
        norm = math.hypot(*(float(clip(own, by.max_grad_norm)) for own, by in self._parts()))
        if not math.isfinite(norm):
            raise self._diverged(work.micros, f"gradient norm is {norm}")
        return norm

    def _parts(self) -> list[tuple[list[nn.Parameter], AdamSettings]]:
        """What is stepped and clipped together, the weights without settings of their own first."""
        rest = dict(self.trained)
        others: list[tuple[list[nn.Parameter], AdamSettings]] = []
        for prefix, settings in self.others.items():
            own = [rest.pop(name) for name in list(rest) if name.startswith(prefix)]
            others.append((own, settings))
        return [(list(rest.values()), self.settings), *others]

    def _evaluated(self) -> dict[str, float]:
        evaluation = self.evaluation
        if evaluation is None or not (self.step % evaluation.every == 0 or self.step == self.objective.steps):
            return {}
        return self._measured(evaluation)

    def _measured(self, evaluation: Evaluation) -> dict[str, float]:
        values = dict(evaluation.measure(self.step))
        if evaluation.best is not None:
            value = values[evaluation.best]
            if self.best is None or value > self.best.value:
                self.best = Best(self.step, value)
        return values

    def _is_best(self) -> bool:
        return self.best is not None and self.best.step == self.step

    def _left_at_best(self) -> int | None:
        """Go back to the weights of the best figure, whose step this is; they are where checkpoints are."""
        if self.best is None:
            return None
        if not self._is_best():
            gather(None)  # the first process has written them
            self._take_up(checkpoint.read(self.work, self.best.step))
        return self.best.step

    def _diverged(self, micros: Sequence[Micro], what: str) -> DivergenceError:
        ids = list(dict.fromkeys(row_id for micro in micros for row_id in micro.row_ids))
        own = "" if leads() else f"-in-process-{rank()}"
        path = self.work / f"diverged-at-step-{self.step}{own}.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"row_ids": ids, "tensors": [micro.tensors for micro in micros]}, path)
        return DivergenceError(
            f"step {self.step}: {what}, on rows {', '.join(ids)}; the batch is in {path}. "
            "Look at those rows, or lower the learning rate"
        )

    @property
    def _part(self) -> checkpoint.Part:
        return checkpoint.Part(rank(), size()) if self.shared else checkpoint.WHOLE

    def _save(self, writer: checkpoint.Writer) -> None:
        if leads() or self.shared:
            state = {
                "trained": dict(self.trained),
                "optimizer": self.optimizer.state_dict(),
                "objective": self.objective.state_dict(),
                "tokens": self.tokens,
                "best": self.best and list(self.best),
                **checkpoint.random_state(),
            }
            best = {self.best.step} if self.best else set()
            writer.put(self.step, own_part(state), best | self.kept)
            self.kept = best  # an older checkpoint may be gone back to, and knows the best of its time

    def _resume(self) -> bool:
        """Take up what the first process finds, in its folder; without it, its random state alone. Whether
        there was a checkpoint."""
        state, self.warnings = checkpoint.latest(self.work) if leads() else (None, [])
        found = None if state is None else int(state["step"])
        self.work, found, drawn = agreed((self.work, found, checkpoint.random_state()))
        if leads():
            self.metrics.truncate_after(-1 if found is None else found)
        if found is None:
            checkpoint.restore_random_state(drawn)
            return False
        if state is None:
            state = checkpoint.read(self.work, found)
        self._take_up(state)
        self.optimizer.load_state_dict(state["optimizer"])
        self.objective.load_state_dict(state["objective"])
        checkpoint.restore_random_state(state)
        self.step, self.tokens = found, int(state["tokens"])
        if best := state.get("best"):
            self.best = Best(int(best[0]), float(best[1]))
            self.kept = {self.best.step}
        return True

    def _take_up(self, state: Mapping[str, Any]) -> None:
        """The weights of a checkpoint."""
        with torch.no_grad():
            for name, parameter in self.trained.items():
                part_of(parameter).copy_(taken(state["trained"][name], parameter))


def _sums(figures: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Each figure of the micro-batches added up; the loss is there without any."""
    total = {"loss": 0.0}
    for figure in figures:
        for name, value in figure.items():
            total[name] = total.get(name, 0.0) + value
    return total


def _drawing(places: Iterable[int]) -> Iterator[int]:
    """The places, each with its own random draws (of dropout), the same in whichever process it is."""
    seed = int(torch.randint(1 << 62, ()))
    after = checkpoint.random_state()
    for place in places:
        torch.manual_seed(seed + place)
        yield place
    checkpoint.restore_random_state(after)


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
