"""What 1,000 requests cost the client that sends them: the load generator of the role s3-client beside boto3.

Processor seconds of one process each, against one server on loopback, with the same operations and sizes. At 3.33 s a
core carries 300 requests a second.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench.rows import ROOT, Row, alone, beside

ADDRESS = "127.66.0.4"
REQUESTS, SECONDS, OBJECTS, SIZE = 3_000, 10.0, 40, 1024
OPERATIONS = {"GET": 70.0, "PUT": 20.0, "HEAD": 5.0, "DELETE": 5.0}
FILES = ROOT / "systems" / "roles" / "s3-client" / "files"


def driving() -> list[Row]:
    """Rows for connections that are kept, and for one with each request, which boto3 cannot be told to do."""
    with tempfile.TemporaryDirectory() as folder:
        kept = beside(
            "s3-client drive, 1,000 requests, processor",
            lambda: _apart("kept", folder),
            "boto3, one request after the other",
            _boto3_version(),
            lambda: _apart("boto3", folder),
        )
        return [kept, alone("s3-client drive, each with a connection", _apart("new", folder))]


def _apart(what: str, folder: str) -> float:
    """Measured in a process of its own, with a server of its own."""
    argv = [sys.executable, "-m", "tests.bench.driving", what, tempfile.mkdtemp(dir=folder)]
    ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    if ended.returncode != 0:
        raise SystemExit(f"bench: driving {what} failed\n{ended.stderr[-2000:]}")
    return float(ended.stdout)


def _boto3_version() -> str:
    import boto3

    return str(boto3.__version__)


def processor(work: Callable[[], object]) -> float:
    """Seconds that all threads of this process computed meanwhile."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _drive(service: Any, connections: str) -> None:
    from s3_drive import Way, drive
    from s3_profile import Profile
    from s3_tally import document

    profile = Profile(
        rate=REQUESTS / SECONDS, arrival="constant", connections=connections, objects=OBJECTS, operations=OPERATIONS
    )
    found: Any = document(*drive(Way(service, (ADDRESS,)), profile, SECONDS, 1.0, stream=False))
    if found["failed"] or found["sent"] != REQUESTS:
        raise SystemExit(json.dumps(found))


def _boto3(service: Any) -> Callable[[], None]:
    import boto3
    from botocore.config import Config

    client: Any = boto3.client(
        "s3", endpoint_url=f"https://{ADDRESS}", verify=False, region_name="us-east-1", aws_access_key_id="lab",
        aws_secret_access_key="lab-secret-key",
        config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
    )  # fmt: skip
    client.create_bucket(Bucket="bench")
    body, keys = bytes(SIZE), [str(number) for number in range(OBJECTS)]
    for key in keys:
        client.put_object(Bucket="bench", Key=key, Body=body)

    def work() -> None:
        dice = random.Random(1)  # which request comes next is no secret
        for what in dice.choices(list(OPERATIONS), list(OPERATIONS.values()), k=REQUESTS):
            key = dice.choice(keys)
            if what == "GET":
                client.get_object(Bucket="bench", Key=key)["Body"].read()
            elif what == "HEAD":
                client.head_object(Bucket="bench", Key=key)
            elif what == "DELETE":
                client.delete_object(Bucket="bench", Key=f"none-{key}")
            else:
                client.put_object(Bucket="bench", Key=key, Body=body)

    return work


def main(what: str, folder: Path) -> None:
    """Print the seconds of one of `kept`, `new` and `boto3`."""
    sys.path.insert(0, str(FILES))
    from tests.lab.s3tls import versitygw_with_tls

    with versitygw_with_tls(folder, ADDRESS) as (service, _):
        work = _boto3(service) if what == "boto3" else lambda: _drive(service, what)
        print(processor(work) * 1_000 / REQUESTS)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
