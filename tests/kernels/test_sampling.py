import pytest
import torch
from scipy.stats import chisquare
from torch.testing import assert_close

from gnomon.kernels import head as kernel
from gnomon.kernels import sampling
from gnomon.kernels.head import Head, head_logits
from gnomon.kernels.sampling import BLOCK, NUCLEUS, filtered, sample_states, sample_tokens

VOCABULARY = 2 * BLOCK + 77
ALMOST_ONE = 1 - 2**-53
DRAWS = 40_000


@pytest.fixture(params=[BLOCK, 16 * BLOCK], ids=["three parts", "one part"], autouse=True)
def part(request, monkeypatch):
    """The vocabulary of these tests in parts of a block each, and as a whole."""
    monkeypatch.setattr(kernel, "PART", request.param)


@pytest.fixture
def logits(device):
    def draw(rows=1, seed=0):
        own = torch.randn(rows, VOCABULARY, generator=torch.Generator().manual_seed(seed))
        return (2 * own).to(device)

    return draw


@pytest.fixture
def uniform(device):
    def draw(rows, seed=1):
        generator = torch.Generator().manual_seed(seed)
        return torch.rand(rows, generator=generator, dtype=torch.float64).to(device)

    return draw


def same(logps, others):
    """To the bit; on a GPU, which adds up as many rows ask for, up to rounding."""
    if logps.device.type == "cpu":
        assert torch.equal(logps, others)
    assert_close(logps, others)


def counts(values, numbers, temperature):
    drawn = torch.zeros(VOCABULARY)
    for part in numbers.split(4000):
        token, _ = sample_tokens(values.expand(len(part), -1), part, temperature)
        drawn += torch.bincount(token.cpu(), minlength=VOCABULARY)
    return drawn


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_tokens_come_as_often_as_softmax_says(logits, uniform, temperature):
    values = logits()
    expected = DRAWS * torch.softmax(values[0].cpu().double() / temperature, dim=-1)
    drawn = counts(values, uniform(DRAWS), temperature).double()
    often = expected >= 5  # the rare ones are counted together
    seen = torch.cat([drawn[often], drawn[~often].sum()[None]])
    wanted = torch.cat([expected[often], expected[~often].sum()[None]])
    assert len(wanted) > 50
    assert chisquare(seen, wanted).pvalue > 0.01


def test_the_test_above_can_fail(logits, uniform):
    """The same counts against another temperature are impossible."""
    expected = DRAWS * torch.softmax(logits()[0].cpu().double() / 0.9, dim=-1)
    often = expected >= 5
    seen = counts(logits(), uniform(DRAWS), 1.0).double()[often]
    assert chisquare(seen, expected[often] * seen.sum() / expected[often].sum()).pvalue < 1e-9


@pytest.mark.parametrize("temperature", [1.0, 0.6, 0.0])
def test_a_row_does_not_depend_on_its_batch_mates(logits, uniform, temperature):
    values, numbers = logits(rows=9), uniform(9)
    together = sample_tokens(values, numbers, temperature)
    for row in range(9):
        alone = sample_tokens(values[row : row + 1], numbers[row : row + 1], temperature)
        assert torch.equal(together[0][row : row + 1], alone[0])
        same(together[1][row : row + 1], alone[1])


def test_it_inverts_the_cumulative_distribution(device):
    """0.25 | 0.5 | 0.25 over three tokens in three blocks."""
    values = torch.full((1, VOCABULARY), -torch.inf, device=device)
    places = torch.tensor([3, BLOCK + 5, VOCABULARY - 1], device=device)
    values[0, places] = torch.tensor([0.25, 0.5, 0.25], device=device).log()
    edges = [0.0, 0.2499, 0.2501, 0.7499, 0.7501, ALMOST_ONE]
    numbers = torch.tensor(edges, dtype=torch.float64, device=device)
    token, logp = sample_tokens(values.expand(6, -1), numbers)
    assert token.tolist() == places[[0, 0, 1, 1, 2, 2]].tolist()
    assert_close(logp.exp(), torch.tensor([0.25, 0.25, 0.5, 0.5, 0.25, 0.25], device=device))


def test_the_ends_of_the_unit_interval_give_the_first_and_the_last_token(device):
    values = torch.zeros(1, VOCABULARY, device=device)
    last = torch.tensor([ALMOST_ONE], dtype=torch.float64, device=device)
    assert sample_tokens(values, torch.zeros(1, device=device))[0].item() == 0
    assert sample_tokens(values, last)[0].item() == VOCABULARY - 1


def test_a_block_without_probability_is_passed_over(device):
    """Its bounds are equal, and 0 is in no block before the first that holds something."""
    values = torch.full((1, VOCABULARY), -torch.inf, device=device)
    values[0, [BLOCK + 5, VOCABULARY - 1]] = torch.tensor([0.25, 0.75], device=device).log()
    assert sample_tokens(values, torch.zeros(1, device=device))[0].item() == BLOCK + 5


def test_a_token_without_probability_is_never_drawn(logits, uniform, device):
    values = logits()
    impossible = torch.rand(VOCABULARY, generator=torch.Generator().manual_seed(2)).to(device) < 0.9
    impossible[[0, VOCABULARY - 1]] = True
    values[0, impossible] = -torch.inf
    ends = torch.tensor([0.0, ALMOST_ONE], dtype=torch.float64, device=device)
    numbers = torch.cat([uniform(4000), ends])
    token, logp = sample_tokens(values.expand(len(numbers), -1), numbers)
    assert not impossible[token].any()
    assert bool(logp.isfinite().all())


def test_where_rounding_takes_the_target_past_a_block_its_last_possible_token_comes(logits, device):
    """A block's mass is summed in float32 and again in float64: in about half the rows the first is more."""
    values = logits(rows=50)
    values[:, 300:] = -torch.inf
    almost = torch.full((50,), ALMOST_ONE, dtype=torch.float64, device=device)
    token, logp = sample_tokens(values, almost)
    assert int(token.max()) == 299
    assert bool(logp.isfinite().all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_log_probs_are_of_the_distribution_drawn_from(logits, uniform, temperature, dtype):
    values = logits(rows=50).to(dtype)
    token, logp = sample_tokens(values, uniform(50), temperature)
    wanted = torch.log_softmax(values.double() / temperature, dim=-1).gather(1, token[:, None]).squeeze(1)
    exact = dtype == torch.float64
    assert_close(logp.double(), wanted, rtol=0, atol=1e-12 if exact else 5e-6)
    assert logp.dtype == (torch.float64 if exact else torch.float32)


def test_temperature_0_takes_the_best_with_its_untempered_log_prob(logits, uniform):
    values = logits(rows=5)
    token, logp = sample_tokens(values, uniform(5), 0.0)
    assert torch.equal(token, values.argmax(dim=-1))
    assert_close(logp, torch.log_softmax(values, dim=-1).amax(dim=-1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    ("temperature", "filters"), [(1.0, {}), (0.6, {}), (0.0, {}), (0.8, {"top_k": 40, "top_p": 0.9})]
)
@pytest.mark.parametrize("shape", [{}, {"scale": 0.5, "softcap": 3.0}, {"bias": True, "scale": 2.0}])
def test_states_give_the_tokens_of_their_logits(uniform, device, shape, temperature, filters, dtype):
    """Bit by bit the log-probs of float64; in bfloat16 products are rounded on both ways, and alike."""
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(VOCABULARY, 8, generator=generator).to(device, dtype)
    bias = torch.randn(VOCABULARY, generator=generator).to(device, dtype) if shape.get("bias") else None
    head = Head(weight, **shape | {"bias": bias})
    hidden = torch.randn(200, 8, generator=generator).to(device, dtype)
    ours = sample_states(hidden, head, uniform(200), temperature, **filters)
    plain = sample_tokens(head_logits(hidden, head), uniform(200), temperature, **filters)
    assert torch.equal(ours[0], plain[0])
    assert_close(ours[1], plain[1])
    assert len(set(ours[0].tolist())) > 50


def test_of_equally_likely_tokens_the_first_is_the_greedy_one(uniform, device):
    values = torch.zeros(1, VOCABULARY, device=device)
    values[0, [700, 1000]] = 1.0
    assert sample_tokens(values, uniform(1), 0.0)[0].tolist() == [700]


def kept_by_sorting(values, top_k, top_p):
    """Which tokens stay, the obvious way: one row at a time, over the whole sorted vocabulary."""
    keep = torch.zeros_like(values, dtype=torch.bool)
    for row, logits in enumerate(values.cpu().double()):
        order = sorted(range(len(logits)), key=lambda i: -float(logits[i]))[:top_k]
        probs = torch.softmax(logits[order], dim=0).tolist()
        mass = 0.0
        for token, prob in zip(order, probs, strict=True):
            if top_p is None or mass < top_p:
                keep[row, token] = True
            mass += prob
    return keep


@pytest.mark.parametrize("spread", [4.0, 1.0, 0.1])
@pytest.mark.parametrize(("top_k", "top_p"), [(7, None), (None, 0.5), (None, 0.99), (40, 0.8), (1400, 0.97)])
def test_filters_keep_what_sorting_keeps(device, monkeypatch, spread, top_k, top_p):
    """Nuclei of one token and of nearly all, in some rows wider than where they are first looked for."""
    monkeypatch.setattr(sampling, "NUCLEUS", 64)
    values = spread * torch.randn(6, VOCABULARY, generator=torch.Generator().manual_seed(5))
    values = values.to(device).double()
    values[0] *= 10
    kept = filtered(values, top_k, top_p)
    assert torch.equal(kept.isfinite(), kept_by_sorting(values, top_k, top_p))
    assert torch.equal(kept[kept.isfinite()], values[kept.isfinite()])


def test_a_nucleus_is_sorted_for_only_where_it_is_wide(device, monkeypatch):
    asked = []
    sort = torch.Tensor.sort
    monkeypatch.setattr(
        torch.Tensor, "sort", lambda self, **how: asked.append(len(self)) or sort(self, **how)
    )
    peaked, flat = (torch.zeros(rows, 4 * NUCLEUS, device=device) for rows in (3, 2))
    peaked[:, 7] = 20.0
    flat += torch.linspace(0, 0.1, 4 * NUCLEUS, device=device)
    assert filtered(peaked, top_p=0.9).isfinite().sum(dim=-1).tolist() == [1, 1, 1]
    assert asked == []
    wide = filtered(torch.cat([peaked, flat]), top_p=0.9).isfinite().sum(dim=-1).tolist()
    assert wide[:3] == [1, 1, 1]
    assert min(wide[3:]) > 3 * NUCLEUS
    assert asked == [2]


def test_a_nucleus_is_the_fewest_tokens_of_its_probability(device):
    values = torch.tensor([0.4, 0.1, 0.3, 0.2], device=device).log()[None].double()
    for top_p, kept in [(0.39, [0]), (0.41, [0, 2]), (0.69, [0, 2]), (0.71, [0, 2, 3]), (1.0, [0, 1, 2, 3])]:
        assert filtered(values, top_p=top_p)[0].isfinite().nonzero().flatten().tolist() == kept
    # of the two that top_k keeps the first has 4/7 of the probability
    assert filtered(values, top_k=2, top_p=0.57)[0].isfinite().nonzero().flatten().tolist() == [0]
    assert filtered(values, top_k=2, top_p=0.58)[0].isfinite().nonzero().flatten().tolist() == [0, 2]


def test_tokens_as_likely_as_the_last_one_stay_with_it(device):
    values = torch.tensor([[2.0, 1.0, 1.0, 1.0, 0.0]], device=device)
    assert filtered(values, top_k=2)[0].isfinite().tolist() == [True, True, True, True, False]
    assert filtered(values, top_p=0.6)[0].isfinite().tolist() == [True, True, True, True, False]


@pytest.mark.parametrize(("top_k", "top_p"), [(5, None), (None, 0.7), (20, 0.9)])
def test_filtered_tokens_come_as_often_as_the_log_probs_say(logits, uniform, top_k, top_p):
    values, temperature = logits(), 0.7
    numbers = uniform(10_000)
    token, logp = sample_tokens(values.expand(len(numbers), -1), numbers, temperature, top_k, top_p)
    keep = kept_by_sorting(values / temperature, top_k, top_p)
    exact = torch.log_softmax((values.double() / temperature).masked_fill(~keep, -torch.inf), dim=-1)[0]
    assert_close(logp.double(), exact[token], rtol=0, atol=5e-6)
    drawn = torch.bincount(token, minlength=VOCABULARY)[keep[0]].cpu()
    assert drawn.sum() == len(numbers)
    wanted = exact[keep[0]].exp().cpu() * len(numbers)
    often = wanted >= 5
    seen, wanted = drawn[often].double(), wanted[often]
    assert chisquare(seen, wanted * seen.sum() / wanted.sum()).pvalue > 0.01


def test_a_filtered_row_does_not_depend_on_its_batch_mates(logits, uniform):
    values, numbers = logits(rows=9), uniform(9)
    values[::2] *= 0.05
    together = sample_tokens(values, numbers, 0.8, 900, 0.95)
    for row in range(9):
        alone = sample_tokens(values[row : row + 1], numbers[row : row + 1], 0.8, 900, 0.95)
        assert torch.equal(together[0][row : row + 1], alone[0])
        same(together[1][row : row + 1], alone[1])


def test_filters_do_not_change_a_greedy_answer(logits, uniform):
    values = logits(rows=5)
    plain, narrow = sample_tokens(values, uniform(5), 0.0), sample_tokens(values, uniform(5), 0.0, 3, 0.1)
    assert torch.equal(plain[0], narrow[0])
    assert torch.equal(plain[1], narrow[1])
