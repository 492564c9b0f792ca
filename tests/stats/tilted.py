"""A policy that is a small table, so that all of its climb is known exactly: words of letters drawn alike.

The optimum of KL-regularised RL against the proxy is the tilt e^(lambda proxy), and of a score that adds up
over letters it is a tilt of each letter.
"""

from dataclasses import dataclass

import numpy as np

from gnomon.stats.forecast import Seen

LETTERS, LENGTH = 16, 8
TAU = 0.6
"""How much of what people see of a pair is gold: two of them agree in 62 % of pairs."""


@dataclass(frozen=True)
class Table:
    """What each letter is worth and scores, [letters] each; `base` is how likely it is at the start."""

    base: np.ndarray
    gold: np.ndarray
    proxy: np.ndarray
    second: np.ndarray

    def at(self, strength):
        """How likely each letter is where the proxy weighs so much."""
        weights = self.base * np.exp(strength * (self.proxy - self.proxy.max()))
        return weights / weights.sum()

    def kl(self, chances):
        return LENGTH * float((chances * np.log(np.maximum(chances, 1e-300) / self.base)).sum())

    def path(self, strengths):
        """Distances and gold at each strength, exactly."""
        chances = [self.at(strength) for strength in strengths]
        gold = LENGTH * np.array([own @ self.gold for own in chances])
        return np.sqrt(np.maximum([self.kl(own) for own in chances], 0)), gold - gold[0]

    def seen(self, strength, rng, prompts=24, samples=16):
        """A user's view of a point: scores of sampled words, and their log-ratios."""
        chances = self.at(strength)
        counts = rng.multinomial(LENGTH, chances, size=(prompts, samples))
        ratios = np.log(np.maximum(chances, 1e-300) / self.base)
        return Seen(counts @ self.proxy, counts @ self.second, counts @ ratios)

    def held_out(self, rng, pairs=800, tau=TAU):
        """Margins of both models on pairs of the start, and two people's noisy votes."""
        counts = rng.multinomial(LENGTH, self.base, size=(pairs, 2))
        differences = counts[:, 0] - counts[:, 1]
        gold = differences @ self.gold
        noise = rng.normal(size=(pairs, 2)) * np.sqrt(1 - tau**2)
        votes = np.sign(tau * (gold / gold.std())[:, None] + noise)
        return differences @ self.proxy, differences @ self.second, votes


def planted(seed):
    """Four letters are wanted, and one that people of the proxy fall for is worth less than nothing; people
    of the second model fall for it too, but half as much at most."""
    rng = np.random.default_rng(seed)
    base = rng.dirichlet(np.full(LETTERS, 5.0))
    base[4] = rng.uniform(0.3, 1.5) / LETTERS
    gold, charm = np.zeros(LETTERS), np.zeros(LETTERS)
    gold[:4], gold[4], charm[4] = 1.0, -0.5, rng.uniform(1.4, 2.4)
    noise = rng.normal(size=(2, LETTERS)) * rng.uniform(0.05, 0.4)
    shared = rng.uniform(0, 0.5)
    return Table(base / base.sum(), gold, gold + charm + noise[0], gold + shared * charm + noise[1])


def clean(seed):
    """Nobody falls for anything: proxy and second model err by noise alone, and gold only rises."""
    rng = np.random.default_rng(seed)
    base = rng.dirichlet(np.full(LETTERS, 5.0))
    gold = np.zeros(LETTERS)
    gold[:4] = 1.0
    noise = rng.normal(size=(2, LETTERS)) * 0.1
    return Table(base, gold, gold + noise[0], gold + noise[1])


def points(table, rng, apart=0.2):
    """Strengths whose distances are so far apart, and what is seen at each; distances and gold, exactly."""
    strengths = np.concatenate([[0.0], np.geomspace(0.02, 30, 400)])
    distances, gold = table.path(strengths)
    places = sorted({int(abs(distances - d).argmin()) for d in np.arange(0, distances[-1], apart)})
    return [table.seen(strengths[k], rng) for k in places], distances[places], gold[places]
