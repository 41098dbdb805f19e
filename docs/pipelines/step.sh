set -eu
rm -rf lkharness-report
python3 -m venv .lkharness
.lkharness/bin/pip install --quiet "${LKHARNESS_PACKAGE:-lkharness}"
before=$(readlink "$LKHARNESS_REPORTS/latest" || true)
status=0
.lkharness/bin/lkharness failover --cluster "$LKHARNESS_CLUSTER" --allow-disruption --disruption switchover --repeat 16 --gate gate.toml --reports "$LKHARNESS_REPORTS" || status=$?
if [ "$(readlink "$LKHARNESS_REPORTS/latest" || true)" = "$before" ]; then
  echo "no run began, so there is no report of it to keep" >&2
else
  cp -RL "$LKHARNESS_REPORTS/latest" lkharness-report || echo "the report could not be copied; it is in $LKHARNESS_REPORTS" >&2
fi
.lkharness/bin/lkharness history "$LKHARNESS_REPORTS" || echo "the history was not written; the run is not changed by that" >&2
exit "$status"
