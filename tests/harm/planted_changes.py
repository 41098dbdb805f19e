"""Changes of every kind, to be planted on a node by somebody else's commands: what the comparison must name, each with its undoing."""

from __future__ import annotations

from typing import NamedTuple


class Planted(NamedTuple):
    """Shell on a node. `names`: what one sentence says of it; `before`: what must be there first, and is healthy."""

    act: str
    undo: str
    names: str
    before: str = ":"


IN_BACKGROUND = "</dev/null >/dev/null 2>&1 &"
LISTEN = f"setsid /opt/lab/bin/python3 -S -c 'import socket, time; s = socket.create_server((\"\", 4711)); time.sleep(600)' {IN_BACKGROUND}"
WORKS = f"setsid bash -c 'exec -a customer-works sleep 611' {IN_BACKGROUND}"
END = "ps -eo pid=,args= | awk '/{0}/ && !/awk/ {{ print $1 }}' | xargs -r kill -9"

ON_A_NODE = (
    Planted("ip addr add 10.20.1.77/32 dev eth0", "ip addr del 10.20.1.77/32 dev eth0", "address 10.20.1.77/32 on eth0 is new"),
    Planted("ip link set eth1 mtu 1400", "ip link set eth1 mtu 1500", "link eth1 is {"),
    Planted("ip route add 10.9.0.0/16 via 10.20.1.1", "ip route del 10.9.0.0/16", "route 4 10.9.0.0/16 10.20.1.1 eth0 in table main"),
    Planted("ip rule add from 10.9.0.1 table 77", "ip rule del from 10.9.0.1 table 77", "routing rule 4 32765"),
    Planted("tc qdisc add dev eth1 root pfifo limit 7", "tc qdisc del dev eth1 root", "queue pfifo on eth1"),
    Planted("nft add table inet stray", "nft delete table inet stray", "firewall table inet stray is new"),
    Planted(
        "nft add rule inet customers in tcp dport 4712 drop",
        "nft flush chain inet customers in",
        "firewall table inet customers chain in has other lines: + tcp dport 4712 drop",
        before="nft 'add table inet customers; add chain inet customers in { type filter hook input priority 5; }'",
    ),
    Planted(
        "iptables -A INPUT -p tcp --dport 4713 -j DROP",
        "nft delete table ip filter",
        "firewall iptables *filter is new",
    ),
    Planted(LISTEN, END.format("[i]mport socket, time"), "listening socket tcp 0.0.0.0:4711 is new (python3"),
    Planted(
        f"setsid sleep 610 {IN_BACKGROUND}",
        END.format("[s]leep 610"),
        "process sleep 610 of root, nice 0 is new",
    ),
    Planted(
        "kill -STOP $(pgrep -f '[s]leep 609')",
        "kill -CONT $(pgrep -f '[s]leep 609')",
        "process sleep 609 of root, stopped, nice 0 is new",
        before=f"setsid sleep 609 {IN_BACKGROUND}",
    ),
    Planted(
        "echo 1 >/proc/sys/net/ipv4/conf/eth0/rp_filter",
        "cat /run/customer-rp >/proc/sys/net/ipv4/conf/eth0/rp_filter",
        "sysctl net.ipv4.conf.eth0.rp_filter is 1, it was ",
        before="cat /proc/sys/net/ipv4/conf/eth0/rp_filter >/run/customer-rp",
    ),
    Planted("mkdir /run/m && mount -t tmpfs none /run/m", "umount /run/m && rmdir /run/m", "mount /run/m from none is new"),
    Planted("echo x >/etc/stray", "rm /etc/stray", "file /etc/stray is new (-rw"),
    Planted("echo x >>/etc/hosts", "sed -i '$d' /etc/hosts", "file /etc/hosts is -rw-r--r-- 0:0"),
    Planted("chmod 4755 /etc/motd", "chmod 644 /etc/motd", "file /etc/motd is -rwsr-xr-x 0:0"),
    Planted("mv /etc/hostname /etc/.h", "mv /etc/.h /etc/hostname", "file /etc/hostname is gone"),
    Planted("ln -sfn /tmp /srv/link", "ln -sfn /run /srv/link", "file /srv/link is lrwxrwxrwx", before="ln -s /run /srv/link"),
    Planted(
        "dd if=/dev/zero of=/srv/small/f bs=1k count=1000 2>/dev/null",
        "rm /srv/small/f",
        "file system /srv/small is full, it was has room",
        before="mkdir /srv/small && mount -t tmpfs -o size=1000k none /srv/small",
    ),
)
ON_LIFEKEEPER = (
    Planted("/opt/LifeKeeper/bin/flg_create -f stray", "/opt/LifeKeeper/bin/flg_remove -f stray", "cluster flag stray is new"),
)
CONSTRAINT = '<rsc_location id="stray" rsc="cluster-services" node="lknode02" score="-1"/>'
ON_PACEMAKER = (
    Planted(
        f"cibadmin --create -o constraints -X '{CONSTRAINT}'",
        f"cibadmin --delete -o constraints -X '{CONSTRAINT}'",
        'configuration rsc_location stray is new ({"node": "lknode02"',
    ),
    Planted(
        "crm_attribute --node lknode02 --name stray --update 1 --lifetime reboot",
        "crm_attribute --node lknode02 --name stray --delete --lifetime reboot",
        "attribute stray of lknode02 is new (1)",
    ),
    Planted(
        "attrd_updater -n 'fail-count-http-80#monitor_1000' -U 2 -N lknode02",
        "attrd_updater -n 'fail-count-http-80#monitor_1000' -D -N lknode02",
        "fail count http-80#monitor_1000 of lknode02 is new (2)",
    ),
    Planted(
        "crm_attribute -t rsc_defaults -n is-managed -v false",
        "cibadmin --delete --xml-text '<meta_attributes id=\"rsc_defaults-options\"/>'",
        "managed=false",
    ),
)
