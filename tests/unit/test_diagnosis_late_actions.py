"""What Pacemaker is told to begin late or to wait for long; what guides have is not told."""

from __future__ import annotations

import pytest
from test_diagnosis_settings import CIB, NAMES, meta, pair

from harness.diagnosis.host_config.cib_settings import all_settings
from harness.diagnosis.host_config.cib_settings.late_actions import of_pacemaker

OP = '<op id="o" name="{}" interval="{}" {}/>'


def settings(**given: str) -> list[str]:
    return [one.says for one in of_pacemaker(CIB.format(**{**NAMES, **given}))]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"fence": pair("pcmk_delay_base", "600s")}, ("fencing by fence waits 600 s", "pcmk_delay_base", "later")),
        ({"fence": pair("pcmk_delay_max", "15min")}, ("fencing by fence may wait up to 900 s", "pcmk_delay_max")),
        ({"fence": pair("pcmk_delay_base", "lknode01:10m;lknode02:0s")}, ("waits 600 s",)),
        ({"options": pair("priority-fencing-delay", "300s")}, ("priority-fencing-delay is 300 s",)),
        ({"operations": OP.format("start", "0", 'start-delay="600s"')}, ("pgsql-5432 begins its start 600 s late", "failover")),
        ({"operations": OP.format("monitor", "10s", 'start-delay="1h"')}, ("the monitor of pgsql-5432 begins 3600 s after its start",)),
        ({"operations": OP.format("monitor", "10s", 'timeout="3600s"')}, ("the monitor of pgsql-5432 may take 3600 s", "1 hours")),
        ({"operations": OP.format("stop", "0", 'timeout="1ms"')}, ("pgsql-5432 may take 0.001 s for its stop",)),
        (
            {"operations": f'<op id="o" name="start" interval="0">{meta("start-delay", "90")}</op>'},
            ("begins its start 90 s late",),
        ),
    ],
)
def test_what_comes_late_is_told(given: dict[str, str], words: tuple[str, ...]) -> None:
    told = settings(**given)
    assert len(told) == 1 and not [w for w in words if w not in told[0]], told
    assert told[0] in [one.says for one in all_settings.of_pacemaker(CIB.format(**{**NAMES, **given}))]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"fence": pair("pcmk_delay_max", "15s") + pair("pcmk_delay_base", "30")},
        {"fence": pair("pcmk_delay_base", "lknode01:15;lknode02:0")},
        {"fence": pair("pcmk_delay_base", "later"), "options": pair("priority-fencing-delay", "30s")},
        {"fence": pair("pcmk_delay_base", "600s"), "options": pair("stonith-enabled", "false")},
        {"operations": OP.format("start", "0", 'start-delay="60s"')},
        {"operations": OP.format("monitor", "10s", 'start-delay="15" timeout="120"')},
        {"operations": OP.format("monitor", "10s", 'start-delay="3600s" enabled="false"')},
        {"operations": OP.format("stop", "0", 'timeout="0"') + OP.format("start", "0", 'timeout="3600s"')},
    ],
)
def test_what_guides_have_is_not_told(given: dict[str, str]) -> None:
    assert settings(**given) == []


def test_what_is_no_configuration_tells_nothing() -> None:
    assert all_settings.of_pacemaker("") == all_settings.of_pacemaker("<cib>") == ()
