"""What Traefik 3.7 takes as dynamic configuration from a key-value store, and what is wrong with a tree of it.

One unknown key or one value of the wrong type makes Traefik refuse everything, and a wrong value of the right type (a
strategy that does not exist, no attempts to retry) makes it answer 404 to everybody at once. So a tree is checked here,
keys and values, before anything reaches etcd. Only keys that we have tried are known; add one when a tree needs it.

Sources: doc.traefik.io, "KV configuration reference" and "Rules & priority", version 3.7.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from urllib.parse import urlsplit

Check = Callable[[str], str]  # a value → what is wrong with it, or ""

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
INDEX = re.compile(r"[0-9]+")
DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ns|us|µs|ms|s|m|h))+")
TOKEN = re.compile(r"\s*(?:(&&|\|\||[!(),])|([A-Za-z]+)|`([^`]*)`|\"((?:[^\"\\]|\\.)*)\")")
MATCHERS = {  # name → how many arguments: at least, at most
    "Host": (1, 1),
    "HostRegexp": (1, 1),
    "Path": (1, 1),
    "PathPrefix": (1, 1),
    "PathRegexp": (1, 1),
    "Method": (1, 1),
    "Header": (2, 2),
    "HeaderRegexp": (2, 2),
    "Query": (1, 2),
    "QueryRegexp": (1, 2),
    "ClientIP": (1, 1),
}


def text(value: str) -> str:
    """Anything but nothing."""
    return "" if value else "it is empty"


def flag(value: str) -> str:
    """`true` or `false`."""
    return "" if value in ("true", "false") else "it must be true or false"


def count(value: str) -> str:
    """A whole number, 0 or more, that fits 31 bits."""
    return "" if re.fullmatch(r"[0-9]{1,9}", value) else "it must be a whole number from 0 to 999999999"


def positive(value: str) -> str:
    """A whole number, 1 or more."""
    return count(value) or ("it must be at least 1" if int(value) == 0 else "")


def kept(value: str) -> str:
    """How many connections are kept, 1 or more, or -1 for none (net/http, Transport: 0 would be two)."""
    return "" if value == "-1" else positive(value)


def duration(value: str) -> str:
    """A duration with its unit, more than nothing."""
    if not DURATION.fullmatch(value):
        return "it must be a duration with a unit, such as 250ms or 12h"
    return "" if re.search(r"[1-9]", value) else "it must be longer than nothing"


def path(value: str) -> str:
    """The path of a URL."""
    return "" if re.fullmatch(r"/[!-~]*", value) else "it must start with / and hold no blanks"


def server_url(value: str) -> str:
    """Where a server listens: scheme, host, maybe a port, nothing else."""
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"it is no URL: {error}"
    if parts.scheme not in ("http", "https", "h2c") or not host:
        return "it must read http://HOST:PORT"
    bare = value == f"{parts.scheme}://{parts.netloc}" and "@" not in parts.netloc
    return "" if bare else "it must end after the port"


def status(value: str) -> str:
    """An HTTP status."""
    return "" if re.fullmatch(r"[1-5][0-9]{2}", value) else "it must be an HTTP status from 100 to 599"


def statuses(value: str) -> str:
    """An HTTP status, or all from one to another, as text: Traefik takes no number here."""
    first, _, last = value.partition("-")
    return status(first) or (status(last) if "-" in value else "")


def name(value: str) -> str:
    """The name of something, `NAME` or `NAME@PROVIDER`."""
    own, _, provider = value.partition("@")
    good = NAME.fullmatch(own) and (not provider or NAME.fullmatch(provider)) and not value.endswith("@")
    return "" if good else "it must be a name, or NAME@PROVIDER"


def pem(kind: str) -> Check:
    """Text in PEM that holds a thing of this kind."""
    whole = re.compile(rf"-----BEGIN ((?:[A-Z]+ )?{kind})-----\s[A-Za-z0-9+/=\s]+-----END \1-----")
    return lambda value: "" if whole.search(value) else f"it holds no {kind.lower()} in PEM"


def one_of(*choices: str) -> Check:
    """One of these words."""
    return lambda value: "" if value in choices else f"it must be one of {', '.join(choices)}"


def prefix(value: str) -> str:
    """An address or a prefix."""
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return "it must be an address or a prefix"
    return ""


def matcher_problem(matcher: str, arguments: list[str]) -> str:
    """What is wrong with one matcher of a rule, or ""."""
    if matcher not in MATCHERS:
        return f"there is no matcher {matcher}"
    least, most = MATCHERS[matcher]
    if not least <= len(arguments) <= most:
        return f"{matcher} takes {least if least == most else f'{least} or {most}'} arguments, not {len(arguments)}"
    last = arguments[-1]
    if matcher.endswith("Regexp"):
        try:
            re.compile(last)
        except re.error as error:
            return f"{last!r} is no regular expression: {error}"
    if matcher == "ClientIP":
        return prefix(last) and f"{last!r} is neither an address nor a prefix"
    if matcher == "Host" and not re.fullmatch(r"[!-)+-~]+", last):
        return f"{last!r} is no host name"
    if matcher in ("Path", "PathPrefix") and not last.startswith("/"):
        return f"the path {last!r} does not start with /"
    return ""


class RuleParser:
    """Reads `Host(`a`) && (PathPrefix(`/x`) || !Method(`PUT`))`; raises ValueError."""

    def __init__(self, rule: str) -> None:
        self.tokens = list(self.split(rule))
        self.at = 0

    @staticmethod
    def split(rule: str) -> Iterator[tuple[str, str]]:
        """Kind (`sign`, `word` or `text`) and text of each token."""
        position, end = 0, len(rule.rstrip())
        while position < end:
            found = TOKEN.match(rule, position)
            if not found:
                raise ValueError(f"{rule[position:].strip()[:20]!r} is not understood")
            position = found.end()
            sign, word, raw, quoted = found.groups()
            yield ("sign", sign) if sign else ("word", word) if word else ("text", raw if raw is not None else quoted)

    def next(self, *wanted: str) -> str:
        """Step over the next token when it is one of these signs; "" when not."""
        if self.at < len(self.tokens) and self.tokens[self.at][0] == "sign" and self.tokens[self.at][1] in wanted:
            self.at += 1
            return self.tokens[self.at - 1][1]
        return ""

    def take(self, kind: str, what: str) -> str:
        """Step over a token of this kind."""
        if self.at >= len(self.tokens) or self.tokens[self.at][0] != kind:
            raise ValueError(f"{what} is missing after {self.at} parts of the rule")
        self.at += 1
        return self.tokens[self.at - 1][1]

    def must(self, sign: str) -> None:
        """Step over this sign."""
        if not self.next(sign):
            raise ValueError(f"{sign!r} is missing after {self.at} parts of the rule")

    def whole(self) -> None:
        """The whole rule."""
        self.expression()
        if self.at != len(self.tokens):
            raise ValueError(f"{self.tokens[self.at][1]!r} does not belong where it stands")

    def expression(self) -> None:
        """Terms joined by && and ||."""
        self.term()
        while self.next("&&", "||"):
            self.term()

    def term(self) -> None:
        """`!` term, an expression in parentheses, or a matcher with its arguments."""
        if self.next("!"):
            return self.term()
        if self.next("("):
            self.expression()
            return self.must(")")
        matcher = self.take("word", "a matcher")
        self.must("(")
        arguments = [self.take("text", "an argument in quotes")]
        while self.next(","):
            arguments.append(self.take("text", "an argument in quotes"))
        self.must(")")
        if problem := matcher_problem(matcher, arguments):
            raise ValueError(problem)
        return None


def rule(value: str) -> str:
    """A rule that says which requests a router takes."""
    try:
        RuleParser(value).whole()
    except ValueError as error:
        return str(error)
    return ""


TLS_VERSION = one_of("VersionTLS10", "VersionTLS11", "VersionTLS12", "VersionTLS13")
# `*` stands for a name, `#` for a place in a list.
KEYS: dict[str, Check] = {
    "http/routers/*/rule": rule,
    "http/routers/*/service": name,
    "http/routers/*/priority": positive,
    "http/routers/*/entryPoints/#": name,
    "http/routers/*/middlewares/#": name,
    "http/routers/*/tls": flag,
    "http/routers/*/tls/options": name,
    "http/middlewares/*/retry/attempts": positive,
    "http/middlewares/*/retry/initialInterval": duration,
    "http/middlewares/*/retry/status/#": statuses,
    "http/middlewares/*/retry/disableRetryOnNetworkError": flag,
    "http/middlewares/*/retry/maxRequestBodyBytes": positive,
    "http/middlewares/*/buffering/maxRequestBodyBytes": positive,
    "http/middlewares/*/buffering/memRequestBodyBytes": positive,
    "http/middlewares/*/buffering/memResponseBodyBytes": positive,
    "http/middlewares/*/inFlightReq/amount": positive,
    "http/middlewares/*/ipAllowList/sourceRange/#": prefix,
    "http/middlewares/*/redirectScheme/scheme": one_of("http", "https"),
    "http/middlewares/*/redirectScheme/permanent": flag,
    "http/middlewares/*/headers/customRequestHeaders/*": lambda value: "",
    "http/middlewares/*/headers/customResponseHeaders/*": lambda value: "",
    "http/services/*/loadBalancer/strategy": one_of("wrr", "p2c", "hrw", "leasttime"),
    "http/services/*/loadBalancer/passHostHeader": flag,
    "http/services/*/loadBalancer/serversTransport": name,
    "http/services/*/loadBalancer/servers/#/url": server_url,
    "http/services/*/loadBalancer/servers/#/weight": count,
    "http/services/*/loadBalancer/healthCheck/path": path,
    "http/services/*/loadBalancer/healthCheck/interval": duration,
    "http/services/*/loadBalancer/healthCheck/unhealthyInterval": duration,
    "http/services/*/loadBalancer/healthCheck/timeout": duration,
    "http/services/*/loadBalancer/healthCheck/status": status,
    "http/services/*/loadBalancer/passiveHealthCheck/failureWindow": duration,
    "http/services/*/loadBalancer/passiveHealthCheck/maxFailedAttempts": positive,
    "http/services/*/weighted/services/#/name": name,
    "http/services/*/weighted/services/#/weight": count,
    "http/services/*/failover/service": name,
    "http/services/*/failover/fallback": name,
    "http/serversTransports/*/maxIdleConnsPerHost": kept,
    "http/serversTransports/*/disableHTTP2": flag,
    "http/serversTransports/*/serverName": text,
    "http/serversTransports/*/rootCAs/#": pem("CERTIFICATE"),
    "http/serversTransports/*/forwardingTimeouts/dialTimeout": duration,
    "http/serversTransports/*/forwardingTimeouts/responseHeaderTimeout": duration,
    "http/serversTransports/*/forwardingTimeouts/idleConnTimeout": duration,
    "tls/certificates/#/certFile": pem("CERTIFICATE"),
    "tls/certificates/#/keyFile": pem("PRIVATE KEY"),
    "tls/options/*/minVersion": TLS_VERSION,
    "tls/options/*/maxVersion": TLS_VERSION,
    "tls/options/*/sniStrict": flag,
    "tls/options/*/cipherSuites/#": text,
    "tls/options/*/alpnProtocols/#": text,
}
# A key whose value names something → where such things are.
REFERENCES = {
    "http/routers/*/service": "http/services",
    "http/routers/*/middlewares/#": "http/middlewares",
    "http/routers/*/tls/options": "tls/options",
    "http/services/*/loadBalancer/serversTransport": "http/serversTransports",
    "http/services/*/weighted/services/#/name": "http/services",
    "http/services/*/failover/service": "http/services",
    "http/services/*/failover/fallback": "http/services",
}
# Whoever has one key of a thing must have these.
NEEDED = {
    "http/routers/*": ("rule", "service"),
    "http/services/*/loadBalancer": ("servers/0/url",),
    "http/services/*/loadBalancer/servers/#": ("url",),
    "http/services/*/loadBalancer/healthCheck": ("path", "interval"),
    "http/services/*/weighted/services/#": ("name",),
    "http/services/*/failover": ("service", "fallback"),
    "http/middlewares/*/retry": ("attempts",),
    "tls/certificates/#": ("certFile", "keyFile"),
}


@cache
def form(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression."""
    parts = {"*": NAME.pattern, "#": INDEX.pattern}
    return re.compile("/".join(parts.get(part, re.escape(part)) for part in pattern.split("/")))


def pattern_of(key: str, patterns: Iterable[str]) -> str:
    """The pattern that this key has the form of, or ""."""
    return next((pattern for pattern in patterns if form(pattern).fullmatch(key)), "")


def key_problems(tree: Mapping[str, str]) -> Iterator[str]:
    """Unknown keys and wrong values."""
    for key, value in tree.items():
        pattern = pattern_of(key, KEYS)
        if not pattern:
            yield f"{key}: Traefik knows no such key, or we have not tried it"
        elif problem := KEYS[pattern](value):
            yield f"{key}: {problem}"


def reference_problems(tree: Mapping[str, str]) -> Iterator[str]:
    """Names of things that are not in the tree; what another provider has cannot be seen from here."""
    for key, value in tree.items():
        folder = REFERENCES.get(pattern_of(key, REFERENCES), "")
        known = value == "default" and folder == "tls/options"
        if folder and "@" not in value and not known and not any(at.startswith(f"{folder}/{value}/") for at in tree):
            yield f"{key}: there is no {folder}/{value} in the tree"


def below(tree: Mapping[str, str]) -> dict[str, list[str]]:
    """Everything that has keys below it, with those keys as they read from there."""
    found: dict[str, list[str]] = {}
    for key in sorted(tree):
        parts = key.split("/")
        for depth in range(1, len(parts)):
            found.setdefault("/".join(parts[:depth]), []).append("/".join(parts[depth:]))
    return found


def need_problems(folder: str, keys: Sequence[str]) -> Iterator[str]:
    """What a thing lacks, or that it is two things at once."""
    places = {re.sub(r"(?<=/)0+(?=/)", "0", key) for key in keys}  # a padded first place is the first place
    for needed in NEEDED.get(pattern_of(folder, NEEDED), ()):
        if needed not in places:
            yield f"{folder}: {needed} is missing"
    kinds = sorted({key.split("/")[0] for key in keys})
    if form("http/services/*").fullmatch(folder) and len(kinds) > 1:
        yield f"{folder}: it cannot be {' and '.join(kinds)} at once"


def list_problems(tree: Mapping[str, str], folder: str, keys: Sequence[str]) -> Iterator[str]:
    """A list with holes, with places of unequal width (Traefik sorts them as text), or with zero weights alone."""
    if not pattern_of(f"{folder}/0", LISTS):
        return
    places = sorted({place for key in keys if INDEX.fullmatch(place := key.split("/")[0])})
    if len({len(place) for place in places}) > 1:
        yield f"{folder}: pad the places of the list to one width, {', '.join(places)} sort as text"
    elif [int(place) for place in places] != list(range(len(places))):
        yield f"{folder}: the places of the list must count from 0 without a hole"
    weights = {tree[f"{folder}/{key}"] for key in keys if key.endswith("/weight")}
    if weights == {"0"}:
        yield f"{folder}: all weights are 0, so nothing is sent anywhere"


LISTS = sorted({pattern[: pattern.index("#") + 1] for pattern in KEYS if "#" in pattern})


def problems(tree: Mapping[str, str]) -> list[str]:
    """All that is wrong with a tree, keys relative to the root; sorted. An empty list is a good tree."""
    if not any(key.startswith("http/routers/") for key in tree):
        return ["the tree has no router: Traefik would answer 404 to everybody"]
    found = [*key_problems(tree), *reference_problems(tree)]
    for folder, keys in below(tree).items():
        found += [*need_problems(folder, keys), *list_problems(tree, folder, keys)]
    return sorted(found)


# The same as nested values, for Traefik's file provider, which takes numbers and flags for what they are.


def document(tree: Mapping[str, str]) -> dict[str, object]:
    """A good tree as Traefik's file provider reads it (doc.traefik.io, "File configuration reference")."""
    root: dict[object, object] = {}
    for key, value in sorted(tree.items()):
        pattern = pattern_of(key, KEYS)
        *folders, last = [
            int(part) if mark == "#" else part for part, mark in zip(key.split("/"), pattern.split("/"), strict=True)
        ]
        place = root
        for folder in folders:
            inner = place.setdefault(folder, {})
            assert isinstance(inner, dict), f"{key} is below a value"
            place = inner
        if pattern == "http/routers/*/tls":
            if value == "true":
                place.setdefault(last, {})
        else:
            place[last] = plain(KEYS[pattern], value)
    listed = with_lists(root)
    assert isinstance(listed, dict), "keys of the first level are names"
    return listed


def plain(check: Check, value: str) -> object:
    """A value of the kind that the check is for."""
    if check is flag:
        return value == "true"
    return int(value) if check in (count, positive, kept, status) else value


def with_lists(value: object) -> object:
    """Places become lists."""
    if not isinstance(value, dict):
        return value
    if value and all(isinstance(key, int) for key in value):
        return [with_lists(value[key]) for key in sorted(value)]
    return {key: with_lists(inner) for key, inner in value.items()}
