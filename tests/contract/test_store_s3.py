"""The contract of naust/store/interface.py on RadosGW, test by test as in test_store.py, which runs it on versitygw."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from naust.store.interface import Store
from tests.conftest import Running
from tests.contract import test_store
from tests.lab.s3servers import Server, fresh_prefix, radosgw

globals().update({name: test for name, test in vars(test_store).items() if name.startswith("test_")})


@pytest.fixture(scope="session")
def gateway(running: Running) -> Server:
    return radosgw(running)


@pytest.fixture
def store(gateway: Server) -> Iterator[Store]:
    yield gateway.store(fresh_prefix())
