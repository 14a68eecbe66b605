"""What S3 clients get through the balancer is what RadosGW would have given them: two tables, compared cell by cell."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.conftest import Running
from tests.lab.s3 import table_buckets, table_keys, table_objects, table_web
from tests.lab.s3.compare import Cell, Table, differences
from tests.lab.s3.http2 import exchange_all
from tests.lab.s3.sides import Side, alike, sides, until_ready
from tests.lab.s3.table_http2 import requests

PARTS = (
    table_keys.keys, table_keys.wire, table_objects.bodies, table_objects.refusals, table_objects.queries,
    table_objects.reading, table_objects.fields, table_objects.many, table_objects.framing, table_buckets.listings,
    table_buckets.rules, table_buckets.versions, table_buckets.multipart, table_web.cors, table_web.forms,
    table_web.sites, table_web.hosts, table_web.others, table_keys.no_other_buckets,
)  # fmt: skip
# Cell → what differs there, and why. These are in the manual: systems/README.md, "What a client may notice".
PERMITTED = {
    # No request has an undelimited body (RFC 9112, 6.3): Traefik says that it is empty, which RadosGW wants to be told.
    "PUT without a length": {"status", "body", "content-type", "etag", "content-length"},
    "POST without a length": {"status", "body", "content-length"},
    # What Connection names is for the next hop and does not pass it (RFC 9110, 7.6.1).
    "Connection: x-amz-date": {"status", "body", "content-type", "etag", "content-length"},
    "Connection: x-amz-meta-a": {"status", "body", "content-type", "etag", "content-length"},
    # No name of a header (RFC 9110, 5.1): both answer 400, with other words.
    "field 13 {'x-amz-meta-ü': 'name'} | PUT": {"body", "content-type", "content-length"},
    # An answer without a body says nothing about the type of one (RFC 9110, 15.4.5).
    f"condition {{'If-None-Match': '{table_objects.ETAG}'}} | copy": {"content-type"},
}
# It depends on which is faster, the refusal or the question for the body.
SOMETIMES = {"Expect | wrong secret": {"interim"}, "Expect | no such bucket": {"interim"}}


@pytest.fixture(scope="module")
def both(running: Running, tmp_path_factory: pytest.TempPathFactory) -> tuple[Side, Side]:
    """RadosGW asked directly, and through the virtual IP."""
    found = alike(*sides(running, tmp_path_factory.mktemp("s3")))
    until_ready(found[0])
    return found


@pytest.fixture(scope="module")
def tables(both: tuple[Side, Side]) -> Iterator[tuple[Table, Table]]:
    """What both sides answer to all parts of the table."""
    with ThreadPoolExecutor(2) as pool:
        direct, balanced = pool.map(lambda side: Table(side).fill(PARTS), both)
    yield direct, balanced


def test_most_of_many_requests_are_carried_out(tables: tuple[Table, Table]) -> None:
    direct, balanced = tables
    assert len(direct.cells) > 1500 and direct.good() > 0.75 * len(direct.cells)
    assert abs(direct.good() - balanced.good()) <= len(PERMITTED)


def test_every_answer_is_the_same_through_the_balancer(tables: tuple[Table, Table]) -> None:
    found = differences(*tables)
    strange = {
        cell: [line for line in lines if line.partition(":")[0] not in (PERMITTED | SOMETIMES).get(cell, set())]
        for cell, lines in found.items()
    }
    assert {cell: lines for cell, lines in strange.items() if lines} == {}
    assert PERMITTED.keys() <= found.keys(), "a difference that is gone is not to be permitted"


def test_no_bucket_was_made_of_a_key(tables: tuple[Table, Table]) -> None:
    assert [table.cells["buckets that nobody made"].body for table in tables] == ["", ""]


def test_no_answer_is_cut_however_many_are_deleted_at_once(both: tuple[Side, Side]) -> None:
    """Of those without a reader of the whole request in Traefik, one of ten was cut."""
    _, balanced = both
    assert balanced.ask("PUT", "whole").status == 200
    for size in (10, 100, 300) * 20:
        text = "".join(f"<Object><Key>no {number}</Key></Object>" for number in range(size))
        answer = balanced.ask("POST", "whole", None, "delete", body=f"<Delete>{text}</Delete>".encode())
        assert (answer.status, answer.error, answer.text.count("<Deleted>")) == (200, "", size)


def test_over_http2_every_answer_is_what_radosgw_gives_over_http1(running: Running, both: tuple[Side, Side]) -> None:
    direct, balanced = (Table(side) for side in both)
    direct.cells = {cell: Cell.of(both[0].send(request)) for cell, request in requests(both[0])}
    names, asked = zip(*requests(both[1]), strict=True)
    balanced.cells = dict(zip(names, map(Cell.of, exchange_all(running, asked)), strict=True))
    assert len(direct.cells) > 200 and direct.good() > 0.9 * len(direct.cells)
    assert differences(direct, balanced) == {}


def test_the_second_virtual_ip_answers_the_same(both: tuple[Side, Side]) -> None:
    direct, balanced = alike(*both)
    sixth = replace(balanced, way=replace(balanced.way, address="2001:db8::10"))
    tables = [Table(side).fill((table_keys.wire, table_objects.queries)) for side in (direct, sixth)]
    assert differences(*tables) == {}
