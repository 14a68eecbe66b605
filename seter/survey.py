"""What is wanted, what is there, and the plan between the two. Changes nothing; `deploy`, `plan`, `status` start here.

definitions → artefacts → what is there → addresses → files (rendered only if something went in anew) → secrets → plan
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from common.console import Report
from common.errors import BadInput
from common.role import OnChange, Place, Process, Role
from common.system import Deployment, Node, Target
from seter import artifacts
from seter.ansible import Ansible
from seter.blueprint import Blueprint, Seat, known_group, process_block, read_blueprint, refuse_addresses, sysctls
from seter.keep import Keep, open_keep
from seter.lease import Claim
from seter.plan import Plan, make_plan
from seter.provisioner.interface import NodeShape, Provisioner
from seter.render import describe, make_work, render
from seter.secrets import Vault, Wish, open_vault, refuse_lost_vault
from seter.software import Software
from seter.software import resolve_all as resolve_software
from seter.state import NodeState, Observed, RoleState, Wanted, WantedGroup, WantedRole, digest_of
from seter.tree import File, NodeTree, files_digest, read_folder, tree_digest
from seter.variables import Map, Variables, certificate_names, metrics_targets, number, of_role, openings

if TYPE_CHECKING:
    from naust.store.interface import Store

# Kind of target → where its nodes come from.
PROVISIONERS = {
    "container": "seter.provisioner.container:ContainerProvisioner",
    "baremetal": "seter.provisioner.baremetal:BaremetalProvisioner",
}


@dataclass(frozen=True, slots=True)
class Request:
    """What the operator asked about."""

    deployment: Deployment
    systems: Path | None = None
    store: str | None = None
    only: str = ""  # a group; empty for all
    # What is done to the secrets before anything follows from them; kept when the plan that comes of it is carried out.
    redraw: Callable[[Vault], None] | None = None
    state: str | None = None  # where lease, secrets and history are; None for the default
    claim: Claim = field(default_factory=Claim)
    verb: str = "deploy"  # as the history has it
    pins: Mapping[str, str] = field(default_factory=dict)  # artefacts of an earlier run, by what they are called
    origin: str = ""  # the run whose definitions and artefacts these are
    saved: str = ""  # id of the saved plan that is carried out

    @property
    def keep(self) -> Keep:
        """What the deployment keeps between runs."""
        return open_keep(self.deployment, self.state)

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that may be changed; none for all."""
        return (self.only,) if self.only else ()

    # What is done to the plan, where what is asked for follows from no definition.
    adjust: Callable[[Plan, Wanted, Observed], Plan] | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """Everything that is known before anything is touched."""

    request: Request
    blueprint: Blueprint
    store: Store
    images: Mapping[str, artifacts.Image]
    vault: Vault
    provisioner: Provisioner
    observed: Observed
    map: Map
    variables: Mapping[str, Variables]
    shapes: Mapping[str, NodeShape]
    trees: Mapping[str, NodeTree]
    wanted: Wanted
    plan: Plan
    ansible: Ansible

    def image_of(self, seat: Seat) -> artifacts.Image:
        """What a seat's process runs from."""
        return self.images[seat.artifact]

    @property
    def keep(self) -> Keep:
        """What the deployment keeps between runs."""
        return self.request.keep

    def groups(self) -> dict[str, tuple[str, ...]]:
        """Names of each group's nodes."""
        return {group.name: group.nodes for group in self.wanted.groups}


def open_provisioner(blueprint: Blueprint, state: str | None, software: Software | None = None) -> Provisioner:
    """Where the nodes of the target come from. Raises BadInput for a kind that nobody provides."""
    return provisioner_of(blueprint.target.kind, open_keep(blueprint.deployment, state), blueprint.target, software)


def provisioner_of(
    kind: str, keep: Keep, target: Target | None = None, software: Software | None = None
) -> Provisioner:
    """Nodes of this kind; without a target those that are there."""
    if kind not in PROVISIONERS:
        kinds = ", ".join(PROVISIONERS)
        raise BadInput(f"nothing provides targets of kind {kind!r}", resolution=f"Kinds are: {kinds}.")
    module, _, name = PROVISIONERS[kind].partition(":")
    made = getattr(import_module(module), name).of(keep.deployment, keep.folder, target, software)
    assert isinstance(made, Provisioner)
    return made


def survey(request: Request, report: Report) -> Survey:
    """Look at everything. Raises what is wrong with definitions, artefacts, secrets, names or the engine."""
    from naust.store import open_store

    keep = request.keep
    blueprint = read_blueprint(request.deployment, request.systems)
    known_group(blueprint, request.only)
    refuse_addresses(blueprint.target)
    store = open_store(request.store)
    software = Software(blueprint.roles_folder.parent, request.store, blueprint.target.snapshot)
    images = _artifacts(blueprint, store, software, request.pins)
    vault = open_vault(keep.cells, str(request.deployment), keep.earlier)
    provisioner = open_provisioner(blueprint, request.state, software)
    observed = provisioner.observe(vault.key)
    refuse_lost_vault(vault, str(keep), list(observed.nodes))
    if request.redraw is not None:
        request.redraw(vault)
    _refuse_foreign(blueprint, provisioner)
    map = _make_map(blueprint, provisioner, observed)
    variables = {node.name: _variables(blueprint, map, node) for node in blueprint.nodes}
    ansible = Ansible(blueprint.roles_folder, report)
    rendered = _rendered(blueprint, variables, keep.folder / "rendered", ansible, report)
    trees = {node.name: _tree(blueprint, map, vault, rendered, node) for node in blueprint.nodes}
    shapes = {node.name: _shape(blueprint, map, images, node) for node in blueprint.nodes}
    wanted = _wanted(blueprint, map, vault, images, trees, shapes)
    plan = make_plan(wanted, observed, only=request.only)
    if request.adjust is not None:
        plan = request.adjust(plan, wanted, observed)
    return Survey(
        request, blueprint, store, images, vault, provisioner, observed, map, variables, shapes, trees, wanted, plan,
        ansible,
    )  # fmt: skip


def _artifacts(
    blueprint: Blueprint, store: Store, software: Software, pins: Mapping[str, str]
) -> dict[str, artifacts.Image]:
    """What processes run from: images that are pulled, or what is installed on hosts."""
    if blueprint.target.kind == "baremetal":
        return resolve_software(blueprint, software, pins)
    return artifacts.resolve_all(store, _references(blueprint), _named(blueprint), pins)


def _references(blueprint: Blueprint) -> list[str]:
    node_image = f"container/{blueprint.target.image}"
    return [node_image, *(seat.artifact for seat in blueprint.seats if seat.role.process is not None)]


def _named(blueprint: Blueprint) -> dict[str, Place]:
    """Where the system's file names an artefact itself instead of leaving it to the role's name."""
    uses = [use for group in blueprint.groups for use in group.roles if use.artifact]
    return {use.artifact: dict(use.places).get("artifact", use.place) for use in uses}


def _refuse_foreign(blueprint: Blueprint, provisioner: Provisioner) -> None:
    roles = {
        node.name: [seat.role.name for seat in blueprint.seats_of(node.name) if seat.role.process is not None]
        for node in blueprint.nodes
    }
    networks = [network.name for network in blueprint.target.networks]
    provisioner.refuse_foreign([node.name for node in blueprint.nodes], networks, roles)


def _make_map(blueprint: Blueprint, provisioner: Provisioner, observed: Observed) -> Map:
    subnets = {
        network.name: observed.networks.get(network.name)
        or provisioner.free_subnets(network.name, network.pool, network.length)
        for network in blueprint.target.networks
    }
    return Map(blueprint.known, number(blueprint.known, observed.places), subnets)


def _variables(blueprint: Blueprint, map: Map, node: Node) -> Variables:
    """Everything that templates and tasks of the node's roles may see."""
    groups = map.groups_from(node)
    seen: Variables = {
        "node": map.seen_from(node, node),
        "groups_of": groups,
        "deployment": str(blueprint.deployment),
        "metrics_targets": metrics_targets(map, node, blueprint.roles_of_groups()),
        "openings": openings([(seat.role, seat.parameters) for seat in blueprint.seats_of(node.name)], groups),
    }
    for seat in blueprint.seats_of(node.name):
        seen |= of_role(seat.role, seat.parameters, groups, seat.services)
    return seen


def _rendered(
    blueprint: Blueprint, variables: Mapping[str, Variables], store: Path, ansible: Ansible, report: Report
) -> dict[tuple[str, str], tuple[File, ...]]:
    """The files of each seat."""
    works = make_work(blueprint.seats, variables, store.resolve())
    if (event := describe(works)) is not None:
        report(event)
    render(works, variables, ansible)
    return {work.seat.key: read_folder(work.folder) for work in works}


def _tree(
    blueprint: Blueprint, map: Map, vault: Vault, rendered: Mapping[tuple[str, str], tuple[File, ...]], node: Node
) -> NodeTree:
    seats = blueprint.seats_of(node.name)
    files = {seat.role.name: rendered.get(seat.key, ()) for seat in seats}
    secrets = {seat.role.name: _secrets(blueprint, map, vault, seat) for seat in seats}
    processes = {seat.role.name: seat.role.process for seat in seats if seat.role.process is not None}
    return NodeTree(
        files,
        secrets,
        tree_digest(files),
        tree_digest(secrets, vault.key),
        state=tuple((role, process.uid) for role, process in processes.items()),
        run=_run_folders(processes.values()),
    )


def _run_folders(processes: Iterable[Process]) -> tuple[tuple[str, int], ...]:
    """Folders directly below /run that processes write to, and their owners."""
    return tuple(
        sorted(
            (Path(path).name, process.uid)
            for process in processes
            for path in process.writes
            if Path(path).parent == Path("/run")
        )
    )


def _secrets(blueprint: Blueprint, map: Map, vault: Vault, seat: Seat) -> tuple[File, ...]:
    files: dict[str, File] = {}
    for need in seat.role.secrets:
        names: list[str] = []
        if need.make == "certificate":
            for other in _sharers(blueprint, seat, need.name) if need.scope == "deployment" else (seat,):
                own = next(theirs for theirs in other.role.secrets if theirs.name == need.name)
                for service in ({}, *other.services.values()):
                    names += certificate_names(own.names, other.node, map, {**other.parameters, **service})
        given = str(seat.parameters.get(need.given, "")) if need.given else ""
        wish = Wish(seat.role, need, seat.node.name, tuple(dict.fromkeys(names)), given)
        files |= {file.path: file for file in vault.files(wish)}
    return tuple(sorted(files.values(), key=lambda file: file.path))


def _sharers(blueprint: Blueprint, seat: Seat, name: str) -> list[Seat]:
    """All seats whose roles share a secret of the deployment; its certificate covers the names of all."""
    return [
        other
        for other in blueprint.seats
        if any(need.name == name and need.scope == "deployment" for need in other.role.secrets)
    ]


def _shape(blueprint: Blueprint, map: Map, images: Mapping[str, artifacts.Image], node: Node) -> NodeShape:
    image = images[f"container/{blueprint.target.image}"].id if blueprint.target.image else ""
    networks = tuple((name, one["address"], one["address6"]) for name, one in map.addresses(node).items())
    settings = sysctls(node, (seat.role for seat in blueprint.seats_of(node.name)))
    place = map.places[node.name]
    digest = digest_of("shape 1", node.name, image, networks, settings)
    return NodeShape(node.name, node.group, place.index, place.number, image, networks, settings, digest)


def _wanted(
    blueprint: Blueprint,
    map: Map,
    vault: Vault,
    images: Mapping[str, artifacts.Image],
    trees: Mapping[str, NodeTree],
    shapes: Mapping[str, NodeShape],
) -> Wanted:
    nodes = {}
    for node in blueprint.nodes:
        tree = trees[node.name]
        roles = tuple(
            (seat.role.name, _role_state(seat, tree, images, vault.key)) for seat in blueprint.seats_of(node.name)
        )
        nodes[node.name] = NodeState(shapes[node.name].digest, tree.files_digest, tree.secrets_digest, roles)
    made = blueprint.target.networks if blueprint.target.kind != "baremetal" else ()
    networks = tuple(network.name for network in made)
    groups = tuple(_group(blueprint, map, group.name) for group in blueprint.groups)
    return Wanted(str(blueprint.deployment), networks, groups, nodes)


def _role_state(seat: Seat, tree: NodeTree, images: Mapping[str, artifacts.Image], key: bytes) -> RoleState:
    files = files_digest(tree.files.get(seat.role.name, ()))
    process = seat.role.process
    if process is None:
        return RoleState("", files, "", "")
    artifact = str(images[seat.artifact].artifact.digest)
    follows = process.on_change is not OnChange.NOTHING
    secrets = files_digest(_followed(seat.role, tree), key) if follows else ""
    start = digest_of("start 1", artifact, process_block(process), secrets)
    return RoleState(artifact, files, digest_of("process 1", start, files if follows else ""), start)


def _followed(role: Role, tree: NodeTree) -> list[File]:
    """The secrets that a process has read at its start and holds on to."""
    read_anew = [need.name for need in role.secrets if need.on_change is OnChange.NOTHING]
    passing = {f"{name}{end}" for name in read_anew for end in (".crt", ".key")}
    return [file for file in tree.secrets.get(role.name, ()) if file.path not in passing]


def _group(blueprint: Blueprint, map: Map, name: str) -> WantedGroup:
    group = blueprint.group(name)
    nodes: tuple[str, ...] = tuple(node.name for node in blueprint.nodes_of(name))
    roles = tuple(
        WantedRole(
            use.role.name,
            on_change=use.role.process.on_change if use.role.process else OnChange.NOTHING,
            reloads=bool(use.role.process and use.role.process.reload),
            has_process=use.role.process is not None,
            has_cluster_step=(use.role.folder / "tasks" / "cluster.yml").exists(),
        )
        for use in group.roles
    )
    first = min(nodes, key=lambda node: map.places[node].number)
    return WantedGroup(name, roles, nodes, first, withdraws=bool(group.withdraw), at_least=group.at_least)


def service_variables(survey: Survey, seat: Seat) -> Variables:
    """The variable `process` of the role `process`: all it needs to start this seat's process on its node."""
    process = seat.role.process
    state = survey.wanted.nodes[seat.node.name].role(seat.role.name)
    assert process is not None and state is not None
    own = survey.provisioner.started(*seat.key, process, state, survey.image_of(seat).id)
    return process_block(process) | {
        **own,
        "act": "start",
        "role": seat.role.name,
        "secrets": f"/etc/seter/secrets/{seat.role.name}",
        "listens": list(process.listens),
        "reads": list(process.reads),
        "reload": list(process.reload),
    }
