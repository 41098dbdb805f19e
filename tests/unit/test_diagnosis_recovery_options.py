"""Options by which Pacemaker finds or recovers less than people expect; their defaults are not told."""

from __future__ import annotations

import pytest
from test_diagnosis_settings import CIB, NAMES, meta, pair

from harness.diagnosis.host_config.cib_settings import all_settings
from harness.diagnosis.host_config.cib_settings.recovery_options import of_pacemaker

RULE = '<rule id="r"><date_expression id="{0}" operation="{1}"/></rule>'


def text(**given: str) -> str:
    return CIB.format(**{**NAMES, **given})


@pytest.mark.parametrize(
    ("given", "words", "mild"),
    [
        ({"options": pair("enable-startup-probes", "false")}, ("enable-startup-probes is off",), False),
        ({"meta": meta("multiple-active", "block")}, ("multiple-active is block for pgsql-5432", "managed no more"), True),
        ({"defaults": f"<rsc_defaults>{meta('multiple-active', 'stop_only')}</rsc_defaults>"}, ("stop_only for pgsql-5432",), True),
        ({"fence": pair("pcmk_host_check", "none")}, ("fence has pcmk_host_check=none", "every node"), True),
        ({"fence": pair("pcmk_reboot_retries", "0")}, ("fence has pcmk_reboot_retries=0",), True),
        (
            {"options": pair("cluster-recheck-interval", "0s"), "defaults": RULE.format("hours", "date_spec")},
            ("cluster-recheck-interval is 0", "the rule hours"),
            True,
        ),
        (
            {"options": pair("cluster-recheck-interval", "0"), "meta": meta("failure-timeout", "60s")},
            ("cluster-recheck-interval is 0", "failure-timeout"),
            True,
        ),
    ],
)
def test_what_it_does_is_told(given: dict[str, str], words: tuple[str, ...], mild: bool) -> None:
    (one,) = of_pacemaker(text(**given))
    assert not [w for w in words if w not in one.says] and one.mild is mild
    assert one in all_settings.of_pacemaker(text(**given))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"options": pair("enable-startup-probes", "true") + pair("cluster-recheck-interval", "0")},
        {"options": pair("cluster-recheck-interval", "15min"), "meta": meta("failure-timeout", "60s")},
        {"options": pair("cluster-recheck-interval", "0"), "meta": meta("failure-timeout", "0")},
        {"options": pair("cluster-recheck-interval", "0"), "defaults": RULE.format("once", "gt")},
        {"meta": meta("multiple-active", "stop_start")},
        {"meta": meta("multiple-active", "stop_unexpected")},
        {"meta": meta("multiple-active", "stop_start"), "defaults": f"<rsc_defaults>{meta('multiple-active', 'block')}</rsc_defaults>"},
        {"fence": pair("pcmk_host_check", "static-list") + pair("pcmk_reboot_retries", "4")},
    ],
)
def test_defaults_and_what_is_harmless_are_not_told(given: dict[str, str]) -> None:
    assert of_pacemaker(text(**given)) == ()


def test_what_is_no_configuration_tells_nothing() -> None:
    assert of_pacemaker("") == ()
