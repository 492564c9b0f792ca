import pytest
import torch
from architectures import NAMES, VOCABULARY, random_model
from torch.testing import assert_close
from transformers import LlamaConfig, LlamaForCausalLM

from gnomon.config import LoraSettings
from gnomon.errors import ModelError
from gnomon.kernels.fused import weighted_nll
from gnomon.kernels.head import head_logits
from gnomon.models.heads import body, check_head, hidden_states, output_head, without_dropout
from gnomon.models.load import load
from gnomon.models.lora import add_lora

IDS = torch.randint(3, VOCABULARY, (2, 14), generator=torch.Generator().manual_seed(0))
LENGTHS = torch.tensor([14, 9])
ATTENTION = torch.arange(14)[None] < LENGTHS[:, None]
RESPONSE = ATTENTION & (torch.arange(14)[None] >= 4)


class Louder(LlamaForCausalLM):
    """Does to its logits what no setting says."""

    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output.logits = output.logits * 1.01
        return output


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.mistake("logits-not-a-product")
def test_the_head_is_found_and_checked(name):
    check_head(random_model(name))


@pytest.mark.parametrize("name", NAMES)
def test_the_head_is_found_in_bfloat16(name):
    check_head(random_model(name, dtype=torch.bfloat16))


@pytest.mark.mistake("logits-not-a-product")
def test_a_model_that_alters_its_logits_is_refused():
    config = LlamaConfig(
        vocab_size=99, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    check_head(LlamaForCausalLM(config))
    with pytest.raises(
        ModelError, match=r"Louder does something to its logits.*cannot be trained or sampled"
    ):
        check_head(Louder(config))


@pytest.mark.parametrize("attribute", ["logit_scale", "logits_scaling"])
def test_a_scale_that_only_the_settings_name_is_refused_too(attribute):
    """Llama applies none: `output_head` would, and must not be believed."""
    model = random_model("llama")
    setattr(model.config, attribute, 2.0)
    with pytest.raises(ModelError):
        check_head(model)


def test_soft_capping_is_known_where_it_bites():
    model = random_model("gemma2")
    head = output_head(model)
    assert head.softcap == 2.0
    with torch.no_grad():
        hidden = hidden_states(model, IDS, ATTENTION)[0]
        uncapped = hidden @ head.weight.T
        assert float((head_logits(hidden, head) - uncapped).abs().max()) > 0.5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.mistake("logits-not-a-product")
def test_loss_and_every_gradient_are_the_models_own(name):
    """Padded rows, all weights trained, tied embeddings where the architecture ties them."""
    ours, theirs = (random_model(name, dtype=torch.float64) for _ in range(2))
    rows = hidden_states(ours, IDS, ATTENTION)[:, :-1][RESPONSE[:, 1:]]
    targets = IDS[:, 1:][RESPONSE[:, 1:]]
    weights = torch.full(targets.shape, 1 / len(targets), dtype=torch.float64)
    loss, _ = weighted_nll(rows, output_head(ours), targets, weights)
    loss.backward()
    logits = theirs(input_ids=IDS, attention_mask=ATTENTION.long()).logits[:, :-1][RESPONSE[:, 1:]]
    wanted = torch.nn.functional.cross_entropy(logits.double(), IDS[:, 1:][RESPONSE[:, 1:]])
    wanted.backward()
    # some architectures compute rotations or norms in float32 whatever the dtype is
    assert_close(loss, wanted, rtol=1e-6, atol=0)
    for (parameter, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert_close(mine.grad, other.grad, rtol=1e-5, atol=1e-8, msg=lambda m, p=parameter: f"{p}: {m}")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.mistake("padding-moves-positions")
def test_hidden_states_do_not_depend_on_padding_or_batch_mates(name):
    model = random_model(name)
    together = hidden_states(model, IDS, ATTENTION)
    alone = hidden_states(model, IDS[1:, :9], ATTENTION[1:, :9])
    assert_close(together[1:, :9], alone, rtol=1e-5, atol=1e-5)


def test_adapters_count():
    lm = add_lora(load("tiny:0", dtype="float32"), LoraSettings(rank=2), seed=0)
    before = hidden_states(lm.model, IDS, ATTENTION)
    with torch.no_grad():
        for name, parameter in lm.model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    assert float((hidden_states(lm.model, IDS, ATTENTION) - before).detach().abs().max()) > 1e-3
    assert body(lm.model) is lm.model.get_base_model().model
    check_head(lm.model)


def test_dropout_is_off_inside_and_back_after():
    model = random_model("gpt2").train()
    assert not torch.equal(hidden_states(model, IDS, ATTENTION), hidden_states(model, IDS, ATTENTION))
    with without_dropout(model):
        assert torch.equal(hidden_states(model, IDS, ATTENTION), hidden_states(model, IDS, ATTENTION))
    assert model.training
    with pytest.raises(ZeroDivisionError), without_dropout(model):
        _ = 1 / 0
    assert model.training
    with without_dropout(model.eval()):
        pass
    assert not model.training
