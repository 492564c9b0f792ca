import json
import math

import pytest
import torch
from objectives import build, low
from plain_losses import grpo as grpo_loss
from plain_losses import reinforce
from torch.testing import assert_close

from gnomon.config import LoraSettings
from gnomon.errors import ConfigError, DivergenceError, ModelError
from gnomon.losses.advantages import dr_grpo, grpo, rloo
from gnomon.losses.kl import kl_penalised
from gnomon.models.load import load
from gnomon.models.logps import sequence_logps
from gnomon.recipe import load_recipe
from gnomon.rewards.combine import Terms, Verified
from gnomon.rollouts.local import LocalEngine
from gnomon.training.policy import PolicyOptimisation
from gnomon.training.sft import InstructionTuning


def rows(tmp_path):
    return [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]


TARGET = 3 + 65
"""A token of the tiny vocabulary."""


def share(samples):
    """Pays for `TARGET`: its share of a response."""
    return [sample.response_ids.count(TARGET) / len(sample.response_ids) for sample in samples]


def weights(built):
    return {n: p.detach().clone() for n, p in built.module.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("lora", [LoraSettings(rank=2, dropout=0.3), None], ids=["adapters", "full"])
def test_at_the_first_step_policy_and_reference_are_one(tmp_path, lora, temperature):
    built = build("policy", lora=lora, policy={"steps": 1, "temperature": temperature})
    built.trainer(tmp_path).run()
    (row,) = rows(tmp_path)
    assert abs(row["kl/reference"]) < 1e-4
    assert row["sampler/logp_error"] < 1e-4


@pytest.mark.mistake("ratio-of-another-distribution")
def test_samples_are_drawn_from_the_whole_distribution_at_the_temperature_trained_at():
    """What a filter takes out counts in the gradient and never comes."""
    objective = build("policy", policy={"temperature": 0.6}).objective
    asked, sample = [], objective.engine.sample
    objective.engine.sample = lambda *of: asked.append(of[1]) or sample(*of)
    objective.roll_out(0)
    assert [(it.temperature, it.top_k, it.top_p) for it in asked] == [(0.6, None, None)]


def test_the_reference_stays_while_the_policy_moves(tmp_path):
    built = build("policy", policy={"steps": 3, "beta": 0.0})
    built.trainer(tmp_path).run()
    first, *_, last = rows(tmp_path)
    assert abs(first["kl/reference"]) < 1e-4 < abs(last["kl/reference"])


@pytest.mark.mistake("kl-not-zero-at-the-start")
def test_dropout_reaches_neither_sampler_nor_loss(tmp_path):
    """The module is in training mode from the second step on."""
    built = build("policy", lora=LoraSettings(rank=2, dropout=0.5), policy={"steps": 3})
    built.trainer(tmp_path).run()
    assert all(row["sampler/logp_error"] < 1e-4 for row in rows(tmp_path))


@pytest.mark.mistake("kl-clamped")
def test_the_kl_of_a_sample_is_the_sum_over_its_tokens(tmp_path):
    """Whatever the mode is that the last step left: dropout is in neither log-prob."""
    built = build("policy", lora=LoraSettings(rank=2, dropout=0.5))
    built.trainer(tmp_path).run()
    rollouts = built.objective.roll_out(9)
    ids = [s.prompt_ids for s in rollouts.samples], [s.response_ids for s in rollouts.samples]
    policy = sequence_logps(built.objective.lm, *ids)
    reference = sequence_logps(load("tiny:0", dtype="float32"), *ids)  # fresh adapters were zero
    wanted = torch.stack([(p - r).sum() for p, r in zip(policy, reference, strict=True)])
    assert_close(rollouts.kl, wanted, rtol=0, atol=1e-4)
    assert float(wanted.abs().max()) > 1e-2
    assert rollouts.scores.tolist() == pytest.approx(low(rollouts.samples))


def test_how_far_a_policy_has_moved_is_told_without_a_score(tmp_path):
    """Of the very samples that a batch would have been."""
    built = build("policy", policy={"steps": 2})
    built.trainer(tmp_path).run()
    wanted = float(built.objective.roll_out(2).kl.mean())
    assert abs(wanted) > 1e-4
    built.objective.terms = Terms.of(lambda samples: 1 / 0)
    assert built.objective.distance(2) == wanted


def gradients(built):
    return [p.grad.clone() for p in built.module.parameters() if p.requires_grad]


def logps_of(lm, sample, temperature):
    """[1, tokens], by the whole model and log_softmax."""
    ids = torch.tensor([[*sample.prompt_ids, *sample.response_ids]])
    logits = lm.model(input_ids=ids).logits[:, len(sample.prompt_ids) - 1 : -1] / temperature
    chosen = torch.tensor(sample.response_ids)[None, :, None]
    return torch.log_softmax(logits, dim=-1).gather(2, chosen).squeeze(2)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.mistake("ratio-of-another-distribution")
def test_the_gradient_is_reinforce_s_on_the_tempered_policy(temperature):
    built = build("policy", dtype="float64", policy={"temperature": temperature}, optim={"micro_tokens": 160})
    lm = built.objective.lm
    for micro in built.objective.prepare(0).micros:
        built.objective.loss(micro)[0].backward()
    ours = gradients(built)
    built.module.zero_grad()
    rollouts = built.objective.roll_out(0)
    worth = kl_penalised(rollouts.paid, rollouts.kl, built.objective.settings.beta)
    advantages = rloo(worth.view(4, 2)).flatten().double()
    assert float(advantages.abs().max()) > 0.01
    losses = []
    for sample, advantage in zip(rollouts.samples, advantages, strict=True):
        keep = torch.ones(1, len(sample.response_ids), dtype=torch.bool)
        losses.append(reinforce(logps_of(lm, sample, temperature), advantage[None], keep))
    (sum(losses) / 8).backward()
    for mine, other in zip(ours, gradients(built), strict=True):
        assert_close(mine, other, rtol=1e-4, atol=1e-9)


def test_the_samples_of_a_prompt_are_trained_on_in_one_row():
    built = build("policy")
    (micro,) = built.objective.prepare(0).micros
    batch, samples = micro.tensors.rows, built.objective.roll_out(0).samples
    assert batch.input_ids.shape[0] == 4
    assert [batch.input_ids.flatten()[places].tolist() for places in batch.places.values()] == [
        [*sample.prompt_ids, *sample.response_ids] for sample in samples
    ]
    assert micro.tokens == sum(len(sample.prompt_ids) + len(sample.response_ids) for sample in samples)


@pytest.mark.usefixtures("float64_throughout")
@pytest.mark.parametrize(("algorithm", "advantages"), [("grpo", grpo), ("dr_grpo", dr_grpo)])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_the_gradient_is_grpo_s_with_kl_in_the_loss(algorithm, advantages, temperature):
    """On a policy that has left its reference, so that there is KL; ragged responses, four to a prompt."""
    own = {"algorithm": algorithm, "beta": 0.5, "samples": 4, "temperature": temperature}
    built = build("policy", dtype="float64", policy=own, optim={"micro_tokens": 160})
    with torch.no_grad():
        for name, parameter in built.module.named_parameters():
            if "lora_B.default" in name:
                parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(2))
    lm = built.objective.lm
    lm.template.stop_ids = frozenset(range(60))  # of 259: responses end sooner or later
    for micro in built.objective.prepare(0).micros:
        built.objective.loss(micro)[0].backward()
    ours = gradients(built)
    built.module.zero_grad()
    rollouts = built.objective.roll_out(0)
    assert len({len(sample.response_ids) for sample in rollouts.samples}) > 1
    worth = advantages(rollouts.scores.view(2, 4)).flatten().double()
    reference = load("tiny:0", dtype="float64")  # fresh adapters were zero
    losses = []
    for sample, advantage in zip(rollouts.samples, worth, strict=True):
        keep = torch.ones(1, len(sample.response_ids), dtype=torch.bool)
        logps = logps_of(lm, sample, temperature)
        ref_logps = logps_of(reference, sample, temperature).detach()
        assert float((logps.detach() - ref_logps).abs().max()) > 0.01
        divisor = built.objective.settings.max_new_tokens if algorithm == "dr_grpo" else None
        losses.append(grpo_loss(logps, ref_logps, advantage[None], keep, beta=0.5, divisor=divisor))
    (sum(losses) / 8).backward()
    for mine, other in zip(ours, gradients(built), strict=True):
        assert_close(mine, other, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("algorithm", ["rloo", "grpo"])
def test_what_is_paid_for_comes_more_often(tmp_path, algorithm):
    """A random model, paid for one byte."""
    built = build(
        "policy",
        lora=None,
        optim={"batch_size": 32, "lr": 5e-3, "schedule": "constant", "checkpoint_every": 1000},
        policy={"steps": 25, "samples": 8, "beta": 0.0, "kl_budget": 1000.0, "algorithm": algorithm},
        reward=share,
    )
    built.trainer(tmp_path).run()
    first, *_, last = rows(tmp_path)
    assert first["reward/mean"] < 0.05
    assert last["reward/mean"] > 0.5


def test_checks_are_paid_for_and_logged(tmp_path):
    """On top of the score, `checks_weight` for passing them all; prompts without checks get nothing."""
    built = build("policy", policy={"steps": 1, "checks_weight": 0.5})
    plain, objective = built.objective.roll_out(0), built.objective
    checked = plain.samples[0].prompt_ids
    objective.verified = Verified({checked: ({"kind": "words", "max": 0}, {"kind": "regex", "pattern": "."})})
    paid = objective.roll_out(0)
    for sample, share, reward, before in zip(
        paid.samples, paid.passed, paid.paid.tolist(), plain.paid.tolist(), strict=True
    ):
        assert (share is None) == (sample.prompt_ids != checked)
        assert reward == pytest.approx(before + 0.5 * (share or 0.0))
    assert torch.equal(paid.scores, plain.scores)
    shares = [share for share in paid.passed if share is not None]
    assert len(shares) == objective.settings.samples
    assert objective.prepare(0).metrics["checks"] == pytest.approx(sum(shares) / len(shares))


@pytest.mark.parametrize("algorithm", ["rloo", "grpo"])
def test_a_penalty_on_kl_keeps_the_policy_near(tmp_path, algorithm):
    ends = []
    for beta in (0.0, 1.0):
        built = build(
            "policy",
            lora=None,
            optim={"batch_size": 16, "lr": 3e-3, "schedule": "constant", "checkpoint_every": 1000},
            policy={
                "steps": 25,
                "samples": 8,
                "beta": beta,
                "kl_budget": 1000.0,
                "algorithm": algorithm,
            },
        )
        built.trainer(tmp_path / str(beta)).run()
        ends.append(rows(tmp_path / str(beta))[-1]["kl/reference"])
    assert ends[1] < 0.5 * ends[0]


@pytest.mark.parametrize("algorithm", ["rloo", "grpo", "dr_grpo"])
@pytest.mark.parametrize("samples", [2, 8])
@pytest.mark.mistake("equal-rewards")
def test_equal_rewards_without_kl_move_nothing(tmp_path, algorithm, samples):
    own = {"beta": 0.0, "steps": 3, "algorithm": algorithm, "samples": samples}
    built = build("policy", policy=own, reward=lambda samples: [0.1] * len(samples))
    before = weights(built)
    built.trainer(tmp_path).run()
    assert all(torch.equal(value, before[name]) for name, value in weights(built).items())
    assert [row["advantage/std"] for row in rows(tmp_path)] == [0.0] * 3
    assert [row["grad_norm"] for row in rows(tmp_path)] == [0.0] * 3
    assert [row["reward/equal"] for row in rows(tmp_path)] == [1.0] * 3


@pytest.mark.parametrize("algorithm", ["rloo", "grpo", "dr_grpo"])
@pytest.mark.mistake("equal-rewards")
def test_a_group_with_equal_rewards_is_counted_and_keeps_its_place_in_the_denominator(algorithm):
    """Half the prompts pay the same for all samples: the others weigh as they would beside paying ones."""

    def some(samples):
        return [0.0 if i < 4 else float(i % 2) for i in range(len(samples))]

    built = build("policy", policy={"beta": 0.0, "algorithm": algorithm}, reward=some)
    work = built.objective.prepare(0)
    counts = [len(sample.response_ids) for sample in built.objective.roll_out(0).samples]
    (micro,) = work.micros
    each = micro.tensors.weights.split(counts)
    # rewards 0 and 1: advantages -1 and 1, or -1/2 and 1/2, these over a std of sqrt(1/2) or over 6 tokens
    wanted, divisors = {
        "rloo": (1.0, [1] * 8),
        "grpo": (math.sqrt(0.5), counts),
        "dr_grpo": (0.5, [6] * 8),
    }[algorithm]
    whole = [float(weights[0]) * 8 * divisor for weights, divisor in zip(each, divisors, strict=True)]
    assert all(bool((weights == weights[0]).all()) for weights in each)
    assert sorted(whole) == pytest.approx([-wanted] * 2 + [0.0] * 4 + [wanted] * 2, rel=1e-4)
    assert work.metrics["reward/equal"] == 0.5


@pytest.mark.mistake("equal-rewards")
def test_a_reward_that_is_no_number_stops_and_names_its_prompts(tmp_path):
    built = build("policy", reward=lambda samples: [float("nan"), *[0.0] * (len(samples) - 1)])
    before = weights(built)
    with pytest.raises(
        DivergenceError, match=r"step 0: 1 of 8 samples have a reward of nan, for the prompts"
    ):
        built.trainer(tmp_path).run()
    assert all(torch.equal(value, before[name]) for name, value in weights(built).items())


def test_the_kl_budget_stops_training(tmp_path):
    built = build(
        "policy",
        lora=None,
        optim={"batch_size": 16, "lr": 3e-3, "schedule": "constant", "checkpoint_every": 1000},
        policy={"steps": 40, "samples": 8, "beta": 0.0, "kl_budget": 3.0},
    )
    result = built.trainer(tmp_path).run()
    assert result.stopped_for.startswith("KL budget: ")
    assert result.stopped_for.endswith("the next step may pass 3.0")
    assert 0 < result.steps < 40
    spent = [row["kl/reference"] for row in rows(tmp_path)]
    assert len(spent) == result.steps
    assert max(spent) < 3.0
    saved = float(built.objective.roll_out(result.steps).kl.mean())
    assert saved < 3.3  # what a noisy estimate of the growth may miss


def test_rewards_are_taken_off_for_missing_ends_and_length(tmp_path):
    built = build(
        "policy", policy={"missing_end": 2.0, "length_penalty": 0.5}, reward=lambda s: [1.0] * len(s)
    )
    rollouts = built.objective.roll_out(0)
    wanted = [1.0 - (0.0 if s.ended else 2.0) - 0.5 * len(s.response_ids) for s in rollouts.samples]
    assert rollouts.scores.tolist() == wanted


def test_every_prompt_comes_before_any_comes_again():
    built = build("policy", optim={"batch_size": 4})
    seen = [built.objective.roll_out(step).ids for step in range(4)]
    for first, second in (seen[:2], seen[2:]):
        assert first[0] == first[1]  # neighbours are samples of one prompt
        assert len({*first, *second}) == 4
    assert seen[:2] != seen[2:]


def test_samples_of_one_prompt_and_of_two_steps_differ():
    built = build("policy", optim={"batch_size": 8})
    one, other = built.objective.roll_out(0), built.objective.roll_out(1)
    responses = [s.response_ids for s in (*one.samples, *other.samples)]
    assert len(set(responses)) == len(responses)
    assert [s.response_ids for s in built.objective.roll_out(0).samples] == responses[:8]


@pytest.mark.mistake("turn-end-lost")
def test_metrics_are_of_the_samples():
    built = build("policy")
    work, rollouts = built.objective.prepare(0), built.objective.roll_out(0)
    lengths = [len(sample.response_ids) for sample in rollouts.samples]
    assert work.metrics["length/tokens"] == sum(lengths) / 8
    assert work.metrics["ends_turn"] == sum(sample.ended for sample in rollouts.samples) / 8
    assert work.metrics["reward/mean"] == pytest.approx(sum(low(rollouts.samples)) / 8)
    logps = [logp for sample in rollouts.samples for logp in sample.logps]
    assert work.metrics["entropy/sampled"] == pytest.approx(-sum(logps) / len(logps))
    assert work.metrics["reward/equal"] == 0.0
    assert work.metrics["kl/token"] == pytest.approx(float(rollouts.kl.sum()) / sum(lengths), abs=1e-9)


def test_a_policy_without_any_reference_is_refused():
    built = build("policy", lora=None)
    it = built.objective
    with pytest.raises(ModelError, match="hand in a reference model"):
        PolicyOptimisation(it.lm, LocalEngine(it.lm), low, it.prompts, it.settings, seed=0)


def test_a_batch_that_samples_do_not_divide_is_refused():
    with pytest.raises(ConfigError, match=r"batch_size is 8, which 3 samples of each prompt do not divide"):
        load_recipe(None, ["policy.samples=3", "policy.optim.batch_size=8"])


def test_demonstrations_mixed_in_add_their_gradient_with_its_weight(tmp_path):
    """PPO-ptx: the loss is the policy gradient's plus ptx_coef times the cross-entropy."""

    def gradient(built):
        for micro in built.objective.prepare(0).micros:
            built.objective.loss(micro)[0].backward()
        return [p.grad for p in built.module.parameters() if p.requires_grad]

    plain, tuned = build("policy", dtype="float64"), build("sft", dtype="float64")
    mixed = build("policy", dtype="float64", policy={"ptx_coef": 3.0})
    rows, settings = tuned.objective.data, mixed.settings.model_copy(update={"batch_size": 8})
    mixed.objective.ptx = InstructionTuning(mixed.objective.lm, rows, settings, seed=0)
    wanted = [p + 3 * s for p, s in zip(gradient(plain), gradient(tuned), strict=True)]
    for found, expected in zip(gradient(mixed), wanted, strict=True):
        assert_close(found, expected, rtol=1e-5, atol=1e-8)


def test_what_the_demonstrations_lose_is_logged(tmp_path):
    built = build("policy", policy={"ptx_coef": 3.0, "steps": 2})
    demonstrations = build("sft").objective.data
    built.objective.ptx = InstructionTuning(built.objective.lm, demonstrations, built.settings, seed=0)
    built.trainer(tmp_path).run()
    assert all(0 < row["loss/ptx"] < 10 for row in rows(tmp_path))


def test_k3_is_never_negative_and_grows_with_kl(tmp_path):
    built = build("policy", policy={"steps": 3, "beta": 0.0, "algorithm": "grpo"})
    built.trainer(tmp_path).run()
    first, *_, last = rows(tmp_path)
    assert 0 <= first["kl/k3"] < 1e-6
    assert last["kl/k3"] > 1e-4
