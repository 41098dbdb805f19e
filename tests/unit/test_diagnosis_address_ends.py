"""The diagnosis of an address that ends soon and that nothing renews."""

from __future__ import annotations

import json
import subprocess

import pytest
from diagnosis_sample import both, client, with_host

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.linux_host_script_parse import host
from harness.hosts.linux import address_lifetimes

FOREVER = address_lifetimes.FOREVER
NONE, RUNS = "# asked\n", "systemd-network\n# asked\n"


def as_json(valid: int, preferred: int, address: str = "10.20.1.12") -> str:
    info = {"family": "inet", "local": address, "prefixlen": 24, "valid_life_time": valid, "preferred_life_time": preferred}
    six = {"family": "inet6", "local": "fd00::2", "prefixlen": 64, "valid_life_time": 5, "preferred_life_time": 5}
    return json.dumps([{"ifname": "eth0", "operstate": "UP", "mtu": 1500, "addr_info": [info, six, {}]}])


def as_plain(valid: str, preferred: str) -> str:
    return f"""2: eth0: <BROADCAST,UP> mtu 1500 state UP
    link/ether 00:0d:3a:00:00:01 brd ff:ff:ff:ff:ff:ff
    inet 10.20.1.12/24 brd 10.20.1.255 scope global dynamic eth0
       valid_lft {valid} preferred_lft {preferred}
    inet6 fe80::1/64 scope link
       valid_lft 5sec preferred_lft 5sec
"""


def told(addresses: str, leases: str) -> list[Cause]:
    seen = host("it", f"@@ addresses\n{addresses}\n@@ leases\n{leases}")
    base = both(address_lifetimes=({}, seen.address_lifetimes), renewing=(None, seen.renewing))
    return [c for c in diagnose(base).causes if "_lft" in c.says]


@pytest.mark.parametrize("addresses", [as_json(297, 197), as_plain("297sec", "197sec"), as_json(297, 0)])
def test_an_address_that_nothing_renews(addresses: str) -> None:
    (cause,) = told(addresses, NONE)
    assert cause.host == "lknode02" and cause.certainty is Certainty.LIKELY and "10.20.1.12" in cause.says
    assert [c.certainty for c in told(addresses, "")] == [Certainty.POSSIBLE]  # whether something does was not told
    assert told(addresses, RUNS) == []


@pytest.mark.parametrize("addresses", [as_json(FOREVER, 0), as_json(86_400, 0), as_plain("forever", "0sec")])
def test_a_deprecated_address(addresses: str) -> None:
    assert [(c.certainty, "deprecated" in c.says) for c in told(addresses, NONE)] == [(Certainty.POSSIBLE, True)]


@pytest.mark.parametrize(
    "addresses",
    [as_json(FOREVER, FOREVER), as_plain("forever", "forever"), as_json(3600, 3600), as_json(5, 5, "10.20.1.200"), "", "[{}]", "[5]", "{"],
)
def test_usual_addresses_are_none(addresses: str) -> None:
    assert told(addresses, NONE) == []


def test_the_clients_own() -> None:
    base = with_host(client(address_lifetimes={"10.20.1.20": (100, 100)}, renewing=frozenset()))
    assert [c.host for c in diagnose(base).causes if "valid_lft" in c.says] == ["lkclient"]


def test_what_renews_is_looked_for_where_an_address_ends() -> None:
    tools = (
        "ip() { printf '  inet 1.2.3.4\\n valid_lft %s preferred_lft 5sec\\n' \"$LFT\"; }; ps() { printf 'dhclient\\nsh\\nxdhcpcd\\n'; }"
    )
    for lft, printed in (("297sec", "dhclient\n# asked\n"), ("forever", "")):
        done = subprocess.run(["sh", "-c", f"LFT={lft}; {tools}\n{address_lifetimes.LOOK}"], capture_output=True, text=True)
        assert done.stdout == printed
    assert address_lifetimes.renewing("dhclient\n# asked\n") == {"dhclient"} and address_lifetimes.renewing("") is None
