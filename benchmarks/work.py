"""What is timed: seven kinds of work on the built-in rows, as token ids, the same for every side."""

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Literal

from transformers import AutoTokenizer, GenerationConfig

from gnomon.config import DataSettings, LoraSettings
from gnomon.data.collate import epoch_batches
from gnomon.data.sources import Data, read_data
from gnomon.models import tiny
from gnomon.models.load import resolve
from gnomon.models.reference import parse_model_ref
from gnomon.models.templates import Template
from gnomon.records import Comparison, Conversation, Demonstration, EncodedRow, Message
from gnomon.runs import write_json

Kind = Literal["sft", "reward", "dpo", "policy", "sampling"]
SEED = 0
WARM_UP = 2
"""Rounds thrown away; the step after the last one is prepared and never taken."""


@dataclass(frozen=True)
class Size:
    """How much work a step is; lengths in tokens."""

    batch: int = 8
    row: int = 200
    prompts: int = 4
    samples: int = 8
    sampled: int = 64
    decoded_rows: int = 32
    decoded: int = 48


TINY = Size(batch=4, row=160, prompts=2, samples=2, sampled=8, decoded_rows=4, decoded=8)


@dataclass(frozen=True)
class Workload:
    """`lora` and `dtype` say what trains and in which type it is kept, by a peer in `theirs`; `prompt` how
    many times as long as its answers a pair's prompt is made (None: as it comes)."""

    kind: Kind
    unit: str
    lora: bool = True
    dtype: str = "bfloat16"
    theirs: str = "bfloat16"
    prompt: float | None = None


WORKLOADS = {
    "sft_lora": Workload("sft", "tokens"),
    # where all weights train, TRL's are float32 and computed with in bfloat16, Gnomon's have float32 copies
    "sft_full": Workload("sft", "tokens", lora=False, theirs="float32"),
    "reward": Workload("reward", "pairs"),
    "dpo": Workload("dpo", "pairs"),
    "dpo_long_prompts": Workload("dpo", "pairs", prompt=4),
    "policy": Workload("policy", "samples"),
    "sampling": Workload("sampling", "tokens", lora=False),
}


def write_job(
    folder: Path, name: str, model: str, size: Size, steps: int, device: str = "cpu"
) -> dict[str, Any]:
    """Everything a side must know, in FOLDER/job.json; `steps` are those that will be taken."""
    work = WORKLOADS[name]
    base = base_folder(model, folder)
    template = reader(base)
    lora = LoraSettings()
    tiny_model = model.startswith("tiny:")
    job = {
        "name": name,
        "kind": work.kind,
        "ref": model,
        "base": str(base),
        "folder": str(folder),
        "device": device,
        "dtype": "float32" if tiny_model else work.dtype,
        "theirs": "float32" if tiny_model else work.theirs,
        "lora": {"rank": lora.rank, "alpha": lora.alpha} if work.lora else None,
        "seed": SEED,
        "lr": 1e-5,
        "beta": 0.04 if work.kind == "policy" else 0.1,
        "steps": steps,
        "size": vars(size),
        "stops": sorted(template.stop_ids),
        **rows_of(work, template, size, steps + 1),
    }
    write_json(folder / "job.json", job)
    return job


def base_folder(model: str, folder: Path) -> Path:
    """Where the model's weights lie as any library reads them; a tiny model is written to FOLDER."""
    parsed = parse_model_ref(model)
    if parsed.kind == "tiny":
        there = folder / "base"
        made, tokenizer = tiny.tiny_model(int(parsed.name), dtype_of_tiny()), tiny.tiny_tokenizer()
        made.save_pretrained(there)
        tokenizer.save_pretrained(there)
        return there
    return Path(resolve(parsed))


def dtype_of_tiny() -> Any:
    import torch  # noqa: PLC0415  the coordinator needs it for nothing else

    return torch.float32


def reader(base: Path) -> Template:
    """The template Gnomon reads this model's conversations by."""
    stops = GenerationConfig.from_pretrained(base).eos_token_id
    extra = stops if isinstance(stops, list) else [] if stops is None else [stops]
    return Template(AutoTokenizer.from_pretrained(base), extra)


def rows_of(work: Workload, template: Template, size: Size, steps: int) -> dict[str, Any]:
    """The rows of a job, in the order in which steps take them, and their lengths."""
    data = read_data(DataSettings(), SEED)
    match work.kind:
        case "sft":
            rows = list(islice(dialogues(data.sft, template, size.row), steps * size.batch))
            encoded = [template.encode(row) for row in rows]
            lengths = {
                "row": [len(row.ids) for row in encoded],
                "trained": [sum(row.response_mask) for row in encoded],
            }
            values = [{"ids": row.ids, "mask": row.response_mask} for row in encoded]
            return ordered(values, lengths["row"], size.batch) | {"lengths": summary(lengths)}
        case "reward" | "dpo":
            return pairs_of(work, data, template, size, steps)
        case "policy":
            return policy_rows(data, template, size, steps)
        case "sampling":
            prompts = [template.encode_prompt(row.conversation) for row in data.evaluation]
            chosen = prompts[:: max(1, len(prompts) // size.decoded_rows)][: size.decoded_rows]
            return {
                "rows": [{"ids": ids} for ids in chosen],
                "lengths": summary({"prompt": map(len, chosen)}),
            }


def ordered(rows: Sequence[Any], lengths: Sequence[int], batch: int) -> dict[str, Any]:
    """The rows, and the order in which Gnomon's first epoch takes them; others take them so as well."""
    batches = epoch_batches(lengths, batch, SEED, 0)
    return {"rows": list(rows), "order": [i for taken in batches for i in taken]}


def dialogues(rows: Sequence[Demonstration], template: Template, tokens: int) -> Iterator[Conversation]:
    """Demonstrations one after another in a conversation until it has so many tokens; without end."""
    turns: list[Message] = []
    for row in cycle([row for row in rows if row.conversation.messages[0].role != "system"]):
        turns += row.conversation.messages
        if len(template.encode(Conversation(tuple(turns))).ids) >= tokens:
            yield Conversation(tuple(turns))
            turns = []


def joined(rows: Sequence[Comparison], template: Template, tokens: int) -> Iterator[Comparison]:
    """Comparisons whose questions are asked, and answered, at once until a row has so many tokens."""
    taken: list[Comparison] = []
    for row in cycle([row for row in rows if len(row.prompt.messages) == 1]):
        taken.append(row)
        texts = [[turns[-1].content for turns in (r.chosen, r.rejected)] for r in taken]
        chosen, rejected = ("\n\n".join(each) for each in zip(*texts, strict=True))
        asked = Conversation.of("\n\n".join(r.prompt.messages[0].content for r in taken))
        assert row.label is not None
        pair = Comparison.of(row.id, asked, chosen, rejected, row.label)
        if len(template.encode(asked.then(*pair.first)).ids) >= tokens:
            yield pair
            taken = []


def pairs_of(work: Workload, data: Data, template: Template, size: Size, steps: int) -> dict[str, Any]:
    """Pairs: as many questions as make a row, or (with `prompt`) two, after so long a conversation."""
    count = steps * size.batch
    if work.prompt is None:
        pairs: Iterable[Comparison] = islice(joined(data.reward, template, size.row), count)
    else:
        asked = islice(joined(data.reward, template, size.row // 2), count)
        before = islice(dialogues(data.sft, template, math.ceil(work.prompt * size.row / 3.5)), count)
        pairs = [
            replace(pair, prompt=Conversation(earlier.messages + pair.prompt.messages))
            for pair, earlier in zip(asked, before, strict=True)
        ]
    values = [_pair(template, pair) for pair in pairs]
    lengths = {
        name: [len(value[f"{name}_ids"]) for value in values] for name in ("prompt", "chosen", "rejected")
    }
    longer = [len(v["prompt_ids"]) + max(len(v["chosen_ids"]), len(v["rejected_ids"])) for v in values]
    return ordered(values, longer, size.batch) | {"lengths": summary(lengths)}


def _pair(template: Template, pair: Comparison) -> dict[str, Any]:
    prompt = template.encode_prompt(pair.prompt)
    wholes = [template.encode(pair.prompt.then(*turns)).ids for turns in (pair.chosen, pair.rejected)]
    assert all(list(ids[: len(prompt)]) == prompt for ids in wholes)
    chosen, rejected = (list(ids[len(prompt) :]) for ids in wholes)
    return {"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected}


def policy_rows(data: Data, template: Template, size: Size, steps: int) -> dict[str, Any]:
    """Prompts with their text; and a step's given samples (demonstrations' answers), on which sides agree."""
    tokenizer: Any = template.tokenizer
    adds_bos = tokenizer.encode("a", add_special_tokens=True)[:1] == [tokenizer.bos_token_id]
    bos = tokenizer.bos_token if adds_bos else ""
    rows = []
    for row in islice(cycle(data.policy), steps * size.prompts):
        ids = template.encode_prompt(row.conversation)
        text = tokenizer.apply_chat_template(
            [{"role": m.role, "content": m.content} for m in row.conversation.messages],
            tokenize=False,
            add_generation_prompt=True,
        )
        rows.append({"ids": ids, "text": text.removeprefix(bos)})
    answers = islice(cycle(row.response for row in data.sft), size.prompts * size.samples)
    given = [
        {"ids": tokenizer.encode(" " + text, add_special_tokens=False)[: size.sampled], "text": text}
        for text in answers
    ]
    # whole numbers: between close rewards rounding would decide, which is not what is compared
    rewards = [float(i % 3) for i in range(len(given))]
    groups = [rewards[i : i + size.samples] for i in range(0, len(rewards), size.samples)]
    advantages = [value for group in groups for value in standardised(group)]
    lengths = summary({"prompt": [len(row["ids"]) for row in rows]})
    return {"rows": rows, "given": given, "rewards": rewards, "advantages": advantages, "lengths": lengths}


def standardised(group: Sequence[float]) -> list[float]:
    """GRPO's advantages of one prompt's samples; 0 where all are worth the same."""
    mean, scale = statistics.fmean(group), statistics.stdev(group)
    return [(value - mean) / (scale + 1e-6) if scale else 0.0 for value in group]


def summary(lengths: dict[str, Iterable[int]]) -> dict[str, dict[str, float]]:
    """Mean, least and most tokens by name."""
    kept = {name: list(values) for name, values in lengths.items()}
    return {
        name: {"mean": round(statistics.fmean(own), 1), "least": min(own), "most": max(own)}
        for name, own in kept.items()
    }


def encoded(row: dict[str, Any]) -> EncodedRow:
    """A job's instruction row as Gnomon reads it."""
    return EncodedRow(tuple(row["ids"]), tuple(row["mask"]))
