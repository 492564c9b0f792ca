"""What is said of a provider in a file, and where its secret is kept."""

import re
from pathlib import Path

import pytest
import yaml

from gnomon.errors import ConfigError
from gnomon.labelling.openid import Provider
from gnomon.labelling.openid_settings import SECRET, OpenIdSettings, load_openid
from gnomon.labelling.reach import Reach
from gnomon.labelling.sign_in import WHY, compared

GOOD = "issuer: https://login.example.org\nclient_id: gnomon\nurl: https://labels.example.org/\n"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "oidc.yaml"


def test_a_file_says_who_vouches_for_people(file):
    rule = "roles:\n  - {value: leads, project: talk, role: admin}\n"
    file.write_text(f"{GOOD}domains: [Example.org]\nprojects: [talk]\nscopes: [email, groups]\n{rule}")
    settings, secret = load_openid(file, {})
    assert settings.callback == "https://labels.example.org/oidc/callback"
    assert settings.domains == ("example.org",)
    assert settings.scopes == ("openid", "email", "groups")
    assert settings.ruled(frozenset({"leads"})) == {"talk": "admin"}
    assert settings.ruled(frozenset({"others"})) == {"talk": None}
    assert secret is None


def test_the_secret_stands_in_a_file_or_a_variable_and_is_never_shown(file, tmp_path):
    file.write_text(GOOD)
    settings, secret = load_openid(file, {SECRET: "s3cret"})
    assert secret == "s3cret"
    assert "s3cret" not in repr(Provider(settings, secret, Reach(), int))
    kept = tmp_path / "secret"
    file.write_text(f"{GOOD}client_secret_file: {kept}\n")
    for content, said in ((None, "cannot be read"), (" \n", "is empty")):
        if content:
            kept.write_text(content)
        with pytest.raises(ConfigError, match=said):
            load_openid(file, {SECRET: "other"})
    kept.write_text("s3cret-of-a-file\n")
    assert load_openid(file, {SECRET: "other"})[1] == "s3cret-of-a-file"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            f"{GOOD}client_secret: hunter2\n",
            "unknown setting 'client_secret'; did you mean 'client_secret_file'",
        ),
        ("client_id: gnomon\nclient_secret_file: hunter2\n", "issuer is missing; give it"),
        (GOOD.replace("https://login", "http://login"), "write https:// and a host"),
        (GOOD.replace("https://labels", "http://labels"), "write https:// and a host"),
        (GOOD.replace("https://login", "file://login"), "write https:// and a host"),
        (GOOD.replace("login.example.org", "login.example.org?x=y"), "write https:// and a host"),
        (GOOD.replace("https://login.example.org", "login"), "write https:// and a host"),
        (f"{GOOD}projects: [talk]\n", r"everybody may join talk: say in `domains`"),
        (f"{GOOD}domains: [ada@example.org]\n", "what stands after the @"),
        (f"{GOOD}domains: ['']\n", "what stands after the @"),
        (f"{GOOD}roles:\n  - {{value: x, project: talk, role: king}}\n", "roles.0.role"),
        ("[]", "mapping of settings"),
    ],
)
def test_what_makes_no_sense_is_named_and_no_secret_with_it(file, text, said):
    file.write_text(text)
    with pytest.raises(ConfigError, match=said) as told:
        load_openid(file, {})
    assert "hunter2" not in str(told.value)


def test_addresses_are_compared_in_small_letters_and_no_letter_for_another():
    assert compared(" Ada@Example.ORG") == "ada@example.org"
    assert compared("ada@\u212aiel.example") == "ada@\u212aiel.example", "the Kelvin sign is no k"


def test_without_tls_there_is_only_this_machine(file):
    for host in ("localhost:8080", "127.0.0.1:8080", "[::1]:8080"):
        file.write_text(GOOD.replace("https://login.example.org", f"http://{host}/realms/one"))
        assert load_openid(file, {})[0].issuer == f"http://{host}/realms/one"


def test_the_documentation_lists_every_setting_and_every_refusal_and_its_example_holds():
    page = (Path(__file__).parents[2] / "docs" / "labelling.md").read_text(encoding="utf-8")
    told = page.split("## Signing in with an account elsewhere", 1)[1].split("\n## ", 1)[0]
    listed = re.findall(r"^\| (?!setting|what people read|---)`?([^|`]+?)`? \|", told, re.M)
    assert listed == [*OpenIdSettings.model_fields, *(why.title for why in WHY.values())]
    example = re.search(r"```yaml\n(.*?)```", told, re.S)[1]
    settings = OpenIdSettings.model_validate(yaml.safe_load(example))
    assert settings.callback in told
