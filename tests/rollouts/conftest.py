from collections.abc import Iterator

import pytest
from serving import Server, local_engine, running

from gnomon.rollouts.local import LocalEngine


@pytest.fixture(scope="session")
def local() -> LocalEngine:
    return local_engine()


@pytest.fixture
def server(local: LocalEngine) -> Iterator[Server]:
    with running(local) as it:
        yield it
