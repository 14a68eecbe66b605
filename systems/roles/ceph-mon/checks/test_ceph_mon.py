"""What an artefact with a monitor of Ceph has to be."""

from __future__ import annotations

from smie.checks.fixtures import AsUser

MAKE = """
    cd $1
    monmaptool --create --fsid f94af719-f276-5661-aaea-997fd706895b --addv a '[v2:127.0.0.1:13300]' map &&
    ceph-authtool --create-keyring keyring --gen-key -n mon. --cap mon 'allow *' &&
    ceph-mon -c /dev/null --mkfs -i a --monmap map --keyring keyring --mon-data $1/data --log-to-file=false &&
    ls -l data/kv_backend
"""


def test_a_monitor_makes_its_store_as_its_user(as_user: AsUser, folder: str) -> None:
    made = as_user(MAKE, folder)
    assert made.rc == 0, made.stdout + made.stderr
    assert made.stdout.splitlines()[-1].split()[2] == "ceph"
