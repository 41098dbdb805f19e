"""What Linux's network tools print, mangled in great number: read, or NotReadable with a sentence, and never another exception."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from parser_inputs import INPUTS, SEED, mangled, numbered
from test_linux_parse import ADDR_JSON, ADDR_PLAIN, SS

from harness.hosts.host import NotReadable
from harness.hosts.linux import linux_parse

ROUTES = (
    '[{"dst":"8.8.8.8","gateway":"10.20.1.1","dev":"eth0","prefsrc":"10.20.1.11"}]',
    "10.20.1.12 via 10.20.1.1 dev eth0 src 10.20.1.11 uid 0 \n    cache \n",
    "local 10.20.1.200 dev lo src 10.20.1.200 uid 0 \n    cache <local> \n",
)
STAT = f"4711 (odd) name (x)) S {' '.join(map(str, range(4, 53)))}\n100\nbtime 1795356427\n"
READERS: dict[str, tuple[Callable[[str], object], tuple[str, ...]]] = {
    "addresses": (linux_parse.addresses, (ADDR_JSON, ADDR_PLAIN)),
    "listeners": (linux_parse.listeners, (SS,)),
    "route": (linux_parse.route, ROUTES),
    "route_refusal": (linux_parse.route_refusal, ("RTNETLINK answers: Network is unreachable\n",)),
    "process_start": (linux_parse.process_start, (STAT,)),
    "seconds": (linux_parse.seconds, ("1795356427.123456789\n",)),
}


@pytest.mark.timeout(900)  # on a machine that does much else besides
@pytest.mark.parametrize("reader", READERS)
def test_mangled(reader: str) -> None:
    print(f"LKHARNESS_TEST_SEED={SEED}")
    read, samples = READERS[reader]
    for text in samples:
        read(text)
    for name, rng in numbered(reader, INPUTS // len(READERS)):
        text = mangled(rng, rng.choice(samples), rng.choice(samples))
        try:
            found = read(text)
        except NotReadable as error:
            assert "it said: " in str(error), name
        except Exception as error:  # shown with its input, which pytest alone would not
            pytest.fail(f"{name}: {type(error).__name__}: {error}\n{text!r}", pytrace=False)
        else:
            _has_its_types(name, found)


def _has_its_types(name: str, found: object) -> None:
    """What was read is of the types that it is said to be, whatever JSON held."""
    for one in found if isinstance(found, list) else [found]:
        if isinstance(one, linux_parse.InterfaceAddress):
            assert all(isinstance(word, str) for word in (one.interface, one.address, one.state)) and type(one.prefix) is int, name
        if isinstance(one, linux_parse.Route):
            assert one.kind in linux_parse.ROUTES and (one.interface or one.kind != "unicast"), name


@pytest.mark.parametrize("text", ["[" * 100_000, "[[]]", "[1]", "{}", '[{"dev": 3}]', "", "\0", "9" * 5000, "sh: 1: not found"])
@pytest.mark.parametrize("reader", ["route", "process_start", "seconds"])
def test_what_is_nothing_of_the_kind(reader: str, text: str) -> None:
    with pytest.raises(NotReadable, match="cannot be read; it said: "):
        READERS[reader][0](text)
