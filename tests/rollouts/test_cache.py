"""Caches that grow in place hold what transformers' own hold."""

from types import SimpleNamespace

import pytest
import torch
from architectures import random_model
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from gnomon.rollouts.cache import ROOM, Columns, WindowColumns, joinable, new_cache


class Special(DynamicLayer):
    """A layer that may hold more than columns."""


def columns(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(3, 2, count, 4, generator=generator) for _ in range(2))


@pytest.mark.parametrize("name", ["llama", "gemma3", "mistral"])
def test_layers_hold_and_return_what_transformers_own_do(name):
    """Past the window, past the buffer's room, and after rows were let go."""
    config = random_model(name).config
    ours, theirs = new_cache(config), DynamicCache(config=config)
    assert joinable(ours) is False
    for step, count in enumerate([5, *[1] * (ROOM + 8)]):
        if step == ROOM // 2:
            for cache in (ours, theirs):
                cache.reorder_cache(torch.tensor([2, 0, 1]))
        for layer in range(len(theirs.layers)):
            keys, values = columns(count, 100 * step + layer)
            given, wanted = ours.update(keys, values, layer), theirs.update(keys, values, layer)
            assert all(map(torch.equal, given, wanted))
            one, other = ours.layers[layer], theirs.layers[layer]
            assert torch.equal(one.keys, other.keys)
            assert torch.equal(one.values, other.values)
            assert one.get_seq_length() == other.get_seq_length()
            assert one.get_mask_sizes(1) == other.get_mask_sizes(1)
    assert joinable(ours)


def test_columns_are_not_copied_while_there_is_room():
    layer = Columns()
    layer.update(*columns(5, 0))
    places = {layer.update(*columns(1, 1 + step))[0].data_ptr() for step in range(ROOM + 1)}
    assert len(places) == 1
    assert layer.update(*columns(1, 99))[0].data_ptr() not in places


def test_a_layer_of_another_kind_stays_and_is_not_joined(monkeypatch):
    monkeypatch.setattr(
        "gnomon.rollouts.cache.DynamicCache",
        lambda config: SimpleNamespace(layers=[Special(), DynamicLayer()]),
    )
    special, usual = new_cache(None).layers
    assert type(special) is Special
    assert type(usual) is Columns
    assert not joinable(SimpleNamespace(layers=[special]))


def test_a_window_of_three_keeps_two():
    layer = WindowColumns(3)
    for step in range(4):
        layer.update(*columns(1, step))
    assert layer.keys.shape[2] == 2
    assert layer.get_seq_length() == 4
