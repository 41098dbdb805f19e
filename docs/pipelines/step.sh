set -eu
python3 -m venv .lkharness
.lkharness/bin/pip install --quiet "${LKHARNESS_PACKAGE:-lkharness}"
status=0
.lkharness/bin/lkharness failover --cluster "$LKHARNESS_CLUSTER" --allow-disruption --disruption switchover --repeat 16 --gate gate.toml --reports "$LKHARNESS_REPORTS" || status=$?
.lkharness/bin/lkharness history "$LKHARNESS_REPORTS" || echo "the history was not written; the run is not changed by that" >&2
exit "$status"
