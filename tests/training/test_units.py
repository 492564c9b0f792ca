import math
from dataclasses import replace

import pytest
import torch
from architectures import drawn_head
from objectives import ADAPTERS, tiny

from gnomon.config import RewardSettings
from gnomon.models.lora import add_lora
from gnomon.models.reward_model import Scorer
from gnomon.records import Comparison, Conversation, Label
from gnomon.settings.base import OptimSettings
from gnomon.training.pairs import encode_comparisons
from gnomon.training.reward import RewardModelling, score_comparisons
from gnomon.training.units import Order, Said, order_of, units_of

SEA, SUM = Conversation.of("Three words about the sea, please."), Conversation.of("2+2?")


def compared(name, prompt, chosen, rejected, **label):
    return Comparison.of(
        name, prompt, chosen, rejected, Label(label.pop("preference", 1.0), "person", **label)
    )


RANKED = [
    compared("r/0-1", SEA, "Blue, deep, wide.", "Blue.", ranking="r", weight=2 / 3),
    compared("r/0-2", SEA, "Blue, deep, wide.", "No.", ranking="r", weight=2 / 3),
    compared("r/1-2", SEA, "Blue.", "No.", ranking="r", weight=2 / 3),
]
ALONE = compared("p", SUM, "4", "It is five, I think.", preference=0.8)
ROWS = [RANKED[0], ALONE, *RANKED[1:]]


def built(batching, rows=ROWS, **settings):
    lm = add_lora(tiny("float64"), ADAPTERS, seed=1)
    scorer = Scorer(lm, drawn_head(lm))
    optim = OptimSettings(**{"batch_size": 8, **settings.pop("optim", {})})
    told = RewardSettings(optim=optim, batching=batching, centring=0.0, **settings)
    return RewardModelling(scorer, encode_comparisons(lm, rows, 200), told, seed=0)


def total(objective, step=0):
    """The step's loss and metrics, summed over its micro-batches."""
    shares = [objective.loss(micro) for micro in objective.prepare(step).micros]
    sums = {name: sum(float(metrics[name]) for _, metrics in shares) for name in shares[0][1]}
    return sum(share.item() for share, _ in shares), sums


def margins(objective, rows=ROWS):
    """Score of the first answer minus that of the second, of each row."""
    first, second = score_comparisons(objective.scorer, rows)
    return [one.value - other.value for one, other in zip(first, second, strict=True)]


def cost(margin, preference=1.0):
    better = 1 / (1 + math.exp(-margin))
    return -preference * math.log(better) - (1 - preference) * math.log(1 - better)


def test_a_pair_by_itself_is_a_unit_of_its_weight_over_the_mean():
    lm = tiny("float32")
    units = units_of(encode_comparisons(lm, ROWS, 200).pairs, "pairs")
    assert [unit.ids for unit in units] == [("r/0-1",), ("p",), ("r/0-2",), ("r/1-2",)]
    assert [unit.weight for unit in units] == pytest.approx([8 / 9, 4 / 3, 8 / 9, 8 / 9])
    assert all(len(unit.answers) == 2 and not unit.orders for unit in units)


@pytest.mark.parametrize("batching", ["prompts", "rankings"])
def test_all_pairs_of_a_prompt_are_one_unit_of_weight_one_with_each_answer_once(batching):
    lm = tiny("float32")
    units = units_of(encode_comparisons(lm, ROWS, 200).pairs, batching)
    assert [unit.ids for unit in units] == [("r/0-1", "r/0-2", "r/1-2"), ("p",)]
    assert [len(unit.answers) for unit in units] == [3, 2]
    assert [unit.weight for unit in units] == pytest.approx([1, 1])
    assert [(pair.first, pair.second) for pair in units[0].pairs] == [(0, 1), (0, 2), (1, 2)]
    assert [pair.weight for pair in units[0].pairs] == pytest.approx([1 / 3] * 3)
    orders = [Order((0, 1, 2), (1, 2, 3), pytest.approx(0.5))] if batching == "rankings" else []
    assert list(units[0].orders) == orders
    assert [pair.whole for pair in units[0].pairs] == [batching == "rankings"] * 3


def test_each_answer_of_a_prompt_is_computed_once():
    answers = [len(micro.tensors.rows.places) for micro in built("prompts").prepare(0).micros]
    assert sum(answers) == 5
    assert sum(len(micro.tensors.rows.places) for micro in built("pairs").prepare(0).micros) == 8


@pytest.mark.parametrize("micro_tokens", [1, 100_000])
def test_the_pairs_of_a_prompt_weigh_as_much_as_one(micro_tokens):
    """InstructGPT's 1 / (K choose 2), by hand."""
    objective = built("prompts", optim={"micro_tokens": micro_tokens})
    one, alone, two, three = margins(objective)
    wanted = ((cost(one) + cost(two) + cost(three)) / 3 + cost(alone, 0.8)) / 2
    loss, metrics = total(objective)
    assert loss == pytest.approx(wanted, rel=1e-6)
    right = (sum(margin > 0 for margin in (one, two, three)) / 3 + (alone > 0)) / 2
    assert metrics["reward/accuracy"] == pytest.approx(right)


@pytest.mark.parametrize("micro_tokens", [1, 100_000])
def test_a_ranking_is_learnt_from_as_a_whole(micro_tokens):
    """Plackett and Luce's two choices share the weight of one prompt, by hand."""
    objective = built("rankings", optim={"micro_tokens": micro_tokens})
    first, alone, second, _ = margins(objective)
    best, middle, worst = 0.0, -first, -second
    order = math.log(sum(map(math.exp, (best, middle, worst)))) - best
    order += math.log(sum(map(math.exp, (middle, worst)))) - middle
    assert total(objective)[0] == pytest.approx((order / 2 + cost(alone, 0.8)) / 2, rel=1e-6)


def test_a_lead_is_asked_for_by_strength():
    objective = built("pairs", margin=2.0)
    rows = [replace(RANKED[0], label=replace(RANKED[0].label, strength=0.25)), ALONE]
    objective.units = units_of(encode_comparisons(objective.scorer.lm, rows, 200).pairs, "pairs")
    objective.order = replace(objective.order, lengths=[unit.length for unit in objective.units])
    one, alone, *_ = margins(objective)
    wanted = (2 / 3 * cost(one - 0.5) + cost(alone - 2 * 0.6, 0.8)) / (2 / 3 + 1)
    assert total(objective)[0] == pytest.approx(wanted, rel=1e-6)


def test_flips_are_of_labels_and_leads_of_what_was_said():
    objective = built("pairs", margin=1.0, label_smoothing=0.1)
    one, alone, two, three = margins(objective)
    costs = [cost(margin - 1, 0.9) for margin in (one, two, three)]
    wanted = (2 / 3 * sum(costs) + cost(alone - 0.6, 0.74)) / 3
    assert total(objective)[0] == pytest.approx(wanted, rel=1e-6)


def test_a_few_heavy_pairs_have_their_share_of_an_epoch_in_whatever_steps_they_are():
    """Two pairs weigh as much as eighteen others, in five steps of four."""
    light = [compared(f"l{i}", SEA, "Blue, deep, wide.", "No.") for i in range(18)]
    heavy = [compared(f"h{i}", SUM, "4", "It is five.", preference=0.0, weight=9.0) for i in range(2)]
    objective = built("pairs", [*light, *heavy], optim={"batch_size": 4, "epochs": 1})
    one, other = margins(objective, [light[0], heavy[0]])
    assert abs(cost(one) - cost(other, 0.0)) > 0.01
    steps = [total(objective, step) for step in range(objective.steps)]
    assert sum(loss for loss, _ in steps) / 5 == pytest.approx((cost(one) + cost(other, 0.0)) / 2, rel=1e-6)
    assert all(0 <= metrics["reward/accuracy"] <= 1 + 1e-6 for _, metrics in steps)


def said(*pairs):
    return [Said(first, second, preference, 0.5, 1.0) for first, second, preference in pairs]


def test_an_order_follows_from_all_of_its_pairs():
    whole = said((0, 1, 1.0), (0, 2, 0.0), (1, 2, 0.0))
    assert order_of(whole) == Order((0, 1, 2), (2, 3, 1), 1.5 / 2)


@pytest.mark.parametrize("tie", [[(0, 1, 0.5)], []])
def test_ties_of_an_order_may_be_left_out(tie):
    found = order_of(said(*tie, (0, 2, 1.0), (1, 2, 1.0)))
    ranks = dict(zip(found.places, found.ranks, strict=True))
    assert ranks == {0: 1, 1: 1, 2: 3}


@pytest.mark.parametrize(
    "pairs",
    [
        [(0, 1, 1.0), (1, 2, 1.0), (2, 0, 1.0)],  # a circle
        [(0, 1, 1.0), (1, 2, 1.0)],  # a part
        [(0, 1, 1.0), (0, 2, 1.0), (0, 3, 1.0), (1, 2, 1.0)],  # a part that would go with an order
        [(0, 1, 1.0), (0, 2, 0.7), (1, 2, 1.0)],  # people who do not agree
        [(0, 1, 1.0), (1, 0, 1.0)],  # said both ways
    ],
)
def test_what_is_no_order_is_learnt_from_pair_by_pair(pairs):
    assert order_of(said(*pairs)) is None


def test_pairs_that_are_a_part_of_a_ranking_cost_what_pairs_cost():
    objective, plain = built("rankings"), built("prompts")
    for it in (objective, plain):
        pairs = encode_comparisons(it.scorer.lm, [RANKED[0], RANKED[2]], 200).pairs
        it.units = units_of(pairs, it.settings.batching)
        it.order = replace(it.order, lengths=[unit.length for unit in it.units])
    assert not objective.units[0].orders
    assert total(objective)[0] == pytest.approx(total(plain)[0], rel=1e-9)


def test_the_gradient_of_rankings_is_that_of_the_formula_under_autograd():
    objective = built("rankings")
    for micro in objective.prepare(0).micros:
        objective.loss(micro)[0].backward()
    weight = objective.scorer.model.score.weight
    found, step = weight.grad[0, :3].tolist(), 1e-5
    wanted = []
    for k in range(3):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                weight[0, k] += sign * step
                values.append(total(objective)[0])
                weight[0, k] -= sign * step
        wanted.append((values[0] - values[1]) / (2 * step))
    assert found == pytest.approx(wanted, rel=1e-4, abs=1e-8)
