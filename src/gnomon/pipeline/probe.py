"""What this machine does in a second: measured on the model and rows of a recipe, in half a minute."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from gnomon.config import Recipe
from gnomon.data.collate import collate
from gnomon.models.heads import hidden_states
from gnomon.models.load import LanguageModel
from gnomon.models.logps import sequence_logps
from gnomon.pipeline.account import peak_memory_gib
from gnomon.records import EncodedRow
from gnomon.rollouts.decoding import DEFAULT
from gnomon.rollouts.engine import Sampling
from gnomon.rollouts.local import LocalEngine
from gnomon.training.sft import EncodedRows, InstructionTuning

REPEATS = 3
STEPS = 12
"""Tokens decoded in a probe of sampling."""


@dataclass(frozen=True)
class Rates:
    """Seconds of each kind of work. A decoding step costs `step` and each row in it `row`."""

    load: float
    train_token: float
    train_label: float
    forward_token: float
    step: float
    row: float
    memory_gib: float
    weights_gib: float
    trained: int

    def decode(self, rows: int, tokens: float, longest: int) -> float:
        """Seconds to sample `tokens` in all for `rows` prompts; a batch lasts as long as its longest row."""
        return math.ceil(rows / DEFAULT.rows) * longest * self.step + tokens * self.row


def measure(lm: LanguageModel, recipe: Recipe, rows: Sequence[EncodedRow], load: float) -> Rates:
    """Time a trainable model on a handful of the recipe's own rows; `load` is what loading it took."""
    some = list(rows)[:32]
    tokens = sum(len(row.ids) for row in some)
    labels = sum(sum(row.response_mask) for row in some)
    body = _seconds(lambda: _body_step(lm, some))
    full = _seconds(lambda: _sft_step(lm, some, recipe))
    prompts = [row.ids[:16] for row in some]
    forward = _seconds(lambda: sequence_logps(lm, prompts, [row.ids[16:] or row.ids[:1] for row in some]))
    few, many = (_decoding(lm, [p for p in prompts[:8] for _ in range(n)]) for n in (1, 6))
    row = max(0.0, (many - few) / 40)
    return Rates(
        load=load,
        train_token=body / tokens,
        train_label=max(0.0, full - body) / labels,
        forward_token=forward / tokens,
        step=max(0.0, few - 8 * row),
        row=row,
        memory_gib=peak_memory_gib(),
        weights_gib=sum(p.numel() * p.element_size() for p in lm.model.parameters()) / 2**30,
        trained=sum(p.numel() for p in lm.model.parameters() if p.requires_grad),
    )


def _seconds(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(REPEATS):
        started = time.monotonic()
        work()
        times.append(time.monotonic() - started)
    return sorted(times)[REPEATS // 2]


def _body_step(lm: LanguageModel, rows: Sequence[EncodedRow]) -> None:
    batch = collate(rows, lm.pad_id, lm.device)
    hidden = hidden_states(lm.model, batch.input_ids, batch.attention_mask)
    hidden[batch.attention_mask].float().mean().backward()  # type: ignore[no-untyped-call]
    lm.model.zero_grad()


def _sft_step(lm: LanguageModel, rows: Sequence[EncodedRow], recipe: Recipe) -> None:
    data = EncodedRows(tuple(str(i) for i in range(len(rows))), tuple(rows))
    optim = recipe.sft.optim.model_copy(update={"batch_size": len(rows)})
    objective = InstructionTuning(lm, data, optim, recipe.seed)
    for micro in objective.prepare(0).micros:
        loss, _ = objective.loss(micro)
        loss.backward()  # type: ignore[no-untyped-call]
    lm.model.zero_grad()


def _decoding(lm: LanguageModel, prompts: Sequence[Sequence[int]]) -> float:
    """Seconds of one decoding step of these rows, none of which may end."""
    engine = LocalEngine(lm)
    stops, lm.template.stop_ids = lm.template.stop_ids, frozenset([-1])
    try:
        short, long = (
            _seconds(partial(engine.sample, prompts, Sampling(n), range(len(prompts)))) for n in (1, STEPS)
        )
    finally:
        lm.template.stop_ids = stops
    return (long - short) / (STEPS - 1)
