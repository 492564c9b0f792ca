import math

import pytest
import torch
from architectures import NAMES, drawn_head, random_model
from torch.testing import assert_close

from gnomon.config import LoraSettings, RewardSettings
from gnomon.errors import ModelError
from gnomon.kernels.batching import pad_right
from gnomon.models.branches import batches, branch_states
from gnomon.models.heads import without_dropout
from gnomon.models.load import LanguageModel, load
from gnomon.models.lora import add_lora
from gnomon.models.reward_model import HEAD_FILE, RewardModel, Scorer, load_scorer, save_scorer
from gnomon.records import Comparison, Conversation, Label
from gnomon.training.pairs import encode_comparisons
from gnomon.training.reward import RewardModelling, score_comparisons

ROWS = [[2, 50, 60, 70, 1], [2, 80, 1], [2, 50, 60, 70, 90, 91, 92, 1]]
PAIRS = [
    Comparison.of("a", Conversation.of("2+2?"), "4", "It is five, I think.", Label(1.0, "person")),
    Comparison.of("b", Conversation.of("Name a colour."), "Red", "No.", Label(0.8, "person")),
]


def scorer(name="llama", **more):
    lm = load("tiny:0", dtype="float32")
    lm = LanguageModel(random_model(name), lm.tokenizer, lm.template, "tiny:0")
    return Scorer(lm, drawn_head(lm), **more)


@pytest.mark.mistake("score-after-the-end")
def test_the_score_is_the_head_on_the_last_real_token():
    """By hand: hidden state of the final token of the row alone."""
    it = scorer()
    with torch.no_grad():
        it.model.score.bias.fill_(0.5)
        it.model.shift.fill_(2.0)
        hidden = it.lm.model.model(input_ids=torch.tensor([ROWS[1]])).last_hidden_state[0, -1]
        wanted = float(it.model.score.weight[0] @ hidden + 0.5 - 2.0)
    assert it.score([ROWS[1]])[0] == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.mistake("padding-moves-positions")
def test_a_score_does_not_depend_on_padding_or_batch_mates(name):
    together, alone = scorer(name).score(ROWS), [scorer(name).score([row])[0] for row in ROWS]
    assert together == pytest.approx(alone, abs=1e-5)
    assert len(set(together)) == 3


def test_padding_ids_do_not_reach_the_score():
    it = scorer()
    ids, attention = torch.full((1, 9), 0), torch.zeros(1, 9, dtype=torch.bool)
    ids[0, :5], attention[0, :5] = torch.tensor(ROWS[0]), True
    with torch.no_grad():
        one = it.model(ids, attention)
        ids[0, 5:] = 77
        assert torch.equal(it.model(ids, attention), one)
    assert one.item() == pytest.approx(it.score([ROWS[0]])[0], abs=1e-5)


def test_a_new_reward_model_prefers_nothing_and_still_learns():
    """Its loss starts at log 2; a head that was drawn would start with a preference of its own."""
    lm = add_lora(load("tiny:0", dtype="float32"), LoraSettings(rank=2), seed=0)
    it = Scorer(lm, RewardModel(lm))
    assert it.score(ROWS) == [0.0] * 3
    objective = RewardModelling(
        it, encode_comparisons(lm, PAIRS[:1], max_length=200), RewardSettings(), seed=0
    )
    (micro,) = objective.prepare(0).micros
    optimizer = torch.optim.SGD([p for p in it.model.parameters() if p.requires_grad], lr=0.01)
    losses = []
    for _ in range(4):
        loss, _ = objective.loss(micro)
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
        optimizer.zero_grad()
    assert losses[0] == pytest.approx(math.log(2), abs=1e-6)
    assert losses[-1] < losses[1] < losses[0]
    moved = [p for name, p in it.model.named_parameters() if "lora_B" in name and p.abs().max() > 0]
    assert moved  # from the second step on the body learns too


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.mistake("scored-on-other-ids")
def test_the_same_conversation_has_the_same_ids_and_score_in_training_and_when_scored(name):
    it = scorer(name)
    encoded = encode_comparisons(it.lm, PAIRS, max_length=200)
    objective = RewardModelling(it, encoded, RewardSettings(), seed=0)
    (micro,) = objective.prepare(0).micros
    batch = micro.tensors[0]
    with torch.no_grad():
        trained = it.model.outputs(branch_states(it.model.body, batch)[batch.ends()]).means[:, 0]
    pairs = [PAIRS[["a", "b"].index(name)] for name in micro.row_ids]
    conversations = [pair.prompt.then(*answer) for pair in pairs for answer in (pair.first, pair.second)]
    served = [list(it.lm.encode(conversation).ids) for conversation in conversations]
    rows = [batch.input_ids.flatten()[places].tolist() for places in batch.places.values()]
    assert rows == served
    assert trained.tolist() == pytest.approx(it.score(served), abs=1e-5)
    first, second = score_comparisons(it, pairs)
    scored = [score.value for pair in zip(first, second, strict=True) for score in pair]
    assert scored == pytest.approx(trained.tolist(), abs=1e-5)


def test_groups_do_not_change_scores():
    assert scorer(micro_tokens=1).score(ROWS) == pytest.approx(scorer().score(ROWS), abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_rows_that_share_a_prompt_have_the_scores_of_the_padded_rows(name):
    it = scorer(name)
    prompt = [2, *range(50, 59)]
    rows = [[*prompt, 70, 1], [*prompt, 80, 81, 82, 1], prompt, [*prompt, 70, 1]]
    (batch,) = batches(it.lm, rows, it.micro_tokens)
    assert batch.shared
    with torch.no_grad(), without_dropout(it.model):
        assert it.score(rows) == pytest.approx(it.model(*pad_right(rows, 0)).tolist(), abs=1e-5)


def test_scoring_is_without_dropout_and_leaves_the_mode():
    it = scorer("gpt2")
    wanted = it.score(ROWS)
    it.model.train()
    assert it.score(ROWS) == wanted
    assert it.model.training


@pytest.mark.parametrize("adapters", [True, False])
def test_what_is_saved_scores_the_same_when_loaded(tmp_path, adapters):
    lm = load("tiny:0", dtype="float32")
    if adapters:
        lm = add_lora(lm, LoraSettings(rank=2), seed=0)
    it = Scorer(lm, drawn_head(lm))
    with torch.no_grad():
        for parameter in it.model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.01)
        it.model.shift.fill_(0.7)
    save_scorer(it, tmp_path, "card")
    again = load_scorer(tmp_path, dtype="float32")
    assert again.score(ROWS) == pytest.approx(it.score(ROWS), abs=1e-5)
    assert_close(again.model.shift, torch.tensor([0.7]))
    assert not again.model.training


def test_a_missing_or_damaged_head_is_named(tmp_path):
    lm = load("tiny:0", dtype="float32")
    save_scorer(Scorer(lm, RewardModel(lm)), tmp_path, "card")
    (tmp_path / HEAD_FILE).write_bytes(b"short")
    with pytest.raises(
        ModelError, match=r"score_head.safetensors cannot be read: .*train the reward model again"
    ):
        load_scorer(tmp_path)
    (tmp_path / HEAD_FILE).unlink()
    with pytest.raises(ModelError, match=r"score_head.safetensors cannot be read"):
        load_scorer(tmp_path)


def test_scores_are_float32_on_a_bfloat16_body():
    lm = load("tiny:0", dtype="bfloat16")
    assert RewardModel(lm).score.weight.dtype == torch.float32
    assert RewardModel(load("tiny:0", dtype="float64")).score.weight.dtype == torch.float64
