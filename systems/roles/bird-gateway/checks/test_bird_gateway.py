"""What an artefact with a BIRD that announces addresses has to be."""

from __future__ import annotations

from testinfra.host import Host

from smie.checks.facts import RoleFacts
from smie.checks.fixtures import AsUser

# What the role's template asks of BIRD, without a neighbour that somebody might answer for.
PARSED = """
define bgp_password = "x";
router id 192.0.2.1;
protocol device {}
protocol bfd bfd1 { interface "*" { interval 100 ms; multiplier 3; }; }
filter from_router4 {
  if net ~ [ 0.0.0.0/0 ] then reject;
  accept;
}
template bgp peer4 {
  local as 64512; bfd on; ttl security on; password bgp_password;
  hold time 9; graceful restart off; long lived graceful restart off;
  ipv4 { import filter from_router4; export where source = RTS_STATIC; next hop self; };
}
"""
RUN = "router id 192.0.2.1; protocol device {} protocol static vip4 { disabled; ipv4; route 192.0.2.10/32 blackhole; }"
START = """
    echo "$2" >$1/bird.conf
    bird -f -c $1/bird.conf -s $1/bird.ctl 2>$1/log & process=$!
    for n in $(seq 50); do test -S $1/bird.ctl && break; kill -0 $process || break; sleep 0.1; done
    birdc -s $1/bird.ctl show protocols vip4 && ps -o user= -p $process
    kill $process; cat $1/log
"""


def test_bird_is_there_in_the_version_of_the_package(host: Host, role: RoleFacts) -> None:
    assert host.check_output("bird --version 2>&1").split()[-1] == role.version.partition("-")[0]


def test_bird_accepts_what_the_role_writes_and_refuses_what_it_does_not_know(as_user: AsUser, folder: str) -> None:
    good, bad = (as_user('echo "$2" >$1/c; bird -p -c $1/c', folder, text) for text in (PARSED, PARSED + "nonsense;"))
    assert good.rc == 0, good.stderr
    assert bad.rc != 0


def test_bird_runs_as_its_user_and_can_be_asked(as_user: AsUser, folder: str) -> None:
    said = as_user(START, folder, RUN).stdout
    assert "vip4" in said and "down" in said and "bird" in said.split(), said


def test_it_may_change_the_network_and_do_nothing_else_of_root(as_user: AsUser) -> None:
    said = dict(line.split(":", 1) for line in as_user("cat /proc/self/status").stdout.splitlines())
    # CAP_NET_BIND_SERVICE, _BROADCAST, _ADMIN, _RAW: capabilities(7), linux/capability.h
    assert int(said["CapEff"], 16) == int(said["CapBnd"], 16) == 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13


def test_bird_status_says_in_json_how_bird_is_or_that_there_is_none(host: Host) -> None:
    said = host.run("/usr/local/lib/seter/bird-status")
    assert said.stdout.startswith("{") if said.rc == 0 else "BIRD does not answer" in said.stderr
