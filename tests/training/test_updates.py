"""Several updates on one batch of samples, and the critic beside them."""

import json
from statistics import fmean

import pytest
import torch
from objectives import build, low
from policies import PPO, brief, full, terms, with_critic
from torch.testing import assert_close

from gnomon.errors import ModelError
from gnomon.losses.advantages import gae, rloo, token_rewards
from gnomon.losses.masking import standardised
from gnomon.losses.policy import clipped


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def gradients(built, micros):
    built.module.zero_grad()
    for micro in micros:
        built.objective.loss(micro)[0].backward()
    return {n: p.grad.clone() for n, p in built.module.named_parameters() if p.grad is not None}


def moved(built):
    """Adapters that have left the reference."""
    with torch.no_grad():
        for name, parameter in built.module.named_parameters():
            if "lora_B.default" in name:
                parameter.normal_(std=0.2, generator=torch.Generator().manual_seed(2))
    return built


def logps_of(lm, sample, temperature=1.0):
    ids = torch.tensor([[*sample.prompt_ids, *sample.response_ids]])
    logits = lm.model(input_ids=ids).logits[0, len(sample.prompt_ids) - 1 : -1] / temperature
    return torch.log_softmax(logits, dim=-1).gather(1, torch.tensor(sample.response_ids)[:, None]).squeeze(1)


@pytest.mark.parametrize("algorithm", ["rloo", "grpo", "dr_grpo", "dapo", "reinforce_pp", "raft"])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_the_first_of_several_updates_is_the_only_one_of_one(algorithm, temperature):
    """Before the policy has moved ratios are 1: the clipped loss has the gradient of the fused weights."""
    own = {"algorithm": algorithm, "beta": 0.3, "samples": 4, "temperature": temperature, "resample": 0}
    one, two = (moved(build("policy", dtype="float64", policy=own | {"epochs": n})) for n in (1, 2))
    ours, theirs = (gradients(built, built.objective.prepare(0).micros) for built in (one, two))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert_close(theirs[name], value, rtol=1e-4, atol=1e-8)
    assert max(float(value.abs().max()) for value in ours.values()) > 1e-4


def test_updates_on_one_batch_learn_from_the_same_samples():
    built = build("policy", policy={"epochs": 2, "minibatches": 2, "steps": 2})
    assert built.objective.steps == 8
    asked, sample = [], built.objective.engine.sample
    built.objective.engine.sample = lambda *of: asked.append(of) or sample(*of)
    seen = []
    for step in range(8):
        micros = built.objective.prepare(step).micros
        seen.append(sorted(row_id for micro in micros for row_id in micro.row_ids))
    assert len(asked) == 2  # of the first batch and of the second
    everything = sorted(seen[0] + seen[1])
    assert sorted(seen[2] + seen[3]) == everything  # each pass takes all of them
    assert {len(ids) for ids in seen} == {4}
    assert all(ids[0] == ids[1] and ids[2] == ids[3] for ids in seen)  # a prompt's samples stay together


def test_passes_have_orders_of_their_own_that_follow_from_the_seed():
    def order(seed):
        built = build("policy", policy={"epochs": 6, "minibatches": 4})
        built.objective.seed = seed
        works = [built.objective.prepare(step) for step in range(24)]
        return [work.micros[0].row_ids[0] for work in works]

    first = order(0)
    assert order(0) == first
    assert len({tuple(first[k : k + 4]) for k in range(0, 24, 4)}) > 1
    assert all(len(set(first[k : k + 4])) == 4 for k in range(0, 24, 4))


def test_a_later_update_is_clipped_against_the_policy_that_sampled(tmp_path):
    """By the whole model's own log-probs: old ones from before any update, the loss clipped."""
    built = build("policy", dtype="float64", policy={"epochs": 2, "beta": 0.0, "average": "tokens"})
    lm = built.objective.lm
    first = built.objective.prepare(0)
    samples = built.objective.roll_out(0).samples
    with torch.no_grad():
        old = [logps_of(lm, sample) for sample in samples]
    moved(built)
    found, figures = 0.0, {}
    for micro in built.objective.prepare(1).micros:
        loss, own = built.objective.loss(micro)
        found += loss
        figures = {name: figures.get(name, 0.0) + float(value) for name, value in own.items()}
    worth = rloo(torch.tensor(low(samples)).view(-1, 2)).flatten()
    new = [logps_of(lm, sample) for sample in samples]
    each = [
        clipped(a, b, worth[i].double().expand(len(a)), low=0.2, high=0.2)
        for i, (a, b) in enumerate(zip(new, old, strict=True))
    ]
    assert_close(found, torch.cat(each).mean(), rtol=1e-5, atol=1e-8)
    ratios = (torch.cat(new) - torch.cat(old)).exp()
    repeated = torch.cat([worth[i].expand(len(a)) for i, a in enumerate(new)])
    cut = ((ratios > 1.2) & (repeated > 0)) | ((ratios < 0.8) & (repeated < 0))
    assert 0 < float(cut.float().mean()) < 1
    assert figures["clip/share"] == pytest.approx(float(cut.float().mean()))
    assert figures["kl/update"] == pytest.approx(float((ratios - 1 - ratios.log()).mean().detach()), rel=1e-4)
    assert first.metrics["sampler/logp_error"] < 1e-5


def test_ppo_s_advantages_are_by_token_with_its_critic_s_values():
    """GAE of token rewards, standardised over all tokens; returns are what they were before that."""
    built = with_critic(moved(build("policy", policy=PPO | {"beta": 0.2, "lam": 0.9})))
    built.objective.prepare(0)
    lesson, rollouts = built.objective.lesson, built.objective.roll_out(0)
    keep = torch.tensor([[t < len(r) for t in range(6)] for r in rollouts.log_ratios])

    def padded(parts):
        return torch.stack([torch.cat([part, torch.zeros(6 - len(part))]) for part in parts])

    values = padded([each.values[:, 0] for each in rollouts.drawn])
    assert float(values.abs().max()) > 0.01
    rewards = token_rewards(torch.tensor(low(rollouts.samples)), 0.2 * padded(rollouts.log_ratios), keep)
    wanted = gae(rewards, values, keep, gamma=1.0, lam=0.9)
    assert_close(padded([own[:, 0] for own in lesson.returns]), (wanted + values).where(keep, 0.0))
    assert_close(padded(lesson.advantages), standardised(wanted, keep))


def test_the_critic_learns_what_is_to_be_expected(tmp_path):
    own = PPO | {"steps": 12, "beta": 0.0, "epochs": 4, "minibatches": 1, "lam": 1.0}
    optim = {"batch_size": 16, "lr": 1e-4, "schedule": "constant", "checkpoint_every": 1000}
    built = with_critic(build("policy", policy=own | {"samples": 4}, optim=optim))
    trainer = built.trainer(tmp_path)
    trainer.apart("critic.", built.objective.settings.critic.optim.model_copy(update={"lr": 1e-2}))
    trainer.run()
    losses = [row["loss/value"] for row in rows(tmp_path)]
    assert sum(losses[-4:]) < 0.7 * sum(losses[:4])
    explained = [row["value/explained"] for row in rows(tmp_path) if "value/explained" in row]
    assert len(explained) == 12
    assert explained[-1] > explained[0]


def test_policy_and_critic_have_rates_of_their_own(tmp_path):
    built = full()
    before = {n: p.detach().clone() for n, p in built.module.named_parameters() if p.requires_grad}
    trainer = built.trainer(tmp_path)
    rate = built.objective.settings.critic.optim.model_copy(update={"lr": 1e-12, "schedule": "constant"})
    trainer.apart("critic.", rate)
    trainer.run()
    after = dict(built.module.named_parameters())
    still = {name: torch.allclose(value, after[name], atol=1e-9) for name, value in before.items()}
    assert all(kept for name, kept in still.items() if name.startswith("critic."))
    assert not all(kept for name, kept in still.items() if name.startswith("policy."))


def test_ppo_without_a_critic_is_refused():
    with pytest.raises(ModelError, match="set the objective's `critic`"):
        build("policy", policy=PPO).objective.prepare(0)


@pytest.mark.parametrize("algorithm", ["ppo", "reinforce_pp", "dapo", "raft"])
def test_what_is_paid_for_comes_more_often(tmp_path, algorithm):
    """A random model, paid for the lower half of the vocabulary."""
    own = {"steps": 20, "samples": 8, "beta": 0.0, "kl_budget": 1000.0, "algorithm": algorithm}
    own |= {"epochs": 2, "resample": 0, "overlong": 0}
    optim = {"batch_size": 32, "lr": 5e-3, "schedule": "constant", "checkpoint_every": 1000}
    built = build("policy", lora=None, optim=optim, policy=own)
    if algorithm == "ppo":
        built = with_critic(built)
    built.trainer(tmp_path).run()
    seen = [row["reward/mean"] for row in rows(tmp_path) if "reward/mean" in row]
    assert len(seen) == 20
    assert seen[0] < 0.6
    assert seen[-1] > seen[0] + 0.2


def test_raft_is_the_cross_entropy_of_the_best_samples():
    built = build("policy", dtype="float64", policy={"algorithm": "raft", "beta": 0.0, "samples": 4})
    lm, work = built.objective.lm, built.objective.prepare(0)
    ours = gradients(built, work.micros)
    rollouts = built.objective.roll_out(0)
    best = [max(range(k, k + 4), key=lambda i: low(rollouts.samples)[i]) for k in (0, 4)]
    assert sum(len(micro.row_ids) for micro in work.micros) == 2
    built.module.zero_grad()
    chosen = torch.cat([logps_of(lm, rollouts.samples[i]) for i in best])
    (-chosen.mean()).backward()
    for name, parameter in built.module.named_parameters():
        if name in ours:
            assert_close(ours[name], parameter.grad, rtol=1e-5, atol=1e-9)


def test_of_what_is_never_clipped_no_share_is_told():
    built = build("policy", policy={"algorithm": "raft", "beta": 0.0, "samples": 4, "epochs": 2})
    built.objective.prepare(0)
    moved(built)
    (_, figures), *_ = map(built.objective.loss, built.objective.prepare(1).micros)
    assert float(figures["kl/update"]) > 0
    assert "clip/share" not in figures


def test_prompts_that_are_all_paid_the_same_give_way_to_others():
    """Two of the four prompts are in a batch; the first is always flat."""
    own = {"algorithm": "dapo", "samples": 4, "overlong": 0}
    plain = build("policy", policy=own | {"resample": 0}).objective.roll_out(0)
    dull = plain.samples[0].prompt_ids

    def reward(samples):
        return [0.5 if s.prompt_ids == dull else v for s, v in zip(samples, low(samples), strict=True)]

    it = build("policy", policy=own, reward=reward).objective
    rollouts = it.roll_out(0)
    assert dull not in [sample.prompt_ids for sample in rollouts.samples]
    assert rollouts.samples[4:] == plain.samples[4:]
    assert len(set(rollouts.ids)) == 2
    assert rollouts.replaced == 1
    assert it.prepare(0).metrics["reward/replaced"] == 0.5
    assert [s.response_ids for s in it.roll_out(0).samples] == [s.response_ids for s in rollouts.samples]


def test_a_prompt_whose_samples_differ_in_what_a_threshold_is_held_to_stays():
    limit = {"name": "odd", "at_most": -0.6}
    own = {"algorithm": "dapo", "samples": 4, "overlong": 0, "rewards": [{"source": "model", **limit}]}
    built = build("policy", policy=own, reward=terms((brief, limit)))
    assert built.objective.roll_out(0).replaced == 0
    flat = build("policy", policy=own, reward=terms((lambda samples: [0.5] * len(samples), limit)))
    assert flat.objective.roll_out(0).replaced > 0


def test_and_where_all_prompts_are_flat_it_ends_after_so_many_times(tmp_path):
    own = {"algorithm": "dapo", "samples": 4, "overlong": 0, "resample": 2, "beta": 0.0, "steps": 1}
    built = build("policy", policy=own, reward=lambda samples: [0.5] * len(samples))
    assert built.objective.roll_out(0).replaced == 4
    before = {n: p.detach().clone() for n, p in built.module.named_parameters()}
    built.trainer(tmp_path).run()
    assert rows(tmp_path)[0]["reward/equal"] == 1.0
    assert all(torch.equal(value, before[name]) for name, value in built.module.named_parameters())


def test_a_reward_with_a_threshold_is_kept_to_by_its_multiplier(tmp_path):
    """What is paid for breaks it: alone, it would go on; with the multiplier it stays."""
    ends = {}
    for most in (None, -0.5):
        limit = {"name": "odd", "at_most": most} if most else {"name": "odd", "weight": 0.0}
        own = {
            "steps": 40,
            "samples": 8,
            "beta": 0.0,
            "kl_budget": 1e9,
            "rewards": [{"source": "model", "name": "few"}, {"source": "model", **limit}],
            "multipliers": {"lr": 10.0, "start": 0.9, "most": 20.0, "window": 32},
        }
        optim = {"batch_size": 32, "lr": 2e-3, "schedule": "constant", "checkpoint_every": 1000}
        reward = terms((brief, {"name": "few"}), (brief, limit))
        built = build("policy", lora=None, policy=own, reward=reward, optim=optim)
        built.trainer(tmp_path / str(most)).run()
        ends[most] = rows(tmp_path / str(most))
    free, kept = (fmean(row["term/odd"] for row in ends[most][-10:]) for most in (None, -0.5))
    assert free > -0.3
    assert kept < free - 0.1
    multipliers = [row["multiplier/odd"] for row in ends[-0.5]]
    assert max(multipliers) > 1.0
    assert "multiplier/odd" not in ends[None][0]


def test_beta_follows_kl_to_its_target(tmp_path):
    """KL starts at 0, below any target: beta falls; far above a small one it rises."""
    for target, rises in ((1e6, False), (1e-3, True)):
        own = {"steps": 5, "kl": {"target": target, "horizon": 20}, "beta": 0.1, "kl_budget": 1e9}
        built = build("policy", policy=own)
        built.trainer(tmp_path / str(target)).run()
        betas = [row["kl/beta"] for row in rows(tmp_path / str(target))]
        assert betas[0] == 0.1
        assert (betas[-1] > betas[1]) == rises


def test_rewards_are_divided_by_their_deviation_so_far_and_keep_their_mean():
    built = build("policy", policy={"scale_rewards": True, "beta": 0.0})
    it = built.objective
    paid = [it.roll_out(batch).paid for batch in (0, 1)]
    first, second = (it.prepare(batch) for batch in (0, 1))
    assert first.metrics["reward/scale"] == pytest.approx(float(paid[0].double().std(correction=0)))
    both = float(torch.cat(paid).double().std(correction=0))
    assert second.metrics["reward/scale"] == pytest.approx(both)
    wanted = rloo((paid[1] / both).view(-1, 2)).flatten()
    assert_close(torch.stack([own[0] for own in it.lesson.advantages]), wanted)


@pytest.mark.parametrize("algorithm", ["rloo", "reinforce_pp"])
@pytest.mark.parametrize(
    "own",
    [{"scale_rewards": True}, {"kl": {"estimator": "k3"}}, {"kl": {"place": "loss"}}],
    ids=["scaled", "k3", "loss"],
)
def test_what_is_told_to_be_climbed_is_what_advantages_are_made_of(own, algorithm):
    """Rewards by their scale, less KL where it is in the reward, as it is estimated there."""
    it = moved(build("policy", policy=own | {"algorithm": algorithm, "beta": 0.5})).objective
    work, rollouts = it.prepare(0), it.roll_out(0)
    kl = rollouts.kl
    if "kl" in own:
        k3 = torch.stack([((-ratios).exp() - 1 + ratios).sum() for ratios in rollouts.log_ratios])
        kl = k3 if own["kl"] == {"estimator": "k3"} else 0 * k3
        assert float((k3 - rollouts.kl).abs().max()) > 1e-3
    worth = rollouts.paid / work.metrics.get("reward/scale", 1.0) - 0.5 * kl
    assert work.metrics["reward/penalised"] == pytest.approx(float(worth.mean()), abs=1e-5)
    if algorithm == "rloo":
        found = torch.stack([advantages[0] for advantages in it.lesson.advantages])
        assert_close(found, rloo(worth.view(-1, 2)).flatten(), rtol=0, atol=1e-5)


def test_a_response_that_does_not_end_may_have_a_fixed_score():
    own = {"missing_end_score": -1.0, "missing_end": 5.0}
    rollouts = build("policy", policy=own, reward=lambda s: [3.0] * len(s)).objective.roll_out(0)
    assert rollouts.scores.tolist() == [3.0 if s.ended else -1.0 for s in rollouts.samples]
    assert not all(s.ended for s in rollouts.samples)
