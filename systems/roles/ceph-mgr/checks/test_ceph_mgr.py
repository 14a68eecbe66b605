"""What an artefact with a manager of Ceph has to be."""

from __future__ import annotations

from testinfra.host import Host

from smie.checks.fixtures import AsUser

OURS = "/usr/local/lib/seter/ceph-mgr"


def test_the_manager_is_there_and_finds_all_libraries(as_user: AsUser) -> None:
    said = as_user("exec ceph-mgr --version")
    assert said.rc == 0 and said.stdout.startswith("ceph version"), said.stderr


def test_our_bcrypt_stands_in_for_the_one_that_cannot_be_loaded(as_user: AsUser) -> None:
    said = as_user(f"PYTHONPATH={OURS} exec python3 -c 'import bcrypt; print(bcrypt.__file__)'")
    assert said.stdout.strip() == f"{OURS}/bcrypt.py", said.stderr


def test_the_module_for_prometheus_is_there(host: Host) -> None:
    assert host.file("/usr/share/ceph/mgr/prometheus/module.py").exists
