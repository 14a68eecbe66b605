"""What an artefact with the S3 client has to be."""

from __future__ import annotations

import json

from testinfra.host import Host

from smie.checks.facts import RoleFacts
from smie.checks.fixtures import AsUser

PLACE = "/etc/seter/secrets/s3-client"
SETTINGS = {
    "services": [{"name": "main", "dns_name": "s3.example.test", "vips": ["192.0.2.10"]}],
    "interval": 1.0, "ca": f"{PLACE}/ca.crt",
    "access_key": f"{PLACE}/s3-access-key", "secret_key": f"{PLACE}/s3-secret-key", "metrics_port": 9552,
    "metrics_address": "127.0.0.1",
}  # fmt: skip
CHECK = "echo '%s' >$1/c.json; exec /usr/local/lib/seter/s3-client --config $1/c.json check-config"


def test_boto3_is_there_in_the_version_of_the_package(host: Host, role: RoleFacts) -> None:
    said = host.check_output("python3 -c 'import boto3; print(boto3.__version__)'")
    assert said == role.version.rpartition("-")[0].partition("+")[0]


def test_the_client_accepts_its_settings_and_refuses_others(as_user: AsUser, folder: str) -> None:
    good = as_user(CHECK % json.dumps(SETTINGS), folder)
    assert good.rc == 0, good.stderr
    bad = {name: value for name, value in SETTINGS.items() if name != "services"}
    assert as_user(CHECK % json.dumps(bad), folder).rc == 2


def test_a_profile_is_made_of_a_log_and_driven_nowhere_in_vain(as_user: AsUser, folder: str) -> None:
    """The programs of a drive are there and fit this Python; the service that it asks for is not."""
    line = {"StartUTC": "2026-11-24T22:00:00Z", "RequestMethod": "GET", "RequestPath": "/bucket/key",
            "RequestHost": "s3.example.test", "DownstreamStatus": 200, "DownstreamContentSize": 5000}  # fmt: skip
    made = as_user(f"echo '{json.dumps(line)}' | /usr/local/lib/seter/s3-client profile --from-log -", folder)
    assert json.loads(made.stdout)["operations"] == {"GET": 1.0}, made.stderr
    wrong = f"echo '{json.dumps(SETTINGS)}' >$1/c.json; echo '{{\"rate\": 0}}' >$1/p.json; "
    drive = "exec /usr/local/lib/seter/s3-client --config $1/c.json drive --profile $1/p.json"
    refused = as_user(wrong + drive, folder)
    assert refused.rc == 2 and "rate is 0" in refused.stderr, refused.stderr
