import gc
import subprocess
import sys
import time
from pathlib import Path
from weakref import ref

import pytest

from gnomon.errors import ConfigError, StorageError
from gnomon.pipeline.account import accounting, free_memory, libraries_aside, peak_memory_gib
from gnomon.pipeline.lineage import git_commit, lineage, software, write_manifest
from gnomon.pipeline.reporter import SilentReporter
from gnomon.pipeline.stage import Artefact, Stage, StageContext, execute
from gnomon.runs import RunFolder, read_json, read_metrics
from gnomon.store import Store, file_digest


class Told(SilentReporter):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple] = []

    def stage_started(self, name: str, *, cached: bool) -> None:
        self.events.append(("started", name, cached))

    def progress(self, name: str, done: int, total: int, note: str, eta_seconds: float | None) -> None:
        self.events.append(("progress", name, done, total, note, eta_seconds is not None))

    def warning(self, text: str) -> None:
        self.events.append(("warning", text))

    def stage_finished(self, name: str, seconds: float) -> None:
        self.events.append(("finished", name))


class Place:
    """A store, a run folder and a reporter, and how often stages really ran."""

    def __init__(self, folder: Path, run: str = "run") -> None:
        self.store, self.run, self.told = Store(folder / "store"), RunFolder(folder / run), Told()
        self.ran: list[str] = []

    def __call__(self, stage: Stage) -> Artefact:
        return execute(stage, self.store, self.run, self.told)

    def stage(self, name: str, settings: dict | None = None, version: int = 1, **inputs: Artefact) -> Stage:
        def run(context: StageContext) -> None:
            self.ran.append(name)
            text = "".join(artefact.path.joinpath("text").read_text() for artefact in context.inputs.values())
            context.folder.joinpath("text").write_text(f"{text}{name} ")
            for step in (1, 2):
                context.metrics.append(step, {"loss": 1 / step})
                context.progress(step, 2, f"step {step}")
            context.warn(f"{name} is small")
            context.tokens = 123

        return Stage(name, version, settings or {}, inputs, run)


def test_a_stage_runs_once_and_is_told_of_the_same_both_times(tmp_path):
    place = Place(tmp_path)
    first, again = place(place.stage("sft", {"lr": 0.1})), place(place.stage("sft", {"lr": 0.1}))
    assert first == again
    assert place.ran == ["sft"]
    assert place.told.events == [
        ("started", "sft", False),
        ("progress", "sft", 1, 2, "step 1", False),
        ("progress", "sft", 2, 2, "step 2", True),
        ("warning", "sft is small"),
        ("finished", "sft"),
        ("started", "sft", True),
        ("warning", "sft is small"),
    ]


def test_an_id_changes_with_everything_the_artefact_depends_on(tmp_path):
    place = Place(tmp_path)
    data, other = place(place.stage("data")), place(place.stage("data", {"limit": 3}))
    stages = [
        place.stage("sft", data=data),
        place.stage("sft", data=other),
        place.stage("sft", rows=data),
        place.stage("sft", {"lr": 1}, data=data),
        place.stage("sft", version=2, data=data),
        place.stage("dpo", data=data),
        place.stage("sft"),
    ]
    assert len({stage.id for stage in stages}) == 7
    assert place.stage("sft", {"a": 1, "b": (2,)}).id == place.stage("sft", {"b": [2], "a": 1}).id


def test_what_is_drawn_is_of_the_seed_and_the_stage_and_of_no_other_setting(tmp_path):
    place = Place(tmp_path)
    same = {place.stage("sft", {"seed": 0, "lr": lr}).seed for lr in (1, 2)}
    assert len(same) == 1
    others = {place.stage("sft", {"seed": 1}).seed, place.stage("reward", {"seed": 0}).seed}
    assert len(same | others) == 3


def test_parts_of_a_stage_draw_each_for_itself(tmp_path):
    seen = []

    def run(context: StageContext) -> None:
        seen.extend(part.seed for part in (context, context.apart("fold-0"), context.apart("fold-1")))

    stage = Stage("reward", 1, {"seed": 0}, {}, run)
    Place(tmp_path)(stage)
    assert seen[0] == stage.seed
    assert len(set(seen)) == 3


def with_files(place: Place, **texts: str) -> Artefact:
    """An artefact with a file of each name."""

    def run(context: StageContext) -> None:
        for name, text in texts.items():
            (context.folder / name).write_text(text)

    return place(Stage("data", 1, texts, {}, run))


def test_a_stage_depends_on_the_files_it_names_and_on_no_others(tmp_path):
    place = Place(tmp_path)
    old, new = with_files(place, sft="a", test="b"), with_files(place, sft="a", test="c")
    assert old.id != new.id
    assert place.stage("sft", data=old.only("sft")).id == place.stage("sft", data=new.only("sft")).id
    assert place.stage("sft", data=old.only("test")).id != place.stage("sft", data=new.only("test")).id
    assert place.stage("sft", data=old.only("sft")).id != place.stage("sft", data=old.only("sft", "test")).id
    assert new.only("sft").file("sft").read_text() == "a"
    with pytest.raises(AssertionError, match="test is read but not named"):
        new.only("sft").file("test")


def test_the_manifest_is_closed_where_an_artefact_was_made_beside_older_rows(tmp_path):
    place = Place(tmp_path)
    old, new = with_files(place, sft="a", test="b"), with_files(place, sft="a", test="c")
    tune = [Stage("sft", 1, {}, {"data": rows.only("sft")}, lambda context: None) for rows in (old, new)]
    made, taken = map(place, tune)
    assert (made.id, made.inputs["data"].id, taken.inputs["data"].id) == (taken.id, old.id, new.id)
    manifest = write_manifest(place.run, place.store, [new, taken], seed=0, data={})
    rows, sft = lineage(manifest, taken.id)
    assert rows["id"] == new.id
    assert sft["read"]["data"]["sft"] == rows["files"]["sft"]["sha256"] == file_digest(old.path / "sft")


def test_inputs_are_handed_over_and_what_it_cost_is_kept(tmp_path):
    place = Place(tmp_path)
    data = place(place.stage("data"))
    sft = place(place.stage("sft", {"lr": 0.1}, data=data))
    assert sft.path.joinpath("text").read_text() == "data sft "
    about = place.store.about(sft.id)
    assert about["inputs"] == {"data": data.id}
    assert (about["stage"], about["version"], about["settings"]) == ("sft", 1, {"lr": 0.1})
    assert (about["tokens"], about["resumed"], about["warnings"]) == (123, False, ["sft is small"])
    assert 0 <= about["seconds"] < 10
    assert 0.01 < about["peak_memory_gib"] < 64
    assert about["started"] <= about["finished"]
    assert sorted(about["files"]) == ["metrics.jsonl", "text"]


def test_metrics_of_a_cached_stage_are_in_every_run_folder_that_uses_it(tmp_path):
    first, second = Place(tmp_path, "first"), Place(tmp_path, "second")
    first(first.stage("sft"))
    second(second.stage("sft"))
    expected = [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.5}]
    assert read_metrics(first.run.metrics("sft")) == read_metrics(second.run.metrics("sft")) == expected
    assert second.ran == []


def test_a_run_folder_shows_no_metrics_of_another_artefact(tmp_path):
    place = Place(tmp_path)
    quiet = Stage("sft", 1, {"quiet": True}, {}, lambda context: None)
    for _ in range(2):
        place(place.stage("sft"))
        assert len(read_metrics(place.run.metrics("sft"))) == 2
        place(quiet)
        assert not place.run.metrics("sft").exists()


def failing_at(step: int | None, started: list[int]) -> Stage:
    """Five steps with a checkpoint at every even one."""

    def run(context: StageContext) -> None:
        checkpoint = context.work / "step"
        done = int(checkpoint.read_text()) if checkpoint.exists() else 0
        started.append(done)
        context.metrics.truncate_after(done)
        for now in range(done + 1, 6):
            context.metrics.append(now, {"loss": 1 / now})
            if now == step:
                raise ValueError("stop")
            if now % 2 == 0:
                checkpoint.write_text(str(now))
        (context.folder / "weights").write_text("w")

    return Stage("sft", 1, {}, {}, run)


def test_a_resumed_stage_goes_on_from_its_checkpoint_and_logs_each_step_once(tmp_path):
    place, started = Place(tmp_path), []
    for step in (1, 5, None):
        if step:
            with pytest.raises(ValueError, match="stop"):
                place(failing_at(step, started))
            assert read_metrics(place.run.metrics("sft"))[-1]["step"] == step
        else:
            made = place(failing_at(None, started))
    assert started == [0, 0, 4]
    assert [row["step"] for row in read_metrics(place.run.metrics("sft"))] == [1, 2, 3, 4, 5]
    assert place.store.about(made.id)["resumed"]
    assert sorted(place.store.about(made.id)["files"]) == ["metrics.jsonl", "weights"]


def test_a_stage_without_checkpoints_begins_its_log_again(tmp_path):
    place, fails = Place(tmp_path), [True, False]

    def run(context: StageContext) -> None:
        context.metrics.append(1, {"loss": 1.0})
        if fails.pop(0):
            raise ValueError("stop")
        context.metrics.append(2, {"loss": 0.5})

    stage = Stage("answers", 1, {}, {}, run)
    with pytest.raises(ValueError, match="stop"):
        place(stage)
    made = place(stage)
    assert [row["step"] for row in read_metrics(place.run.metrics("answers"))] == [1, 2]
    assert not place.store.about(made.id)["resumed"]


def test_steps_logged_before_a_change_of_settings_come_back_with_the_old_settings(tmp_path):
    place = Place(tmp_path)
    with pytest.raises(ValueError, match="stop"):
        place(failing_at(5, []))
    place(place.stage("sft", {"other": True}))
    assert [row["step"] for row in read_metrics(place.run.metrics("sft"))] == [1, 2]
    place(failing_at(None, []))
    assert [row["loss"] for row in read_metrics(place.run.metrics("sft"))] == [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]


def test_an_account_adds_up_what_attempts_took_and_keeps_the_highest_peak(tmp_path):
    file = tmp_path / "spent.json"
    file.write_text('{"seconds": 100.0, "peak_memory_gib": 500.0}')
    with pytest.raises(ValueError, match="stop"), accounting(file):
        raise ValueError("stop")
    with accounting(file) as spent:
        time.sleep(0.02)
    assert 100.02 <= spent["seconds"] < 110
    assert spent["peak_memory_gib"] == 500.0
    assert read_json(file) == spent
    file.write_text("{")
    with accounting(file) as spent:
        pass
    assert spent["seconds"] < 10


KILLED = """
import sys, time
from pathlib import Path
from weakref import ref
from gnomon.pipeline.reporter import SilentReporter
from gnomon.pipeline.stage import Stage, execute
from gnomon.runs import RunFolder
from gnomon.store import Store
from gnomon.pipeline import account

account.BEAT = 0.05

def train(context):
    checkpoint = context.work / "step"
    done = int(checkpoint.read_text()) if checkpoint.exists() else 0
    print("from", done, flush=True)
    context.metrics.truncate_after(done)
    for step in range(done + 1, 7):
        context.metrics.append(step, {"loss": 1 / step})
        (context.folder / f"sample-{step}").write_text("text")
        if step % 2 == 0:
            checkpoint.write_text(str(step))
        if step == 5 and done == 0:
            held = b"x" * 600_000_000
            time.sleep(0.5)
            print("at 5", flush=True)
            time.sleep(60)

run = RunFolder(Path(sys.argv[1]))
with run.open():
    execute(Stage("sft", 1, {}, {}, train), Store(run.path / "artefacts"), run, SilentReporter())
"""


def test_a_stage_killed_in_the_middle_is_completed_by_the_same_command(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert [first.stdout.readline() for _ in range(2)] == ["from 0\n", "at 5\n"]
        first.kill()
    assert [path.name for path in (tmp_path / "artefacts").iterdir()] == [".work"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "from 4\n"
    assert [row["step"] for row in read_metrics(tmp_path / "metrics/sft.jsonl")] == [1, 2, 3, 4, 5, 6]
    store = Store(tmp_path / "artefacts")
    (made,) = [path.name for path in store.root.iterdir() if path.name != ".work"]
    about = store.about(made)
    assert sorted(about["files"]) == ["metrics.jsonl", "sample-5", "sample-6"]
    assert 0.4 < about["seconds"] < 5  # the second attempt takes a few milliseconds
    assert about["peak_memory_gib"] > 0.56
    store.open(made, verify=True)
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == ""


def test_a_damaged_artefact_is_not_used(tmp_path):
    place = Place(tmp_path)
    place(place.stage("sft")).path.joinpath("text").write_text("cut")
    with pytest.raises(StorageError, match="text has 3 bytes where 4 were written"):
        place(place.stage("sft"))


def test_the_peak_is_the_stages_own(tmp_path):
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the kernel cannot forget an earlier peak here")
    place = Place(tmp_path)
    held = {}

    def allocate(context: StageContext) -> None:
        held[context.name] = len(b"x" * 200_000_000)

    big = place(Stage("big", 1, {}, {}, allocate))
    small = place(Stage("small", 1, {}, {}, lambda context: None))
    peaks = [place.store.about(made.id)["peak_memory_gib"] for made in (big, small)]
    assert peaks[0] - peaks[1] > 0.15
    assert peaks[1] == pytest.approx(peak_memory_gib(), abs=0.05)


def test_a_manifest_holds_the_run_and_an_artefact_knows_its_ancestors(tmp_path):
    place = Place(tmp_path)
    data = place(place.stage("data"))
    sft = place(place.stage("sft", data=data))
    reward = place(place.stage("reward", data=data))
    policy = place(place.stage("policy", sft=sft, reward=reward))
    made = (policy, reward, sft, data)
    manifest = write_manifest(place.run, place.store, made, seed=3, data={"rows.jsonl": "ab12"})
    assert read_json(place.run.manifest) == manifest
    assert (manifest["seed"], manifest["data"]) == (3, {"rows.jsonl": "ab12"})
    names = [about["stage"] for about in lineage(manifest, policy.id)]
    assert names == ["data", "reward", "sft", "policy"]
    assert [about["id"] for about in lineage(manifest, sft.id)] == [data.id, sft.id]
    digest = lineage(manifest, policy.id)[-1]["files"]["text"]["sha256"]
    assert digest == file_digest(policy.path / "text")
    with pytest.raises(ConfigError, match=rf"no artefact 'ffff'.*{sft.id} \(sft\)"):
        lineage(manifest, "ffff")


def test_the_software_is_named():
    found = software()
    assert found["gnomon"] == "0.1.0"
    assert {"torch", "transformers", "peft", "numpy"} <= set(found["packages"])
    assert found["cpus"] >= 1


def test_a_commit_is_of_the_checkout_a_package_is_tracked_in(tmp_path, monkeypatch):
    package = tmp_path / "src"
    package.mkdir()
    source = package / "__init__.py"
    source.write_text("")
    assert git_commit(package) is None

    def git(*arguments: str) -> str:
        author = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(tmp_path), *author, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "somebody else's")
    assert git_commit(package) is None
    git("add", ".")
    git("commit", "-q", "-m", "ours")
    commit = git("rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    assert git_commit(package) == commit
    source.write_text("changed = 1")
    assert git_commit(package) == f"{commit}-dirty"


class Circle:
    itself: object


def test_what_was_there_before_is_not_looked_through_and_what_is_made_is_let_go():
    with libraries_aside():
        assert gc.get_freeze_count() > 10_000
        made = Circle()
        made.itself, seen = made, ref(made)
        del made
        free_memory()
        assert seen() is None
    assert not gc.get_freeze_count()
