"""A batch of four samples whose figures can be added up by hand."""

import torch

from gnomon.rewards.combine import Said
from gnomon.rewards.told import Told
from gnomon.rollouts.engine import Sample
from gnomon.training.samples import Drawn, Rollouts

RESPONSES = [(5, 6, 5, 6), (5, 6), (7, 8, 9), (1,)]
SCORES = [1.0, 3.0, -1.0, 0.0]


def rollouts(ids=("a", "a", "b", "b"), spreads=(0.1, 0.3, 0.5, 0.7), second=(1.0, 2.0, 3.0, 5.0)):
    """Two samples of each of two prompts; a response has log-probs of -1/2 and the last is cut off."""
    samples = [Sample((2,), row, (-0.5,) * len(row), "", ended=row != (1,)) for row in RESPONSES]
    drawn = [
        Drawn(
            each, Said((Told(score),), spread), None, torch.full((len(each.response_ids),), 0.25), None, None
        )
        for each, score, spread in zip(samples, SCORES, spreads, strict=True)
    ]
    scores, kl = torch.tensor(SCORES), torch.tensor([len(row) * 0.25 for row in RESPONSES])
    return Rollouts(ids, drawn, scores[:, None], scores, scores, kl, (), 0, second)
