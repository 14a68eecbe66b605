"""The shapes of the blocks of `role.hcl` that say what a role needs of others: secrets, and who reaches its ports."""

from __future__ import annotations

from collections.abc import Iterator

from common.role import OnChange, Opening, ParameterType, Role, SecretNeed
from common.schema import Setting, Shape
from common.values import Wrong, as_ports, as_text, did_you_mean, many, one_of, shown


def _secret_faults(secret: SecretNeed) -> Iterator[Wrong]:
    if secret.make != "certificate" and secret.on_change is OnChange.NOTHING:
        yield Wrong(f"a {secret.make} cannot be drawn anew while the process runs", "leave it out", "on_change")


SECRET = Shape(
    name="secret",
    summary="A secret file, `/etc/seter/secrets/ROLE/NAME` on the node; seter makes it once for a deployment",
    make=SecretNeed,
    label="name",
    label_summary="name of the file; the same name in several roles is the same secret",
    settings=(
        Setting(
            "make",
            "choice",
            one_of("certificate", "password", "cephx"),
            "`certificate` gives NAME.crt, NAME.key and ca.crt; `password` and `cephx` a file",
            True,
        ),
        Setting("scope", "choice", one_of("deployment", "node"), "One for all nodes (`deployment`) or one for each"),
        Setting(
            "names",
            "list of text",
            many(as_text),
            "Of a certificate: `node`, or parameters with names or addresses",
        ),
        Setting(
            "on_change",
            "choice",
            lambda literal: OnChange(one_of(OnChange.RESTART, OnChange.NOTHING)(literal)),
            "Of a certificate, when it is drawn anew: `restart`, or `nothing` if the process reads it for each "
            "connection; another ca.crt means restart",
        ),
        Setting(
            "given",
            "name",
            as_text,
            "The text parameter that may name the operator's own: a certificate with its key beside it, a password, "
            "or a Ceph key",
        ),
    ),
    faults=_secret_faults,
)

OPEN = Shape(
    name="open",
    summary="Ports that others reach; the role `firewall` of the node lets in who is named, and nobody else",
    make=Opening,
    label="name",
    label_summary="what they come for",
    settings=(
        Setting("ports", "list of ports", many(as_ports), "Ports, or a range as text: `6800-7300`", True),
        Setting("protocol", "choice", one_of("tcp", "udp"), "`tcp` or `udp`"),
        Setting(
            "from",
            "list of text",
            many(as_text),
            "`anyone`, or parameters with nodes or addresses",
            True,
            field="sources",
        ),
    ),
)


def need_faults(role: Role) -> Iterator[Wrong]:
    """What is wrong with a role's needs: names that are no parameters of the right kind, commands of no process."""
    parameters = {parameter.name for parameter in role.parameters}
    if role.process is None:
        for name in ("backup", "restore", "maintain"):
            if getattr(role, name):
                yield Wrong(f"{name} runs where the process runs, and there is none", "leave it out", name)
    for secret in role.secrets:
        for name in secret.names:
            if name != "node" and name not in parameters:
                known = {"node", *parameters}
                message = f'secret "{secret.name}": {shown(name)} is neither "node" nor a parameter of the role'
                yield Wrong(message, did_you_mean(name, known, "names here"))
        texts = {parameter.name for parameter in role.parameters if parameter.type is ParameterType.TEXT}
        if secret.given and secret.given not in texts:
            message = f'secret "{secret.name}": given = {shown(secret.given)} is no text parameter of the role'
            yield Wrong(message, did_you_mean(secret.given, texts, "text parameters"))
    hold = {
        parameter.name
        for parameter in role.parameters
        if parameter.type in (ParameterType.NODES, ParameterType.ADDRESS)
    }
    for opening in role.openings:
        for name in opening.sources:
            if name != "anyone" and name not in hold:
                message = f'open "{opening.name}": {shown(name)} is neither "anyone" nor a parameter with addresses'
                yield Wrong(message, did_you_mean(name, {"anyone", *hold}, "names here"))
