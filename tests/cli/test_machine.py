import os

import pytest

from gnomon.cli.machine import open_engine, open_model, processors
from gnomon.errors import ModelError

ALLOWED = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("quota", "allowed"),
    [
        ("max 100000", ALLOWED),
        ("50000 100000", 1),
        ("150000 100000", min(2, ALLOWED)),
        ("9000000 1000", ALLOWED),
    ],
)
def test_a_containers_share_of_the_processors_is_kept_to(tmp_path, quota, allowed):
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert processors(tmp_path / "cpu.max") == allowed


def test_without_a_quota_all_processors_are_there(tmp_path):
    assert processors(tmp_path / "cpu.max") == ALLOWED


def test_a_reward_model_is_no_model_to_talk_to(tmp_path):
    (tmp_path / "score_head.safetensors").touch()
    with pytest.raises(ModelError, match="is a reward model"):
        open_model(f"path:{tmp_path}")


def test_an_endpoint_is_opened_without_being_asked():
    engine = open_engine("endpoint:http://localhost:1/v1#org/model")
    assert (engine.ref.url, engine.ref.model) == ("http://localhost:1/v1", "org/model")


def test_what_needs_weights_takes_no_endpoint(gnomon):
    for command in (("export",), ("train", "sft", "--model"), ("eval",)):
        done = gnomon(*command, "endpoint:http://localhost:1/v1#m", "--out", "there")
        assert (done.code, "its weights are elsewhere" in done.err) == (2, True), command
