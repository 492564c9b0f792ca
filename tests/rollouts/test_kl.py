"""The KL of samples against the truth, by enumeration of everything that can be sampled."""

import pytest
import torch
from architectures import NAMES, VOCABULARY, language_model
from torch.testing import assert_close

from gnomon.losses.kl import k3
from gnomon.models.logps import sequence_logps
from gnomon.rollouts.engine import Sample
from gnomon.rollouts.kl import log_ratios

PROMPT = (2, 50, 60, 70)


def logps_of(lm, temperature):
    with torch.no_grad():
        logits = lm.model(input_ids=torch.tensor([PROMPT])).logits[0, -1]
    return torch.log_softmax(logits.double() / temperature, dim=-1)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.mistake("kl-not-zero-at-the-start")
@pytest.mark.mistake("kl-clamped")
def test_every_token_s_kl_weighed_by_its_probability_is_the_exact_divergence(name, temperature):
    """k1, of which some tokens' must be below 0, and k3, of which none may be."""
    policy, reference = (language_model(name, torch.float64, seed=seed) for seed in (0, 1))
    every = [(token,) for token in range(VOCABULARY)]
    drawn = sequence_logps(policy, [PROMPT] * VOCABULARY, every, temperature)
    samples = [
        Sample(PROMPT, token, (logp.item(),), "", ended=False)
        for token, logp in zip(every, drawn, strict=True)
    ]
    ratios = torch.cat(log_ratios(reference, samples, temperature))
    own, theirs = logps_of(policy, temperature), logps_of(reference, temperature)
    exact = (own.exp() * (own - theirs)).sum()
    assert float(exact) > 0.1
    assert float(ratios.min()) < -0.1
    assert bool((k3(ratios) >= 0).all())
    for estimate in (ratios, k3(ratios)):
        assert_close((own.exp() * estimate).sum(), exact, rtol=1e-4, atol=0)
