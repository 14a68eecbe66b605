"""The programs of the Ceph roles: what they write, what they start, what they make of answers."""

from __future__ import annotations

import json
import socket
import struct
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import ceph_launch
import ceph_status
import pytest
import s3_user
from ceph_launch import Failed, Launch, read_launch

FSID = uuid.UUID("f94af719-f276-5661-aaea-997fd706895b")
CONF = """# comment
[global]
fsid = f94af719-f276-5661-aaea-997fd706895b
mon host = [v2:10.0.0.1:3300],[v2:10.0.0.2:3300]

[launch]
role = ceph-mon
name = st1
index = 1
monitors = st1=10.0.0.1 st2=10.0.0.2
"""


def launch(role: str, folder: Path = Path("/x"), index: int = 1) -> Launch:
    return Launch(folder / "ceph.conf", role, "st1", index, FSID, (("st1", "10.0.0.1"), ("st2", "10.0.0.2")))


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for state and secrets of its own."""
    monkeypatch.setattr(ceph_launch, "STATE", tmp_path / "state")
    monkeypatch.setattr(ceph_launch, "SECRETS", tmp_path / "secrets")
    for role in ceph_launch.PREPARE:
        (tmp_path / "state" / role).mkdir(parents=True)
        (tmp_path / "secrets" / role).mkdir(parents=True)
    return tmp_path


def give_keys(folder: Path, role: str) -> None:
    for name in ceph_launch.OWNERS:
        (folder / "secrets" / role / name).write_text(f"key-of-{name}\n")


def test_the_launch_is_read_from_ceph_conf(tmp_path: Path) -> None:
    conf = tmp_path / "ceph.conf"
    conf.write_text(CONF)
    assert read_launch(conf) == launch("ceph-mon", tmp_path)


@pytest.mark.parametrize("gone", ["fsid", "role", "name", "index", "[launch]"])
def test_a_conf_that_is_not_ours_is_refused(tmp_path: Path, gone: str) -> None:
    conf = tmp_path / "ceph.conf"
    conf.write_text("\n".join(line for line in CONF.splitlines() if not line.startswith(gone)))
    with pytest.raises(Failed, match=r"is not a ceph\.conf that seter made"):
        read_launch(conf)


def test_the_first_map_has_all_monitors() -> None:
    assert ceph_launch.monitor_map_argv(launch("ceph-mon"), Path("/s/monmap")) == [
        "monmaptool", "--create", "--clobber", "--fsid", str(FSID),
        "--addv", "st1", "[v2:10.0.0.1:3300]", "--addv", "st2", "[v2:10.0.0.2:3300]", "/s/monmap",
    ]  # fmt: skip


def test_each_role_becomes_its_daemon_in_the_foreground() -> None:
    common = ["-f", "-c", "/x/ceph.conf"]
    assert ceph_launch.daemon_argv(launch("ceph-mon")) == ["/usr/bin/ceph-mon", *common, "-i", "st1"]
    assert ceph_launch.daemon_argv(launch("ceph-mgr")) == ["/usr/bin/ceph-mgr", *common, "-i", "st1"]
    osd = ceph_launch.daemon_argv(launch("ceph-osd", index=3), "/usr/lib/a/rados-classes")
    assert osd == ["/usr/bin/ceph-osd", *common, "-i", "2", "--osd-class-dir=/usr/lib/a/rados-classes"]
    assert ceph_launch.daemon_argv(launch("radosgw")) == ["/usr/bin/radosgw", *common, "-n", "client.rgw"]
    with pytest.raises(Failed):
        ceph_launch.daemon_argv(launch("etcd"))


def test_stores_are_made_beside_their_place(state: Path) -> None:
    mon = launch("ceph-mon")
    assert ceph_launch.mkfs_argv(mon, mon.data.with_name("data.new"))[:8] == [
        "ceph-mon", "--mkfs", "-c", "/x/ceph.conf", "-i", "st1", "--mon-data", f"{state}/state/ceph-mon/data.new",
    ]  # fmt: skip
    osd = launch("ceph-osd")
    argv = ceph_launch.mkfs_argv(osd, osd.data.with_name("data.new"))
    assert argv[-3:] == ["--osd-uuid", str(ceph_launch.osd_uuid(osd)), "--no-mon-config"]


def test_an_osd_keeps_its_uuid_and_differs_from_others() -> None:
    first, again = ceph_launch.osd_uuid(launch("ceph-osd")), ceph_launch.osd_uuid(launch("ceph-osd"))
    other = Launch(Path("/x"), "ceph-osd", "st2", 2, FSID, ())
    assert first == again != ceph_launch.osd_uuid(other)


def test_the_first_keyring_has_every_key_with_what_it_may_do() -> None:
    text = ceph_launch.monitor_keyring({"ceph-mon-key": "AAA=", "ceph-rgw-key": "BBB="})
    assert text == (
        '[mon.]\n\tkey = AAA=\n\tcaps mon = "allow *"\n'
        '[client.rgw]\n\tkey = BBB=\n\tcaps mon = "allow rw"\n\tcaps osd = "allow rwx"\n'
    )


def test_a_gateway_of_a_cluster_of_others_has_the_name_that_they_gave_it(state: Path) -> None:
    give_keys(state, "radosgw")
    gateway = replace(launch("radosgw"), client="client.rgw.lb")
    ceph_launch.prepare_gateway(gateway)
    assert gateway.keyring.read_text().startswith("[client.rgw.lb]\n")
    assert ceph_launch.daemon_argv(gateway)[-2:] == ["-n", "client.rgw.lb"]


def test_every_monitor_secret_has_an_owner_with_capabilities() -> None:
    assert set(ceph_launch.OWNERS.values()) == set(ceph_launch.CAPABILITIES)


def test_keyrings_are_for_their_owner_alone(state: Path) -> None:
    give_keys(state, "radosgw")
    gateway = launch("radosgw")
    ceph_launch.prepare_gateway(gateway)
    ceph_launch.prepare_gateway(gateway)
    assert gateway.keyring.read_text() == "[client.rgw]\n\tkey = key-of-ceph-rgw-key\n"
    assert gateway.keyring.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in gateway.state.iterdir()] == ["keyring"]


def test_a_missing_key_is_named(state: Path) -> None:
    with pytest.raises(Failed, match=r"cannot read the key .*ceph-rgw-key"):
        ceph_launch.prepare_gateway(launch("radosgw"))


def test_a_store_that_was_half_made_is_made_again(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def run(argv: list[str]) -> None:
        store = Path(argv[argv.index("--mon-data") + 1]) if "--mon-data" in argv else None
        if store is not None:
            assert list(store.iterdir()) == []
            made.append(store.name)
            (store / "kv").touch()
            if len(made) == 1:
                raise Failed("cut off")

    monkeypatch.setattr(ceph_launch, "run", run)
    give_keys(state, "ceph-mon")
    mon = launch("ceph-mon")
    with pytest.raises(Failed, match="cut off"):
        ceph_launch.prepare_monitor(mon)
    assert not mon.data.exists()
    ceph_launch.prepare_monitor(mon)
    ceph_launch.prepare_monitor(mon)  # it is there: nothing is made
    assert made == ["data.new", "data.new"]
    assert (mon.data / "kv").exists()
    assert not (mon.state / "first-keyring").exists()


def test_a_failing_command_says_why_and_shows_no_key(state: Path) -> None:
    with pytest.raises(Failed, match="failed with exit code 3: no space"):
        ceph_launch.run(["sh", "-c", "echo no space >&2; exit 3"])


def test_wrong_usage_is_code_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert ceph_launch.main([]) == 2
    assert ceph_status.main([]) == ceph_status.main(["--busy"]) == ceph_status.main(["--bsy", "ceph.conf"]) == 2
    assert s3_user.main([]) == 2
    assert ceph_launch.main(["/nowhere/ceph.conf"]) == 1
    assert "is not a ceph.conf" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("role", "answer", "ok"),
    [
        ("ceph-mon", {"state": "leader", "quorum": [0]}, True),
        ("ceph-mon", {"state": "probing", "quorum": []}, False),
        ("ceph-osd", {"state": "active", "num_pgs": 8}, True),
        ("ceph-osd", {"state": "booting"}, False),
        ("ceph-mgr", {}, True),
        ("radosgw", {"version": "18.2.7"}, True),
    ],
)
def test_a_daemon_is_well_in_its_working_states(role: str, answer: dict[str, Any], ok: bool) -> None:
    text = answer.get("state") or answer.get("version") or "answers"
    assert ceph_status.summary(role, answer) == {"ok": ok, "summary": text, "role": role, **answer}


def test_a_cluster_is_told_in_short() -> None:
    told = ceph_status.cluster_summary(
        {
            "health": {"status": "HEALTH_WARN", "checks": {"B": {}, "A": {}}},
            "osdmap": {"num_osds": 3, "num_up_osds": 2},
            "pgmap": {"bytes_used": 5, "bytes_total": 9},
            "mgrmap": {"available": True},
        }
    )
    assert told == {
        "health": "HEALTH_WARN", "complaints": ["A", "B"], "manager": True,
        "osds": 3, "osds_up": 2, "bytes_used": 5, "bytes_total": 9,
    }  # fmt: skip


@contextmanager
def admin_socket(path: Path, answer: object) -> Iterator[list[bytes]]:
    """One question is answered; what it was."""
    asked: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                asked.append(connection.recv(1000))
                body = json.dumps(answer).encode()
                connection.sendall(struct.pack("!I", len(body)) + body)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield asked
        thread.join(10)


def test_the_admin_socket_is_asked_as_ceph_wants_it(tmp_path: Path) -> None:
    with admin_socket(tmp_path / "s", {"state": "active"}) as asked:
        assert ceph_status.ask(tmp_path / "s", "status") == {"state": "active"}
    assert asked == [b'{"prefix": "status"}\0']


@pytest.mark.parametrize(("answer", "code"), [({"rgw": {"qactive": 2}}, 0), ({"rgw": {"qactive": 0}}, 1), ({}, 1)])
def test_a_radosgw_is_busy_while_requests_are_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: object, code: int
) -> None:
    conf = tmp_path / "ceph.conf"
    conf.write_text(f"[global]\nadmin socket = {tmp_path / 's'}\n[launch]\nrole = radosgw\n")
    monkeypatch.setattr(ceph_status, "become", lambda user: None)
    with admin_socket(tmp_path / "s", answer) as asked:
        assert ceph_status.main(["--busy", str(conf)]) == code
    assert asked == [b'{"prefix": "perf dump"}\0']
    (tmp_path / "s").unlink()
    assert ceph_status.main(["--busy", str(conf)]) == 1  # nobody answers


@pytest.mark.parametrize(
    ("identifier", "name"),
    [("tx000004d2a1b2c3d4e5f60-00692c5b1a-103b-default", "103b"), ("tx1-2-3-default", ""), (None, "")],
)
def test_a_radosgw_is_asked_what_its_answers_call_it(
    monkeypatch: pytest.MonkeyPatch, identifier: str | None, name: str
) -> None:
    class Server(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(403)
            if identifier is not None:
                self.send_header("x-amz-request-id", identifier)
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.handle_request, daemon=True)
        thread.start()
        monkeypatch.setattr(ceph_status, "PORT", server.server_port)
        assert ceph_status.answers_as() == name
        thread.join(10)
    assert ceph_status.answers_as() == ""  # nobody answers


def test_the_s3_user_has_exactly_the_given_keys() -> None:
    entry = s3_user.new_entry("seter", "access", "secret")
    assert s3_user.has_keys(entry["data"], "access", "secret")
    assert not s3_user.has_keys(entry["data"], "access", "other")
    renewed = s3_user.with_keys(entry, "a2", "s2")
    assert s3_user.has_keys(renewed["data"], "a2", "s2")
    assert {key: value for key, value in renewed["data"].items() if key != "keys"} == {
        key: value for key, value in entry["data"].items() if key != "keys"
    }


@pytest.mark.parametrize("there", [None, ("access", "secret"), ("old", "old")])
def test_the_s3_user_is_made_once_and_no_key_is_an_argument(
    there: tuple[str, str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = {"user": json.dumps(s3_user.new_entry("lb2$seter", *there))} if there else {}
    seen: list[list[str]] = []

    def admin(argv: list[str], text: str = "") -> tuple[int, str]:
        seen.append(argv)
        if "put" in argv:
            held["user"] = text
        return (0, held["user"]) if "user" in held else (s3_user.NO_ENTITY, "")

    monkeypatch.setattr(s3_user, "admin", admin)
    who = s3_user.Who("client.rgw.lb", "lb2")
    assert s3_user.ensure(Path("/c"), who, "access", "secret") is (there != ("access", "secret"))
    assert s3_user.ensure(Path("/c"), who, "access", "secret") is False
    made = json.loads(held["user"])
    assert (made["key"], made["data"]["keys"][0]["user"]) == ("user:lb2$seter", "lb2$seter")
    assert all(argv[argv.index("-n") + 1] == "client.rgw.lb" for argv in seen)
    assert not any(word in ("access", "secret") for argv in seen for word in argv)
