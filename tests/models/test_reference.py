import pytest

from gnomon.errors import ConfigError
from gnomon.models.reference import EndpointRef, ModelRef, parse_endpoint_ref, parse_model_ref


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


@pytest.mark.parametrize(
    ("text", "url", "model"),
    [
        ("endpoint:http://localhost:8000/v1#org/model", "http://localhost:8000/v1", "org/model"),
        ("endpoint:https://api.example/v1#m:2024#b", "https://api.example/v1", "m:2024#b"),
        ("endpoint:http://[::1]:80/v1#m", "http://[::1]:80/v1", "m"),
        ("endpoint:http://host#m", "http://host", "m"),
    ],
)
def test_endpoints_are_parsed_and_written_back(text, url, model):
    assert parse_endpoint_ref(text) == EndpointRef(url, model)
    assert str(parse_endpoint_ref(text)) == text
    assert parse_endpoint_ref(text.replace("#", "/#", 1)) == EndpointRef(url, model)


@pytest.mark.parametrize(
    "text",
    [
        "endpoint:http://host/v1",
        "endpoint:#m",
        "endpoint:localhost:8000#m",
        "endpoint:ftp://h#m",
        "tiny:0",
    ],
)
def test_what_is_no_endpoint_is_refused_with_the_form_that_is(text):
    with pytest.raises(ConfigError, match="write endpoint:URL#MODEL"):
        parse_endpoint_ref(text)


def test_a_password_in_an_endpoints_url_is_refused_and_not_repeated():
    with pytest.raises(ConfigError, match="GNOMON_API_KEY") as refused:
        parse_endpoint_ref("endpoint:https://me:secret@host/v1#m")
    assert "secret" not in str(refused.value)


def test_an_endpoint_is_no_model_to_load():
    with pytest.raises(ConfigError, match="an endpoint answers, and its weights are elsewhere"):
        parse_model_ref("endpoint:http://localhost:8000/v1#m")
