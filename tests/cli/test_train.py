import json

SMALL = ("--model", "tiny:0", "model.dtype=float32", "model.lora.rank=2", "data.limit=10")


def test_a_reward_model_and_a_policy_optimised_against_it(gnomon, tmp_path):
    done = gnomon("train", "reward", *SMALL, "--out", "r")
    assert (done.code, done.out) == (0, "reward model: r/model\n"), done.err
    steps = ("policy.steps=1", "policy.samples=2", "policy.optim.batch_size=2", "policy.max_new_tokens=4")
    done = gnomon("train", "policy", *SMALL, *steps, "--reward", "r/model")
    assert done.code == 0, done.err
    assert done.out == "policy model: runs/gnomon-policy/model\n"
    assert gnomon("chat", "runs/gnomon-policy/model", "--max-new-tokens", "3", piped="hi\n").code == 0


def test_preferences_without_a_reward_model(gnomon):
    settings = ("preference.loss=kto", "preference.optim.batch_size=4")
    done = gnomon("train", "preference", *SMALL, *settings, "--out", "p", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert (told["model"], told["loss"]) == ("p/model", "kto")
    assert 0 <= told["accuracy"]["value"] <= 1
    assert gnomon("chat", "p/model", "--max-new-tokens", "3", piped="hi\n").code == 0


def test_a_setting_of_another_loss_is_told(gnomon):
    done = gnomon("train", "preference", *SMALL, "preference.loss=ipo", "preference.gamma=1")
    assert done.code == 2
    assert "preference: gamma is 1.0, and loss ipo has no such setting" in done.err


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
