"""An Oracle listener: a TNS ping for its alias and version, then a connect that it must refuse as "no such service"; with an account, the
instance behind it.

Without an account no database is touched. The listener's log shows a ping and an ORA-12514 for each question.
"""

from __future__ import annotations

import re

from harness.config import service_settings
from harness.core.deadline import Deadline
from harness.core.text.host_text import cut_at_word
from harness.services import oracle_session, tns
from harness.services.service_kind import Hello, Identity, NotServing, NotTheService, ServiceKind, WrongAnswer

ACCOUNT = {"user", "password_file", "password_env", "password_command"}
SETTINGS = {"alias_pattern", "unknown_service", "service_name", "service_every_s", *ACCOUNT}
MIN_CONNECT_INTERVAL_S = 0.25  # each connect to a real service makes its server start a process
MIN_PING_INTERVAL_S = 0.01  # one process answers them all, and its manager's own check waits behind them
UNKNOWN_SERVICE = "lkharness-no-such-service"


class Oracle(ServiceKind):
    """Settings: `alias_pattern`, a regular expression with a group `node` that the listener's alias is matched with, for
    listeners that are named after their node (LISTENER_(?P<node>.+)); `unknown_service`, a name that no database has;
    `service_name`, the service that clients connect to: with it *answered* means that an instance takes the connection up, asked at most
    every `service_every_s` (default 0.25 s) from each host. A ping alone is answered while no database is there (facts ORA-24).

    With an account (`user`, and `password_file`, `password_env` or `password_command`; CREATE SESSION is enough) the instance behind
    `service_name` says who it is, which a listener with the same alias on both nodes cannot (facts ORA-17)."""

    kind = "oracle"
    usual_ports = (1521,)
    bears_silence_s = 60.0  # facts ORA-22

    def who_are_you(self, host: str, port: int, *, settings: dict[str, str], deadline: Deadline) -> Identity:
        service_settings.only_known(settings, self.kind, SETTINGS)
        if ACCOUNT & set(settings):
            return self._instance(host, port, settings, deadline)
        alias_pattern = service_settings.pattern(settings, "alias_pattern", groups={"node"})
        listener = tns.ping(host, port, deadline)
        facts = {"alias": listener["ALIAS"], "version": tns.version_of(listener["VSNNUM"]), "ping_error": listener["ERR"]}
        match = alias_pattern.fullmatch(listener["ALIAS"]) if alias_pattern else None
        return Identity(
            kind=self.kind,
            said=f"TNS ping answered by listener {listener['ALIAS'] or '(unnamed)'}",
            node=match.groupdict().get("node") if match else None,
            facts={name: value for name, value in facts.items() if value},
        )

    def _instance(self, host: str, port: int, settings: dict[str, str], deadline: Deadline) -> Identity:
        instance = oracle_session.ask(host, port, settings, deadline)
        if instance.role not in ("PRIMARY", ""):
            raise WrongAnswer(
                f"{host}:{port}: the instance {instance.name} serves {instance.database} as {instance.role}, which takes no writes"
            )
        facts = {"instance": instance.name, "database": instance.database, "role": instance.role}
        return Identity(
            kind=self.kind,
            said=f"instance {instance.name} of {instance.database} on {instance.host}",
            node=instance.host or None,
            facts={name: value for name, value in facts.items() if value},
        )

    def hello(self, settings: dict[str, str]) -> Hello:
        """A connect to the real service where one is given, accepted; else a TNS ping. The listener ends the connection with its answer."""
        service_settings.only_known(settings, self.kind, SETTINGS)
        period_s = service_settings.seconds(settings, "service_every_s", MIN_CONNECT_INTERVAL_S)
        if "service_name" in settings:
            connect_packet = tns.connect_packet(tns.connect_to(settings["service_name"]))
            return Hello(connect_packet, tns.ACCEPTED, keeps=False, again=tns.ASKED_AGAIN, least_period_s=period_s)
        return Hello(tns.connect_packet(tns.PING), tns.PING_ANSWER, keeps=False, least_period_s=MIN_PING_INTERVAL_S)

    def is_it_really_you(self, host: str, port: int, *, settings: dict[str, str], deadline: Deadline) -> str:
        """The listener's own word for who it is; raises HarnessError."""
        if "service_name" in settings:
            return connect_to_service(host, port, settings["service_name"], deadline)
        refusal = connect_to_unknown_service(host, port, settings.get("unknown_service", UNKNOWN_SERVICE), deadline)
        return f"unknown service refused: {refusal}"


def connect_to_service(host: str, port: int, service: str, deadline: Deadline) -> str:
    """Connect to the real service. Raises NotServing with the ORA number when the listener refuses, NotTheService for a
    REDIRECT: a client would dial that address itself, past the balancer and this path (facts ORA-04); nothing here does."""
    kind, reply_text = tns.connect(host, port, service, deadline)
    if kind == tns.ACCEPT:
        return f"service {service} accepted"
    if kind == tns.REFUSE:
        number = re.search(r"\(ERR=(\d+)\)", reply_text)
        code = int(number[1]) if number else 0
        refusal = (
            f"ORA-{code:05d}" + (f", {oracle_session.NOT_SERVING[code]}" if code in oracle_session.NOT_SERVING else "")
            if number
            else f"it said {cut_at_word(reply_text, 120)!r}"
        )
        raise NotServing(f"{host}:{port}: the listener answers, but refuses the service {service}: {refusal}")
    if kind == tns.REDIRECT:
        raise _redirect_error(host, port, service, reply_text)
    raise NotTheService(f"{host}:{port} asked for the connect to {service} again and again")


def _redirect_error(host: str, port: int, service: str, reply_text: str) -> NotTheService:
    """Nothing here goes there: a client would dial that address itself, past the balancer and this path (facts ORA-04)."""
    address, port_match = re.search(r"\(HOST=([^()]*)\)", reply_text), re.search(r"\(PORT=([^()]*)\)", reply_text)
    target = f"to {address[1]}{f', port {port_match[1]}' if port_match else ''}" if address else f"({cut_at_word(reply_text, 120)!r})"
    return WrongAnswer(
        f"{host}:{port} redirects a connect to {service} {target}, past the load balancer, as shared servers and RAC do; "
        "it was not followed, so what serves there is not known"
    )


def connect_to_unknown_service(host: str, port: int, service: str, deadline: Deadline) -> str:
    """Connect to a service that does not exist and return the listener's refusal, ORA-12514 from one in order.

    Raises NotTheService where it is redirected, let in, or asked the same for ever, DeadlineExceeded in time.
    """
    kind, reply_text = tns.connect(host, port, service, deadline)
    if kind == tns.REDIRECT:
        raise _redirect_error(host, port, service, reply_text)
    if kind != tns.REFUSE:
        behaviour = (
            "let a client in to a service that does not exist"
            if kind == tns.ACCEPT
            else f"asked for the connect to {service} again and again"
        )
        raise NotTheService(f"{host}:{port} {behaviour}; no Oracle listener does")
    codes = [int(code) for code in re.findall(r"\((?:ERR|CODE)=(\d+)\)", reply_text)]
    code = next((c for c in codes if c), 0)
    if not code:
        raise NotTheService(f"{host}:{port} refused a connect to {service} without a reason: {cut_at_word(reply_text, 120)!r}")
    return f"ORA-{code:05d}"
