import pytest

from gnomon.errors import ConfigError
from gnomon.models.reference import ModelRef, parse_model_ref


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("hub:org/model", "hub", "org/model"),
        ("path:runs/demo/model", "path", "runs/demo/model"),
        ("path:odd:name", "path", "odd:name"),
        ("gguf:package/file.gguf", "gguf", "package/file.gguf"),
        ("tiny:12", "tiny", "12"),
    ],
)
def test_references_are_parsed_and_written_back(text, kind, name):
    assert parse_model_ref(text) == ModelRef(kind, name)
    assert str(parse_model_ref(text)) == text


@pytest.mark.parametrize("text", ["", "org/model", "hub:", "disk:model", ":model", "HUB:org/model"])
def test_what_is_no_reference_is_refused_with_the_forms_that_are(text):
    with pytest.raises(ConfigError, match=r"write hub:ORG/NAME, path:DIR, gguf:PACKAGE/FILE or tiny:SEED"):
        parse_model_ref(text)


@pytest.mark.parametrize("text", ["tiny:one", "tiny:-1", "tiny:1.5"])
def test_a_tiny_models_seed_is_a_whole_number(text):
    with pytest.raises(ConfigError, match="the seed after tiny: is a whole number"):
        parse_model_ref(text)
