"""Container images: Ansible installs in a container of Packer's Docker builder, and what that changed is a layer.

Nothing is committed: `docker commit` mixes in how the build's container was run, and reading the layer back means
reading the whole image. The configuration is computed (`smie.image`). Decision: common/decisions, 0007.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from http import HTTPStatus
from pathlib import Path

import docker
import docker.errors
import requests
from docker.models.containers import Container

from common.errors import Unavailable
from common.files import file_digest, write_atomically
from naust.manifest import Blob, ContainerImage
from smie import otherwise
from smie.builder.bootstrap import STATUS, check, containers_own, root_layer
from smie.builder.interface import Builder, Parent, Work
from smie.image import base_config, labels, role_config
from smie.leftovers import LABEL
from smie.normal import deleted, normalise, whiteout
from smie.packer import CHANGES, LAYER, Template, built, docker_template, strategy, variables
from smie.parts import before, plays
from smie.recipe import Recipe
from smie.repository import MOUNTED, write_for_container

SOFTWARE = "/smie/software"
CHECKED = "smie-check"  # images that are being checked are smie-check:IDENTITY in the engine
# What root in the container may do beside what the role may: become the role's user, and read what is not root's.
LOOKING = ("DAC_READ_SEARCH", "SETGID", "SETPCAP", "SETUID")
REMOVED_WITHIN = 60  # seconds
LIMIT = 600  # seconds that the engine may be silent; committing a large image takes a while


@contextmanager
def engine() -> Iterator[docker.DockerClient]:
    """The Docker engine. Raises Unavailable."""
    try:
        client = docker.from_env(timeout=LIMIT)
        with closing(client):
            yield client
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise Unavailable(
            "the Docker engine does not do what was asked",
            details=str(error),
            resolution="See that it runs (`docker info`; start it with `dockerd &` or systemctl) and try again; "
            "install it with: apt-get install docker.io.",
        ) from error


class ContainerBuilder(Builder):
    """One image a role, on a base image or on another role's."""

    def programs(self, recipes: Sequence[Recipe]) -> tuple[str, ...]:
        # Ansible comes with smie, as a Python package.
        on_parents = ("packer",) if any(recipe.parent for recipe in recipes) else ()
        bases = ("mmdebstrap",) if any(recipe.parent is None for recipe in recipes) else ()
        return ("docker", *on_parents, *bases)

    def sweep(self, is_dead: Callable[[str], bool]) -> tuple[str, ...]:
        with engine() as client:
            return (*_remove(client, is_dead), *_forget(client, is_dead))

    def answers(self) -> None:
        with engine() as client:
            client.ping()

    def prepare(self, recipe: Recipe, work: Work) -> None:
        for name in ("home", "tmp"):
            (work.folder / name).mkdir(exist_ok=True)
        write_for_container(recipe, work.folder / "apt")
        write_atomically(work.folder / "ansible.cfg", "")
        role = recipe.roles[-1]
        made = plays(role.name, variables(role, SOFTWARE if work.software else ""), work.first)
        write_atomically(work.folder / "play.json", json.dumps(made, indent=2))

    def template(self, recipe: Recipe, work: Work) -> Template:
        mounts = {work.folder / "apt": "/smie/apt", recipe.index.pool: f"{MOUNTED}/pool"}
        mounts |= dict.fromkeys(work.software.values(), SOFTWARE)
        mounts |= otherwise.mounts(work.other)
        said, first = otherwise.inside(work.other), before(work.first)
        return docker_template(_parent(work).image, work.identity, mounts, work.packer, said, first)

    def environment(self, work: Work, scratch: Path, roles: Path) -> dict[str, str]:
        return super().environment(work, scratch, roles) | strategy() | otherwise.outside(work.other)

    def collect(self, recipe: Recipe, work: Work) -> ContainerImage:
        raw, changes = built(work.folder, (LAYER, CHANGES))
        parent, epoch, path = _parent(work), int(_date(recipe).timestamp()), work.folder / "layer.tar"
        whiteouts = (whiteout(name, epoch) for name in deleted(changes.read_text()))
        with raw.open("rb") as source, path.open("wb") as target:
            seen = normalise(source, target, epoch, added=whiteouts, watched={STATUS})
        raw.unlink()
        check(recipe, seen)
        layer = Blob(file_digest(path), path.stat().st_size, path=path)
        assert recipe.image is not None, "a role has an image block"
        said = labels(recipe.name, recipe.version, _date(recipe), (parent.name, parent.digest))
        config = role_config(parent.config, recipe.image, (layer.digest,), _date(recipe), recipe.name, said)
        return ContainerImage(config, (*parent.layers, layer))

    def entry(self, recipe: Recipe, work: Work) -> str:
        with engine() as client:
            found = client.containers.list(all=True, filters={"label": f"{LABEL}={work.identity}"})
            return f"docker exec --interactive --tty {found[0].short_id} bash" if found else ""

    def base(self, recipe: Recipe, work: Work) -> ContainerImage:
        layer = root_layer(recipe, work, containers_own(int(_date(recipe).timestamp())))
        said = labels(recipe.name, recipe.version, _date(recipe))
        config = base_config(layer.digest, _date(recipe), recipe.index.architecture, recipe.name, said)
        return ContainerImage(config, (layer,))


@contextmanager
def started(image: str, identity: str, capabilities: Sequence[str]) -> Iterator[str]:
    """A container of the image that only waits, as its id: without network, its root read-only, with these
    capabilities and few others. It is gone afterwards. Raises Unavailable."""
    with engine() as client:
        container = client.containers.run(
            image, ["infinity"], entrypoint="/bin/sleep", detach=True, user="0:0", working_dir="/",
            labels={LABEL: identity}, network_mode="none", read_only=True, tmpfs={"/run": "", "/tmp": "exec"},
            cap_drop=["ALL"], cap_add=sorted({*LOOKING, *capabilities}), security_opt=["no-new-privileges"],
            healthcheck={"test": ["NONE"]},
        )  # fmt: skip
        try:
            yield str(container.id)
        finally:
            gone(container)


def gone(container: Container) -> None:
    """With its volumes. Packer, or the engine by itself, may be just removing it (409, "already in progress"). Raises
    APIError."""
    try:
        container.remove(force=True, v=True)
    except docker.errors.NotFound:
        pass
    except docker.errors.APIError as error:
        if error.status_code != HTTPStatus.CONFLICT:
            raise
        with suppress(docker.errors.NotFound):
            container.wait(condition="removed", timeout=REMOVED_WITHIN)


def _parent(work: Work) -> Parent:
    assert work.parent is not None, "a role stands on something"
    return work.parent


def _date(recipe: Recipe) -> datetime:
    return recipe.index.date


def _remove(client: docker.DockerClient, is_ours: Callable[[str], bool]) -> Iterator[str]:
    for container in client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True):
        if is_ours(container.labels.get(LABEL, "")):
            gone(container)
            yield f"container {container.name}"


def _forget(client: docker.DockerClient, is_ours: Callable[[str], bool]) -> Iterator[str]:
    """Take away the names that images had while they were checked, and with them images that have no other."""
    # As the engine lists them: to look at each would fail for one that another smie is just taking away.
    for image in client.api.images(CHECKED):
        for name in image["RepoTags"] or ():
            repository, _, build = name.rpartition(":")
            if repository == CHECKED and is_ours(build):
                with suppress(docker.errors.NotFound):
                    client.images.remove(name)
                yield f"image {name}"
