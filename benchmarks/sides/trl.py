"""TRL's side: its own trainers on the same rows, one optimiser step at a time; transformers' generate for
sampling. Runs in the peers' environment, which has no Gnomon."""

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import trl
from datasets import Dataset
from peft import LoraConfig, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    TrainerCallback,
)

from device import loaded, on
from worker import Message, Side, distinct_words, mean_size, serve, stdio

Job = dict[str, Any]
Settings = dict[str, Any]
KINDS = {
    "sft": (trl.SFTConfig, trl.SFTTrainer),
    "reward": (trl.RewardConfig, trl.RewardTrainer),
    "dpo": (trl.DPOConfig, trl.DPOTrainer),
    "policy": (trl.GRPOConfig, trl.GRPOTrainer),
}
PART = 8
"""Samples that are compared at once: the logits of all would fill the memory, and leave it in pieces."""
PACKAGES = ("trl", "torch", "transformers", "accelerate", "peft", "datasets")


class AtBoundaries(TrainerCallback):
    """Stands still before each optimiser step until the step is asked for."""

    def __init__(self, boundary: Callable[[], None]) -> None:
        self.boundary = boundary

    def on_step_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self.boundary()


def prepare(message: Message) -> Side:
    """Load the model, hand it to the trainer, and put the saved adapters on."""
    torch.set_num_threads(message["threads"])
    job = json.loads((Path(message["job"]) / "job.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(job["base"])
    kind = AutoModelForSequenceClassification if job["kind"] == "reward" else AutoModelForCausalLM
    heads = {"num_labels": 1} if job["kind"] == "reward" else {}
    model = kind.from_pretrained(job["base"], dtype=getattr(torch, job["theirs"]), **heads).to(job["device"])
    sum(float(p.detach().sum()) for p in model.parameters())  # weights are read from the disk when touched
    told = {"loaded": loaded(job["device"]), "software": {name: version(name) for name in PACKAGES}}
    if job["kind"] == "sampling":
        return on(job["device"], sampling_side(model, job, message["settings"], told))
    return on(job["device"], training_side(model, tokenizer, job, message["settings"], told))


def training_side(model: Any, tokenizer: Any, job: Job, settings: Settings, told: Message) -> Side:
    began = time.perf_counter()
    trainer = trainer_of(model, tokenizer, job, settings)
    if job["lora"]:
        put_on(trainer.model, job)
    sizes = units(job)

    def run(boundary: Callable[[], None]) -> None:
        # what a trainer computes once for all rows, before its first step, is shared out among the steps
        once = "precompute_ref_log_probs" in settings

        def first() -> None:
            if once and not side.beside:
                side.finish()
                side.beside = (time.perf_counter() - began) / (job["steps"] + 1)
            boundary()

        trainer.add_callback(AtBoundaries(first))
        trainer.train()

    answers = {"compare": lambda: COMPARE[job["kind"]](trainer, job)}
    side = Side(answers, run, told, lambda: sizes[trainer.state.global_step - 1])
    return side


def trainer_of(model: Any, tokenizer: Any, job: Job, settings: Settings) -> Any:
    """The trainer as its users build it; TRL's own defaults wherever the work itself says nothing."""
    config, kind = KINDS[job["kind"]]
    if job["kind"] == "dpo":  # it takes text alone, and would tokenise it in its own way
        kind = type("DPOTrainer", (kind,), {"_prepare_dataset": lambda self, dataset, *more: dataset})
    size = job["size"]
    args = {
        "output_dir": tempfile.mkdtemp(dir=job["folder"]),
        "max_steps": job["steps"] + 1,
        "per_device_train_batch_size": size["batch"],
        "learning_rate": job["lr"],
        "lr_scheduler_type": "constant",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": job["device"] == "cpu",
        "seed": job["seed"],
    }
    more: dict[str, Any] = {}
    if job["kind"] == "policy":
        args |= grpo_settings(job)
        more["reward_funcs"] = worth
    else:
        args |= {"max_length": None, "train_sampling_strategy": "sequential"}
    if job["kind"] == "dpo":
        args["beta"] = job["beta"]
    if job["lora"]:
        head = {"task_type": "SEQ_CLS", "modules_to_save": ["score"]} if job["kind"] == "reward" else {}
        more["peft_config"] = LoraConfig(
            r=job["lora"]["rank"],
            lora_alpha=job["lora"]["alpha"],
            target_modules="all-linear",
            **(head or {"task_type": "CAUSAL_LM"}),
        )
    return kind(
        model=model,
        args=config(**args | settings),
        train_dataset=Dataset.from_list(rows(job)),
        processing_class=tokenizer,
        **more,
    )


def grpo_settings(job: Job) -> Settings:
    """GRPO as in its paper, on samples of the whole distribution; what Gnomon is asked for as well."""
    size = job["size"]
    return {
        "per_device_train_batch_size": size["prompts"] * size["samples"],
        "num_generations": size["samples"],
        "max_completion_length": size["sampled"],
        "beta": job["beta"],
        "loss_type": "grpo",
        "use_bias_correction_kl": False,  # by default KL is weighed by a ratio that has a gradient
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": 0,
        "shuffle_dataset": False,
        "generation_kwargs": {"eos_token_id": job["stops"]},
    }


def rows(job: Job) -> list[dict[str, Any]]:
    """The job's rows in the order of its steps, with the columns that TRL knows."""
    ordered = [job["rows"][i] for i in job.get("order", range(len(job["rows"])))]
    match job["kind"]:
        case "sft":
            return [{"input_ids": row["ids"], "labels": labels(row)} for row in ordered]
        case "reward":
            return [
                {f"{name}_ids": row["prompt_ids"] + row[f"{name}_ids"] for name in ("chosen", "rejected")}
                for row in ordered
            ]
        case "dpo":
            return ordered
        case _:
            return [{"prompt": row["text"]} for row in ordered]


def labels(row: dict[str, Any]) -> list[int]:
    """What TRL trains on; a mask beside the ids it would pass over in silence."""
    return [token if trained else -100 for token, trained in zip(row["ids"], row["mask"], strict=True)]


def units(job: Job) -> list[float]:
    """Tokens, pairs or samples of each step."""
    size, steps = job["size"], job["steps"] + 1
    if job["kind"] == "policy":
        return [size["prompts"] * size["samples"]] * steps
    if job["kind"] != "sft":
        return [size["batch"]] * steps
    lengths = [len(row["input_ids"]) for row in rows(job)]
    return [sum(lengths[k * size["batch"] : (k + 1) * size["batch"]]) for k in range(steps)]


def worth(completions: Sequence[str], **more: Any) -> list[float]:
    return [distinct_words(text) for text in completions]


def put_on(model: Any, job: Job) -> None:
    """The saved adapters' weights, and the score head's where there is one."""
    folder = Path(job["folder"]) / "adapter"
    state = load_file(folder / "adapter_model.safetensors")
    if job["kind"] == "reward":
        state["base_model.model.score.weight"] = load_file(folder / "score_head.safetensors")["weight"]
    found = set_peft_model_state_dict(model, state)
    assert not found.unexpected_keys, found.unexpected_keys


def compare_sft(trainer: Any, job: Job) -> Message:
    first = rows(job)[: job["size"]["batch"]]
    sums = row_logps(trainer, [(row["input_ids"], [token >= 0 for token in row["labels"]]) for row in first])
    return {"logps": sums, **loss_and_norm(trainer, batch(trainer, job))}


def compare_dpo(trainer: Any, job: Job) -> Message:
    masked = [
        (row["prompt_ids"] + row[name], [0] * len(row["prompt_ids"]) + [1] * len(row[name]))
        for row in rows(job)[: job["size"]["batch"]]
        for name in ("chosen_ids", "rejected_ids")
    ]
    return {"logps": row_logps(trainer, masked), **loss_and_norm(trainer, micro_batches(trainer, job))}


@torch.no_grad()
def scores_of(trainer: Any, job: Job) -> list[float]:
    found = []
    for row in rows(job)[: job["size"]["batch"]]:
        for name in ("chosen_ids", "rejected_ids"):
            with trainer.compute_loss_context_manager():
                ids = torch.tensor([row[name]], device=trainer.model.device)
                found.append(float(trainer.model(input_ids=ids).logits))
    return found


def compare_reward(trainer: Any, job: Job) -> Message:
    return {"scores": scores_of(trainer, job), **loss_and_norm(trainer, batch(trainer, job))}


def compare_policy(trainer: Any, job: Job) -> Message:
    """On the given samples, which TRL is handed as if it had drawn them."""
    pad = trainer.processing_class.pad_token_id
    answers = [sample["ids"] for sample in job["given"]]
    prompts = [job["rows"][0]["ids"]] * len(answers)  # padding before prompts shifts positions, which rounds
    device = trainer.model.device
    prompt_ids = torch.tensor(prompts, device=device)
    prompt_mask = torch.ones_like(prompt_ids)
    completion_ids = pad_sequence([torch.tensor(ids) for ids in answers], True, pad).to(device)
    lengths = torch.tensor([len(ids) for ids in answers], device=device)
    completion_mask = (torch.arange(completion_ids.shape[1], device=device) < lengths[:, None]).long()
    inputs = {
        "prompt_ids": prompt_ids,
        "prompt_mask": prompt_mask,
        "completion_ids": completion_ids,
        "completion_mask": completion_mask,
        "advantages": torch.tensor(job["advantages"], device=device),
        "num_items_in_batch": completion_mask.sum(),
    }
    ids = torch.cat([prompt_ids, completion_ids], 1)
    mask = torch.cat([prompt_mask, completion_mask], 1)
    with torch.no_grad(), trainer.compute_loss_context_manager(), trainer.model.disable_adapter():
        inputs["ref_per_token_logps"] = token_logps(trainer, ids, mask, completion_ids.shape[1])
    masked = [(p + a, [0] * len(p) + [1] * len(a)) for p, a in zip(prompts, answers, strict=True)]
    # given all samples at once, it would still count them as one micro-batch of several
    cut, trainer.current_gradient_accumulation_steps = trainer.current_gradient_accumulation_steps, 1
    parts = [{name: of(value, i) for name, value in inputs.items()} for i in range(0, len(answers), PART)]
    told = {"logps": row_logps(trainer, masked), **loss_and_norm(trainer, parts, trainer._compute_loss)}
    trainer.current_gradient_accumulation_steps = cut
    told["loss"] += mean_size(job["advantages"])
    return told


def of(value: Tensor, start: int) -> Tensor:
    """A part's rows of what there is one of for each row."""
    return value[start : start + PART] if value.ndim else value


def token_logps(trainer: Any, ids: Tensor, mask: Tensor, keep: int) -> Tensor:
    told = trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, keep, batch_size=PART)
    found: Tensor = told[0]
    return found


COMPARE = {"sft": compare_sft, "dpo": compare_dpo, "reward": compare_reward, "policy": compare_policy}


def batch(trainer: Any, job: Job) -> Any:
    """The first step's rows as the trainer collates them."""
    return collated(trainer, range(job["size"]["batch"]))


def micro_batches(trainer: Any, job: Job) -> list[Any]:
    """The same in the parts it takes at once: the logits of long rows would fill the memory together."""
    part = trainer.args.per_device_train_batch_size
    starts = range(0, job["size"]["batch"], part)
    return [collated(trainer, range(start, start + part)) for start in starts]


def collated(trainer: Any, places: range) -> Any:
    return trainer._prepare_inputs(trainer.data_collator([trainer.train_dataset[i] for i in places]))


def loss_and_norm(trainer: Any, inputs: Any, loss_of: Callable[..., Tensor] | None = None) -> Message:
    """Loss and gradient norm of a step that is not taken; of a list of equal parts, their mean."""
    model = trainer.model_wrapped
    model.train()
    parts, total = inputs if isinstance(inputs, list) else [inputs], 0.0
    for part in parts:
        with trainer.compute_loss_context_manager():
            loss = (loss_of or trainer.compute_loss)(model, part) / len(parts)
        loss.backward()
        total += loss.item()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    norm = float(torch.nn.utils.get_total_norm(grads))
    model.zero_grad()
    return {"loss": total, "grad_norm": norm}


@torch.no_grad()
def row_logps(trainer: Any, masked: Sequence[tuple[list[int], list[int]]]) -> list[float]:
    """Summed log-probs of each row's trained tokens, by a forward of that row alone."""
    trainer.model.eval()
    with trainer.compute_loss_context_manager():
        return [plain_logp(trainer.model, ids, mask) for ids, mask in masked]


def plain_logp(model: Any, ids: Sequence[int], mask: Sequence[int]) -> float:
    row = torch.tensor([list(ids)], device=model.device)
    logits = model(input_ids=row, use_cache=False).logits[0, :-1]
    logps = torch.log_softmax(logits.float(), dim=-1).gather(1, row[0, 1:, None]).squeeze(1)
    return float(logps[torch.tensor(mask[1:], device=row.device).bool()].sum())


def sampling_side(model: Any, job: Job, settings: Settings, told: Message) -> Side:
    """transformers' generate, without the filters that it applies unless told otherwise."""
    model.eval()
    pad = min(job["stops"]) if model.config.pad_token_id is None else model.config.pad_token_id
    prompts = [row["ids"] for row in job["rows"]]
    longest, counted = max(map(len, prompts)), [0]
    ids = torch.tensor([[pad] * (longest - len(p)) + p for p in prompts], device=model.device)
    attention = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=model.device)

    def sample() -> int:
        output = model.generate(
            input_ids=ids,
            attention_mask=attention,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            max_new_tokens=job["size"]["decoded"],
            eos_token_id=job["stops"],
            pad_token_id=pad,
            **settings,
        )
        return sum(len(until_stop(row, job["stops"])) for row in output[:, longest:].tolist())

    @torch.no_grad()
    def compare() -> Message:
        samples = json.loads((Path(job["folder"]) / "samples.json").read_text())
        return {
            "logps": [
                plain_logp(model, prompt + own, [0] * len(prompt) + [1] * len(own))
                for prompt, own in zip(prompts, samples, strict=True)
            ]
        }

    def run(boundary: Callable[[], None]) -> None:
        for _ in range(job["steps"] + 1):
            boundary()
            counted[0] = sample()

    return Side({"compare": compare}, run, told, lambda: counted[0])


def until_stop(ids: list[int], stops: Sequence[int]) -> list[int]:
    """What was sampled, the stop included; after it stands padding."""
    end = next((i + 1 for i, token in enumerate(ids) if token in stops), len(ids))
    return ids[:end]


if __name__ == "__main__":
    serve(stdio(), prepare)
