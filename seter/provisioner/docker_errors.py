"""What the Docker SDK raises, as errors of ours that say what was being done and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import docker.errors
from requests.exceptions import RequestException

from common.errors import BadInput, Denied, Error, Missing, NotFound, Unavailable


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Docker's errors as ours, saying what was being done."""
    try:
        yield
    except docker.errors.NotFound as error:
        raise NotFound(f"{what}: {error.explanation}", resolution="Run seter deploy; it makes what is gone.") from error
    except docker.errors.APIError as error:
        raise Error(
            f"{what}: Docker refused: {error.explanation}",
            resolution="Mend what Docker says and run the command again; it takes up where this one stopped.",
        ) from error
    except (RequestException, docker.errors.DockerException) as error:
        raise _unreachable(what, error) from error


@contextmanager
def running(container: str) -> Iterator[None]:
    """What only a running container can do. Raises NotFound for one that does not run."""
    try:
        yield
    except docker.errors.APIError as error:
        if error.status_code != 409:
            raise
        raise NotFound(f"{container} does not run", resolution="See seter status; seter deploy starts it.") from error


def _unreachable(what: str, error: Exception) -> Error:
    text = str(error)
    if "Invalid bind address" in text or "Bind address needs a port" in text:
        return BadInput(
            "DOCKER_HOST is no address of a Docker engine",
            details=text,
            resolution="Write it as unix:///var/run/docker.sock or tcp://HOST:PORT, or leave it unset.",
        )
    if "FileNotFoundError" in text or "No such file" in text:
        return Missing(
            "Docker is not installed, or its daemon does not run",
            details=text,
            resolution="Install it with: apt-get install docker.io; then start dockerd, or set DOCKER_HOST.",
        )
    if "PermissionError" in text or "Permission denied" in text:
        return Denied(
            "this user may not use Docker", details=text, resolution="Add the user to group docker, or become root."
        )
    return Unavailable(f"{what}: Docker does not answer", details=text, resolution="See that dockerd runs; try again.")
