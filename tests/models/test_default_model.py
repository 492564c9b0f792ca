"""The packaged Gemma-3-270M base model itself: prepared, encoded, sampled, and trained to stop."""

import pytest
import torch

from gnomon.config import DEFAULT_MODEL, LoraSettings
from gnomon.models.branches import shares
from gnomon.models.heads import check_head
from gnomon.models.load import load
from gnomon.models.logps import sequence_logps
from gnomon.models.lora import add_lora
from gnomon.records import Conversation, Demonstration, Message
from gnomon.rollouts.engine import Sampling
from gnomon.rollouts.local import LocalEngine
from gnomon.runs import MetricsLog
from gnomon.settings.base import OptimSettings
from gnomon.training.loop import Trainer
from gnomon.training.sft import InstructionTuning, encode_demonstrations

pytestmark = pytest.mark.slow

BREAD = Conversation.of("How do I make bread?")
NEAR = 0.03
"""Nats a token, on average, that bfloat16 may put between two readings of the same text."""


def spread(off):
    """What a reading was off by, in words."""
    parts = off.abs().quantile(torch.tensor([0.5, 0.9, 1.0])).tolist()
    return "off by {:.3f} nats on average; median, nine tenths, most: {:.3f}, {:.3f}, {:.3f}".format(
        float(off.abs().mean()), *parts
    )


@pytest.fixture(scope="module")
def lm():
    return load(DEFAULT_MODEL)


def test_it_has_no_template_of_its_own_and_gets_one_of_trained_tokens(lm):
    prompt = lm.encode_prompt(BREAD)
    whole = lm.encode(BREAD.then(Message("assistant", "Mix flour, water, salt and yeast.")))
    assert list(whole.ids[: len(prompt)]) == prompt
    assert prompt.count(lm.tokenizer.bos_token_id) == whole.ids.count(lm.tokenizer.bos_token_id) == 1
    assert whole.ids[-1] == lm.tokenizer.eos_token_id
    assert whole.response_mask[-1]
    assert lm.tokenizer.decode(whole.ids[1:-1]) == (
        "User: How do I make bread?\n\nAssistant: Mix flour, water, salt and yeast."
    )


def test_generation_stops_at_the_end_of_text_and_at_the_end_of_a_turn(lm):
    assert lm.stop_ids == {1, 106}


def test_its_head_is_known(lm):
    check_head(lm.model)


def test_answers_to_one_prompt_share_it(lm):
    assert shares(lm.model)
    prompt = lm.encode_prompt(BREAD)
    answers = [lm.tokenizer.encode(text, add_special_tokens=False) for text in ("Mix flour.", "Buy some.")]
    together = sequence_logps(lm, [prompt] * 2, answers)
    alone = [sequence_logps(lm, [prompt], [answer])[0] for answer in answers]
    off = torch.cat(together) - torch.cat(alone)
    assert off.abs().mean() < NEAR, spread(off)


def test_it_continues_and_does_not_end_its_turn(lm):
    sample = LocalEngine(lm).answer([BREAD], Sampling(48, 0.0), raw=True)[0]
    assert not sample.ended
    assert len(sample.response_ids) == 48


def test_sampling_and_training_read_the_same_log_probs(lm):
    samples = LocalEngine(lm).answer([BREAD] * 4, Sampling(32), raw=True)
    again = sequence_logps(lm, [s.prompt_ids for s in samples], [s.response_ids for s in samples])
    off = torch.cat([torch.tensor(s.logps) - logps for s, logps in zip(samples, again, strict=True)])
    assert off.abs().mean() < NEAR, spread(off)


@pytest.mark.mistake("untrained-turn-tokens")
def test_five_rows_learnt_by_adapters_alone_all_stop(lm, tmp_path):
    words = {"red": "rot", "blue": "blau", "green": "grün", "black": "schwarz", "white": "weiß"}
    rows = [
        Demonstration(f"row-{word}", Conversation.of(f"{word} in German?", german))
        for word, german in words.items()
    ]
    tuned = add_lora(load(DEFAULT_MODEL), LoraSettings(), seed=0)
    optim = OptimSettings(lr=2e-3, batch_size=5, epochs=12)
    objective = InstructionTuning(tuned, encode_demonstrations(tuned, rows, 64), optim, seed=0)
    log = MetricsLog(tmp_path / "sft.jsonl")
    Trainer(tuned.model, objective, optim, work=tmp_path, metrics=log).run()
    answers = LocalEngine(tuned).answer([row.prompt for row in rows], Sampling(12, 0.0))
    assert all(answer.ended for answer in answers)
    assert [answer.text for answer in answers] == list(words.values())
