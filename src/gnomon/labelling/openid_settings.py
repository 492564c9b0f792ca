"""How people sign in with an account they have elsewhere: which provider, who may come in, and as what."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from gnomon.errors import ConfigError
from gnomon.labelling.settings import Role
from gnomon.recipe import read_settings
from gnomon.settings.base import Settings

SECRET = "GNOMON_OIDC_CLIENT_SECRET"
"""The variable that has the client's secret where no file is named."""
ANY = "*"
HERE = ("localhost", "127.0.0.1", "::1")
"""Hosts that may be spoken to without TLS, since nobody is between."""


class RoleRule(Settings):
    """A role in a project, for those whose claim has a value."""

    value: str = Field(min_length=1)
    project: str
    role: Role


class OpenIdSettings(Settings):
    """A provider of OpenID Connect, and what follows from what it says."""

    issuer: str = Field(description="the provider, as its discovery document and its tokens name it")
    client_id: str = Field(min_length=1, description="what the provider calls this application")
    client_secret_file: Path | None = Field(
        None, description=f"a file that holds the client's secret; null: the variable {SECRET}, if it is set"
    )
    url: str = Field(description="where people open this application, https://labels.example.org")
    title: str = Field("single sign-on", min_length=1, description="what the button calls the provider")
    scopes: tuple[str, ...] = Field(("openid", "email"), description="what the provider is asked to tell")
    domains: tuple[str, ...] = Field(
        (), description="domains of e-mail addresses that may come in; any if there are none"
    )
    projects: tuple[str, ...] = Field(
        (), description="projects that everybody who may come in is an annotator of, invited or not"
    )
    claim: str = Field("groups", description="the claim that roles go by; a dot leads into a claim's parts")
    roles: tuple[RoleRule, ...] = Field(
        (), description="roles by value of the claim; the first that fits counts in each project"
    )

    @field_validator("issuer", "url")
    @classmethod
    def _secure(cls, text: str) -> str:
        parts = urlsplit(text)
        plain = parts.scheme == "http" and parts.hostname in HERE
        if not parts.hostname or not (parts.scheme == "https" or plain) or parts.query or parts.fragment:
            raise ValueError(f"it is {text!r}; write https:// and a host (http:// on this machine alone)")
        return text

    @field_validator("scopes")
    @classmethod
    def _openid(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        return scopes if "openid" in scopes else ("openid", *scopes)

    @field_validator("domains")
    @classmethod
    def _plain(cls, domains: tuple[str, ...]) -> tuple[str, ...]:
        if "" in domains or any("@" in domain for domain in domains):
            raise ValueError(f"it is {list(domains)}; write example.org, what stands after the @")
        return tuple(domain.lower() for domain in domains)

    @model_validator(mode="after")
    def _meant(self) -> Self:
        if self.projects and not self.domains:
            raise ValueError(
                f"everybody may join {', '.join(self.projects)}: say in `domains` whose addresses may, "
                "or ['*'] for whoever the provider knows"
            )
        return self

    @property
    def callback(self) -> str:
        """Where the provider sends people back to, which it has to be told beforehand."""
        return f"{self.url.rstrip('/')}/oidc/callback"

    def admits(self, email: str) -> bool:
        """Whether somebody with this address, as it is compared, may come in."""
        return not self.domains or ANY in self.domains or email.rpartition("@")[2] in self.domains

    def ruled(self, values: frozenset[str]) -> dict[str, Role | None]:
        """The role that values of the claim give in each project of which rules speak, None for no role."""
        found: dict[str, Role | None] = {rule.project: None for rule in self.roles}
        for rule in self.roles:
            if rule.value in values and found[rule.project] is None:
                found[rule.project] = rule.role
        return found


def load_openid(path: Path, variables: Mapping[str, str]) -> tuple[OpenIdSettings, str | None]:
    """The settings of a YAML file and the client's secret, None for a client without one.

    ConfigError names what is wrong.
    """
    settings = read_settings(OpenIdSettings, path)
    file = settings.client_secret_file
    if file is None:
        return settings, variables.get(SECRET) or None
    try:
        secret = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(
            f"client_secret_file {file} cannot be read ({problem}); check the path"
        ) from problem
    if not secret:
        raise ConfigError(f"client_secret_file {file} is empty; put the client's secret there")
    return settings, secret
