"""What is wanted, what is there, and the plan between the two. Changes nothing; `deploy`, `plan`, `status` start here.

definitions → artefacts → what is there → addresses → files (rendered only if something went in anew) → secrets → plan
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from common.console import Report
from common.errors import BadInput
from common.model import Event, Kind
from common.role import OnChange, Place, Role
from common.system import Deployment, Network, Node, Target
from seter import artifacts
from seter.ansible import Ansible
from seter.blueprint import Blueprint, Seat, known_group, process_block, read_blueprint, refuse_addresses, sysctls
from seter.keep import Keep, open_keep
from seter.lease import Claim
from seter.machine import machine_of, made_of
from seter.plan import Plan, make_plan
from seter.provisioner.interface import NodeShape, Provisioner
from seter.provisioner.parts import Parts
from seter.provisioner.remembered import Remembered, is_divided
from seter.recorded import left
from seter.render import Work, describe, make_work, render
from seter.revoked import refuse_revoked
from seter.scope import known, limited
from seter.secrets import Vault, open_vault, refuse_lost_vault
from seter.software import Software, refuse_pinned
from seter.software import resolve_all as resolve_software
from seter.state import NodeState, Observed, RoleState, Subnets, Wanted, WantedGroup, WantedRole, digest_of
from seter.tree import File, NodeTree, files_digest, read_folder
from seter.trees import make_tree
from seter.variables import (
    Map,
    Variables,
    largest_number,
    metrics_targets,
    number,
    of_role,
    openings,
)

if TYPE_CHECKING:
    from naust.store.interface import Store

# Kind of target → where its nodes come from.
PROVISIONERS = {
    "container": "seter.provisioner.container:ContainerProvisioner",
    "baremetal": "seter.provisioner.slots:SlotProvisioner",
    "virtual": "seter.provisioner.virtual:VirtualProvisioner",
}
UNRENDERED = "unrendered "  # stands for the digest of files that nobody knows yet


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
    limit: tuple[str, ...] = ()  # nodes; none for all
    role: str = ""  # empty for all
    recorded: bool = False  # compare with what the last run left, instead of looking
    despite_revoked: bool = False  # for looking at what runs
    render: bool = True  # else what is not rendered yet stays so, and nobody can tell what changes in it
    # What is done to the plan, where what is asked for follows from no definition.
    adjust: Callable[[Plan, Wanted, Observed], Plan] | None = None

    @property
    def keep(self) -> Keep:
        """What the deployment keeps between runs."""
        return open_keep(self.deployment, self.state)

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that may be changed; none for all."""
        return (self.only,) if self.only else ()


@dataclass(frozen=True, slots=True)
class Survey:
    """Everything that is known before anything is touched."""

    request: Request
    blueprint: Blueprint
    store: Store
    images: Mapping[str, artifacts.Image]
    vault: Vault
    opened: Provisioner | None  # None where nothing is looked at
    observed: Observed
    map: Map
    variables: Mapping[str, Variables]
    shapes: Mapping[str, NodeShape]
    trees: Mapping[str, NodeTree]
    wanted: Wanted
    plan: Plan
    ansible: Ansible
    inputs: Mapping[tuple[str, str], str]  # (node, role) → digest of what its files are rendered from
    basis: str  # what the plan compares with
    unrendered: frozenset[tuple[str, str]]  # (node, role) whose files nobody knows yet

    @property
    def provisioner(self) -> Provisioner:
        """Where nodes come from. Not for a survey that does not look."""
        assert self.opened is not None
        return self.opened

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
    keep, target = open_keep(blueprint.deployment, state), blueprint.target
    if is_divided(target) or Remembered(keep.folder).is_there:
        return parts(keep, target, software)
    return provisioner_of(target.kinds[0], keep, target, software)


def parts(keep: Keep, target: Target | None = None, software: Software | None = None) -> Provisioner:
    """Nodes on several engines, or of several kinds; without a target those that are there."""
    return Parts.made(
        keep.deployment, keep.folder, target, lambda kind, narrow: provisioner_of(kind, keep, narrow, software)
    )


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
    made.entrust(keep)
    return made


def survey(request: Request, report: Report) -> Survey:
    """Look at everything. Raises what is wrong with definitions, artefacts, secrets, names or the engine."""
    from naust.store import open_store

    keep = request.keep
    blueprint = read_blueprint(request.deployment, request.systems, request.state, lenient=request.despite_revoked)
    known_group(blueprint, request.only)
    known(blueprint, request.limit, request.role)
    refuse_addresses(blueprint.target)
    store = open_store(request.store)
    software = Software(blueprint.roles_folder.parent, request.store, blueprint.target.snapshot)
    images = _artifacts(blueprint, store, software, request)
    vault = open_vault(keep.cells, str(request.deployment), keep.earlier)
    before = left(keep) if request.recorded else None
    provisioner = None if before else open_provisioner(blueprint, request.state, software)
    observed = before.observed if before else _provided(provisioner).observe(vault.key)
    refuse_lost_vault(vault, str(keep), list(observed.nodes))
    if request.redraw is not None:
        request.redraw(vault)
    if provisioner is not None:
        _refuse_foreign(blueprint, provisioner)
    map = _make_map(blueprint, provisioner, observed)
    variables = {node.name: _variables(blueprint, map, node) for node in blueprint.nodes}
    ansible = Ansible(blueprint.roles_folder, report)
    works = make_work(blueprint.seats, variables, (keep.folder / "rendered").resolve())
    same = before.known(works) if before else {}
    due = [work for work in works if work.seat.key not in same]
    unrendered = {work.seat.key: f"{UNRENDERED}{work.digest}" for work in due if not request.render and work.is_due}
    same |= unrendered
    rendered = _rendered([work for work in due if work.seat.key not in same], variables, ansible, report)
    trees = {node.name: make_tree(blueprint, map, vault, rendered, same, node) for node in blueprint.nodes}
    for key, ends in vault.renewed.items():
        report(Event("renew", key, f"its certificate ends on {ends:%Y-%m-%d}, so a new one is made"))
    shapes = {node.name: _shape(blueprint, map, images, node) for node in blueprint.nodes}
    wanted = _wanted(blueprint, map, vault, images, trees, shapes)
    plan = limited(make_plan(wanted, observed, only=request.only), wanted, observed, request.limit, request.role)
    if request.adjust is not None:
        plan = request.adjust(plan, wanted, observed)
    return Survey(
        request, blueprint, store, images, vault, provisioner, observed, map, variables, shapes, trees, wanted, plan,
        ansible, {work.seat.key: work.digest for work in works}, str(before or "what is there now"),
        frozenset(unrendered),
    )  # fmt: skip


def _provided(provisioner: Provisioner | None) -> Provisioner:
    assert provisioner is not None
    return provisioner


def _artifacts(blueprint: Blueprint, store: Store, software: Software, request: Request) -> dict[str, artifacts.Image]:
    """What processes run from: images that are pulled, and what is installed on hosts or written to them."""
    kind_of, kinds = blueprint.target.kind_of, blueprint.target.kinds
    found = resolve_software(blueprint, software, request.pins) if "baremetal" in kinds else {}
    if found and not request.despite_revoked:
        refuse_revoked(store, {str(image.artifact.digest) for image in found.values()})
    written = [seat for seat in blueprint.seats if seat.node.written]
    refuse_pinned(written)
    others = [seat for seat in blueprint.seats if kind_of(seat.node) != "baremetal"]
    artifacts.refuse_others((seat for seat in others if kind_of(seat.node) == "virtual"), Kind.VM)
    names = [*(seat.artifact for seat in written), *(_references(blueprint, others) if others else ())]
    if not names:
        return found
    return found | artifacts.resolve_all(
        store, names, _named(blueprint), request.pins, despite_revoked=request.despite_revoked
    )


def _references(blueprint: Blueprint, seats: Sequence[Seat]) -> list[str]:
    nodes = [f"container/{blueprint.target.image}"] if blueprint.target.image else []
    return [*nodes, *(seat.artifact for seat in seats if seat.role.process is not None)]


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


def _make_map(blueprint: Blueprint, provisioner: Provisioner | None, observed: Observed) -> Map:
    networks = blueprint.target.networks
    subnets = {
        network.name: _given(network) or observed.networks.get(network.name) or _free(provisioner, network)
        for network in networks
    }
    largest = largest_number(network.length for network in networks)
    return Map(blueprint.known, number(blueprint.known, observed.places, largest), subnets)


def _given(network: Network) -> Subnets | None:
    """What the target says that it is."""
    return Subnets(network.prefix, network.prefix6) if network.prefix else None


def _free(provisioner: Provisioner | None, network: Network) -> Subnets:
    if provisioner is None:
        raise BadInput(
            f"nobody can tell which addresses network {network.name} will get: the last run did not have it",
            resolution="Plan without --recorded, which looks for free ones.",
        )
    return provisioner.free_subnets(network.name, network.pool, network.length)


def _variables(blueprint: Blueprint, map: Map, node: Node) -> Variables:
    """Everything that templates and tasks of the node's roles may see."""
    groups = map.groups_from(node)
    seen: Variables = {
        "node": map.seen_from(node, node),
        "groups_of": groups,
        "deployment": str(blueprint.deployment),
        "metrics_targets": metrics_targets(map, node, blueprint.roles_of_groups()),
        "openings": openings(
            [(seat.role, seat.parameters) for seat in blueprint.seats_of(node.name)], groups, map.memo
        ),
    }
    for seat in blueprint.seats_of(node.name):
        seen |= of_role(seat.role, seat.parameters, groups, seat.services)
    return seen


def _rendered(
    works: Sequence[Work], variables: Mapping[str, Variables], ansible: Ansible, report: Report
) -> dict[tuple[str, str], tuple[File, ...]]:
    """The files of each seat."""
    if (event := describe(works)) is not None:
        report(event)
    render(works, variables, ansible)
    return {work.seat.key: read_folder(work.folder) for work in works}


def _shape(blueprint: Blueprint, map: Map, images: Mapping[str, artifacts.Image], node: Node) -> NodeShape:
    image, machine = _node_image(blueprint, images, node), machine_of(blueprint.target, node)
    networks = tuple((name, one["address"], one["address6"]) for name, one in map.addresses(node).items())
    settings = sysctls(node, (seat.role for seat in blueprint.seats_of(node.name)))
    place = map.places[node.name]
    parts = ("shape 1", node.name, image, networks, settings)
    digest = digest_of(*parts) if machine is None else digest_of(*parts, made_of(machine))
    return NodeShape(node.name, node.group, place.index, place.number, image, networks, settings, digest, machine)


def _node_image(blueprint: Blueprint, images: Mapping[str, artifacts.Image], node: Node) -> str:
    """What the node itself is made of: an engine's image, or a disk by its digest."""
    kind = blueprint.target.kind_of(node)
    if kind == "virtual":
        disk = images[f"{Kind.VM}/{blueprint.system.name}.{node.group}"].artifact
        return f"{Kind.VM}/{disk.reference.name}@{disk.digest}"
    is_made = blueprint.target.image and kind != "baremetal"
    return images[f"container/{blueprint.target.image}"].id if is_made else ""


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
        seats = blueprint.seats_of(node.name) if node.written else ()
        system = str(images[seats[0].artifact].artifact.digest) if seats else ""
        digests = shapes[node.name].digest, tree.files_digest, tree.secrets_digest
        nodes[node.name] = NodeState(*digests, roles, system=system)
    networks = tuple(network.name for network in blueprint.target.made_networks())
    groups = tuple(_group(blueprint, map, group.name) for group in blueprint.groups)
    return Wanted(str(blueprint.deployment), networks, groups, nodes)


def _role_state(seat: Seat, tree: NodeTree, images: Mapping[str, artifacts.Image], key: bytes) -> RoleState:
    files = tree.digests[seat.role.name]
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
