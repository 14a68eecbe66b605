"""What the dashboards of s3-lb show: four of them, row by row."""

from __future__ import annotations

from dataclasses import dataclass

S3 = 'service="radosgw@file"'
AT = 'node=~"$node"'


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture: queries with what each line is called, `{{label}}` in it; `unit` is one of Grafana's."""

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"
    about: str = ""
    bad: float | None = None  # from here on it is red; for a small number that is bad, see `good`
    good: float | None = None  # below this it is red


@dataclass(frozen=True, slots=True)
class Dashboard:
    """`by_node` asks for the values of $node, which are those of the query's label `node`."""

    uid: str
    title: str
    rows: tuple[tuple[Panel, ...], ...]
    by_node: str = ""


def stat(
    title: str, query: str, unit: str = "short", *, about: str = "", bad: float | None = None, good: float | None = None
) -> Panel:
    """A number."""
    return Panel(title, ((query, ""),), unit, "stat", about, bad, good)


def graph(title: str, unit: str, *queries: tuple[str, str], about: str = "") -> Panel:
    """Lines over time."""
    return Panel(title, queries, unit, about=about)


def per_second(metric: str, labels: str = "", by: str = "node") -> str:
    """How fast a counter grows."""
    return f"sum by ({by}) (rate({metric}{{{labels}}}[$__rate_interval]))"


def quantile(share: float, metric: str, labels: str = "", by: str = "node") -> str:
    """Of a histogram."""
    grouped = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({grouped}) (rate({metric}_bucket{{{labels}}}[$__rate_interval])))"


def windows(record: str) -> tuple[tuple[str, str], ...]:
    """A recorded ratio in windows of different length, for each service."""
    return tuple((f"{record}{window}", f"{window} {{{{service}}}}") for window in ("5m", "1h", "6h", "3d"))


def mean(metric: str, labels: str = "") -> str:
    """Seconds that one takes on average."""
    return f"rate({metric}_sum{{{labels}}}[$__rate_interval]) / rate({metric}_count{{{labels}}}[$__rate_interval])"


OVERVIEW = Dashboard(
    "seter-overview",
    "S3 load balancer",
    (
        (
            stat("Gateways announced", "min(sum by (service) (health_announced))", good=2),
            stat("Fewest ways to a virtual IP", "min(bird_expected_prefix_ways)", good=2),
            stat("Alerts", 'count(ALERTS{alertstate="firing"}) or vector(0)', bad=1),
            stat("Answered without 5xx, 1 h", "1 - max(s3:errors:ratio_rate1h)", "percentunit", good=0.999),
            stat("Reads within 1.2 s, 1 h", "1 - max(s3:slow:ratio_rate1h)", "percentunit", good=0.99),
            stat("Life of the certificate left", "min(s3:certificate:left_ratio)", "percentunit", good=0.2),
        ),
        (
            graph(
                "Errors: how fast the budget burns",
                "percentunit",
                *windows("s3:errors:ratio_rate"),
                about="Share of requests answered with 5xx, in windows of different length",
            ),
            graph(
                "Slow reads: how fast the budget burns",
                "percentunit",
                *windows("s3:slow:ratio_rate"),
                about="Share of GET requests that take longer than 1.2 s",
            ),
        ),
        (
            graph(
                "Requests by answer", "reqps", (per_second("traefik_service_requests_total", S3, "code"), "{{code}}")
            ),
            graph("Requests by gateway", "reqps", (per_second("traefik_service_requests_total", S3), "{{node}}")),
            graph(
                "Time until answered",
                "s",
                *(
                    (quantile(share, "traefik_service_request_duration_seconds", S3, ""), name)
                    for share, name in ((0.5, "half"), (0.9, "9 of 10"), (0.99, "99 of 100"))
                ),
            ),
        ),
        (
            graph("Bytes to clients", "Bps", (per_second("traefik_service_responses_bytes_total", S3), "{{node}}")),
            graph("Bytes from clients", "Bps", (per_second("traefik_service_requests_bytes_total", S3), "{{node}}")),
            graph("Share of 5xx by gateway", "percentunit", ("s3:node_errors:ratio_rate5m", "{{node}}")),
        ),
        (
            graph("Ways to the virtual IPs", "short", ("bird_expected_prefix_ways", "{{node}} {{prefix}}")),
            graph("BGP sessions up", "short", ("sum by (node) (bird_bgp_up)", "{{node}}")),
            graph("A client's round trip", "s", ("s3_client_round_seconds", "{{vip}}")),
        ),
    ),
)
GATEWAY = Dashboard(
    "seter-gateway",
    "S3 gateway",
    (
        (
            stat("Announced", f"min(health_announced{{{AT}}})", good=1),
            stat("Serves S3", f"min(health_healthy{{{AT}}})", good=1),
            stat("Ring in place", f"min(second_chance_in_place{{{AT}}})", good=1),
            stat(
                "Behind etcd",
                f"max(traefik_guard_stored_revision{{{AT}}} - traefik_guard_applied_revision{{{AT}}})",
                bad=1,
                about="Revisions of the configuration that it has not applied",
            ),
            stat("Open connections", f'sum(traefik_open_connections{{{AT},entrypoint="https"}})'),
            stat("Configuration loaded", f"min(traefik_config_last_reload_success{{{AT}}})", "dateTimeFromNow"),
        ),
        (
            graph(
                "Requests by answer",
                "reqps",
                (per_second("traefik_service_requests_total", f"{AT},{S3}", "code"), "{{code}}"),
            ),
            graph(
                "Time until answered",
                "s",
                (quantile(0.5, "traefik_service_request_duration_seconds", f"{AT},{S3}"), "{{node}} half"),
                (quantile(0.99, "traefik_service_request_duration_seconds", f"{AT},{S3}"), "{{node}} 99 of 100"),
            ),
            graph(
                "Backends that its Traefik finds up",
                "short",
                (f"sum by (node) (traefik_service_server_up{{{AT}}})", "{{node}}"),
            ),
        ),
        (
            graph(
                "Checks by outcome",
                "cps",
                (per_second("health_checks_total", AT, "node, outcome"), "{{node}} {{outcome}}"),
            ),
            graph("Duration of a check", "s", (f"health_check_seconds{{{AT}}}", "{{node}}")),
            graph("Changes of the announcement", "short", (f"health_changes_total{{{AT}}}", "{{node}}")),
        ),
        (
            graph(
                "Packets handed on in the ring",
                "pps",
                (per_second("second_chance_packets_total", AT, "node, asked"), "{{node}} after {{asked}}"),
            ),
            graph(
                "Packets of nobody's flows", "pps", (per_second("second_chance_given_up_packets_total", AT), "{{node}}")
            ),
            graph("BFD sessions up", "short", (f"sum by (node) (bird_bfd_up{{{AT}}})", "{{node}}")),
        ),
        (
            graph(
                "Network",
                "Bps",
                (per_second("node_network_receive_bytes_total", f'{AT},device!="lo"'), "{{node}} received"),
                (per_second("node_network_transmit_bytes_total", f'{AT},device!="lo"'), "{{node}} sent"),
            ),
            graph("TCP segments sent again", "pps", (per_second("node_netstat_Tcp_RetransSegs", AT), "{{node}}")),
            graph(
                "Connections tracked, of those that can be",
                "percentunit",
                (f"node_nf_conntrack_entries{{{AT}}} / node_nf_conntrack_entries_limit", "{{node}}"),
            ),
        ),
    ),
    by_node="health_announced",
)
ETCD = Dashboard(
    "seter-etcd",
    "etcd of the load balancer",
    (
        (
            stat("Members that answer", 'sum(up{job="etcd"})', good=2),
            stat("Members that know a leader", "sum(etcd_server_has_leader)", good=2),
            stat("Changes of the leader, 1 d", "max(increase(etcd_server_leader_changes_seen_total[1d]))", bad=3),
            stat(
                "Stored, of the quota",
                "max(etcd_mvcc_db_total_size_in_bytes / etcd_server_quota_backend_bytes)",
                "percentunit",
                bad=0.8,
            ),
            stat("Revision", "max(etcd_debugging_mvcc_current_revision)"),
            stat("Keys", "max(etcd_debugging_mvcc_keys_total)"),
        ),
        (
            graph(
                "A write reaches the disk within (99 of 100)",
                "s",
                (quantile(0.99, "etcd_disk_wal_fsync_duration_seconds"), "{{node}}"),
            ),
            graph(
                "A commit takes (99 of 100)",
                "s",
                (quantile(0.99, "etcd_disk_backend_commit_duration_seconds"), "{{node}}"),
            ),
            graph(
                "Between members (99 of 100)",
                "s",
                (quantile(0.99, "etcd_network_peer_round_trip_time_seconds"), "{{node}}"),
            ),
        ),
        (
            graph(
                "Stored",
                "bytes",
                ("etcd_mvcc_db_total_size_in_bytes", "{{node}} on disk"),
                ("etcd_mvcc_db_total_size_in_use_in_bytes", "{{node}} in use"),
            ),
            graph(
                "Proposals",
                "cps",
                (per_second("etcd_server_proposals_committed_total"), "{{node}} committed"),
                (per_second("etcd_server_proposals_failed_total"), "{{node}} failed"),
            ),
            graph("Watchers", "short", ("etcd_debugging_mvcc_watcher_total", "{{node}}")),
        ),
        (
            graph(
                "Gateways: revision applied and stored",
                "short",
                ("traefik_guard_applied_revision", "{{node}} applied"),
                ("traefik_guard_stored_revision", "{{node}} stored"),
            ),
            graph("Trees refused", "short", ("traefik_guard_refused", "{{node}}")),
            graph("Guards that reach etcd", "short", ("traefik_guard_etcd_up", "{{node}}")),
        ),
    ),
)
STORAGE = Dashboard(
    "seter-storage",
    "Storage behind the load balancer",
    (
        (
            stat("RadosGW that answer", "sum(radosgw_up)", good=2),
            stat("Ceph: 0 well, 1 warns, 2 fails", "max(ceph_health_status)", bad=1),
            stat("OSDs up", "sum(ceph_osd_up)"),
            stat("OSDs in", "sum(ceph_osd_in)"),
            stat("Used", "max(ceph_cluster_total_used_bytes / ceph_cluster_total_bytes)", "percentunit", bad=0.75),
            stat("Objects", "sum(ceph_pool_objects)"),
        ),
        (
            graph("Requests at each RadosGW", "reqps", (per_second("radosgw_requests_total"), "{{node}}")),
            graph(
                "Answered with 4xx or 5xx",
                "reqps",
                (per_second("radosgw_failed_requests_total"), "{{node}}"),
                about="RadosGW does not tell apart what a client and what itself did wrong",
            ),
            graph(
                "Requests under way",
                "short",
                ("radosgw_active_requests", "{{node}}"),
                ("radosgw_queued_requests", "{{node}} wait"),
            ),
        ),
        (
            graph("Until the first byte of a read", "s", (mean("radosgw_get_wait_seconds"), "{{node}}")),
            graph("Until a write is acknowledged", "s", (mean("radosgw_put_wait_seconds"), "{{node}}")),
            graph("An operation in the cluster", "s", (mean("radosgw_operation_seconds"), "{{node}}")),
        ),
        (
            graph(
                "Bytes of objects",
                "Bps",
                (per_second("radosgw_get_bytes_total"), "{{node}} read"),
                (per_second("radosgw_put_bytes_total"), "{{node}} written"),
            ),
            graph("Operations that wait for late OSDs", "short", ("radosgw_laggy_operations", "{{node}}")),
            graph("OSDs commit within", "ms", ("ceph_osd_commit_latency_ms", "{{ceph_daemon}}")),
        ),
        (
            graph(
                "Stored in each pool",
                "bytes",
                ("ceph_pool_stored * on (pool_id) group_left (name) ceph_pool_metadata", "{{name}}"),
            ),
            graph("Placement groups that are not clean", "short", ("sum(ceph_pg_total - ceph_pg_clean)", "groups")),
            graph(
                "Disk free where nodes keep their state",
                "percentunit",
                ("node_filesystem_avail_bytes / node_filesystem_size_bytes", "{{node}}"),
            ),
        ),
    ),
)
DASHBOARDS = (OVERVIEW, GATEWAY, ETCD, STORAGE)
