"""The contract of naust/store/interface.py on RadosGW, test by test as in test_store.py, which runs it on versitygw."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest

from naust.store.interface import Store
from tests.conftest import Running
from tests.contract import test_store
from tests.lab.s3servers import Server, fresh_prefix, radosgw

# All but what is promised of registries alone.
globals().update(
    {
        name: test
        for name, test in vars(test_store).items()
        if name.startswith("test_") and "registry" not in inspect.signature(test).parameters
    }
)


@pytest.fixture(scope="session")
def gateway(running: Running) -> Server:
    return radosgw(running)


@pytest.fixture(params=["radosgw"])
def store(gateway: Server) -> Iterator[Store]:
    yield gateway.store(fresh_prefix())


@pytest.fixture
def collectable(gateway: Server) -> Iterator[Store]:
    yield gateway.store(fresh_prefix())
