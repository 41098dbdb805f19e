"""Whether this machine can have a lab at all; asked before anything of the lab is imported."""

from __future__ import annotations

import os
import sys

from harness.core.errors import Unusable


def demand_linux() -> None:
    """Raises Unusable elsewhere."""
    if sys.platform != "linux" or not hasattr(os, "fork"):
        raise Unusable("the lab needs Linux, whose namespaces it is made of; here, attach to a cluster with --cluster FILE")
