"""The SSH library, paramiko, loaded without `invoke`.

paramiko wants `invoke` for `Match exec` lines of an ssh_config, which nothing here reads, and does without it where it is not installed.
Loading it (YAML, asyncio, a mocking library) would cost every command 0.15 s.
"""

from __future__ import annotations

import sys

_hides = "invoke" not in sys.modules
if _hides:
    sys.modules["invoke"] = None  # type: ignore[assignment]  # so that importing it fails
try:
    import paramiko as paramiko
finally:
    if _hides:
        del sys.modules["invoke"]
