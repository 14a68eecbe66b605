"""The same requests over HTTP/2, by curl in the client's container: one connection, one stream after the other."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence

from tests.conftest import Running
from tests.lab.s3.sides import HOST, VIP
from tests.lab.s3.wire import Answer, Request

_END = "=end of an answer="
_CA = "/etc/seter/secrets/s3-client/ca.crt"


def exchange_all(running: Running, requests: Sequence[Request]) -> list[Answer]:
    """Their answers, in order. Bodies are text. The requests reach curl by its standard input, signatures with them."""
    client = f"s3-lb.container.{running.instance}.cl1.s3-client"
    argv = ["docker", "exec", "--interactive", "--user", "s3-client", client, "curl", "--config", "-"]
    script = "next\n".join(map(_section, requests))
    ended = subprocess.run(argv, input=script.encode(), capture_output=True, timeout=120)
    assert ended.returncode == 0, ended.stderr.decode()
    answers = [_answer(part) for part in ended.stdout.decode().split(_END)[:-1]]
    assert len(answers) == len(requests)
    return answers


def _section(request: Request) -> str:
    """curl(1), "--config": one request. `request-target` is sent as it is."""
    headers = [(name, value) for name, value in request.headers if name.lower() != "host"]
    host = dict(request.headers)["Host"]
    options = {
        "url": f"https://{HOST}/",
        "request-target": request.target,
        "connect-to": f"::{VIP}:443",
        "cacert": _CA,
        "max-time": "30",
        "write-out": "%{stderr}%{stdout}\\n%{http_version} %{response_code} %{header_json}" + _END,
    }
    lines = [f"{name} = {_quoted(value)}" for name, value in options.items()]
    lines += [f"header = {_quoted(f'{name}: {value}' if value else f'{name};')}" for name, value in headers]
    lines += [f'header = "Host: {host}"', "silent", "http2", "globoff"]
    lines += [f'header = "{name}:"' for name in ("Accept", "User-Agent") if name not in dict(headers)]
    if request.method == "HEAD":
        lines.append("head")
        lines.append('output = "/dev/null"')
    else:
        lines.append(f'request = "{request.method}"')
    if request.body or request.method in ("PUT", "POST"):
        lines.append(f"data-binary = {_quoted(request.body.decode())}")
        if "content-type" not in {name.lower() for name, _ in headers}:
            lines.append('header = "Content-Type:"')
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'.replace("\\\\n%{http_version}", "\\n%{http_version}")


def _answer(part: str) -> Answer:
    body, _, last = part.rpartition("\n2 ")
    assert last, f"not by HTTP/2: {part[-300:]}"
    status, _, fields = last.partition(" ")
    headers = {name: ", ".join(values) for name, values in json.loads(fields).items()}
    return Answer(int(status), headers, body.encode())
