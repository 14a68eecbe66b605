"""What both BIRD roles and the health agent install to speak to BIRD."""

from __future__ import annotations

from testinfra.host import Host


def test_the_library_that_speaks_to_bird_can_be_loaded(host: Host) -> None:
    said = host.run("cd /usr/local/lib/seter && python3 -c 'import bird_control'")
    assert said.rc == 0, said.stderr
