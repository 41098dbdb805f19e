# Pacemaker and Corosync on a Debian or Ubuntu node, with the frontend's address, a responder for the probe and a small web service.
# Run on both nodes; LKH_FIRST=yes configures the cluster once both have met. No fencing: this is for trying the network, not for data.
set -eu
export DEBIAN_FRONTEND=noninteractive
limit_s=${APT_LIMIT_S:-900} pause_s=${APT_PAUSE_S:-10} boot_limit_s=${BOOT_LIMIT_S:-600}

# The first boot installs things of its own. One that hangs, or ended with an error, need not be in the way: it is said, and we go on.
if command -v cloud-init >/dev/null; then
  code=0
  timeout "$boot_limit_s" cloud-init status --wait >/dev/null 2>&1 || code=$?
  case $code in
    0) ;;
    124) echo "cloud-init had not ended after $boot_limit_s s; going on without it" >&2 ;;
    *) echo "cloud-init ended with an error (exit $code): $(cloud-init status 2>&1 | head -n 1); going on without it" >&2 ;;
  esac
fi

# unattended-upgrades and the daily timers hold apt's locks, and DPkg::Lock::Timeout waits for dpkg's alone, not for that of the lists; a
# mirror, or the way out, may not answer yet. So each is tried again, for a limited time.
retried() {
  begun=$(date +%s) tries=0
  while :; do
    tries=$((tries + 1)) lasted=$(($(date +%s) - begun))
    left=$((limit_s + 60 - lasted)) code=0
    [ $left -gt 0 ] || left=1  # `timeout 0` would be none at all
    said=$(timeout $left apt-get -q -o DPkg::Lock::Timeout=120 "$@" 2>&1) || code=$?
    [ $code -ne 0 ] || break
    last=$(printf '%s\n' "$said" | grep '^E: ' | head -n 1)
    [ -n "$last" ] || last=$(printf '%s\n' "$said" | tail -n 1)
    lasted=$(($(date +%s) - begun))
    if [ $((lasted + pause_s)) -ge "$limit_s" ]; then
      echo "apt-get $1 failed $tries times in $lasted s (exit $code); the last time it said: $last" >&2
      exit 1
    fi
    sleep "$pause_s"
  done
  [ $tries -eq 1 ] || echo "apt-get $1 went well the $tries. time, after $(($(date +%s) - begun)) s; before, it said: $last" >&2
}
retried update -o APT::Update::Error-Mode=any
retried install -y --no-install-recommends pacemaker corosync pacemaker-cli-utils crmsh resource-agents netcat-openbsd iproute2 python3
# -- what is needed is installed --

first=$LKH_NODE first_address=$LKH_NODE_ADDRESS first_second=$LKH_NODE_SECOND
second=$LKH_PEER second_address=$LKH_PEER_ADDRESS second_second=$LKH_PEER_SECOND
if [ "$LKH_FIRST" != yes ]; then
  first=$LKH_PEER first_address=$LKH_PEER_ADDRESS first_second=$LKH_PEER_SECOND
  second=$LKH_NODE second_address=$LKH_NODE_ADDRESS second_second=$LKH_NODE_SECOND
fi
cat >/etc/corosync/corosync.conf <<CONF
totem {
  version: 2
  cluster_name: lkharness
  transport: knet
  link_mode: passive
  token: 30000
  consensus: 36000
  crypto_cipher: none
  crypto_hash: none
}
nodelist {
  node {
    name: $first
    nodeid: 1
    ring0_addr: $first_address
    ring1_addr: $first_second
  }
  node {
    name: $second
    nodeid: 2
    ring0_addr: $second_address
    ring1_addr: $second_second
  }
}
quorum {
  provider: corosync_votequorum
  two_node: 1
}
logging {
  to_syslog: yes
}
CONF

# The service: it says on which node it is.
port=${LKH_PORTS%% *}
cat >/etc/systemd/system/lkharness-web.service <<UNIT
[Unit]
Description=a web service that says which node it is on
[Service]
ExecStart=/usr/bin/python3 -c 'import http.server, socket
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("X-Served-By", socket.gethostname()); self.send_header("Content-Length", "0"); self.end_headers()
http.server.ThreadingHTTPServer(("0.0.0.0", $port), H).serve_forever()'
UNIT
systemctl daemon-reload
systemctl restart corosync
systemctl enable -q corosync pacemaker
systemctl restart pacemaker
[ "$LKH_FIRST" = yes ] || exit 0

n=0
until crm_mon -1 2>/dev/null | grep -q "Online:.*$first.*$second\|Online:.*$second.*$first"; do
  n=$((n + 1))
  [ $n -lt 60 ] || { echo "the nodes have not met after 5 minutes: see whether UDP 5405 gets through between them" >&2; exit 1; }
  sleep 5
done
nic=$(ip -o -4 addr show | awk -v a="$LKH_NODE_SECOND" '$4 ~ "^"a"/" {print $2; exit}')
crm configure <<CRM
property stonith-enabled=false
property no-quorum-policy=ignore
primitive ip IPaddr2 params ip=$LKH_VIP cidr_netmask=32 nic=$nic op monitor interval=10s timeout=20s
primitive probe azure-lb params port=$LKH_PROBE_PORT op monitor interval=10s timeout=20s
primitive web systemd:lkharness-web op monitor interval=10s timeout=20s
group services ip probe web
rsc_defaults resource-stickiness=100
commit
CRM
