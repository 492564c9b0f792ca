"""How far the distribution that was sampled is from a reference."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gnomon.models.load import LanguageModel
from gnomon.models.logps import sequence_logps
from gnomon.rollouts.engine import Sample


def log_ratios(reference: LanguageModel, samples: Sequence[Sample], temperature: float = 1.0) -> list[Tensor]:
    """For each sample log pi - log pi_ref of its response's tokens, in nats; their sum is its k1.

    Of the distribution that drew the samples, rounding and all, so it is unbiased for that one; reading every
    sample again with the model that drew it would cost a forward pass to be 0 at the start. Both at the
    `temperature` of sampling.
    """
    prompts, responses = [s.prompt_ids for s in samples], [s.response_ids for s in samples]
    theirs = sequence_logps(reference, prompts, responses, temperature)
    return [torch.tensor(own.logps, dtype=ref.dtype) - ref for own, ref in zip(samples, theirs, strict=True)]
