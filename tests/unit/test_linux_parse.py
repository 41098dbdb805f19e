"""What Linux's tools print, as data."""

from __future__ import annotations

import json

import pytest

from harness.hosts.linux.linux_parse import (
    InterfaceAddress,
    Listener,
    Route,
    addresses,
    boot_time,
    listeners,
    next_hops,
    route,
    route_refusal,
    start_ticks,
)

ADDR_JSON = json.dumps(
    [
        {"ifindex": 1, "ifname": "lo", "operstate": "UNKNOWN", "addr_info": [{"family": "inet", "local": "127.0.0.1", "prefixlen": 8}]},
        {
            "ifname": "eth1",
            "link": "if7",
            "operstate": "UP",
            "addr_info": [
                {"family": "inet", "local": "10.20.2.11", "prefixlen": 24, "scope": "global"},
                {"family": "inet", "local": "10.20.1.200", "prefixlen": 32, "label": "eth1:0"},
                {},
                {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"},
            ],
        },
        {"ifname": "wg0", "operstate": "DOWN", "addr_info": []},
    ]
)
ADDR_PLAIN = """\
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN group default qlen 1000
    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00
    inet 127.0.0.1/8 scope host lo
       valid_lft forever preferred_lft forever
2: eth1@if7: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group default qlen 1000
    link/ether 00:0d:3a:11:22:33 brd ff:ff:ff:ff:ff:ff link-netnsid 0
    inet 10.20.2.11/24 brd 10.20.2.255 scope global eth1
    inet 10.20.1.200/32 scope global eth1:0
    inet6 fe80::1/64 scope link
3: tun0: <POINTOPOINT,NOARP,UP> mtu 1400 state DOWN
    inet 10.8.0.6 peer 10.8.0.5/32 scope global tun0
"""
EXPECTED = [
    InterfaceAddress("lo", "127.0.0.1", 8, "UNKNOWN"),
    InterfaceAddress("eth1", "10.20.2.11", 24, "UP"),
    InterfaceAddress("eth1", "10.20.1.200", 32, "UP"),
    InterfaceAddress("eth1", "fe80::1", 64, "UP"),
]


def test_addresses_in_json():
    assert addresses(ADDR_JSON) == EXPECTED


def test_addresses_in_plain_text():
    assert addresses(ADDR_PLAIN) == [*EXPECTED, InterfaceAddress("tun0", "10.8.0.6", 32, "DOWN")]


def test_no_addresses_at_all():
    assert addresses("[]") == [] == addresses("")


SS = """\
State  Recv-Q Send-Q Local Address:Port Peer Address:Port Process
LISTEN 0      128          0.0.0.0:22        0.0.0.0:*    users:(("sshd",pid=812,fd=3),("systemd",pid=1,fd=99))
LISTEN 0      4096   127.0.0.53%lo:53        0.0.0.0:*
LISTEN 0      511      10.20.1.200:1521      0.0.0.0:*    users:(("tnslsnr (x) a",pid=2301,fd=12))
LISTEN 0      128             [::]:22           [::]:*    users:(("sshd",pid=812,fd=4))
LISTEN 0      128                *:80              *:*    users:(("nginx",pid=7,fd=4))
LISTEN 0      50  [::ffff:10.20.1.11]:5432         *:*    users:(("java",pid=9,fd=4))
LISTEN 0      50   [fe80::1%eth0]:8080        [::]:*
"""


def test_listeners():
    assert listeners(SS) == [
        Listener("0.0.0.0", 22, "tcp", 812, "sshd"),
        Listener("127.0.0.53", 53, "tcp"),
        Listener("10.20.1.200", 1521, "tcp", 2301, "tnslsnr (x) a"),
        Listener("::", 22, "tcp", 812, "sshd"),
        Listener("*", 80, "tcp", 7, "nginx"),
        Listener("10.20.1.11", 5432, "tcp", 9, "java"),
        Listener("fe80::1", 8080, "tcp"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"type":"local","dst":"10.20.1.200","dev":"lo","prefsrc":"10.20.1.200","uid":0}]', Route("local", "lo", "10.20.1.200")),
        ('[{"dst":"10.20.1.200","dev":"eth0","prefsrc":"10.20.1.11","flags":[]}]', Route("unicast", "eth0", "10.20.1.11")),
        (
            '[{"dst":"8.8.8.8","gateway":"10.20.1.1","dev":"eth0","prefsrc":"10.20.1.11"}]',
            Route("unicast", "eth0", "10.20.1.11", "10.20.1.1"),
        ),
        ("local 10.20.1.200 dev lo src 10.20.1.200 uid 0 \n    cache <local> \n", Route("local", "lo", "10.20.1.200")),
        ("10.20.1.12 via 10.20.1.1 dev eth0 src 10.20.1.11 uid 0 \n    cache \n", Route("unicast", "eth0", "10.20.1.11", "10.20.1.1")),
    ],
)
def test_routes(text, expected):
    assert route(text) == expected


def test_a_route_with_a_time_to_live_of_its_own_and_one_with_several_next_hops():
    assert route("10.20.1.20 dev eth0 src 10.20.1.12 uid 0 \n    cache hoplimit 1 \n").hops == 1
    assert route('[{"dst":"10.20.1.20","dev":"eth0","cache":[],"metrics":[{"mtu":1400,"hoplimit":3}]}]').hops == 3
    assert route("10.20.1.20 dev eth0 src 10.20.1.12 uid 0 \n    cache \n").hops is None
    two = "default \n\tnexthop via 10.20.1.1 dev eth0 weight 1 \n\tnexthop via inet6 fe80::1 dev eth1 weight 1 \n"
    assert next_hops(two) == (Route("unicast", "eth0", gateway="10.20.1.1"), Route("unicast", "eth1", gateway="fe80::1"))
    assert next_hops(two.replace("dev eth1 weight 1", "dev eth1 weight 1 dead linkdown"))[1:] == ()
    assert next_hops("default nhid 9 \n\tnexthop dev wg0 weight 1\n") == (Route("unicast", "wg0"),)
    assert next_hops("default via 10.20.1.1 dev eth0 \n") == next_hops("RTNETLINK answers: Network is unreachable\n") == ()


def test_no_route_is_a_finding_and_a_broken_tool_is_not():
    assert route_refusal("RTNETLINK answers: Network is unreachable\n") == Route("unreachable")
    assert route_refusal("RTNETLINK answers: Permission denied\n") == Route("prohibit")
    assert route_refusal("Error: any valid prefix is expected\n") is None


def test_process_start_survives_a_name_with_blanks_and_parentheses():
    fields = " ".join(str(n) for n in range(4, 53))
    assert start_ticks(f"4711 (odd) name (x)) S {fields}") == 22
    assert boot_time("cpu 1 2\nbtime 1795356427\nprocesses 5\n") == 1795356427
