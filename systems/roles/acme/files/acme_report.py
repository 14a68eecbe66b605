"""What an agent says of itself: for `status`, for Prometheus."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import acme_policy
from acme_policy import Certificate
from acme_store import CERTIFICATE, Seen

LOW = 0.15  # of the lifetime: with less than this left something has to be done


@dataclass(slots=True)
class Known:
    """What is known; read by the server's threads."""

    enabled: bool
    seen: Seen | None = None
    leads: bool = False
    fault: str = ""

    def learn(self, seen: Seen, *, leads: bool) -> None:
        """etcd answered."""
        self.seen, self.leads, self.fault = seen, leads, ""

    def away(self, fault: str) -> None:
        """It did not."""
        self.leads, self.fault = False, fault

    def served(self) -> tuple[str, Certificate | None]:
        """Whose certificate clients get, "acme" or "deployment", and the certificate."""
        seen = self.seen
        if seen is None:
            return "none", None
        for issuer, text in (("acme", seen.over.get(CERTIFICATE, "")), ("deployment", seen.plain)):
            with suppress(ValueError, IndexError):
                return issuer, acme_policy.certificate(text)
        return "none", None

    def report(self) -> dict[str, Any]:
        """For `status`."""
        issuer, found = self.served()
        state = self.seen.state if self.seen is not None else None
        left = found.left(time.time()) if found is not None else 0.0
        told = {
            "ok": not self.fault and found is not None and left > LOW,
            "summary": self._summary(issuer, found),
            "enabled": self.enabled,
            "leader": self.seen.leader if self.seen is not None else "",
            "issuer": issuer,
            "names": sorted(found.names) if found is not None else [],
            "ends": iso(found.end) if found is not None else "",
            "life_left": round(left, 4),
        }
        if state is None or not self.enabled:
            return told
        order = self.seen is not None and self.seen.order is not None
        more = {"orders": state.orders, "failures": state.failures, "ordering": order, "last_error": state.last_error}
        times = {"success_at": state.last_success_at, "next_try": iso(state.next_try)}
        return told | more | times

    def _summary(self, issuer: str, found: Certificate | None) -> str:
        if self.fault or self.seen is None:
            return self.fault or "starts"
        until = f"until {iso(found.end)[:10]}" if found is not None else "no certificate"
        if not self.enabled:
            return f"off; the {issuer}'s own, {until}"
        place = "leads" if self.leads else f"follows {self.seen.leader}" if self.seen.leader else "nobody leads"
        state = self.seen.state
        trouble = f"; failed {state.failures}x: {state.last_error}" if state.failures else ""
        return f"{place}; {issuer}'s, {until}{trouble}"

    def metrics(self) -> str:
        """Prometheus text format 0.0.4."""
        rows = [
            ("acme_enabled", "gauge", "1 where a server is named", float(self.enabled)),
            ("acme_leader", "gauge", "1 on the node that orders for all", float(self.leads)),
            ("acme_etcd_up", "gauge", "1 while etcd answers", float(not self.fault and self.seen is not None)),
        ]
        issuer, found = self.served()
        if found is not None:
            label, now = f'{{issuer="{issuer}"}}', time.time()
            rows += [
                (f"acme_certificate_not_before_timestamp_seconds{label}", "gauge", "Its first second", found.start),
                (f"acme_certificate_not_after_timestamp_seconds{label}", "gauge", "Its last second", found.end),
                (f"acme_certificate_life_left_ratio{label}", "gauge", "The part of its life left", found.left(now)),
            ]
        if self.seen is not None and self.enabled:
            state = self.seen.state
            rows += [
                ("acme_orders_total", "counter", "Orders that servers were asked for", float(state.orders)),
                ("acme_failures", "gauge", "Failures in a row", float(state.failures)),
                ("acme_last_success_timestamp_seconds", "gauge", "When a certificate came last", state.last_success_at),
                ("acme_last_error_timestamp_seconds", "gauge", "When something failed last", state.last_error_at),
                ("acme_next_try_timestamp_seconds", "gauge", "Nothing is tried before", state.next_try),
            ]
        return "".join(line(*row) for row in rows)


def line(name: str, kind: str, about: str, value: float) -> str:
    """A metric with what it is."""
    bare = name.partition("{")[0]
    return f"# HELP {bare} {about}\n# TYPE {bare} {kind}\n{name} {value:.10g}\n"


def iso(moment: float) -> str:
    """A Unix time as text, "" for never."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds") if moment else ""
