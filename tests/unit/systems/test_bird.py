from __future__ import annotations

from pathlib import Path

import bird_control
import bird_status
import pytest

from tests.unit.systems.bird_stand_in import stand_in

# As BIRD 2.17.6 prints them, without codes and the first space of lines that go on.
PROTOCOLS = """\
Name       Proto      Table      State  Since         Info
vip4       Static     master4    down   2026-11-25 02:05:35.605
  Channel ipv4
    State:          DOWN
rt1_v4     BGP        ---        up     2026-11-25 02:05:34.949  Established
  BGP state:          Established
    Neighbor address: 10.213.148.1
    Hold timer:       6.808/9
  Channel ipv4
    Routes:         1 imported, 2 exported, 1 preferred
rt2_v4     BGP        ---        start  2026-11-25 02:05:34.949  Active        Socket: No route to host
    Neighbor address: 10.213.148.2
    Routes:         0 imported, 3 filtered, 0 exported, 0 preferred
""".splitlines()
BFD = """\
bfd1:
IP address                Interface  State      Since         Interval  Timeout
10.213.148.1              eth0       Up         2026-11-25 02:05:34.668    0.100    0.300
fd5b:ef3:7f82::1          eth0       Down       2026-11-25 02:05:34.666    0.100    0.000
""".splitlines()


def test_status_tells_each_session_with_its_neighbour_and_what_it_carries() -> None:
    vip, first, second = bird_status.protocols(PROTOCOLS)
    assert (vip["name"], vip["up"]) == ("vip4", False)
    assert first == {
        "name": "rt1_v4",
        "protocol": "BGP",
        "up": True,
        "since": "2026-11-25 02:05:34.949",
        "info": "Established",
        "neighbor": "10.213.148.1",
        "imported": 1,
        "exported": 2,
    }
    assert second["info"].startswith("Active") and second["imported"] == 0


def test_status_tells_bfd_sessions_of_both_families_in_seconds() -> None:
    first, second = bird_status.bfd(BFD)
    assert first == {
        "neighbor": "10.213.148.1",
        "interface": "eth0",
        "up": True,
        "since": "2026-11-25 02:05:34.668",
        "interval": 0.1,
        "timeout": 0.3,
    }
    assert (second["neighbor"], second["up"]) == ("fd5b:ef3:7f82::1", False)


def test_a_session_that_is_down_is_named_and_neither_a_withdrawn_virtual_ip_nor_another_gateway_is_a_problem() -> None:
    router = "10.213.148.2          eth0       Down       2026-11-25 02:05:34.666    0.100    0.000"
    gateway = "198.18.1.2            hop1       Down       2026-11-25 02:05:34.666    0.100    0.000"
    report = {"protocols": bird_status.protocols(PROTOCOLS), "bfd": bird_status.bfd([router, gateway])}
    assert bird_status.problems(report) == ["rt2_v4", "BFD 10.213.148.2"]


def test_protocols_are_enabled_and_disabled_and_twice_is_once(tmp_path: Path) -> None:
    with stand_in(tmp_path / "ctl") as bird:
        control = bird_control.Bird(str(tmp_path / "ctl"))
        for _ in range(2):
            control.enable(("vip4", "vip6"))
            assert control.announced(("vip4", "vip6")) == {"vip4": True, "vip6": True}
        for _ in range(2):
            control.disable(("vip4", "vip6"))
            assert bird.up == {"vip4": False, "vip6": False}
        control.close()


def test_what_cannot_be_disabled_does_not_keep_the_others_announced(tmp_path: Path) -> None:
    with stand_in(tmp_path / "ctl", ("vip6",)) as bird:
        bird.up["vip6"] = True
        with pytest.raises(bird_control.Refused, match="9001"):
            bird_control.Bird(str(tmp_path / "ctl")).disable(("vip4", "vip6"))
        assert bird.up == {"vip6": False}


def test_a_bird_that_came_back_is_spoken_to_by_a_new_connection(tmp_path: Path) -> None:
    with stand_in(tmp_path / "ctl") as bird:
        control = bird_control.Bird(str(tmp_path / "ctl"))
        control.enable(("vip4",))
        bird.hang_up()
        with pytest.raises(OSError, match="BIRD does not answer"):
            control.enable(("vip4",))
        control.enable(("vip4",))


def test_without_a_socket_the_error_says_that_bird_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="BIRD does not answer"):
        bird_control.Bird(str(tmp_path / "none")).announced(("vip4",))
