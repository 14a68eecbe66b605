"""How a registry is told who we are: challenges, tokens, Docker's configuration, credential helpers."""

from __future__ import annotations

import base64
import json
import string
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadInput, Corrupt, Denied, Error
from common.model import Secret
from naust.store.access import NOTHING, Access
from naust.wire.credentials import login
from naust.wire.distribution import Distribution, pull_scope, push_scope
from naust.wire.distribution_auth import Challenge, challenges
from naust.wire.transport import basic
from tests.lab.faults import Fault, FaultProxy, Seen
from tests.lab.serving import certificate

PASSWORD = "p4ss:word"
HOST = "registry.example.org:5000"


@pytest.fixture(autouse=True)
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker's configuration of this test alone."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path / "config.json"


# Challenges (RFC 9110, section 11.6.1)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", ()),
        ("Basic", (Challenge("basic"),)),
        ('Basic realm="a, b=\\"c\\""', (Challenge("basic", {"realm": 'a, b="c"'}),)),
        (
            'Bearer realm="https://auth.example.org/token",service="reg",scope="repository:x:pull,push"',
            (Challenge("bearer", {"realm": "https://auth.example.org/token", "service": "reg",
                                  "scope": "repository:x:pull,push"}),),
        ),
        ("Negotiate, BEARER Realm=https://x , Basic realm=y",
         (Challenge("negotiate"), Challenge("bearer", {"realm": "https://x"}), Challenge("basic", {"realm": "y"}))),
        ("realm=x", ()),
    ],
)  # fmt: skip
def test_challenges_are_read(header: str, expected: tuple[Challenge, ...]) -> None:
    assert challenges(header) == expected


@given(st.text(string.printable, max_size=300) | st.text(max_size=100))
def test_no_challenge_is_too_strange(header: str) -> None:
    assert all(each.scheme == each.scheme.lower() for each in challenges(header))


def test_a_challenge_without_an_end_takes_no_time() -> None:
    assert isinstance(challenges('Bearer realm="' + "\\a" * 1_000_000), tuple)


# A registry with a token server


class Lab:
    """A registry that wants a token, and the server that makes them: TOKEN-<scope> for those with the password."""

    def __init__(self, registry: FaultProxy, tokens: FaultProxy) -> None:
        self.registry, self.tokens = registry, tokens
        self.base = f"http://{registry.address}"

    @property
    def asked(self) -> list[dict[str, list[str]]]:
        return [parse_qs(urlsplit(each.target).query) for each in self.tokens.seen]


@contextmanager
def lab(*, answer: dict[str, object] | None = None, realm: str = "") -> Iterator[Lab]:
    with FaultProxy() as registry, FaultProxy() as tokens:
        body = json.dumps(answer if answer is not None else {"token": "GOOD", "expires_in": 300}).encode()
        tokens.add(Fault(status=200, body=body, times=None))
        where = realm or f"http://{tokens.address}/token"
        challenge = f'Bearer realm="{where}",service="lab"'
        registry.add(
            Fault(
                status=200, body=b"{}", times=None, when=lambda seen: seen.headers.get("authorization") == "Bearer GOOD"
            )
        )
        registry.add(Fault(status=401, headers={"WWW-Authenticate": challenge}, times=None))
        yield Lab(registry, tokens)


def get(client: Distribution, scope: str = pull_scope("file/x")) -> int:
    with client.request("GET", "/v2/x", scope=scope, accept=(200,)) as answer:
        return answer.status


def test_a_token_is_fetched_once_for_each_scope(docker: Path) -> None:
    with lab() as found:
        client = Distribution(found.base, Access(user="me", password=Secret(PASSWORD)))
        for scope in (pull_scope("file/x"), push_scope("file/x", "file/y"), pull_scope("file/x")):
            assert get(client, scope) == 200
        assert [each["scope"] for each in found.asked] == [
            ["repository:file/x:pull"], ["repository:file/x:pull,push", "repository:file/y:pull"],
        ]  # fmt: skip
        assert {each["service"][0] for each in found.asked} == {"lab"}
        assert {each.headers["authorization"] for each in found.tokens.seen} == {basic("me", Secret(PASSWORD)).value}
        assert "authorization" not in found.registry.seen[0].headers  # the password is not for the registry itself


def test_without_credentials_a_token_is_asked_for_by_nobody() -> None:
    with lab() as found:
        assert get(Distribution(found.base)) == 200
        assert "authorization" not in found.tokens.seen[0].headers


def test_many_threads_fetch_one_token() -> None:
    with lab() as found:
        client = Distribution(found.base)
        threads = [threading.Thread(target=get, args=(client,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found.tokens.seen) == 1


def test_a_token_that_ran_out_is_fetched_anew() -> None:
    with lab(answer={"access_token": "GOOD", "expires_in": 0.1}) as found:
        client = Distribution(found.base)
        get(client)
        threading.Event().wait(0.1)
        get(client)
        assert len(found.tokens.seen) == 2


def test_a_token_that_is_refused_is_denied_and_shows_nowhere() -> None:
    with lab(answer={"token": "VERY-BAD"}) as found, pytest.raises(Denied) as error:
        get(Distribution(found.base, Access(user="me", password=Secret(PASSWORD))))
    assert "VERY-BAD" not in str(error.value) and PASSWORD not in str(error.value)
    assert len(found.registry.seen) == 2


@pytest.mark.parametrize("answer", [{}, {"token": ""}, {"token": 5}, {"token": "a\nb"}, []])
def test_a_token_server_that_gives_none_is_told(answer: dict[str, object]) -> None:
    with lab(answer=answer) as found, pytest.raises(Corrupt, match="gives no token"):
        get(Distribution(found.base))


def test_an_identity_token_is_changed_for_an_access_token(docker: Path) -> None:
    with lab() as found:
        entry = {"identitytoken": "REFRESH", "auth": base64.b64encode(b"00000000:").decode()}
        docker.write_text(json.dumps({"auths": {found.registry.address: entry}}))
        assert get(Distribution(found.base)) == 200
        assert found.tokens.seen[0].method == "POST" and "REFRESH" not in found.tokens.seen[0].target


def test_a_password_is_not_sent_to_an_open_token_server_of_a_closed_registry(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    with FaultProxy() as tokens, FaultProxy(certificate=cert, key=key) as registry:
        realm = f'Bearer realm="http://{tokens.address}/"'
        registry.add(Fault(status=401, headers={"WWW-Authenticate": realm}, times=None))
        client = Distribution(f"https://{registry.address}", Access(user="me", password=Secret(PASSWORD), ca=cert))
        with pytest.raises(Denied, match="not encrypted"):
            get(client)
        assert not tokens.seen


def test_basic_is_sent_once_it_was_asked_for() -> None:
    with FaultProxy() as registry:
        wanted = basic("me", Secret(PASSWORD)).value
        registry.add(Fault(status=200, times=None, when=lambda seen: seen.headers.get("authorization") == wanted))
        registry.add(Fault(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'}, times=None))
        client = Distribution(f"http://{registry.address}", Access(user="me", password=Secret(PASSWORD)))
        assert get(client) == get(client) == 200
        assert [each.status for each in registry.seen] == [401, 200, 200]
        with pytest.raises(Denied):
            get(Distribution(f"http://{registry.address}", Access(user="me", password=Secret("wrong"))))
        with pytest.raises(Denied):
            get(Distribution(f"http://{registry.address}"))


def test_a_token_of_the_store_is_sent_as_it_is_and_no_other() -> None:
    with FaultProxy() as registry:
        registry.add(Fault(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'}, times=None))
        with pytest.raises(Denied) as error:
            get(Distribution(f"http://{registry.address}", Access(token=Secret("T0KEN"))))
        assert [each.headers["authorization"] for each in registry.seen] == ["Bearer T0KEN"]
        assert "T0KEN" not in str(error.value)


def test_a_second_host_gets_no_credentials_whatever_it_asks_for() -> None:
    def ours(seen: Seen) -> bool:
        return "authorization" in seen.headers

    with FaultProxy() as registry, FaultProxy() as other:
        challenge = {"WWW-Authenticate": 'Basic realm="x"'}
        other.add(Fault(status=401, headers=challenge, times=None))
        registry.add(Fault(status=307, headers={"Location": f"http://{other.address}/blob"}, times=None, when=ours))
        registry.add(Fault(status=401, headers=challenge, times=None))
        with pytest.raises(Denied):
            get(Distribution(f"http://{registry.address}", Access(user="me", password=Secret(PASSWORD))))
        assert other.seen and not any(ours(each) for each in other.seen)


# Docker's configuration


def write(path: Path, document: object) -> None:
    path.write_text(json.dumps(document))


def auth(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_the_settings_of_the_store_come_before_those_of_docker(docker: Path) -> None:
    write(docker, {"auths": {HOST: auth("other", "x")}})
    found = login(HOST, Access(user="me", password=Secret(PASSWORD)))
    assert found and found.user == "me"
    assert login(HOST, Access(token=Secret("x"))) is None


@pytest.mark.parametrize("key", [HOST, f"https://{HOST}", f"https://{HOST}/v1/", f"http://{HOST}/v2/"])
def test_docker_s_configuration_is_read(docker: Path, key: str) -> None:
    write(docker, {"auths": {"elsewhere": auth("no", "no"), key: auth("me", PASSWORD)}})
    found = login(HOST, NOTHING)
    assert found and (found.user, found.secret.value) == ("me", PASSWORD)
    assert login("registry.example.org", NOTHING) is None and PASSWORD not in repr(found)


def test_docker_s_own_registry_has_a_name_of_its_own(docker: Path) -> None:
    write(docker, {"auths": {"https://index.docker.io/v1/": auth("me", PASSWORD)}})
    assert all(login(host, NOTHING) for host in ("docker.io", "registry-1.docker.io"))


def test_no_configuration_is_nobody(docker: Path) -> None:
    assert login(HOST, NOTHING) is None
    write(docker, [])
    assert login(HOST, NOTHING) is None


@pytest.mark.parametrize(
    "text", ["{", f'{{"auths": {{"{HOST}": {{"auth": "bm8gY29s!"}}}}}}', "[" * 100_000, '{"a": "p4ss']
)
def test_a_broken_configuration_is_told_without_its_content(docker: Path, text: str) -> None:
    docker.write_text(text)
    with pytest.raises(BadInput) as error:
        login(HOST, NOTHING)
    assert "p4ss" not in str(error.value) and "bm8gY29s" not in str(error.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["auths", "auth", HOST, "identitytoken", "username", "password"]), inner)
        ),
    )
)
def test_no_configuration_is_too_strange(tmp_path_factory: pytest.TempPathFactory, document: object) -> None:
    folder = tmp_path_factory.mktemp("docker")
    write(folder / "config.json", document)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_CONFIG", str(folder))
        with suppress(BadInput):
            login(HOST, NOTHING)


def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A credential helper `lab` that answers so."""
    path = tmp_path / "docker-credential-lab"
    path.write_text(f"#!/bin/sh\nread server\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


def test_a_credential_helper_is_asked(tmp_path: Path, docker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, monkeypatch, """echo "{\\"Username\\": \\"$1-$server\\", \\"Secret\\": \\"s\\"}" """)
    write(docker, {"credsStore": "lab", "auths": {HOST: {}}})
    found = login(HOST, NOTHING)
    assert found and found.user == f"get-{HOST}"
    write(docker, {"credHelpers": {HOST: "lab"}})
    assert login(HOST, NOTHING) == found and login("other.example.org", NOTHING) is None


def test_a_helper_may_give_an_identity_token(tmp_path: Path, docker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, monkeypatch, """echo '{"Username": "<token>", "Secret": "s"}'""")
    write(docker, {"credsStore": "lab"})
    found = login(HOST, NOTHING)
    assert found and found.user == "" and found.secret.value == "s"


def test_a_helper_that_knows_nobody_is_no_error_but_one_that_fails_is(
    tmp_path: Path, docker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(docker, {"credsStore": "lab"})
    helper(tmp_path, monkeypatch, "echo 'credentials not found in native keychain'; exit 1")
    assert login(HOST, NOTHING) is None
    helper(tmp_path, monkeypatch, "echo 'keychain is locked' >&2; exit 1")
    with pytest.raises(Denied, match="keychain is locked"):
        login(HOST, NOTHING)
    helper(tmp_path, monkeypatch, "echo p4ssword")
    with pytest.raises(Error) as error:
        login(HOST, NOTHING)
    assert "p4ss" not in str(error.value)
    write(docker, {"credsStore": "../evil"})
    with pytest.raises(BadInput):
        login(HOST, NOTHING)
