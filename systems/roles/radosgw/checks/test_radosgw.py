"""What an artefact with RadosGW has to be."""

from __future__ import annotations

from testinfra.host import Host

from smie.checks.fixtures import AsUser


def test_radosgw_is_there_and_finds_all_libraries(as_user: AsUser) -> None:
    said = as_user("radosgw --version && radosgw-admin --version")
    assert said.rc == 0 and said.stdout.count("ceph version") == 2, said.stderr


def test_the_program_that_makes_the_user_says_what_it_needs(host: Host) -> None:
    assert host.run("/usr/local/lib/seter/s3-user").rc == 2
