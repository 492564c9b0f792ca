import math

import pytest
import torch
from objectives import ADAPTERS, COMPARISONS, tiny

from gnomon.config import RewardSettings
from gnomon.models.lora import add_lora
from gnomon.models.reward_model import RewardModel, Scorer
from gnomon.runs import MetricsLog
from gnomon.settings.base import OptimSettings
from gnomon.training.loop import Trainer
from gnomon.training.pairs import encode_comparisons
from gnomon.training.reward import RewardModelling, member_weights, own_clips, score_comparisons

OPTIM = OptimSettings(lr=1e-2, batch_size=8, epochs=6, checkpoint_every=1000)
LONG = OPTIM.model_copy(update={"epochs": 25.0})


def drawn(model, seed=5):
    """The same model with heads that differ."""
    generator = torch.Generator().manual_seed(seed)
    torch.nn.init.normal_(model.score.weight, std=0.2, generator=generator)
    return model


def shared(heads, *, variance=False, dtype="float64"):
    """Heads on one body."""
    lm = add_lora(tiny(dtype), ADAPTERS, seed=1)
    return Scorer(lm, RewardModel(lm, heads=heads, variance=variance))


def apart(bodies, dtype="float64"):
    """A body for each member."""
    lms = [add_lora(tiny(dtype), ADAPTERS, seed=member) for member in range(bodies)]
    models = [RewardModel(lm) for lm in lms]
    return Scorer(lms[0], models[0], others=tuple(models[1:]))


def objective_of(scorer, optim=OPTIM, **settings):
    data = encode_comparisons(scorer.lm, COMPARISONS, 200)
    return RewardModelling(scorer, data, RewardSettings(optim=optim, centring=0.0, **settings), seed=3)


def loss_of(objective):
    return sum(objective.loss(micro)[0] for micro in objective.prepare(0).micros)


def test_one_alone_meets_every_row_once():
    assert member_weights(3, 1, seed=0).tolist() == [[1.0], [1.0], [1.0]]


def test_members_weigh_rows_each_in_their_own_way_whatever_their_number():
    two, four = member_weights(4000, 2, seed=0), member_weights(4000, 4, seed=0)
    assert torch.equal(four[:, :2], two)
    assert torch.equal(member_weights(4000, 2, seed=0), two)
    assert not torch.equal(member_weights(4000, 2, seed=1), two)
    assert four.mean(dim=0).tolist() == pytest.approx([1.0] * 4, abs=0.1)
    assert four.std(dim=0).tolist() == pytest.approx([1.0] * 4, abs=0.1)  # exponential
    assert abs(float(torch.corrcoef(two.T)[0, 1])) < 0.1


def test_the_loss_is_the_mean_over_heads_each_with_its_own_weights():
    scorer = shared(2)
    drawn(scorer.model)
    objective = objective_of(scorer)
    first, second = score_comparisons(scorer, COMPARISONS)
    weights = [row.label.weight for row in COMPARISONS]
    wanted = 0.0
    for member in range(2):
        for i, row in enumerate(COMPARISONS):
            better = 1 / (1 + math.exp(second[i].members[member] - first[i].members[member]))
            p = row.label.preference
            own = -p * math.log(better) - (1 - p) * math.log(1 - better)
            wanted += weights[i] / sum(weights) * float(objective.draws[i, member]) * own / 2
    assert loss_of(objective).item() == pytest.approx(wanted, rel=1e-6)


def test_heads_that_begin_alike_come_apart_and_all_learn(tmp_path):
    scorer = shared(3, dtype="float32")
    objective = objective_of(scorer, LONG)
    before = loss_of(objective).item()
    log = MetricsLog(tmp_path / "metrics.jsonl")
    Trainer(scorer.module, objective, LONG, work=tmp_path, metrics=log).run()
    assert loss_of(objective).item() < 0.9 * before
    first, _ = score_comparisons(scorer, COMPARISONS)
    assert min(score.uncertainty for score in first) > 1e-4


def test_a_body_of_its_own_learns_what_it_would_alone():
    """Its gradient is its part of the mean, of its own weights of the rows."""
    scorer = apart(2)
    for number, model in enumerate(scorer.models):
        drawn(model, seed=number)
    objective = objective_of(scorer)
    loss_of(objective).backward()
    alone = apart(2).others[0]
    drawn(alone, seed=1)
    single = objective_of(Scorer(scorer.lm, alone))
    single.draws = objective.draws[:, 1:]
    loss_of(single).backward()
    trained = {name: p.grad for name, p in scorer.others[0].named_parameters() if p.grad is not None}
    wanted = {name: p.grad / 2 for name, p in alone.named_parameters() if p.grad is not None}
    assert trained.keys() == wanted.keys()
    assert all(torch.allclose(trained[name], wanted[name], rtol=1e-9, atol=1e-15) for name in wanted)
    assert any("lora_B" in name and grad.abs().max() > 0 for name, grad in wanted.items())


def moments(scorer, objective, optim, work, apart=()):
    """Of each weight, after one step."""
    log = MetricsLog(work / "metrics.jsonl")
    trainer = Trainer(scorer.module, objective, optim, work=work, metrics=log)
    for prefix in apart:
        trainer.apart(prefix, apart[prefix])
    objective.steps = 1
    trainer.run()
    return {name: trainer.optimizer.state[p]["exp_avg"] for name, p in trainer.trained.items()}


def test_a_body_is_clipped_as_it_would_be_alone(tmp_path):
    """Whatever the other's gradient is: here it is far larger."""
    told = OPTIM.model_copy(update={"max_grad_norm": 0.05})
    scorer, alone = apart(2), apart(2).others[0]
    drawn(scorer.model, seed=0).score.weight.data *= 30
    drawn(scorer.others[0], seed=1), drawn(alone, seed=1)
    optim, others = own_clips(told, 2)
    both = objective_of(scorer, optim)
    single = objective_of(Scorer(scorer.lm, alone), told)
    single.draws = both.draws[:, 1:]
    found = moments(scorer, both, optim, tmp_path / "both", others)
    wanted = moments(Scorer(scorer.lm, alone), single, told, tmp_path / "alone")
    assert sum(moment.square().sum() for moment in wanted.values()) > 0
    for name, moment in wanted.items():  # clipping adds 1e-6 to each norm
        assert torch.allclose(2 * found[f"1.{name}"], moment, rtol=1e-4, atol=1e-12), name


def test_bodies_that_were_cut_go_on_as_one_run(tmp_path):
    """To the bit what an uninterrupted run gives."""

    def run(work, *stops):
        for stop in stops:
            scorer = apart(2, dtype="float32")
            objective = objective_of(scorer)
            log = MetricsLog(work / "metrics.jsonl")
            optim = OPTIM.model_copy(update={"checkpoint_every": 2, "schedule": "constant"})
            whole, objective.steps = objective.steps, stop
            assert stop <= whole
            Trainer(scorer.module, objective, optim, work=work, metrics=log).run()
        return [score.members for score in score_comparisons(scorer, COMPARISONS)[0]]

    whole = run(tmp_path / "whole", 6)
    assert all(one != other for one, other in whole)
    assert run(tmp_path / "cut", 2, 6) == whole


def test_means_and_variances_learn_where_labels_are_undecided(tmp_path):
    scorer = shared(1, variance=True, dtype="float32")
    objective = objective_of(scorer, LONG, head="mean_variance")
    losses = [loss_of(objective).item()]
    assert losses[0] == pytest.approx(math.log(2), rel=1e-5)
    log = MetricsLog(tmp_path / "metrics.jsonl")
    Trainer(scorer.module, objective, LONG, work=tmp_path, metrics=log).run()
    losses.append(loss_of(objective).item())
    assert losses[1] < 0.6
    assert len({round(score.variance, 6) for score in score_comparisons(scorer, COMPARISONS)[0]}) > 1
