import json

from gnomon.cli import doctor
from gnomon.cli.doctor import Finding, disk, extra, memory


def test_every_line_is_well_or_says_what_to_do(gnomon):
    done = gnomon("doctor", "--json")
    found = {finding["name"]: finding for finding in json.loads(done.out)["findings"]}
    assert {"python", "torch", "arithmetic", "gpu", "memory", "cache", "extra gguf", "allocator"} <= set(
        found
    )
    for finding in found.values():
        assert finding["status"] == "ok" or finding["advice"], finding
    assert "bfloat16" in found["arithmetic"]["found"]
    assert done.code == any(finding["status"] == "problem" for finding in found.values())


def test_a_problem_is_exit_code_1(gnomon, monkeypatch):
    monkeypatch.setattr(doctor, "findings", lambda: iter([Finding("disk", "problem", "full", "free [some]")]))
    done = gnomon("doctor")
    assert (done.code, done.out) == (1, "problem disk: full; free [some]\n")


def test_a_containers_limit_counts_as_memory(tmp_path):
    none, small = tmp_path / "none", tmp_path / "memory.max"
    small.write_text(f"{2**31}\n")
    assert memory(8 * 2**30, none).status == "ok"
    assert memory(3 * 2**30, none).status == "warn"
    limited = memory(8 * 2**30, small)
    assert limited.status == "warn"
    assert "8.0 GiB available, a container's limit of 2.0 GiB" in limited.found


def test_a_folder_that_will_be_made_is_looked_for_above(tmp_path):
    assert disk("cache", tmp_path / "a" / "b").found.endswith(f"free for {tmp_path / 'a' / 'b'}")


def test_a_missing_extra_is_a_line_to_type():
    assert extra("hub", ("json",), "data").status == "ok"
    missing = extra("hub", ("json", "no_such_module"), "data")
    assert (missing.status, missing.found) == ("warn", "no_such_module missing")
    assert "pip install 'gnomon[hub]'" in missing.advice
