import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gnomon import __version__
from gnomon.cli import main

GNOMON = [sys.executable, "-c", "from gnomon.cli.main import main; main()"]
BY_HAND = "correct or remove it; gnomon data inspect counts all such rows"


def test_the_version(gnomon):
    assert gnomon("--version") == (0, f"gnomon {__version__}\n", "")


def test_help_says_what_the_exit_codes_mean(gnomon):
    done = gnomon("--help")
    assert done.code == 0
    for part in ("Exit codes", "130", "diverged", "doctor", "collect"):
        assert part in done.out


def test_help_waits_for_no_torch():
    code = """if True:
        import sys
        from gnomon.cli.main import call
        commands = ("run", "plan", "train", "constitution", "eval", "chat", "compare", "win-rate", "overopt")
        for command in commands:
            call([command, "--help"])
        call(["doctor", "--help"])
        call(["constitution", "show"])
        sys.exit(any(name in sys.modules for name in ("torch", "transformers", "matplotlib")))
    """
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_misspelt_setting_is_told_with_the_right_one(gnomon, tmp_path):
    (tmp_path / "r.yaml").write_text("sft: {optm: {lr: 1}}")
    done = gnomon("run", "r.yaml")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: r.yaml: unknown setting 'sft.optm'; did you mean 'optim'?\n"


def test_a_misspelt_override_too(gnomon, tmp_path):
    (tmp_path / "r.yaml").write_text("name: r")
    done = gnomon("plan", "r.yaml", "policy.step=3")
    assert done.code == 2
    assert "did you mean 'steps'?" in done.err


def test_errors_are_json_where_the_answer_would_be(gnomon):
    done = gnomon("run", "nowhere.yaml", "--json")
    error = json.loads(done.err)["error"]
    assert (done.code, done.out) == (2, "")
    assert (error["kind"], error["exit_code"]) == ("ConfigError", 2)
    assert "nowhere.yaml" in error["message"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["rnu"], "Did you mean 'run'?"),
        (["run"], "Missing argument 'RECIPE'. (see gnomon run --help)"),
        (["eval", "--frob"], "No such option: --frob"),
        (["collect", "--policy", "tiny:0", "--pairs", "0"], "--pairs"),
        (["chat", "tniy:0"], "write hub:ORG/NAME"),
        (["eval", "tiny:zero"], "the seed after tiny: is a whole number"),
        (["train", "policy"], "policy optimisation needs a reward model: --reward DIR"),
    ],
)
def test_what_is_typed_wrong_is_one_line_and_exit_code_2(gnomon, arguments, told):
    done = gnomon(*arguments)
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert told in done.err


def test_an_extra_that_is_missing_is_named(gnomon, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)  # what Python puts there to forbid an import
    done = gnomon("data", "inspect", "hub:org/name")
    assert done.code == 2
    assert "pip install 'gnomon[hub]'" in done.err


def test_an_empty_file_is_exit_code_3(gnomon, tmp_path):
    (tmp_path / "rows.jsonl").write_text("")
    done = gnomon("train", "sft", "--model", "tiny:0", "--data", "rows.jsonl")
    assert done.code == 3
    assert "rows.jsonl is empty" in done.err


def test_a_row_without_a_response_is_named(gnomon, tmp_path):
    rows = [{"prompt": "a", "response": "b"}, {"prompt": "c", "response": ""}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = gnomon("train", "sft", "--model", "tiny:0", "--data", "rows.jsonl")
    assert done.code == 3
    assert "row 2 of rows.jsonl: 'response' is empty" in done.err


@pytest.mark.parametrize(
    ("asked", "advice"),
    [
        ("label import talk rows.jsonl", BY_HAND),
        ("eval tiny:0 --prompts rows.jsonl", BY_HAND),
        ("eval tiny:0 --suite answering=rows.jsonl", BY_HAND),
        ("compare tiny:0 tiny:1 --prompts rows.jsonl", BY_HAND),
        ("win-rate tiny:0 tiny:1 --judge checks --prompts rows.jsonl", BY_HAND),
        ("collect --policy tiny:0 --pairs 1 --prompts rows.jsonl", BY_HAND),
        ("constitution compare --model tiny:0 --pairs rows.jsonl", BY_HAND),
        ("data inspect rows.jsonl --on-bad-row stop", "drop it or pass --on-bad-row=skip"),
        ("train sft --model tiny:0 --data rows.jsonl", "drop it or set data.on_bad_row=skip"),
    ],
)
def test_a_bad_row_is_told_with_what_the_command_can_do(gnomon, tmp_path, asked, advice):
    rows = [{"prompt": "a"}, {"prompt": ""}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = gnomon(*asked.split())
    assert (done.code, "started" in done.err) == (3, False), done.err
    assert f"row 2 of rows.jsonl: the prompt is empty; {advice}" in done.err


def test_what_nobody_foresaw_shows_where_it_happened(gnomon, monkeypatch):
    monkeypatch.setattr(main, "_invoke", lambda arguments: 1 // 0)
    done = gnomon("doctor")
    assert done.code == 1
    assert "ZeroDivisionError" in done.err
    assert "Traceback" in done.err
    assert done.err.endswith("please report the command and the lines above\n")
    assert "ZeroDivisionError" in json.loads(gnomon("doctor", "--json").err)["error"]["traceback"]


def test_a_full_disk_anywhere_is_told_as_storage_is(gnomon, monkeypatch, tmp_path):
    def write(arguments):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "x"))

    monkeypatch.setattr(main, "_invoke", write)
    done = gnomon("doctor")
    assert done.code == 6
    assert "the disk or quota is full" in done.err


@pytest.mark.parametrize("command", [["constitution", "show"], ["constitution", "show", "--json"]])
def test_output_that_has_no_room_is_exit_code_6(command):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*GNOMON, *command], check=False, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 6
    assert "the disk or quota is full" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command", [["constitution", "show"], ["constitution", "show", "--json"], ["--help"]]
)
def test_a_reader_that_leaves_is_not_an_error_to_tell(command):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*GNOMON, *command], check=False, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_says_how_to_go_on(tmp_path, sent):
    os.mkfifo(tmp_path / "rows")
    command = [*GNOMON, "data", "inspect", str(tmp_path / "rows")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with (tmp_path / "rows").open("w"):  # opens when the command does, which then waits for a row
        process.send_signal(sent)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert (out, err) == ("", "interrupted; run the same command again to go on\n")
