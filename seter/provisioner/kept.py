"""What a node that is a container can go back to while a roll-out lasts, and the scripts that switch its files.

Files: `before/` in /etc/seter has the links and marks as they were, and ids of the containers that ran. Processes: a
container that has to make room is stopped and gets another name, and is started again if the node goes back. So what
comes back is the very thing that ran, whatever has become of definitions, store or whoever began the roll-out.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from common.errors import Error, NotFound
from seter.provisioner import labels
from seter.provisioner.docker_errors import translated
from seter.provisioner.interface import Answer
from seter.provisioner.labels import Listed
from seter.tree import BEFORE, KEPT_LIST, LIFE, ROOT, folders_archive, read_stream

NODE_WITHIN = 1  # seconds that the container of a node itself gets to stop
RUN_MODE = 0o770  # of what is below /run

# $@ ids of containers. What is kept is there when its last file is, in a folder that comes by rename.
KEEP = f"""cd {ROOT} && [ ! -f {KEPT_LIST} ] || exit
rm -rf {BEFORE} before.next && mkdir before.next && cp -P now secrets before.next &&
for marks in loaded cluster; do mkdir before.next/$marks; [ ! -d $marks ] || cp -a $marks before.next; done &&
find /run -mindepth 1 -maxdepth 1 -type d -printf '%f %U\\n' >before.next/run &&
printf '%s\\n' "$@" >before.next/containers && mv -T before.next {BEFORE}"""

# Leaves a list of the roles that have read other files since. Links that were laid and not switched to may lie there:
# cp(1) follows such a one into its folder, but for -T.
BACK = f"""cd {ROOT} && [ -d "$(readlink {BEFORE}/now)" ] && [ -d "$(readlink {BEFORE}/secrets)" ] || exit
for link in now secrets; do
    cp -PT --remove-destination {BEFORE}/$link $link.next && mv -T $link.next $link || exit
done
for role in $(ls loaded {BEFORE}/loaded | sort -u); do
    cmp -s loaded/$role {BEFORE}/loaded/$role || echo $role
done >{BEFORE}/reread"""
FORGET = f"""cd {ROOT} && rm -f {KEPT_LIST} && rm -rf {BEFORE} && vault=$(readlink secrets) &&
for old in vault/*; do [ "$old" = "$vault" ] || rm -rf "$old"; done"""
# $1 this life of the node, $2 the one that its processes were started for.
LIVES_ON = f"""cd {ROOT} && printf '%s %s\\n' "$1" "$2" >{LIFE}.next && mv {LIFE}.next {LIFE}"""
MARKS_BACK = f"cd {ROOT} && rm -rf loaded && cp -a {BEFORE}/loaded loaded"

Run = Callable[[str, Sequence[str]], Answer]  # (container, argv), as root


class Engine(Protocol):
    """What of the SDK's client is needed."""

    def containers(self, *, all: bool, filters: object) -> Sequence[Listed]:
        """Containers, as a list tells of them."""
        ...

    def inspect_container(self, container: str) -> Mapping[str, Any]:
        """All that is known of one."""
        ...

    def get_archive(self, container: str, path: str) -> tuple[Iterable[bytes], object]:
        """A tar of what is there, in pieces."""
        ...

    def put_archive(self, container: str, path: str, data: bytes) -> bool:
        """Unpack a tar there."""
        ...

    def start(self, container: str) -> None:
        """It runs."""
        ...

    def stop(self, container: str, *, timeout: int) -> None:
        """It does not run."""
        ...

    def wait(self, container: str) -> Mapping[str, object]:
        """It has ended; its `StatusCode`."""
        ...

    def logs(self, container: str, *, tail: int) -> bytes:
        """What it printed last."""
        ...

    def rename(self, container: str, name: str) -> None:
        """It has another name."""
        ...

    def remove_container(self, container: str, *, force: bool) -> None:
        """It is gone."""
        ...


class Kept:
    """Of all nodes of one deployment. `mark` is the label of the deployment."""

    def __init__(self, api: Engine, mark: str, run: Run) -> None:
        self._api, self._mark, self._run = api, mark, run

    def keep(self, container: str, node: str) -> bool:
        """See `Provisioner.keep`. What an earlier roll-out was going to remove goes now."""
        with translated(f"keeping what runs on {node}"):
            if self._ids(container):
                return True
            there = [*self._parts(node, "role"), *self._parts(node, "node")]
            self._remove(one for one in there if labels.is_aside(one))
            ids = [one["Id"] for one in there if not labels.is_aside(one)]
            self._script(container, KEEP, f"what runs on {node} could not be kept", *ids)
            return bool(ids)

    def set_aside(self, container: str, node: str, role: str, within: int) -> None:
        """See `Provisioner.set_aside`."""
        with translated(f"stopping {role} on {node}"):
            kept = self._ids(container)
            for listed in self._parts(node, "role"):
                if listed["Labels"][labels.ROLE] == role and not labels.is_aside(listed):
                    self._end(listed, within)
                    if listed["Id"] in kept:
                        self._api.rename(listed["Id"], _name(listed) + labels.ASIDE)
                    else:
                        self._remove([listed])

    def set_node_aside(self, container: str, node: str) -> frozenset[str]:
        """Stop a node that is to be made anew, if it is kept; ids of all that is kept of it, which are not to be
        removed. One that an earlier roll-out made anew is not."""
        with translated(f"setting {node} aside"):
            kept = self._ids(container) if self._runs(container, node) else frozenset()
            for listed in self._parts(node, "node"):
                if listed["Id"] in kept and not labels.is_aside(listed):
                    self._end(listed, NODE_WITHIN)
                    self._api.rename(listed["Id"], _name(listed) + labels.ASIDE)
            return kept

    def _revive(self, container: str, node: str, within: Mapping[str, int]) -> None:
        """The node's own container from before runs again, if another was made; its roles are to be started."""
        nodes = self._parts(node, "node")
        aside = next((each for each in nodes if labels.is_aside(each)), None)
        if aside is None:
            return
        folders = self._words(container, f"{ROOT}/{BEFORE}/run")
        for listed in (*self._parts(node, "role"), *(each for each in nodes if each is not aside)):
            if not labels.is_aside(listed):
                self._end(listed, within.get(listed["Labels"].get(labels.ROLE, ""), NODE_WITHIN))
                self._remove([listed])
        earlier = life_of(self._api.inspect_container(aside["Id"]))
        self._api.start(aside["Id"])
        self._api.rename(aside["Id"], container)
        owners = [(name, int(uid)) for name, uid in zip(folders[::2], folders[1::2], strict=True)]
        self._api.put_archive(container, "/run", folders_archive(owners, RUN_MODE))
        this = life_of(self._api.inspect_container(container))
        self._script(
            container, LIVES_ON, f"{node} runs again, and its processes are not known as its own", this, earlier
        )

    def _runs(self, container: str, node: str) -> bool:
        return any(_name(one) == container and one["State"] == "running" for one in self._parts(node, "node"))

    def go_back(self, container: str, node: str, order: Sequence[tuple[str, int]]) -> tuple[str, ...]:
        """See `Provisioner.go_back`. A container gets its name back when it runs, so that a cut shows."""
        with translated(f"going back on {node}"):
            kept = self._ids(container)
            if not kept:
                return ()
            self._revive(container, node, dict(order))
            there = self._parts(node, "role")
            if kept - {listed["Id"] for listed in (*there, *self._parts(node, "node"))}:
                raise Error(f"{node} cannot go back: what ran before is gone", resolution="Deploy what is to run.")
            within, place = dict(order), {role: number for number, (role, _) in enumerate(order)}
            there.sort(key=lambda listed: place.get(listed["Labels"][labels.ROLE], -1))
            for listed in reversed(there):
                if listed["Id"] not in kept:
                    self._end(listed, within.get(listed["Labels"][labels.ROLE], 10))
                    self._remove([listed])
            self._script(container, BACK, f"files of {node} could not be put back")
            reread = self._words(container, f"{ROOT}/{BEFORE}/reread")
            stayed = [listed for listed in there if listed["Id"] in kept and not self._came_back(listed)]
            return tuple(role for role in reread if role in {listed["Labels"][labels.ROLE] for listed in stayed})

    def forget(self, container: str, node: str, *, gone_back: bool) -> bool:
        """See `Provisioner.forget`."""
        with translated(f"forgetting what ran on {node}"):
            kept = bool(self._ids(container))
            if kept and gone_back:
                self._script(container, MARKS_BACK, f"marks of {node} could not be put back")
            if kept:
                self._script(container, FORGET, f"what was kept on {node} stays")
            there = [*self._parts(node, "role"), *self._parts(node, "node")]
            self._remove(listed for listed in there if labels.is_aside(listed))
            return kept

    def _came_back(self, listed: Listed) -> bool:
        """It has run on: False. It runs again, or its task was done again: True. Raises Error."""
        if not labels.is_aside(listed) and (listed["State"] == "running" or _is_task(listed)):
            return False
        self._api.start(listed["Id"])
        if _is_task(listed) and (code := self._api.wait(listed["Id"])["StatusCode"]) != 0:
            raise Error(
                f"{_name(listed)} ended with status {code} when it was done again",
                details=self._api.logs(listed["Id"], tail=20).decode(errors="replace"),
                resolution="Mend what it says there and deploy.",
            )
        if labels.is_aside(listed):
            self._api.rename(listed["Id"], _name(listed).removesuffix(labels.ASIDE))
        return True

    def _parts(self, node: str, part: str) -> list[Listed]:
        filters = {"label": [self._mark, f"{labels.NODE}={node}", f"{labels.PART}={part}"]}
        return list(self._api.containers(all=True, filters=filters))

    def _ids(self, container: str) -> frozenset[str]:
        return frozenset(self._words(container, f"{ROOT}/{KEPT_LIST}"))

    def _words(self, container: str, path: str) -> list[str]:
        """Of a file; none if there is none. Not by a command: a busy engine loses what a short one prints."""
        try:
            with translated(f"reading {path}"):
                stream, _ = self._api.get_archive(container, path)
        except NotFound:
            return []
        sink = io.BytesIO()
        read_stream(stream, sink)
        return sink.getvalue().decode(errors="replace").split()

    def _end(self, listed: Listed, within: int) -> None:
        if listed["State"] in ("running", "restarting", "paused"):
            self._api.stop(listed["Id"], timeout=within)

    def _remove(self, listed: Iterable[Listed]) -> None:
        for one in listed:
            self._api.remove_container(one["Id"], force=True)

    def _script(self, container: str, text: str, failed: str, *words: str) -> None:
        answer = self._run(container, ["sh", "-c", text, "seter", *words])
        if answer.code != 0:
            raise Error(failed, details=answer.stderr, resolution="Deploy again.")


def life_of(seen: Mapping[str, Any]) -> str:
    """This life of a container."""
    return f"{seen['Id']}@{seen['State']['StartedAt']}"


def _name(listed: Listed) -> str:
    return str(listed["Names"][0]).lstrip("/")


def _is_task(listed: Listed) -> bool:
    return str(listed["Labels"].get(labels.TYPE)) == "oneshot"
