"""What every artefact with a part of Ceph has to be."""

from __future__ import annotations

from testinfra.host import Host

from smie.checks.facts import RoleFacts


def test_ceph_is_there_in_the_version_of_the_package(host: Host, role: RoleFacts) -> None:
    said = host.check_output("ceph --version")
    assert said.split()[2] == role.version.partition("+")[0].partition("-")[0]


def test_all_daemons_have_one_user_with_one_number(host: Host) -> None:
    assert host.check_output("id -u ceph; id -g ceph").split() == ["953", "953"]


def test_classes_of_objects_are_where_ceph_launch_looks_for_them(host: Host) -> None:
    assert host.run("ls /usr/lib/*/rados-classes/libcls_rgw.so").rc == 0


def test_a_keyring_can_be_made(host: Host) -> None:
    said = host.check_output("ceph-authtool --gen-print-key")
    assert len(said) == 40


def test_ceph_launch_says_what_it_needs(host: Host) -> None:
    assert host.run("/usr/local/lib/seter/ceph-launch").rc == 2
    assert host.run("/usr/local/lib/seter/ceph-status").rc == 2
