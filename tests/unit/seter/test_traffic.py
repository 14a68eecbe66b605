"""The pure parts of acting on nodes."""

from __future__ import annotations

from seter.traffic import admission, agent_of, foreign_connections


def test_a_node_s_own_probes_do_not_keep_it_from_being_idle() -> None:
    listing = (
        "0 0 127.0.0.1:443 127.0.0.1:60532\n"
        "0 0 [::ffff:127.0.0.1]:443 [::ffff:127.0.0.1]:60533\n"
        "0 0 [::1]:443 [::1]:60534\n"
        "0 0 192.0.2.10:443 192.0.2.10:60535\n"
    )
    assert foreign_connections(listing) == 0


def test_connections_from_elsewhere_are_counted_in_both_families() -> None:
    listing = "0 0 [::ffff:192.0.2.10]:443 [::ffff:10.1.0.8]:50000\n0 0 [2001:db8::10]:443 [fd00::8]:50001\n"
    assert foreign_connections(listing) == 2
    assert foreign_connections("") == 0


def test_a_group_s_command_is_run_by_the_role_of_the_program_s_name() -> None:
    argv = ("/usr/local/lib/seter/health", "withdraw")
    assert agent_of(["etcd", "health", "late"], argv) == "health"
    assert agent_of(["etcd", "late"], argv) == "late"


def test_admission_takes_the_withdrawal_back() -> None:
    assert admission(("/usr/local/lib/seter/health", "withdraw", "--now")) == (
        *("/usr/local/lib/seter/health", "admit", "--now"),
    )
