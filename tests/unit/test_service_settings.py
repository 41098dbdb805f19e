"""Settings of services: misspelt ones are named, secrets never show, drivers wait until they are used."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from harness.config import service_settings
from harness.core.deadline import Deadline
from harness.core.errors import BadUse
from harness.plugins.extension_points import SERVICES
from harness.services import service_registry

SECRET = "tr0ub4dor"


@pytest.mark.parametrize("name", SERVICES.built_in())
def test_every_kind_is_found_and_refuses_a_misspelt_setting(name: str) -> None:
    kind = service_registry.kind(name)
    assert kind.kind == name
    with pytest.raises(BadUse, match=f"services of kind {name} have no setting pasword"):
        kind.who_are_you("127.0.0.1", 1, settings={"pasword": SECRET}, deadline=Deadline(1))


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadUse, match="no service kind db2; known: http, mssql, oracle, postgres, tcp"):
        service_registry.kind("db2")


def test_drivers_are_not_imported_before_they_are_used() -> None:
    drivers = "{'oracledb', 'psycopg', 'pydantic', 'pytds'}"
    ask = (
        f"import sys; from harness.services import service_registry as r; "
        f"[r.kind(k) for k in r.SERVICES.built_in()]; print(sorted({drivers} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_password_never_shows(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text(SECRET + "\n")
    secret = service_settings.password({"password_file": str(tmp_path / "pw")})
    assert secret is not None and secret.reveal() == SECRET
    assert SECRET not in f"{secret} {secret!r} {[secret]} {{'a': secret}} {vars(secret).keys()}"
    for writes in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="not written"):
            writes(secret)


def test_a_password_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LK_PW", SECRET)
    secret = service_settings.password({"password_env": "LK_PW"})
    assert secret is not None and secret.reveal() == SECRET
    assert service_settings.password({}) is None


def test_a_password_from_a_command_is_asked_for_once(tmp_path: Path) -> None:
    """And no shell reads the line."""
    line = f"python3 -c \"print('{SECRET} $HOME; x'); open('{tmp_path}/asked', 'a').write('.')\""
    for _ in range(2):
        secret = service_settings.password({"password_command": line})
        assert secret is not None and secret.reveal() == f"{SECRET} $HOME; x"
    assert (tmp_path / "asked").read_text() == "."


def test_a_command_that_waits_for_somebody_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_settings, "PASSWORD_COMMAND_TIMEOUT_S", 0.2)
    with pytest.raises(BadUse, match=r"`tail` did not end within 0\.2 s") as told:
        service_settings.password({"password_command": f"tail -f /dev/null {SECRET}"})
    assert SECRET not in str(told.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"password_env": "LK_NOT_SET"}, "LK_NOT_SET, which is not set"),
        ({"password_file": "/nowhere/pw"}, "/nowhere/pw cannot be read"),
        ({"password_file": "/dev/null"}, "is empty"),
        ({"password_file": "a", "password_env": "b"}, "keep one"),
        ({"password_file": "a", "password_command": "b"}, "password_file and password_command are both given; keep one"),
        ({"password_command": ""}, "password_command is empty"),
        ({"password_command": "echo 'x"}, "cannot be read as words"),
        ({"password_command": "nowhere/vault get"}, "`nowhere/vault` cannot be started on this machine: No such file"),
        ({"password_command": "true"}, "`true` printed nothing"),
        ({"password_command": "false"}, "`false` exited 1; run it by hand"),
    ],
)
def test_a_password_that_cannot_be_had_says_why(given: dict[str, str], said: str) -> None:
    with pytest.raises(BadUse, match=said):
        service_settings.password(given)


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        ("tcp", {"greeting": "("}, "greeting = '\\(' is not a regular expression"),
        ("oracle", {"alias_pattern": "(?P<nod>.*)"}, "the group nod means nothing here; use node"),
        ("http", {"status": "ok"}, "status = 'ok' is not a whole number"),
        ("postgres", {"sslmode": "always"}, "sslmode = 'always'; known: disable"),
    ],
)
def test_a_setting_that_makes_no_sense_says_why(kind: str, given: dict[str, str], said: str) -> None:
    with pytest.raises(BadUse, match=said):
        service_registry.kind(kind).who_are_you("127.0.0.1", 1, settings=given, deadline=Deadline(1))
