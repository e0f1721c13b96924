"""Nothing that a local cluster starts can be reached from another machine."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import psutil
import pytest

from nucbatch.schedulers.contract import Place, Resources, scheduler

pytestmark = pytest.mark.slow


def listening(process: psutil.Process) -> set[str]:
    """The addresses on which a process takes connections."""
    found = process.net_connections(kind="inet")
    return {one.laddr.ip for one in found if one.status == psutil.CONN_LISTEN}


def test_scheduler_workers_nannies_and_dashboards_listen_on_loopback_alone(tmp_path: Path) -> None:
    here = psutil.Process()
    before = here.net_connections(kind="inet")
    with scheduler("local").connect(Resources(workers=2), Place(tmp_path)) as cluster:
        cluster.client.wait_for_workers(2)
        workers = [one for one in here.children(recursive=True) if listening(one)]
        addresses = set().union(listening(here), *(listening(one) for one in workers))
        assert len(workers) == 2
        assert len(here.net_connections(kind="inet")) > len(before)
        assert all(ipaddress.ip_address(address).is_loopback for address in addresses), addresses
        assert ipaddress.ip_address(cluster.client.dashboard_link.split("/")[2].split(":")[0]).is_loopback
