"""A study that takes seconds: every stage there is, none of them long enough to show anything."""

SMALL = [
    "seeds=[0]",
    "start.words=64",
    "start.optim.epochs=1",
    "prompt_count=8",
    "proxies=[{labels: 32}, {labels: 16, by: exact, layers: 1}]",
    "reward.optim.epochs=1",
    "policy.steps=4",
    "policy.samples=2",
    "policy.optim.batch_size=8",
    "policy.optim.checkpoint_every=1",
    "policy.max_new_tokens=4",
    "guarded.members=2",
    "measure={samples: 4, every: 2, best_of: 8, held_out: 400, away: 0, resamples: 50}",
]
