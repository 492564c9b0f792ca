"""The model card that goes with everything saved."""

import json
from collections.abc import Mapping
from typing import Any

from gnomon import __version__
from gnomon.config import Recipe
from gnomon.models.gguf import terms_of
from gnomon.models.load import LanguageModel
from gnomon.models.lora import has_adapters

DID = {
    "sft": "instruction tuning on demonstrations",
    "constitutional": "fine-tuning on answers revised by the model itself under a constitution",
    "preference": "preference optimisation on comparisons, without a reward model",
    "policy": "policy optimisation on its own samples against a reward model",
    "reward": "a Bradley-Terry reward model of comparisons",
    "reward_average": "the mean of the weights of several Bradley-Terry reward models",
    "reward_second": "a second Bradley-Terry reward model, on other comparisons, that watches the first",
}


def model_card(recipe: Recipe, stage: str, lm: LanguageModel, report: Mapping[str, Any]) -> str:
    """README.md in Hugging Face's layout: what this is, from what, with which figures and limits."""
    settings = recipe.model_dump_json(indent=2)
    return f"""---
library_name: {"peft" if has_adapters(lm.model) else "transformers"}
tags: [gnomon, alignment, {stage}]
---
# {recipe.name}: {stage}

Made by Gnomon {__version__} from `{lm.ref}`: {DID.get(stage, stage)}.

{terms_of(lm.ref) or "The base model's own terms apply."}

## Figures

```json
{json.dumps(report, indent=2, default=str)}
```

## Limits

Preferences in this run are those its data state; a reward model is a proxy of them and can be gamed. The
run's `report.html` shows answers side by side, intervals, and what went wrong.

## Settings

```json
{settings}
```
"""
