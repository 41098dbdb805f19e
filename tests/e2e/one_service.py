"""A plug-in of pytest, by which a run's own lab has one service: `-p tests.e2e.one_service`. For runs whose end is the subject."""

from __future__ import annotations

from harness.lab.lifecycle import default_cluster

# Once it is imported: the run's session is made before this plug-in would be asked for anything.
default_cluster.DEFAULT_CLUSTER["services"] = default_cluster.DEFAULT_CLUSTER["services"][:1]
