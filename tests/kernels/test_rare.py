"""Rare words taken together: near what they are apart, exact in sum, and not where they matter."""

import pytest
import torch
from torch import Tensor

from gnomon.kernels.fused import head_pass, token_logps
from gnomon.kernels.head import Head, plain_logps
from gnomon.kernels.rare import PICKS, RareWords

ROWS, WIDTH, VOCAB, PART = 48, 32, 4096, 512
UNIT = torch.finfo(torch.bfloat16).eps / 2


def pulls(seed: int = 0, spread: float = 3.0) -> Tensor:
    """Probabilities as a language model's are: some words likely everywhere, most next to nowhere."""
    draw = torch.Generator().manual_seed(seed)
    common = torch.linspace(12, -12, VOCAB)
    return torch.softmax(common + spread * torch.randn(ROWS, VOCAB, generator=draw), dim=-1)


def weights() -> Tensor:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(VOCAB, WIDTH, generator=draw) + torch.randn(WIDTH, generator=draw)


def together(each: Tensor, weight: Tensor, dtype: torch.dtype = torch.bfloat16) -> tuple[Tensor, int]:
    """The product of all parts in turn, and how many words it was taken over."""
    rare = RareWords(dtype, VOCAB, torch.zeros(len(each), 1))
    product, kept = torch.zeros(len(each), WIDTH), 0
    for start in range(0, VOCAB, PART):
        few, own = rare.likely(
            each[:, start : start + PART], weight[start : start + PART], torch.ones(len(each), 1)
        )
        product += few @ own
        kept += len(own)
    return product, kept


def test_a_fraction_of_the_words_gives_the_same_product_within_rounding():
    each, weight = pulls(), weights()
    product, kept = together(each, weight)
    exact = each @ weight
    assert kept < VOCAB / 2
    assert float((product - exact).norm() / exact.norm()) < UNIT


@pytest.mark.mistake("rare-words-left-out")
def test_what_rows_add_up_to_is_not_moved_in_one_direction():
    each, weight = pulls(), weights()
    product, _ = together(each, weight)
    exact = (each @ weight).sum(dim=0)
    far = (product.sum(dim=0) - exact).norm() / exact.norm()
    # left out instead, the same words would be missing from every row alike
    named = each.mean(dim=0) < UNIT / VOCAB
    out = (each.masked_fill(named, 0) @ weight).sum(dim=0)
    assert float(far) < 0.1 * float((out - exact).norm() / exact.norm())


def test_on_average_no_more_is_taken_together_than_rounding_moves():
    for spread in (1.0, 3.0, 6.0):
        each, weight = pulls(spread=spread), weights()
        rare, taken = RareWords(torch.bfloat16, VOCAB, torch.zeros(ROWS, 1)), torch.zeros(ROWS)
        for start in range(0, VOCAB, PART):
            part = slice(start, start + PART)
            few, own = rare.likely(each[:, part], weight[part], torch.ones(ROWS, 1))
            if len(own) < PART:
                taken += few[:, 0]
        assert 0 < float(taken.mean()) < UNIT


def test_numbers_of_words_are_few_for_every_shape_of_a_product_costs_code():
    each, weight = pulls(spread=1.0), weights()
    rare, kept = RareWords(torch.bfloat16, VOCAB, torch.zeros(ROWS, 1)), set()
    for start in range(0, VOCAB, PART // 4):
        part = slice(start, start + PART // 4)
        kept.add(len(rare.likely(each[:, part], weight[part], torch.ones(ROWS, 1))[1]))
    assert len(kept) > 1
    assert all(words % (PART // 4 // PICKS) == 0 for words in kept)


def test_words_all_alike_stay_as_they_are():
    each = torch.full((ROWS, VOCAB), 1 / VOCAB)
    _, kept = together(each, weights())
    assert kept == VOCAB


def test_a_word_only_one_row_wants_is_not_rare():
    each, weight = pulls(), weights()
    wanted = VOCAB - 1
    each[7] = 0
    each[7, wanted] = 1
    product, kept = together(each, weight)
    assert kept < VOCAB / 2
    torch.testing.assert_close(product[7], weight[wanted])


def test_a_row_whose_pull_is_all_nothing_stays_nothing():
    each, weight = pulls(), weights()
    each[3] = 0
    product, _ = together(each, weight)
    assert torch.isfinite(product).all()
    assert float(product[3].abs().max()) == 0


def every_word(own: RareWords, pulls: Tensor, weight: Tensor, shrunk: Tensor) -> tuple[Tensor, Tensor]:
    """Nothing is taken together."""
    return pulls, weight


def head_and_rows(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states in bfloat16, the head's weight, targets: logits as spread as a model's."""
    draw = torch.Generator().manual_seed(seed)
    weight = torch.randn(8 * VOCAB, WIDTH, generator=draw)
    hidden = 2.5 * torch.randn(ROWS, WIDTH, generator=draw)
    targets = torch.randint(8 * VOCAB, (ROWS,), generator=draw)
    return hidden.bfloat16(), weight.bfloat16(), targets


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_gradients_of_the_head_are_as_near_as_with_every_word(
    monkeypatch: pytest.MonkeyPatch, temperature: float
):
    hidden, weight, targets = head_and_rows()
    exact = hidden.double().requires_grad_()
    plain_logps(exact, Head(weight.double()), targets, temperature).sum().backward()
    assert exact.grad is not None

    def far() -> float:
        states = hidden.clone().requires_grad_()
        token_logps(states, Head(weight), targets, temperature).sum().backward()
        assert states.grad is not None
        assert exact.grad is not None
        return float((states.grad.double() - exact.grad).norm() / exact.grad.norm())

    some = far()
    monkeypatch.setattr(RareWords, "likely", every_word)
    assert some < far() + UNIT


def test_the_gradient_of_a_head_that_trains_is_of_every_word(monkeypatch: pytest.MonkeyPatch):
    hidden, weight, targets = head_and_rows()
    trained = weight.clone().requires_grad_()
    scale = torch.ones(ROWS)
    with torch.no_grad():
        first = head_pass(hidden, Head(trained), targets, scale).grad_weight
        monkeypatch.setattr(RareWords, "likely", every_word)
        second = head_pass(hidden, Head(trained), targets, scale).grad_weight
    assert first is not None
    assert second is not None
    assert torch.equal(first, second)


def test_wide_numbers_are_never_taken_together(monkeypatch: pytest.MonkeyPatch):
    hidden, weight, targets = head_and_rows()

    def refuse(*_: object) -> None:
        raise AssertionError("float32 has no room for what is taken together")

    monkeypatch.setattr(RareWords, "likely", refuse)
    states = hidden.float().requires_grad_()
    token_logps(states, Head(weight.float()), targets).sum().backward()
    assert states.grad is not None
