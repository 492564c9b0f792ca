"""Prompts computed once against prompts computed with each answer, in one process on the same rows.

Three steps of training, loss and gradient: a reward model on pairs whose prompt is four times as long as
their answers, and a quarter as long, and a policy on four samples a prompt (which are given: sampling always
computes a prompt once). Before anything is timed, loss and gradient norm must agree.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from gnomon.config import DEFAULT_MODEL, LoraSettings, RewardSettings
from gnomon.kernels.allocator import settle
from gnomon.models import branches
from gnomon.models.load import LanguageModel, load
from gnomon.models.lora import add_lora, freeze_reference
from gnomon.models.reward_model import RewardModel, Scorer
from gnomon.pipeline.lineage import software
from gnomon.records import Conversation, EncodedRow
from gnomon.rollouts.engine import Sample, Sampling
from gnomon.runs import write_json
from gnomon.settings.base import OptimSettings
from gnomon.settings.policy import PolicySettings
from gnomon.training.objective import Objective
from gnomon.training.pairs import EncodedPair, EncodedPairs
from gnomon.training.policy import PolicyOptimisation, PolicyPrompts
from gnomon.training.reward import RewardModelling
from paired import check, hardware, ratios, relative, spread, take_turns

SEED = 0
PAIRS = {"long prompts": (256, 64), "short prompts": (48, 192)}
"""Tokens of prompt and answer."""
ROWS = 16
PROMPTS, SAMPLES, PROMPT, ANSWER = 8, 4, 64, 64
WARM_UP = 1
"""Rounds thrown away: they touch memory for the first time."""
AGREE = {"bfloat16": 2e-2, "float32": 1e-4}
"""Largest relative difference: the policy's loss is what is left of sums of both signs."""


def measure(model: str, *, dtype: str, rounds: int) -> dict[str, Any]:
    """How many times as fast shared rows are, and how far both sides are apart, by kind of step."""
    results = {}
    for name, objective in objectives(model, dtype):
        differs = agreement(objective)
        check(differs, AGREE[dtype], name)
        results[name] = {"differs": differs, **compared(lambda o=objective: step(o), rounds)}
    return results


def objectives(model: str, dtype: str) -> Iterator[tuple[str, Objective]]:
    """Each kind of step, on a model of its own whose adapters are not at their start."""
    for name, (prompt, answer) in PAIRS.items():
        yield name, reward_step(trainable(model, dtype), prompt, answer)
    yield f"{SAMPLES} samples", policy_step(trainable(model, dtype))


def trainable(model: str, dtype: str) -> LanguageModel:
    lm = add_lora(load(model, dtype=dtype), LoraSettings(), SEED)
    freeze_reference(lm.model)
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for name, parameter in lm.model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(0.01 * torch.randn(parameter.shape, generator=generator))
    return lm


def reward_step(lm: LanguageModel, prompt: int, answer: int) -> RewardModelling:
    """Pairs of random tokens, answers of two thirds of `answer` tokens to four thirds."""
    draw = Drawing(lm)
    pairs = []
    for i in range(ROWS):
        asked = draw(prompt)
        first, second = (EncodedRow(asked + own, ()) for own in (draw.around(answer), draw.around(answer)))
        pairs.append(EncodedPair(str(i), first, second, 1.0, 1.0))
    settings = RewardSettings(optim=OptimSettings(batch_size=ROWS, epochs=1))
    model = RewardModel(lm)
    torch.nn.init.normal_(model.score.weight, std=model.score.in_features**-0.5, generator=draw.generator)
    return RewardModelling(Scorer(lm, model), EncodedPairs(tuple(pairs)), settings, SEED)


def policy_step(lm: LanguageModel) -> PolicyOptimisation:
    """Random tokens for prompts and for samples; every other sample is worth 1."""
    draw = Drawing(lm)
    prompts = PolicyPrompts(tuple(map(str, range(PROMPTS))), tuple(draw(PROMPT) for _ in range(PROMPTS)))
    optim = OptimSettings(batch_size=PROMPTS * SAMPLES)
    # KL is measured and does not count: in bfloat16 its rounding would move the advantages
    settings = PolicySettings(optim=optim, samples=SAMPLES, beta=0.0, kl_budget=1e9)
    return PolicyOptimisation(lm, Given(draw), in_turns, prompts, settings, seed=SEED)


def in_turns(samples: Sequence[Sample]) -> list[float]:
    return [float(i % 2) for i in range(len(samples))]


class Drawing:
    """Random tokens, the same for the same seed."""

    def __init__(self, lm: LanguageModel) -> None:
        self.vocabulary = lm.model.get_input_embeddings().weight.shape[0]
        self.generator = torch.Generator().manual_seed(SEED)

    def __call__(self, count: int) -> tuple[int, ...]:
        return tuple(torch.randint(self.vocabulary, (count,), generator=self.generator).tolist())

    def around(self, count: int) -> tuple[int, ...]:
        share = 2 / 3 + float(torch.rand((), generator=self.generator)) * 2 / 3
        return self(max(1, round(share * count)))


class Given:
    """An engine whose samples are drawn once."""

    def __init__(self, draw: Drawing) -> None:
        self.answers = [draw.around(ANSWER) for _ in range(PROMPTS * SAMPLES)]

    def sample(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling, seeds: Sequence[int]
    ) -> list[Sample]:
        return [
            Sample(tuple(prompt), answer, (0.0,) * len(answer), "", ended=True)
            for prompt, answer in zip(prompts, self.answers, strict=True)
        ]

    def answer(
        self, conversations: Sequence[Conversation], sampling: Sampling, seed: int = 0, *, raw: bool = False
    ) -> list[Sample]:
        raise NotImplementedError


@contextmanager
def apart() -> Iterator[None]:
    """Inside the block no row holds more than one answer."""
    longest, branches.LONGEST = branches.LONGEST, 0
    try:
        yield
    finally:
        branches.LONGEST = longest


def step(objective: Any) -> tuple[float, float]:
    """Loss and gradient norm of a step."""
    loss = 0.0
    for micro in objective.prepare(0).micros:
        share, _ = objective.loss(micro)
        share.backward()
        loss += share.item()
    model = objective.scorer.model if isinstance(objective, RewardModelling) else objective.lm.model
    norm = float(torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None]))
    model.zero_grad(set_to_none=True)
    return loss, norm


def agreement(objective: Objective) -> dict[str, float]:
    """Relative differences between the sides."""
    ours = step(objective)
    with apart():
        theirs = step(objective)
    pairs = zip(("loss", "gradient norm"), ours, theirs, strict=True)
    return {what: relative(a, b) for what, a, b in pairs}


def compared(work: Callable[[], object], rounds: int) -> dict[str, Any]:
    """Seconds of both sides in turn, another one first each time, and their ratio pair by pair."""

    def plainly() -> float:
        with apart():
            return timed(work)

    seconds = take_turns({"shared": lambda: timed(work), "plain": plainly}, rounds, WARM_UP)
    return {
        "seconds": {name: spread(own) for name, own in seconds.items()},
        "times_as_fast": ratios(seconds["plain"], seconds["shared"]),
    }


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def report(results: Mapping[str, Any]) -> list[str]:
    """One line for each kind of step."""
    lines = []
    for name, found in results.items():
        ratio, seconds = found["times_as_fast"], found["seconds"]
        lines.append(
            f"{name}: shared rows are {ratio['median']:.2f} times as fast ({ratio['low']:.2f} to "
            f"{ratio['high']:.2f}), {seconds['plain']['median']:.2f} s to {seconds['shared']['median']:.2f} s"
        )
    return lines


def main() -> None:
    """Measure, write results.json, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--dtype", choices=AGREE, default="bfloat16")
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results.json"))
    options = parser.parse_args()
    settled = settle()
    results = measure(options.model, dtype=options.dtype, rounds=options.rounds)
    setting = {
        "model": options.model,
        "dtype": options.dtype,
        "seed": SEED,
        "allocator_settled": settled,
        "hardware": hardware(),
        "software": software(),
    }
    write_json(options.out, {**setting, **results})
    print("\n".join([*report(results), f"written to {options.out}"]))


if __name__ == "__main__":
    main()
