import json
import resource
from importlib import import_module

from gnomon.runs import RunFolder

SMALL = ("--model", "tiny:0", "model.dtype=float32", "model.lora.rank=2", "data.limit=10")
STEPS = ("policy.steps=1", "policy.samples=2", "policy.optim.batch_size=2", "policy.max_new_tokens=4")


def test_a_reward_model_and_a_policy_optimised_against_it(gnomon, tmp_path):
    done = gnomon("train", "reward", *SMALL, "--out", "r")
    assert (done.code, done.out) == (0, "reward model: r/model\n"), done.err
    done = gnomon("train", "policy", *SMALL, *STEPS, "--reward", "r/model")
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


def rated(path, verdicts=(True, False)):
    """A file of answers about many things, each judged by itself."""
    things = ("foxes", "bread", "rain", "chess", "iron", "lakes", "violins", "glass", "bees", "tides")
    rows = [
        {"prompt": f"What do you know of {thing}?", "completion": f"{thing}: {good}", "label": good}
        for thing in things
        for good in verdicts
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_answers_that_were_judged_one_by_one(gnomon, tmp_path):
    rated(tmp_path / "thumbs.jsonl")
    kto = ("preference.loss=kto", "preference.optim.batch_size=4")
    given = ("--model", "tiny:0", "model.dtype=float32", "model.lora.rank=2", "--ratings", "thumbs.jsonl")
    done = gnomon("train", "preference", *given, *kto, "--out", "p", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert (told["train_rows"], told["train_ratings"], told["told_apart"]["n"]) == (0, 16, 4)
    assert "accuracy" not in told
    done = gnomon("train", "preference", *given, "--data", "builtin", "data.limit=10", *kto, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["train_rows"] > 0 < told["train_ratings"]
    assert {"accuracy", "told_apart"} <= told.keys()


def test_ratings_that_nothing_learns_from_are_refused(gnomon, tmp_path):
    rated(tmp_path / "thumbs.jsonl")
    done = gnomon("train", "preference", "--model", "tiny:0", "--ratings", "thumbs.jsonl")
    assert (done.code, "set preference.loss to kto" in done.err) == (2, True)


def test_verdicts_that_are_nearly_all_alike_are_warned_of(gnomon, tmp_path):
    rated(tmp_path / "thumbs.jsonl", (True, True, True, False))
    given = ("--model", "tiny:0", "model.dtype=float32", "model.lora.rank=2", "--ratings", "thumbs.jsonl")
    done = gnomon("train", "preference", *given, "preference.loss=kto")
    assert done.code == 0, done.err
    assert "desirable answers weigh 24 in all and undesirable ones 8" in " ".join(done.err.split())
    done = gnomon("train", "preference", *given, "preference.loss=kto", "preference.undesirable_weight=3")
    assert done.code == 0, done.err
    assert "weigh" not in done.err


def test_a_setting_of_another_loss_is_told(gnomon):
    done = gnomon("train", "preference", *SMALL, "preference.loss=ipo", "preference.gamma=1")
    assert done.code == 2
    assert "preference: gamma is 1.0, and loss ipo has no such setting" in done.err


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


def test_a_function_sees_the_facts_of_each_prompt_and_other_facts_make_another_policy(
    gnomon, tmp_path, monkeypatch
):
    (tmp_path / "own_facts.py").write_text(
        "seen = {}\n\n\ndef known(answers):\n"
        "    seen.update({answer.id: answer.facts for answer in answers})\n"
        "    return [float(answer.facts.get('worth', 0)) for answer in answers]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    paid = ("policy.rewards=['python:own_facts:known']", "policy.optim.batch_size=4", "--data", "own.jsonl")
    for worth in (3, 5):
        told = {"worth": worth, "steps": ["a", None]}
        rows = [{"id": "up", "prompt": "Up?", "facts": told}, {"id": "no", "prompt": "Is it raining?"}]
        (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
        done = gnomon("train", "policy", *SMALL, *STEPS, *paid, "--out", "p")
        assert done.code == 0, done.err
        assert import_module("own_facts").seen == {"up": told, "no": {}}


def test_one_prompt_with_different_facts_is_refused(gnomon, tmp_path, monkeypatch):
    (tmp_path / "own_any.py").write_text("def paid(answers):\n    return [0.0] * len(answers)\n")
    monkeypatch.syspath_prepend(tmp_path)
    rows = [{"id": name, "prompt": "Up?", "facts": {"answer": name}} for name in ("one", "two")]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    paid = ("policy.rewards=['python:own_any:paid']", "--data", "own.jsonl")
    done = gnomon("train", "policy", *SMALL, *STEPS, *paid)
    assert done.code == 3
    assert "prompts one and two are the same and have different facts" in done.err


def test_checks_that_are_none_are_told_with_their_prompt_before_anything_is_made(gnomon, tmp_path):
    row = {"id": "odd", "prompt": "Up?", "checks": [{"kind": "word"}]}
    (tmp_path / "own.jsonl").write_text(json.dumps(row))
    for asked in (
        ("train", "policy", *SMALL, *STEPS, "--data", "own.jsonl", "policy.rewards=[]"),
        ("eval", "tiny:0", "--prompts", "own.jsonl"),
        ("compare", "tiny:0", "tiny:1", "--prompts", "own.jsonl"),
    ):
        done = gnomon(*asked)
        assert done.code == 3
        assert "prompt odd: check 1 of 1: 'word' is not a kind" in done.err
        assert "started" not in done.err


def test_a_stage_s_folder_is_not_its_model_and_says_where_that_is(gnomon):
    assert gnomon("train", "reward", *SMALL, "--out", "r").code == 0
    done = gnomon("train", "policy", *SMALL, *STEPS, "--reward", "r")
    assert (done.code, "r holds no reward model" in done.err) == (2, True)
    assert "name r/model" in done.err
    done = gnomon("chat", "r", piped="hi\n")
    assert (done.code, "model path:r: no config.json" in done.err) == (4, True)
    assert "name r/model" in done.err


def test_after_the_last_batch_nobody_is_asked_what_samples_are_worth(gnomon, tmp_path, monkeypatch):
    (tmp_path / "own_pay_once.py").write_text(
        "asked = []\n\n\ndef once(answers):\n"
        "    assert not asked\n"
        "    asked.extend(answers)\n"
        "    return [float(answer.tokens) for answer in answers]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    done = gnomon(
        "train", "policy", *SMALL, *STEPS, "policy.rewards=['python:own_pay_once:once']", "--out", "p"
    )
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "p/report.json").read_text())["kl/reference"] != 0


def test_a_folder_keeps_the_kind_of_training_that_made_its_model(gnomon, tmp_path):
    assert gnomon("train", "sft", *SMALL, "--out", "o").code == 0
    kept = [(path, path.stat().st_mtime_ns) for path in sorted((tmp_path / "o").rglob("*"))]
    for kind in ("reward", "preference"):
        done = gnomon("train", kind, *SMALL, "--out", "o")
        assert (done.code, "started" in done.err) == (2, False), done.err
        assert f"o/model was made by train sft, and train {kind} would replace it" in done.err
        assert "name another folder with --out" in done.err
    assert [(path, path.stat().st_mtime_ns) for path in sorted((tmp_path / "o").rglob("*"))] == kept
    for again in (SMALL, (*SMALL, "seed=1"), SMALL):
        assert gnomon("train", "sft", *again, "--out", "o").code == 0


def test_a_mean_of_reward_models_and_a_reward_model_may_follow_each_other(gnomon, tmp_path):
    for seed in (0, 1):
        assert gnomon("train", "reward", *SMALL, f"seed={seed}", "--out", f"r{seed}").code == 0
    mean = ("--average", "r0/model", "--average", "r1/model")
    for asked in (mean, (), mean):
        done = gnomon("train", "reward", *SMALL, *asked, "--out", "o")
        assert done.code == 0, done.err
    done = gnomon("train", "policy", *SMALL, *STEPS, "--reward", "r0/model", "--out", "o")
    assert (done.code, "o/model was made by train reward" in done.err) == (2, True), done.err


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


def test_a_disk_that_is_full_when_the_model_is_published_is_told(gnomon, tmp_path):
    """A limit on the size of files is met like a full disk; all but the published model is made before."""
    asked = ("train", "sft", *SMALL, "--out", "s")
    assert gnomon(*asked).code == 0
    held = {path.name: path.stat().st_size for path in (tmp_path / "s" / "model").iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(held.values()) - 1, hard))
    try:
        done = gnomon(*asked)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (done.code, "File too large; name another folder" in done.err) == (6, True), done.err
    assert not (tmp_path / "s" / ".model.draft").exists()
    assert {path.name: path.stat().st_size for path in (tmp_path / "s" / "model").iterdir()} == held


def test_an_ensemble_that_knows_its_doubt_and_the_mean_of_two_models(gnomon, tmp_path):
    more = ("reward.members=2", "reward.trunk=own", "reward.length_debias=true", "reward.batching=prompts")
    done = gnomon("train", "reward", *SMALL, *more, "data.limit=30", "--out", "ensemble", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert report["uncertainty"]["mean"] > 0
    assert (tmp_path / "ensemble" / "model" / "member-2" / "adapter_model.safetensors").exists()
    for seed in (1, 2):
        done = gnomon("train", "reward", *SMALL, f"seed={seed}", "--out", f"r{seed}")
        assert done.code == 0, done.err
    runs = ("--average", "r1/model", "--average", "r2/model")
    done = gnomon("train", "reward", *SMALL, *runs, "--out", "mean", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["averaged"] == 2
    done = gnomon("eval-reward", "one=r1/model", "mean=mean/model", "all=ensemble/model", "--out", "e")
    assert done.code == 0, done.err
    assert "At equal length" in done.out
    assert "its members differ by" in done.out
    assert "A stock answer outscores what was written" in done.out
    summary = json.loads((tmp_path / "e" / "summary.json").read_text())
    assert set(summary["rewards"]) == {"one", "mean", "all"}
    assert set(summary["error_correlation"]) == {"mean", "all"}
    rows = [json.loads(line) for line in (tmp_path / "e" / "rows.jsonl").read_text("utf-8").splitlines()]
    assert len(rows) == 3 * summary["comparisons"]["pairs"]
    assert {row["first"]["uncertainty"] > 0 for row in rows if row["model"] == "all"} == {True}
    assert {"refusal", "evasion", "praise", "promise", "refusal_of_harm"} == set(
        summary["rewards"]["one"]["stock"]
    )
    assert gnomon("eval-reward", "tiny:0").code == 2


def test_a_file_of_pairs_measures_a_reward_model(gnomon, tmp_path):
    assert gnomon("train", "reward", *SMALL, "--out", "r").code == 0
    rows = [
        {"prompt": f"Tell me about {topic}", "chosen": f"Ah, {topic}!", "rejected": "No."}
        for topic in ("owls", "harbours", "clay")
    ]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, [*rows, {"prompt": "?"}])))
    done = gnomon("eval-reward", "r/model", "--comparisons", "pairs.jsonl", "--json")
    assert done.code == 0, done.err
    summary = json.loads(done.out)
    assert summary["comparisons"]["pairs"] == 3
    assert sum(summary["comparisons"]["dropped"].values()) == 1
    assert summary["rewards"]["path-r-model"]["accuracy"]["n"] == 3
    with RunFolder(tmp_path / "runs" / "eval-reward").open():
        done = gnomon("eval-reward", "r/model", "--comparisons", "pairs.jsonl")
        assert (done.code, "runs/eval-reward is in use by process" in done.err) == (2, True), done.err
