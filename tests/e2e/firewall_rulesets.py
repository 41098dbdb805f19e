"""Seeded random rulesets, in nft's and in iptables' words, about a few ports and addresses, so that rules often match. Pure."""

from __future__ import annotations

from random import Random

PORTS = (80, 1521, 1522, 3389, 5432, 12345)
SOURCES = ("10.9.1.20", "10.9.1.30", "168.63.129.16", "10.9.2.20")
VIP = "10.9.1.200"
NEAR = ("10.9.1.11", "10.9.2.11")
STRANGE = ("udp", "icmp", "ip6", "meta nfproto ipv6", "meta l4proto udp", "meta l4proto != tcp", "ip protocol {")  # not TCP over IPv4
NETS = ("10.9.1.0/24", "10.9.2.0/24", "10.9.0.0/16", "10.9.1.16/28", "168.63.129.0/24", "0.0.0.0/0", "192.0.2.0/24")


def task(seed: int, packets: int = 4) -> dict:
    """A ruleset and connections to try through it."""
    rng = Random(seed)
    load = {"nft": nft(rng)} if rng.random() < 0.6 else iptables(rng)
    return {"seed": seed, "load": load, "packets": [packet(rng) for _ in range(packets)]}


def packet(rng: Random) -> list:
    """Where from, to which port, and sometimes to the VIP, which is on another NIC than it is asked by."""
    source, to = rng.choice(SOURCES), rng.choice(PORTS)
    return [source, to, VIP] if rng.random() < 0.4 and source != SOURCES[-1] else [source, to]


def port(rng: Random) -> str:
    return str(rng.choice(PORTS))


def span(rng: Random, dash: str = "-") -> str:
    low = rng.choice((1, 80, 1000, 1521, 1522, 3000, 5000))
    return f"{low}{dash}{rng.choice([p for p in (80, 1521, 1522, 3500, 5432, 12345, 65535) if p >= low])}"


def ports(rng: Random) -> str:
    """A set without overlaps."""
    kinds = rng.choice(
        (["80", "1521-1522"], ["5432", "12345"], ["1500-1600", "3389"], ["22", "80"], ["1-79", "81-65535"], ["1521", "3389", "5432"])
    )
    return "{ " + ", ".join(kinds) + " }"


def nft(rng: Random) -> str:
    """One to three tables."""
    return "\n".join(Table(rng, n).text() for n in range(rng.choice((1, 1, 1, 2, 2, 3))))


class Table:
    """One table of nft: sets and maps, chains that are jumped to, chains at hooks."""

    def __init__(self, rng: Random, number: int) -> None:
        self.rng, self.name = rng, f"t{number}"
        self.family = rng.choice(("ip", "inet", "inet"))
        self.users = [f"u{n}" for n in range(rng.choice((0, 1, 2, 3)))]

    def text(self) -> str:
        rng = self.rng
        bases = [self.base("input", rng.choice((0, 0, 10, -5)))]
        if rng.random() < 0.4:
            bases.append(self.base("output", rng.choice((0, 0, 50, -10))))
        if rng.random() < 0.25:
            bases.append(self.base("prerouting", rng.choice((-300, -150, -150, -100))))
        if rng.random() < 0.1:
            bases.append(self.base("input", rng.choice((0, 20))))
        if rng.random() < 0.1:
            bases.append(self.redirecting())
        users = [self.chain(name, "", self.users[n + 1 :], last=0.2) for n, name in enumerate(self.users)]
        return f"table {self.family} {self.name} {{\n{self.sets()}{''.join(reversed(users))}{''.join(bases)}}}\n"

    def sets(self) -> str:
        rng = self.rng
        users = [f"jump {u}" for u in self.users] + [f"goto {u}" for u in self.users]
        verdicts = ["accept", "drop", "continue", "return", "accept", "drop", *users]
        elements = ", ".join(f"{p} : {rng.choice(verdicts)}" for p in rng.sample(("80", "1521-1522", "3389", "5432", "12345"), 3))
        return (
            f"  set ports {{ type inet_service; flags interval; elements = {ports(rng)}; }}\n"
            f"  set hosts {{ type ipv4_addr; flags interval; elements = {{ {', '.join(rng.sample(SOURCES, 2))} }}; }}\n"
            "  set empty { type inet_service; }\n"
            f"  set pairs {{ type ipv4_addr . inet_service; elements = {{ {rng.choice(SOURCES)} . {port(rng)} }}; }}\n"
            f"  set wide {{ type ipv4_addr . inet_service; flags interval; elements = {{ {rng.choice(NETS)} . {span(rng)} }}; }}\n"
            f"  map ways {{ type inet_service : verdict; flags interval; elements = {{ {elements} }}; }}\n"
        )

    def base(self, hook: str, priority: int) -> str:
        policy = self.rng.choice(("accept", "accept", "drop"))
        head = f"type filter hook {hook} priority {priority}; policy {policy};"
        users = self.users
        return self.chain(
            f"{hook}{self.rng.randrange(10**6)}", head, users, last=0.35 if hook == "input" else 0.15, hook=hook, early=priority < -200
        )

    def redirecting(self) -> str:
        rule = f"    {self.match('prerouting')} tcp dport {port(self.rng)} counter redirect to :{port(self.rng)}\n"
        return f"  chain nat {{ type nat hook prerouting priority -100;\n{rule}  }}\n"

    def chain(self, name: str, head: str, users: list[str], last: float, hook: str = "", early: bool = False) -> str:
        rng = self.rng
        lines = [self.rule(users, hook, early) for _ in range(rng.choice((0, 1, 2, 3, 4, 5)))]
        if hook in ("input", "output") and rng.random() < 0.5:
            lines.insert(0, rng.choice(("ct state established,related counter accept", "ct state { established, related } counter accept")))
        if hook and rng.random() < 0.3:
            lines.insert(
                0, rng.choice(("ct state vmap { established : accept, related : accept, invalid : drop }", "ct state invalid counter drop"))
            )
        if rng.random() < last:
            lines.append(f"counter {self.verdict([], hook)}")
        return f"  chain {name} {{ {head}\n" + "".join(f"    {line}\n" for line in lines) + "  }\n"

    def rule(self, users: list[str], hook: str, early: bool) -> str:
        rng = self.rng
        matches = [self.match(hook) for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3)))]
        strange = [m for m in matches if m.startswith(STRANGE)]
        if strange:  # nft refuses a rule that asks for two protocols at once
            matches = strange[:1]
        elif rng.random() < 0.08:
            users_to = [f"jump {u}" for u in users] or ["continue"]
            ways = ", ".join(f"{p} : {rng.choice(['accept', 'drop', 'return', *users_to])}" for p in rng.sample(PORTS, 3))
            pairs = f"{rng.choice(SOURCES)} . {port(rng)} : {rng.choice(('accept', 'drop'))}"
            vmap = rng.choice((f"tcp dport vmap {{ {ways} }}", "tcp dport vmap @ways", f"ip saddr . tcp dport vmap {{ {pairs} }}"))
            vmap = vmap if vmap != "tcp dport vmap @ways" or hook else f"tcp dport vmap {{ {port(rng)} : accept }}"
            return " ".join([*matches, "counter", vmap])
        if not strange and rng.random() < 0.12:
            mark = rng.choice(
                ("meta mark set 0x1", "meta mark set meta mark | 0x2", "ct mark set 0x1", "ct mark set meta mark", "meta mark set ct mark")
            )
            mark = "notrack" if early and rng.random() < 0.5 else mark
            return " ".join([*matches, "counter", mark])
        if rng.random() < 0.04:
            matches.append(rng.choice(("limit rate 5/minute", "limit rate over 1000/second burst 2000 packets", "quota over 10 mbytes")))
        if rng.random() < 0.08:
            matches.append('log prefix "to drop: "')
        comment = ' comment "drop, so to speak"' if rng.random() < 0.1 else ""
        return " ".join([*matches, "counter", self.verdict(users, "" if strange else hook)]) + comment

    def verdict(self, users: list[str], hook: str) -> str:
        rng = self.rng
        kinds = ["accept"] * 5 + ["drop"] * 3 + ["return", "continue", ""]
        kinds += [f"{way} {user}" for user in users for way in ("jump", "jump", "jump", "goto")]
        if hook in ("input", "output"):
            kinds += [
                "reject",
                "reject with icmp host-prohibited",
                "reject with icmp admin-prohibited",
                "meta l4proto tcp reject with tcp reset",
            ]
            kinds += (
                ["reject with icmp net-unreachable"]
                if self.family == "ip"
                else ["reject with icmpx admin-prohibited", "reject with icmpx no-route"]
            )
        chosen = rng.choice(kinds)
        return chosen

    def match(self, hook: str) -> str:
        rng = self.rng
        near, far = ("saddr", "daddr") if hook == "output" else ("daddr", "saddr")
        dport, sport = ("sport", "dport") if hook == "output" else ("dport", "sport")
        if not hook and rng.random() < 0.3:
            dport, sport = sport, dport
        nic = "oifname" if hook == "output" else "iifname"
        many = [
            f"tcp {dport} {port(rng)}", f"tcp {dport} {port(rng)}", f"tcp {dport} != {port(rng)}", f"tcp {dport} {span(rng)}",
            f"tcp {dport} != {span(rng)}", f"tcp {dport} {ports(rng)}", f"tcp {dport} != {ports(rng)}", f"tcp {dport} @ports",
            f"tcp {dport} != @ports", f"tcp {dport} @empty", f"tcp {sport} 1024-65535", f"tcp {sport} < 1024", f"tcp {dport} >= 1522",
            f"tcp {dport} < 1522", f"th {dport} {port(rng)}", f"meta l4proto {{ tcp, udp }} th {dport} {ports(rng)}",
            f"ip {far} {rng.choice(SOURCES)}", f"ip {far} {rng.choice(NETS[:-2])}", f"ip {far} != {rng.choice(NETS[:5])}",
            f"ip {far} @hosts",
            f"ip {far} != {{ {rng.choice(SOURCES)}, 192.0.2.1 }}", f"ip {near} {rng.choice(NEAR)}", f"ip {near} != {rng.choice(NEAR)}",
            f'{nic} "eth0"', f'{nic} "eth*"', f'{nic} != "eth1"', f'{nic} {{ "eth0", "lo" }}', f'{nic} "lo"',
            "ct state new", "ct state established,related", "ct state { new, established }", "ct state != new", "ct state invalid",
            "ct direction original", "ct direction reply", "ct status dnat", "ct status seen-reply", "ct mark 0x1", "ct mark != 0x1",
            "meta l4proto tcp", "meta l4proto udp", "meta l4proto != tcp", "ip protocol tcp", "ip protocol { udp, icmp }",
            "meta l4proto 6",
            "tcp flags syn", "tcp flags & (fin|syn|rst|ack) == syn", "tcp flags & (syn|ack) == syn|ack", "tcp flags ! ack",
            "tcp flags != syn",
            "tcp flags { syn, syn|ack }", "tcp flags == syn", "tcp flags & rst != 0", f"udp dport {port(rng)}", "udp dport != 53",
            "icmp type echo-request",
            "meta mark 0x1", "meta mark & 0x2 == 0x2", "meta mark != 0x1", "fib daddr type local", "fib saddr type unicast",
            "fib daddr type != local",
            f"ip {far} . tcp {dport} {{ {rng.choice(SOURCES)} . {port(rng)}, {rng.choice(NETS[:3])} . {span(rng)} }}",
            f"ip {far} . tcp {dport} @pairs", f"ip {far} . tcp {dport} @wide", f"ip {far} . tcp {dport} != @wide",
            "ip frag-off & 0x1fff != 0",
            "meta pkttype host", "meta protocol ip", "ip version 4", "ip daddr & 255.0.0.255 == 10.0.0.11",
        ]  # fmt: skip
        if self.family == "inet":
            many += ["meta nfproto ipv6", "ip6 saddr ::1", "icmpv6 type echo-request", "meta nfproto ipv4"]
        if hook == "output":
            many += ["meta skuid 0", "meta skuid != 0", "meta skuid 1000", "oif eth0", 'iifname "eth0"']
            many += ["fib saddr . oif type local", "fib saddr . oif type unicast"]
        if hook in ("input", "prerouting"):
            many += ["iif lo", "iif eth0", "iif != lo", 'oifname "eth0"', 'oifname != "eth0"']
            many += [f"fib daddr . iif type {kind}" for kind in ("local", "unicast", "!= local", "!= { local, broadcast, multicast }")]
            many += ["fib saddr . iif type local", "fib saddr . iif type unicast", f"ip daddr {VIP}", "fib daddr . iif type != unicast"]
            many += [f"fib saddr . iif oif {presence}" for presence in ("missing", "exists", "eth0")]
            many += ["fib saddr . mark . iif oif missing", 'fib saddr . iif oifname "eth1"']
        return rng.choice(many)


def iptables(rng: Random) -> dict[str, str]:
    """By nft's iptables or the old one: filter, and sometimes the other tables."""
    tables = [filter_table(rng)]
    if rng.random() < 0.2:
        tables.append(raw_table(rng))
    if rng.random() < 0.2:
        tables.append(mangle_table(rng))
    if rng.random() < 0.2:
        tables.append(security_table(rng))
    if rng.random() < 0.1:
        rule = f"-A PREROUTING -p tcp -m tcp --dport {port(rng)} -j REDIRECT --to-ports {port(rng)}"
        tables.append(
            f"*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n{rule}\nCOMMIT\n"
        )
    tool = rng.choice(("iptables-restore", "iptables-restore", "iptables-legacy-restore"))
    load = {tool: "".join(tables)}
    if rng.random() < 0.1:
        load["nft"] = Table(rng, 7).text()
    return dict(reversed(load.items()))


def filter_table(rng: Random) -> str:
    users = [f"U{n}" for n in range(rng.choice((0, 1, 2, 3)))]
    lines = [
        f":INPUT {rng.choice(('ACCEPT', 'ACCEPT', 'DROP'))} [0:0]",
        ":FORWARD DROP [0:0]",
        f":OUTPUT {rng.choice(('ACCEPT',) * 5 + ('DROP',))} [0:0]",
    ]
    lines += [f":{user} - [0:0]" for user in users]
    if rng.random() < 0.7:
        lines.append("-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
    if rng.random() < 0.5:
        lines.append("-A OUTPUT -m state --state RELATED,ESTABLISHED -j ACCEPT")
    lines += [condition(rng, "INPUT", users) for _ in range(rng.choice((1, 2, 3, 4, 5)))]
    lines += [condition(rng, "OUTPUT", users[1:]) for _ in range(rng.choice((0, 0, 1, 2)))]
    for n, user in enumerate(users):
        lines += [condition(rng, user, users[n + 1 :]) for _ in range(rng.choice((0, 1, 2, 3)))]
    if rng.random() < 0.5:
        lines.append(
            f"-A INPUT -j {rng.choice(('DROP', 'REJECT --reject-with icmp-host-prohibited', 'REJECT --reject-with icmp-port-unreachable'))}"
        )
    return "*filter\n" + "\n".join(lines) + "\nCOMMIT\n"


def raw_table(rng: Random) -> str:
    rules = [
        f"-A {chain} {wanted(rng, chain)} -j {rng.choice(('CT --notrack', 'DROP', 'ACCEPT'))}"
        for chain in rng.choices(("PREROUTING", "OUTPUT"), k=2)
    ]
    return "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n" + "\n".join(rules) + "\nCOMMIT\n"


def mangle_table(rng: Random) -> str:
    targets = (
        "MARK --set-xmark 0x1/0xffffffff",
        "MARK --set-xmark 0x2/0x2",
        "CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff",
        "DROP",
    )
    rules = [f"-A {chain} {wanted(rng, chain)} -j {rng.choice(targets)}" for chain in rng.choices(("PREROUTING", "INPUT", "OUTPUT"), k=2)]
    heads = "".join(f":{chain} ACCEPT [0:0]\n" for chain in ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"))
    return f"*mangle\n{heads}" + "\n".join(rules) + "\nCOMMIT\n"


def security_table(rng: Random) -> str:
    rules = ["-A OUTPUT -d 168.63.129.16/32 -p tcp -m tcp --dport 53 -j ACCEPT"]
    rules += ["-A OUTPUT -d 168.63.129.16/32 -p tcp -m owner --uid-owner 0 -j ACCEPT"] if rng.random() < 0.5 else []
    rules += [
        rng.choice(
            (
                "-A OUTPUT -d 168.63.129.16/32 -p tcp -m conntrack --ctstate INVALID,NEW -j DROP",
                "-A OUTPUT -d 168.63.129.16/32 -p tcp -j DROP",
            )
        )
    ]
    return "*security\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n" + "\n".join(rules) + "\nCOMMIT\n"


def condition(rng: Random, chain: str, users: list[str]) -> str:
    targets = ["-j ACCEPT"] * 6 + ["-j DROP"] * 3 + ["-j RETURN", '-j LOG --log-prefix "to DROP: "', ""]
    targets += [f"-{way} {user}" for user in users for way in "jjg"]
    targets += [
        "-j REJECT --reject-with icmp-port-unreachable",
        "-j REJECT --reject-with icmp-admin-prohibited",
        "-j REJECT --reject-with icmp-net-unreachable",
    ]
    words = wanted(rng, chain)
    if "-p tcp" in words and "! -p tcp" not in words:
        targets += ["-j REJECT --reject-with tcp-reset"] * 2
    return f"-A {chain} {words} {rng.choice(targets)}".strip()


def wanted(rng: Random, chain: str) -> str:
    """Conditions of one rule; `-p` comes first where a port is named."""
    far, near = ("-d", "-s") if chain == "OUTPUT" else ("-s", "-d")
    dport = "--sport" if chain == "OUTPUT" else "--dport"
    nic = "-o" if chain == "OUTPUT" else "-i"
    address, protocol, others = "", "", []
    if rng.random() < 0.35:
        address = rng.choice(
            (
                f"{far} {rng.choice(SOURCES)}/32",
                f"{far} {rng.choice(NETS[:5])}",
                f"! {far} {rng.choice(NETS[:5])}",
                f"{near} {rng.choice(NEAR)}/32",
            )
        )
    if rng.random() < 0.25 and (chain in ("INPUT", "OUTPUT", "PREROUTING")):
        address += rng.choice((f" {nic} eth0", f" ! {nic} eth0", f" {nic} eth+", f" {nic} lo"))
    if rng.random() < 0.75:
        protocol = rng.choice((
            f"-p tcp -m tcp {dport} {port(rng)}", f"-p tcp -m tcp {dport} {port(rng)}", f"-p tcp -m tcp ! {dport} {port(rng)}",
            f"-p tcp -m tcp {dport} {span(rng, ':')}", f"-p tcp -m multiport {dport}s 80,1521:1522,5432",
            f"-p tcp -m multiport ! {dport}s 12345,3389",
            f"-p tcp -m multiport --ports {port(rng)},22", "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN",
            "-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN",
            f"-p udp -m udp {dport} {port(rng)}", "-p tcp", "! -p tcp", "-p icmp", "-p icmp -m icmp --icmp-type 8",
            "-p tcp -m tcp --sport 1024:65535",
        ))  # fmt: skip
    if rng.random() < 0.3:
        many = [
            "-m conntrack --ctstate NEW", "-m conntrack ! --ctstate NEW", "-m state --state NEW", "-m conntrack --ctstate INVALID",
            "-m conntrack --ctstate RELATED,ESTABLISHED", '-m comment --comment "a rule; it\'s \\"DROP\\""',
            "-m addrtype --dst-type LOCAL",
            "-m addrtype ! --src-type LOCAL", "-m mark --mark 0x1", "-m mark ! --mark 0x2/0x2",
            "-m iprange --src-range 10.9.1.15-10.9.1.25",
            "-m pkttype --pkt-type unicast", "-m connmark --mark 0x1", "-m conntrack --ctdir ORIGINAL",
            "-m conntrack --ctstate UNTRACKED",
        ]  # fmt: skip
        many += ["-m owner --uid-owner 0", "-m owner ! --uid-owner 0", "-m owner --uid-owner 1000-2000"] if chain == "OUTPUT" else []
        others.append(rng.choice(many))
    if rng.random() < 0.02:
        others.append(rng.choice(("-m limit --limit 5/min", "-m statistic --mode random --probability 0.5")))
    return " ".join([address, protocol, *others]).strip()
