"""What a node is asked about its next boot: shell, which only reads, and tells of files by their names and by one word of them."""

from __future__ import annotations

import shlex

from harness.hosts.root_rights import ROOT

# Of systemd's own targets what is linked below /etc, and SBD, which other units want. What is masked is a link to /dev/null. In the place
# of Debian's postgresql.service, which starts nothing itself, those servers that its generator starts; SysV's links where no unit has the
# name.
_UNITS = r"""enabled=
unit() { [ -c "/etc/systemd/system/$1" ] || { echo "unit $1"; enabled="$enabled $1 "; }; }
servers() { for conf in /etc/postgresql/*/*/postgresql.conf; do
[ -e "$conf" ] || continue
folder=${conf%/*} start=auto
[ ! -r "$folder/start.conf" ] || while read -r word _ || [ -n "$word" ]; do
case "$word" in ''|\#*) ;; *) start=$word ;; esac
done <"$folder/start.conf"
version=${folder%/*}; version=${version##*/}
[ "$start" != auto ] || ! [ -x "/usr/lib/postgresql/$version/bin/postgres" ] || unit "postgresql@$version-${folder##*/}.service"
done; }
for target in multi-user graphical default basic sysinit; do
for link in "/etc/systemd/system/$target.target.wants"/* "/etc/systemd/system/$target.target.requires"/*; do
[ -e "$link" ] || continue
case "${link##*/}" in
postgresql.service) if [ -d /usr/share/postgresql-common ]; then servers; else unit postgresql.service; fi ;;
*) unit "${link##*/}" ;;
esac
done
done
for link in /etc/systemd/system/corosync.service.requires/sbd.service /etc/systemd/system/pacemaker.service.requires/sbd.service; do
[ ! -e "$link" ] || unit sbd.service
done
for link in /etc/rc3.d/S* /etc/rc.d/rc3.d/S*; do
[ -e "$link" ] || continue
name=${link##*/S}; name=${name#??}
[ -e "/etc/systemd/system/$name.service" ] || [ -e "/lib/systemd/system/$name.service" ] ||
[ -e "/usr/lib/systemd/system/$name.service" ] || unit "$name"
done"""
# File systems whose line names a disk that is not there, and wants it there; of UUIDs and labels only where the host has such names of
# disks at all.
_MOUNTS = r"""[ ! -r /etc/fstab ] || while read -r what place kind options _ || [ -n "$what" ]; do
case "$what" in
UUID=*) folder=by-uuid ;; LABEL=*) folder=by-label ;; PARTUUID=*) folder=by-partuuid ;; PARTLABEL=*) folder=by-partlabel ;;
/dev/disk/by-*/*) folder=${what#/dev/disk/}; folder=${folder%%/*} ;;
/dev/sd*|/dev/vd*|/dev/xvd*|/dev/nvme*|/dev/mapper/*|/dev/*/*) folder= ;; *) continue ;;
esac
case "$kind" in swap) continue ;; esac
case "$place" in /*) ;; *) continue ;; esac
case ",$options," in *,nofail,*|*,noauto,*|*,_netdev,*|*,x-systemd.automount,*) continue ;; esac
if [ -z "$folder" ]; then
[ -e "$what" ] || case "$what" in *[!A-Za-z0-9._/:-]*) ;; *) echo "lacks $what $place" ;; esac
continue
fi
name=${what#*=}; name=${name#\"}; name=${name%\"}; name=${name##*/}
case "$name" in ''|*[!A-Za-z0-9._:-]*) continue ;; esac
set -- "/dev/disk/$folder"/*
[ -e "$1" ] || continue
[ -e "/dev/disk/$folder/$name" ] || ls "/dev/disk/$folder" | grep -qixF -e "$name" || echo "lacks $what $place"
done </etc/fstab"""
_SHUTDOWN = """[ ! -r /run/systemd/shutdown/scheduled ] || while IFS== read -r key value || [ -n "$key" ]; do
case "$key" in USEC|MODE) echo "shutdown $key $value" ;; esac
done </run/systemd/shutdown/scheduled"""
# What reboots by itself after updates; of several words for one setting the last counts, in the order of the files' names.
_UPDATES = r"""grep -hsE '^[[:space:]]*(Unattended-Upgrade::Automatic-Reboot(-Time)?|APT::Periodic::Unattended-Upgrade)[[:space:]]+"' \
/etc/apt/apt.conf.d/* | sed 's/^[[:space:]]*\([^[:space:]]*\)[[:space:]]*"\([^"]*\)".*/updates \1 \2/'"""
# The host's name of the next boot, and Azure's temporary disk, by the file that Azure's agent leaves on it.
_NAME = r"""name=; [ ! -r /etc/hostname ] || read -r name </etc/hostname
case "$name" in ''|*[!A-Za-z0-9.-]*) ;; *) echo "hostname $name" ;; esac"""
_TEMPORARY = r"""for place in /mnt /mnt/resource; do [ ! -e "$place/DATALOSS_WARNING_README.txt" ] || echo "temporary $place"; done"""
# Where it is not the distribution's own, as a repair from a rescue system leaves it.
_TARGET = r"""link=/etc/systemd/system/default.target
[ ! -L $link ] || { link=$(readlink $link); echo "target ${link##*/}"; }"""
# Where the ports are written that the kernel is to keep, looked for only where it keeps some. What may not be read may have them.
_RESERVED = r"""kept=; read -r kept </proc/sys/net/ipv4/ip_local_reserved_ports
[ -z "$kept" ] || { for file in /etc/sysctl.conf /etc/sysctl.d/*.conf; do [ ! -e "$file" ] || [ -r "$file" ] || kept=; done
[ -z "$kept" ] || { echo reserved
grep -rhsE '^[^#;]*ip_local_reserved_ports' /etc/sysctl.conf /etc/sysctl.d /run/sysctl.d /usr/local/lib/sysctl.d /usr/lib/sysctl.d \
/lib/sysctl.d /etc/tuned /usr/lib/tuned /etc/rc.local | sed 's/.*ip_local_reserved_ports[^0-9]*/reserved /; s/[^a-z0-9, -].*//'; }; }"""

_NETWORKS = (
    "/etc/netplan /etc/sysconfig/network-scripts /etc/sysconfig/network /etc/NetworkManager/system-connections /etc/network/interfaces "
    "/etc/network/interfaces.d /etc/systemd/network"
)
_CRONTABS = "/etc/crontab /etc/cron.d /var/spool/cron"
_DAEMONS = "/etc/sysconfig/pacemaker /etc/default/pacemaker /etc/sysconfig/sbd /etc/default/sbd"
_RC_LOCAL = "/etc/rc.local"
# Of what a file says that a network, a crontab or rc.local brings at boot no more than this leaves the host: that a line gives the host the
# VIP, by a key or a command for that (`address FILE`); that a network of that file is not brought up (`off FILE`); the program that a line
# starts, of those that a cluster manager has (`starts PROGRAM FILE`); of Pacemaker's daemons two settings (`setting FILE NAME VALUE`).
# Secrets stand in all of these files.
_TOLD = r"""function starts(program, words, alone) {
if (text ~ "(^|[^A-Za-z0-9_-])(" words ")([^A-Za-z0-9_]|$)" && text ~ /start/ ||
alone != "" && text ~ "(^|[^A-Za-z0-9_-])(" alone ")([ ;&]|$)")
print "starts", program, file }
{ file = "/etc/rc.local"; text = $0
if (match($0, /^\/.*:[0-9]+:/)) { file = substr($0, 1, RLENGTH - 1); sub(/:[0-9]+$/, "", file); text = substr($0, RLENGTH + 1) }
sub(/^[ \t]+/, "", text)
if (text ~ /^[#;!]/) next
sub(/[ \t]#.*/, "", text)
if (match(text, /^(PCMK_node_start_state|SBD_STARTMODE)=["']?[a-z]+/)) {
text = substr(text, 1, RLENGTH); sub(/=["']?/, " ", text); print "setting", file, text; next }
if (text ~ /^(ONBOOT|STARTMODE|autoconnect)=/) { print "off", file; next }
command = file ~ /^\/etc\/(rc\.local|cron)|^\/var\//
if (command) {
if (file != "/etc/rc.local" && text !~ /^@reboot[ \t]/) next
starts("postgres", "pg_ctl|pg_ctlcluster|postgresql", "postmaster"); starts("mysqld", "mysql|mysqld|mariadb", "mysqld_safe|mysqld")
starts("sqlservr", "mssql-server", "sqlservr"); starts("httpd", "httpd|apache2|apachectl|apache2ctl", "")
starts("nginx", "nginx", "nginx"); starts("tnslsnr", "lsnrctl|dbora", "dbstart")
if (text ~ "(^|[^0-9.])" port "([^0-9.]|$)") starts("responder", "nothing at all", "nc|ncat|netcat|socat") }
at = index(text, vip); before = substr(text, 1, at - 1); after = substr(text, at + length(vip))
if (!at || before ~ /[0-9.]$/ || after ~ /^[0-9]/) next
low = tolower(before)
if (low ~ /(^|[^a-z])ip([ \t]+-[a-z0-9]+)*[ \t]+a[a-z]*[ \t]+(a|ad|add|replace)[ \t]+["']?$/ ||
low ~ /(^|[^a-z])ifconfig[ \t]+[^ \t]+[ \t]+((add|inet)[ \t]+)?$/) { print "address", file; next }
if (command) next
if (low ~ /^address[ \t]+$/ || low ~ /^-[ \t]*["']?$/ && after ~ /^\/[0-9]/ || low ~ /^ipaddr[0-9_a-z]*[ \t]*=[ \t]*["']?$/ ||
low ~ /^address(es)?[0-9]*[ \t]*=[^=:]*$/ ||
low ~ /(^|[^a-z0-9_-])address(es)?[ \t]*:[^=:]*$/ && after ~ /^\/[0-9]/)
print "address", file }"""
MAX_LINES = 500

# Rules that a service loads at boot: asked for only where it is enabled, and none of the programs is that make rules of their own.
_SAVED = "tail -v -n 5000 /etc/iptables/rules.v4 /etc/sysconfig/iptables /etc/nftables.conf /etc/sysconfig/nftables.conf"
_FIREWALL = f"""case "$enabled" in *" firewalld.service "*|*" shorewall.service "*|*" csf.service "*) false ;;
*" ufw.service "*) grep -qs '^ENABLED=no' /etc/ufw/ufw.conf ;;
esac && case "$enabled" in *" netfilter-persistent.service "*|*" iptables.service "*|*" nftables.service "*)
{ROOT} {_SAVED} | grep -vE '^[[:space:]]*#|^@@ ' ;;
esac"""


def look(vip: str, probe_port: int, *, of_pacemaker: bool) -> str:
    """A line of shell; what it prints, `harness.diagnosis.host_config.next_boot` reads. Leaves `$enabled`, the units that start."""
    patterns = [vip, "@reboot", "autoconnect=false", "ONBOOT=.*no", "STARTMODE=.*manual", "STARTMODE=.*off"]
    patterns += ["PCMK_node_start_state=.*standby", "SBD_STARTMODE=.*clean"] if of_pacemaker else []
    words = " ".join(f"-e {shlex.quote(pattern)}" for pattern in patterns)
    files = f"{_NETWORKS} {_CRONTABS} {_DAEMONS}" if of_pacemaker else f"{_NETWORKS} {_CRONTABS}"
    found = f"{ROOT} grep -rHnsw {words} {files}; [ ! -x {_RC_LOCAL} ] || cat {_RC_LOCAL}"
    told = f"awk -v vip={vip} -v port={probe_port} {shlex.quote(_TOLD)}"
    lines = f"""found=$({found}); [ -z "$found" ] || printf '%s\\n' "$found" | head -n {MAX_LINES} | {told} | sort -u"""
    return "\n".join([_UNITS, _MOUNTS, _SHUTDOWN, _TARGET, _UPDATES, _NAME, _TEMPORARY, lines, _RESERVED])


def saved_firewall() -> str:
    """A line of shell, behind `look`: the files of rules that a service loads at boot, each under its name, without comments."""
    return _FIREWALL
