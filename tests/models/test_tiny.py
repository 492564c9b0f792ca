import torch

from gnomon.models.load import load
from gnomon.models.tiny import tiny_tokenizer


def test_the_same_seed_gives_the_same_weights_and_leaves_the_random_state_alone():
    torch.manual_seed(5)
    one = load("tiny:3", dtype="float32").model.state_dict()
    torch.manual_seed(6)
    state = torch.get_rng_state()
    other = load("tiny:3", dtype="float32").model.state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_another_seed_gives_other_weights():
    one, other = (load(f"tiny:{seed}", dtype="float32").model for seed in (0, 1))
    assert not torch.equal(one.get_input_embeddings().weight, other.get_input_embeddings().weight)


def test_one_token_a_byte_and_text_comes_back():
    tokenizer = tiny_tokenizer()
    text = "Grüße, 世界!\n\ttabs  and spaces"
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert len(ids) == len(text.encode())
    assert tokenizer.decode(ids) == text


def test_special_tokens_are_single_ids():
    assert tiny_tokenizer().encode("<bos>a<eos><pad>", add_special_tokens=False)[::2] == [2, 1]


def test_dtypes():
    for name in ("float32", "float64", "bfloat16"):
        assert str(load("tiny:0", dtype=name).model.dtype) == f"torch.{name}"
