import gc
import hashlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from gnomon.errors import ConfigError, ModelError
from gnomon.models import gguf
from gnomon.models.gguf import Packaged, assemble, cache_folder, prepare

PARTS = (b"first part, ", b"", b"second part")
WHOLE = b"".join(PARTS)


@pytest.fixture
def parts(tmp_path):
    paths = []
    for i, content in enumerate(PARTS):
        paths.append(tmp_path / f"part-{i}")
        paths[-1].write_bytes(content)
    return paths


@pytest.fixture
def planted(monkeypatch, tmp_path):
    """A package that is pinned; what it holds is put into `sys.modules` by the test."""
    package = Packaged("model.gguf", hashlib.sha256(WHOLE).hexdigest(), "No terms.")
    monkeypatch.setitem(gguf.PACKAGES, "planted-model", package)
    monkeypatch.setenv("GNOMON_CACHE", str(tmp_path / "cache"))

    def install(paths):
        module = ModuleType("planted_model")
        module.chunk_paths = lambda: paths
        monkeypatch.setitem(sys.modules, "planted_model", module)

    return install


def test_parts_are_joined_in_order(parts, tmp_path):
    assemble(parts, tmp_path / "whole", hashlib.sha256(WHOLE).hexdigest())
    assert (tmp_path / "whole").read_bytes() == WHOLE


def test_a_file_that_is_not_the_pinned_one_is_refused(parts, tmp_path):
    found = hashlib.sha256(WHOLE).hexdigest()
    with pytest.raises(ModelError, match=rf"model.gguf: sha256 is {found}, expected 00; .* reinstall it"):
        assemble(parts, tmp_path / "model.gguf", "00")
    with pytest.raises(ModelError):
        assemble(parts[::-1], tmp_path / "model.gguf", found)


def test_a_damaged_package_leaves_nothing_behind(planted, parts):
    parts[0].write_bytes(b"First part, ")
    planted(parts)
    with pytest.raises(ModelError, match="sha256 is"):
        prepare("planted-model/model.gguf")
    assert list(cache_folder().iterdir()) == []


def test_a_package_that_lacks_a_part_is_named(planted, parts):
    parts[1].unlink()
    planted(parts)
    with pytest.raises(ModelError, match=r"planted-model lacks .*part-1; reinstall it"):
        prepare("planted-model/model.gguf")


def test_a_package_that_is_not_installed_says_how_to_install_it(planted):
    with pytest.raises(ConfigError, match=r"planted-model is not installed: pip install 'gnomon\[gguf\]'"):
        prepare("planted-model/model.gguf")


@pytest.mark.parametrize("name", ["unknown/model.gguf", "planted-model/other.gguf", "planted-model"])
def test_only_pinned_files_are_loaded(planted, name):
    with pytest.raises(
        ConfigError, match=r"no pinned digest; known packages: .*gguf:planted-model/model.gguf"
    ):
        prepare(name)


def test_a_prepared_model_is_not_prepared_again(planted):
    target = cache_folder() / f"planted-model-{hashlib.sha256(WHOLE).hexdigest()[:16]}"
    target.mkdir(parents=True)
    (target / "config.json").write_text("{}")
    assert prepare("planted-model/model.gguf") == target


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("GNOMON_CACHE", raising=False)
    assert cache_folder() == tmp_path / "xdg" / "gnomon" / "models"
    monkeypatch.setenv("GNOMON_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own" / "gnomon" / "models"


def test_a_file_is_parsed_once_and_reads_as_it_did(tmp_path):
    package = pytest.importorskip("gguf")
    file, own = tmp_path / "words.gguf", package.GGUFReader
    with pytest.raises(ValueError, match="magic"), gguf.parsed_once():
        package.GGUFReader(Path(__file__))
    assert package.GGUFReader is own
    assert gc.isenabled()
    writer = package.GGUFWriter(file, "gemma3")
    writer.add_array("words", ["bread", "salt"])
    writer.add_tensor("weight", np.arange(6, dtype=np.float32).reshape(2, 3))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with gguf.parsed_once():
        reader = package.GGUFReader(file)
        assert package.GGUFReader(file) is reader
        assert not gc.isenabled()
    assert not isinstance(reader.data, np.memmap)
    plain = own(file)
    assert reader.fields["words"].contents() == plain.fields["words"].contents() == ["bread", "salt"]
    assert np.array_equal(reader.tensors[0].data, plain.tensors[0].data)
