"""Where this server connects to because somebody says so: not to itself, nor to what only it can reach.

Whoever may name an address that a server calls could otherwise have it ask its neighbours, or a cloud's
metadata service, in its own name (server-side request forgery). A name is looked up once, every address is
judged as the network would take it, and that very address is connected to: a name that leads elsewhere a
moment later leads nowhere.
"""

import asyncio
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from ssl import SSLContext
from typing import NamedTuple

import httpx

from gnomon.errors import ConfigError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

PUBLIC = IPv6Network("2000::/3")
"""The only part of IPv6 that is given out to the world."""
TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("::ffff:0:0/96"), IPv6Network("::ffff:0:0:0/96"))
"""IPv6 whose last 32 bits are an IPv4 address: RFC 6052, RFC 4291, RFC 2765."""
LONGEST_URL = 2000
LONGEST_REPLY = 1 << 20
"""Bytes of a reply that is read."""


class RefusedTargetError(ConfigError):
    """An address that this server does not call; the message says why."""


class Target(NamedTuple):
    """An address that was looked up, as the URL that leads there, and the name it goes by there."""

    url: httpx.URL
    host: str


@dataclass(frozen=True, slots=True)
class Reach:
    """The public internet, and what else whoever runs the server allows."""

    allowed: tuple[Network, ...] = ()

    @classmethod
    def of(cls, networks: Iterable[str]) -> "Reach":
        """`10.1.0.0/16`, `::1` and the like; ConfigError for what is no network."""
        try:
            return cls(tuple(ip_network(text.strip()) for text in networks))
        except ValueError as problem:
            raise ConfigError(f"{problem}; write a network as 10.1.0.0/16, or one address") from problem

    def permits(self, address: Address) -> bool:
        """Whether an address may be called."""
        if any(address in network for network in self.allowed):
            return True
        inner = _inner(address)
        if inner is not None:
            return self.permits(inner)
        if address.is_multicast or address.is_reserved or not address.is_global:
            return False
        return isinstance(address, IPv4Address) or address in PUBLIC

    def resolve(self, url: str) -> Target:
        """The address behind a URL, looked up now. RefusedTargetError where none of it may be called."""
        parsed = _parsed(url)
        port = parsed.port or (443 if parsed.scheme == "https" else 80)
        try:
            found = socket.getaddrinfo(parsed.host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as problem:
            raise RefusedTargetError(
                f"{parsed.host} is not found ({problem}); check the address"
            ) from problem
        addresses = [ip_address(str(place[0])) for *_, place in found]
        for address in addresses:
            if self.permits(address):
                return Target(parsed.copy_with(host=str(address)), parsed.host)
        raise RefusedTargetError(
            f"{parsed.host} does not lead to the public internet; whoever runs the server can allow the "
            "network it is in with --allow-target"
        )


class Call(NamedTuple):
    """What is sent, for how many seconds a reply is waited for, and who vouches for servers' names."""

    content: bytes
    headers: Mapping[str, str]
    timeout: float
    context: SSLContext


class Reply(NamedTuple):
    """What came back."""

    status: int
    content: bytes


def post(url: str, reach: Reach, call: Call) -> int:
    """Post something and return the HTTP status; what else is replied is not read, redirects lead nowhere.

    RefusedTargetError for an address that may not be called; TimeoutError and `httpx.RequestError` where no
    reply comes.
    """
    return asyncio.run(_send("POST", _parsed(url), reach, call, 0)).status


def ask(method: str, url: str, reach: Reach, call: Call) -> Reply:
    """Send something and read the reply, which has at most LONGEST_REPLY bytes; redirects lead nowhere.

    RefusedTargetError for an address that may not be called; TimeoutError and `httpx.RequestError` where no
    reply comes, or too long a one.
    """
    return asyncio.run(_send(method, _parsed(url), reach, call, LONGEST_REPLY))


async def _send(method: str, url: httpx.URL, reach: Reach, call: Call, longest: int) -> Reply:
    """Send something; of the reply no more than so many bytes are read, and nothing where they are 0."""
    client = httpx.AsyncClient(
        transport=Within(reach, call.context),
        follow_redirects=False,
        timeout=None,  # it is timed as a whole
    )
    async with (
        asyncio.timeout(call.timeout),
        client,
        client.stream(method, url, content=call.content, headers=call.headers) as reply,
    ):
        content = b""
        if longest:
            async for piece in reply.aiter_bytes():
                content += piece
                if len(content) > longest:
                    raise httpx.ReadError(f"the reply has more than {longest} bytes", request=reply.request)
        return Reply(reply.status_code, content)


class Within(httpx.AsyncBaseTransport):
    """Takes a client's requests where a reach permits, by no proxy: one would look the name up for itself."""

    def __init__(self, reach: Reach, context: SSLContext) -> None:
        self._reach = reach
        self._inner = httpx.AsyncHTTPTransport(verify=context, trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to the address its name was looked up as; RefusedTargetError where none will do."""
        target = self._reach.resolve(str(request.url))
        return await self._inner.handle_async_request(
            httpx.Request(
                request.method,
                target.url,
                headers=request.headers,  # with the name as the host
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": target.host},
            )
        )

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._inner.aclose()


def _parsed(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as problem:
        raise RefusedTargetError(f"{url[:100]!r} is no URL ({problem})") from problem
    if parsed.scheme not in ("http", "https") or not parsed.host or len(url) > LONGEST_URL:
        raise RefusedTargetError("write an address that begins with https:// or http://, and a host")
    if parsed.userinfo:
        raise RefusedTargetError("the address has a name or a password in it; leave it out")
    return parsed


def _inner(address: Address) -> IPv4Address | None:
    """The IPv4 address that a network would take an IPv6 one to, where it is one of those."""
    if isinstance(address, IPv4Address):
        return None
    if address.sixtofour is not None:
        return address.sixtofour
    if any(address in network for network in TRANSLATED):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return None
