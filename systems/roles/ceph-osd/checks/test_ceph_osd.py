"""What an artefact that keeps objects has to be."""

from __future__ import annotations

from testinfra.host import Host

from smie.checks.fixtures import AsUser

MAKE = """
    mkdir $1/data && printf '[global]\nfsid = f94af719-f276-5661-aaea-997fd706895b\n' >$1/conf &&
    ceph-osd -c $1/conf --no-mon-config --mkfs -i 0 --osd-data $1/data --osd-objectstore memstore \
      --osd-uuid 0a6b5ba6-4c57-4e3c-8f4c-7d1c9b5f0d11 --log-to-file=false --run-dir=$1 --admin-socket= &&
    cat $1/data/fsid
"""


def test_an_osd_makes_its_store_as_its_user(as_user: AsUser, folder: str) -> None:
    made = as_user(MAKE, folder)
    assert made.rc == 0, made.stdout + made.stderr
    assert made.stdout.split()[-1] == "0a6b5ba6-4c57-4e3c-8f4c-7d1c9b5f0d11"


def test_sudo_gives_nobody_anything(host: Host) -> None:
    assert host.file("/usr/bin/sudo").mode & 0o6000 == 0
