"""Where a server may be sent by those who name addresses to it: real servers on this machine listen."""

import shutil
import socket
import ssl
import subprocess
from ipaddress import ip_address

import httpx
import pytest
from receivers import endless, named, receiving, status

from gnomon.errors import ConfigError
from gnomon.labelling.reach import Call, Reach, RefusedTargetError, post

LOCAL = Reach.of(["127.0.0.1"])
CALL = Call(b"{}", {"X-Said": "so"}, 5.0, httpx.create_ssl_context())


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.9.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.254", "192.168.1.1"),
        *("169.254.169.254", "100.64.0.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
        *("192.0.2.1", "198.18.0.1", "203.0.113.9", "::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254"),
        *("ff02::1", "ff0e::1", "fec0::1", "2001:db8::1", "2001::1", "100::1"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1"),
        *("64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a9fe:a9fe::1", "::ffff:0:127.0.0.1"),
    ],
)
def test_what_is_not_public_is_out_of_reach(address):
    assert not Reach().permits(ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_what_is_public_is_within_reach(address):
    assert Reach().permits(ip_address(address))


def test_what_is_allowed_is_within_reach_and_nothing_beside_it():
    reach = Reach.of(["10.1.0.0/16", " ::1 "])
    within = ("10.1.2.3", "::1", "::ffff:10.1.2.3", "1.1.1.1")
    assert all(reach.permits(ip_address(address)) for address in within)
    assert not any(reach.permits(ip_address(address)) for address in ("10.2.0.1", "127.0.0.1", "::2"))
    with pytest.raises(ConfigError, match="write a network as"):
        Reach.of(["10.1.0.1/16"])


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "017700000001", "0", "[::1]"),
        *("[::ffff:127.0.0.1]", "127.0.0.1.", "LOCALHOST", "169.254.169.254", "[fe80::1]", "224.0.0.1"),
    ],
)
def test_no_spelling_of_an_inner_address_is_called(host):
    with receiving() as receiver:
        with pytest.raises(RefusedTargetError, match=r"public internet|is not found|is no URL"):
            post(f"http://{host}:{receiver.server_port}/", Reach(), CALL)
        assert receiver.seen == []


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_what_is_allowed_is_called_as_it_is_named(host, monkeypatch):
    named(monkeypatch, hooks_example=[host])
    with receiving(host) as receiver:
        url = f"http://hooks.example:{receiver.server_port}/hook?a=b"
        assert post(url, Reach.of([host]), CALL) == 204
        assert post(receiver.url, Reach.of([host]), CALL) == 204
    (seen, _) = receiver.seen
    assert (seen.path, seen.body, seen.headers["x-said"]) == ("/hook?a=b", "{}", "so")
    assert seen.headers["host"] == f"hooks.example:{receiver.server_port}"


def test_a_name_that_leads_inside_is_refused(monkeypatch):
    named(monkeypatch, hooks_example=["127.0.0.1"], inner_example=["10.0.0.1 169.254.169.254"])
    with receiving() as receiver:
        for name in ("hooks.example", "inner.example"):
            with pytest.raises(RefusedTargetError, match=f"{name} does not lead to the public internet"):
                post(f"http://{name}:{receiver.server_port}/", Reach(), CALL)
        assert receiver.seen == []


def test_the_address_that_was_judged_is_the_one_that_is_called(monkeypatch):
    """Two servers on one port: the name leads to the allowed one first, and to the other ever after."""
    looked_up = named(monkeypatch, hooks_example=["127.0.0.2", "127.0.0.1"])
    with receiving("127.0.0.2") as allowed, receiving("127.0.0.1", allowed.server_port) as other:
        url = f"http://hooks.example:{allowed.server_port}/"
        assert post(url, Reach.of(["127.0.0.2"]), CALL) == 204
        assert (len(allowed.seen), other.seen, looked_up) == (1, [], ["hooks.example"])
        with pytest.raises(RefusedTargetError):
            post(url, Reach.of(["127.0.0.2"]), CALL)
        assert other.seen == []


def test_a_name_looked_up_twice_would_have_led_inside(monkeypatch):
    """What the test above guards against: a client that is given the name goes to the other server."""
    named(monkeypatch, hooks_example=["127.0.0.2", "127.0.0.1"])
    with receiving("127.0.0.2") as allowed, receiving("127.0.0.1", allowed.server_port) as other:
        url = f"http://hooks.example:{allowed.server_port}/"
        Reach.of(["127.0.0.2"]).resolve(url)
        httpx.post(url, trust_env=False)
        assert (allowed.seen, len(other.seen)) == ([], 1)


def test_of_several_addresses_one_that_is_allowed_is_called(monkeypatch):
    named(monkeypatch, hooks_example=["127.0.0.1 127.0.0.2"])
    with receiving("127.0.0.2") as allowed, receiving("127.0.0.1", allowed.server_port) as other:
        assert post(f"http://hooks.example:{allowed.server_port}/", Reach.of(["127.0.0.2"]), CALL) == 204
        assert (len(allowed.seen), other.seen) == (1, [])


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(code):
    with receiving("127.0.0.2") as inner, receiving() as receiver:
        receiver.replies.append(status(code, Location=inner.url))
        reach = Reach.of(["127.0.0.0/8"])
        assert post(receiver.url, reach, CALL) == code
        assert (len(receiver.seen), inner.seen) == (1, [])


def test_no_proxy_of_the_environment_is_asked(monkeypatch):
    with receiving("127.0.0.2") as proxy, receiving() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.2:{proxy.server_port}")
        assert post(receiver.url, LOCAL, CALL) == 204
        assert (len(receiver.seen), proxy.seen) == (1, [])


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1/", "//127.0.0.1/", "127.0.0.1", ""),
        *("http://", "http:///x", "http://a b/", "https://ada:secret@127.0.0.1/", f"http://a/{'x' * 2000}"),
    ],
)
def test_what_is_no_plain_web_address_is_refused(url):
    with pytest.raises(RefusedTargetError):
        LOCAL.resolve(url)


def test_names_that_lead_nowhere_are_told():
    with pytest.raises(RefusedTargetError, match=r"nowhere\.invalid is not found"):
        LOCAL.resolve("http://nowhere.invalid/")


def test_a_receiver_that_never_comes_to_an_end_is_left():
    with receiving() as receiver:
        receiver.replies.append(endless)
        with pytest.raises(TimeoutError):
            post(receiver.url, LOCAL, CALL._replace(timeout=0.3))


def test_a_port_where_nobody_listens_is_told():
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    with pytest.raises(httpx.ConnectError):
        post(f"http://127.0.0.1:{port}/", LOCAL, CALL)


@pytest.fixture
def certified(tmp_path):
    """A certificate for hooks.example, for a server and for who trusts it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    names = ("-subj", "/CN=hooks.example", "-addext", "subjectAltName=DNS:hooks.example")
    made = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names)
    files = ("-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem")
    subprocess.run([*made, *files], check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    return server, ssl.create_default_context(cafile=tmp_path / "cert.pem")


def test_a_server_must_be_who_its_name_says_although_its_address_is_called(certified, monkeypatch):
    server, trusting = certified
    named(monkeypatch, hooks_example=["127.0.0.1"], other_example=["127.0.0.1"])
    with receiving(context=server) as receiver:
        call = CALL._replace(context=trusting)
        assert post(f"https://hooks.example:{receiver.server_port}/", LOCAL, call) == 204
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            post(f"https://other.example:{receiver.server_port}/", LOCAL, call)
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            post(f"https://hooks.example:{receiver.server_port}/", LOCAL, CALL)
        assert len(receiver.seen) == 1
