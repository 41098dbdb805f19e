"""The product's own settings file, /etc/default/LifeKeeper: KEY=value, fractions allowed because a lab may speed time up."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from harness.core.errors import BadUse

UNCOUNTED = 1_000_000  # more than any run of a lab reaches


@dataclass(frozen=True)
class Tunables:
    """Times in seconds, with the product's defaults where the facts give one."""

    LCMHBEATTIME: float = 5.0  # LKL-35
    LCMNUMHBEATS: int = 3  # LKL-35
    LKCHECKINTERVAL: float = 120.0  # LKL-41
    HC_TIMEOUT: float | None = None  # LKL-56; the default is not known, see Unknowns.hc_timeout_s
    CONFIRMSOTO: float = 600.0  # LKL-45
    CONFIRMSODEF: int = 0  # LKL-45: 0 proceed, 1 block
    NOBCASTPING: int = 0  # LKL-52
    NOIPUNIQUE: int = 0  # LKL-52
    IP_NOLINKCHECK: int = 0  # LKL-52
    # Of the stand-in's own, as a failover cluster of Windows counts them (WCLU-81 to WCLU-84); LifeKeeper counts none.
    STANDIN_RESTARTS: int = UNCOUNTED  # RestartThreshold: of one resource within the period; the failure after them moves the role
    STANDIN_RESTART_PERIOD: float = 900.0
    STANDIN_FAILOVERS: int = UNCOUNTED  # FailoverThreshold: of the role within the period; the failure after them leaves it failed
    STANDIN_FAILOVER_PERIOD: float = 6 * 3600.0
    ignored: tuple[str, ...] = ()

    @property
    def dead_time(self) -> float:
        """Seconds of silence after which a path is DEAD (LKL-35)."""
        return self.LCMHBEATTIME * self.LCMNUMHBEATS

    def sped_up(self) -> list[str]:
        """The settings that are below the product's default or least value, so that the log can say so."""
        words = []
        if self.LCMHBEATTIME < Tunables.LCMHBEATTIME:
            words.append(f"LCMHBEATTIME={self.LCMHBEATTIME:g} (product default 5, least 1)")
        if self.LKCHECKINTERVAL < Tunables.LKCHECKINTERVAL:
            words.append(f"LKCHECKINTERVAL={self.LKCHECKINTERVAL:g} (product default 120)")
        return words


NUMBERS = {"float": float, "float | None": float, "int": int}


def read_tunables(path: Path) -> Tunables:
    """Read the file; one that is absent means the defaults. Raises BadUse for a value that is no number of seconds or count."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Tunables()
    except OSError as error:
        raise BadUse(f"{path}: cannot be read ({error.strerror}); fix or remove the file") from error
    conversions = {f.name: NUMBERS[str(f.type)] for f in fields(Tunables) if str(f.type) in NUMBERS}
    values: dict[str, float] = {}
    ignored: list[str] = []
    faults: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        key, equals, value = line.strip().removeprefix("export ").partition("=")
        if not key or key.startswith("#"):
            continue
        if not equals:
            faults.append(f"line {number}: {line!r} is not KEY=value")
        elif key not in conversions:
            ignored.append(key)
        else:
            try:
                values[key] = conversions[key](value.strip().strip("\"'"))
            except ValueError:
                faults.append(f"line {number}: {key} must be a number, not {value!r}")
    faults += [f"{key} must not be negative" for key, value in values.items() if value < 0]
    if values.get("LCMHBEATTIME", 1) == 0 or values.get("LKCHECKINTERVAL", 1) == 0:
        faults.append("LCMHBEATTIME and LKCHECKINTERVAL must be above 0")
    if values.get("LCMNUMHBEATS", 2) < 2:
        faults.append("LCMNUMHBEATS must be 2 or more (LKL-35)")
    if faults:
        raise BadUse(f"{path}: " + "; ".join(faults))
    return Tunables(**values, ignored=tuple(ignored))  # type: ignore[arg-type]
