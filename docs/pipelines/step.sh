set -eu
rm -rf lkharness-report lkharness-tonight
python3 -m venv .lkharness
.lkharness/bin/pip install --quiet "${LKHARNESS_PACKAGE:-lkharness}"
status=0
.lkharness/bin/lkharness failover --cluster "$LKHARNESS_CLUSTER" --allow-disruption --disruption switchover --repeat 16 --gate gate.toml --reports "$LKHARNESS_REPORTS" --run-file lkharness-tonight || status=$?
if [ ! -s lkharness-tonight ]; then
  echo "no run began, so there is no report of it to keep" >&2
else
  cp -RL "$(cat lkharness-tonight)" lkharness-report || echo "the report could not be copied; it is in $LKHARNESS_REPORTS" >&2
fi
.lkharness/bin/lkharness history "$LKHARNESS_REPORTS" --keep default --yes || echo "the history was not written; the run is not changed by that" >&2
exit "$status"
