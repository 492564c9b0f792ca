import json

SMALL = ("--model", "tiny:0", "model.dtype=float32", "model.lora.rank=2", "data.limit=10")
STEPS = ("policy.steps=1", "policy.samples=2", "policy.optim.batch_size=2", "policy.max_new_tokens=4")


def test_a_reward_model_and_a_policy_optimised_against_it(gnomon, tmp_path):
    done = gnomon("train", "reward", *SMALL, "--out", "r")
    assert (done.code, done.out) == (0, "reward model: r/model\n"), done.err
    done = gnomon("train", "policy", *SMALL, *STEPS, "--reward", "r/model")
    assert done.code == 0, done.err
    assert done.out == "policy model: runs/gnomon-policy/model\n"
    assert gnomon("chat", "runs/gnomon-policy/model", "--max-new-tokens", "3", piped="hi\n").code == 0


def test_a_policy_with_a_critic_that_begins_as_the_reward_model(gnomon, tmp_path):
    assert gnomon("train", "reward", *SMALL, "--out", "r").code == 0
    ppo = ("policy.algorithm=ppo", "policy.epochs=2", "policy.kl.target=6")
    done = gnomon("train", "policy", *SMALL, *STEPS, *ppo, "--reward", "r/model", "--out", "p")
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in (tmp_path / "p/metrics/policy.jsonl").read_text().splitlines()]
    assert len(rows) == 2
    assert {"loss/value", "clip/share"} <= set(rows[1])


def test_a_policy_that_a_function_pays_needs_no_reward_model(gnomon, tmp_path, monkeypatch):
    (tmp_path / "own_pay.py").write_text(
        "async def brief(answers):\n    return [-float(answer.tokens) for answer in answers]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    paid = "policy.rewards=['python:own_pay:brief']"
    done = gnomon("train", "policy", *SMALL, *STEPS, paid, "--out", "p")
    assert done.code == 0, done.err
    (row,) = [json.loads(line) for line in (tmp_path / "p/metrics/policy.jsonl").read_text().splitlines()]
    assert row["reward/mean"] < 0
    done = gnomon("train", "policy", *SMALL, *STEPS, paid.replace("brief", "long"), "--out", "q")
    assert (done.code, "own_pay has no function long" in done.err) == (2, True)


def test_rows_of_ones_own(gnomon, tmp_path):
    topics = ["owls", "harbours", "clay", "tango", "rust", "lentils", "chess", "fog", "violins", "moss"]
    rows = [{"prompt": f"Tell me about {topic}", "response": f"Ah, {topic}!"} for topic in topics]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = gnomon("train", "sft", *SMALL, "--data", "rows.jsonl", "--out", "s")
    assert (done.code, done.out) == (0, "sft model: s/model\n"), done.err
    (learnt,) = (tmp_path / "s" / "artefacts").glob("*/sft.jsonl")
    (held_out,) = (tmp_path / "s" / "artefacts").glob("*/dev.jsonl")
    assert (learnt.read_text() + held_out.read_text()).count("Ah, ") == 10
    assert (tmp_path / "s" / "model" / "adapter_config.json").exists()
