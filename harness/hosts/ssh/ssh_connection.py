"""One SSH connection: dial, check the host's key, log in, open sessions. Nothing here is ever retried.

Errors are HostUnreachable with a sentence for a person; `NotYet` marks those that a host which is still booting
gives too, so that the caller may try again.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm

from harness.config.cluster_config import Machine
from harness.core.deadline import Deadline
from harness.hosts.host import HostUnreachable, WrongHostKey
from harness.hosts.ssh import known_hosts
from harness.hosts.ssh.ssh_library import paramiko

MAX_KEYS_TRIED = 5  # of an agent: sshd's MaxAuthTries is 6, and a program that bans may begin at 5 failed log-ins
NAME_ONE = "name the one that is meant with ssh.key: its private file, or its .pub for a key that ssh-agent holds"
MAX_SESSIONS = 8  # sshd's default MaxSessions is 10; two are left for liveness and for people
KEEPALIVE_INTERVAL_S = 10
OF_AN_OPEN_CHANNEL = {bytes([number]) for number in (93, 94, 95, 96, 98)}  # WINDOW_ADJUST, DATA, EXTENDED_DATA, EOF, REQUEST (RFC 4254)
REFUSED_TO_ANOTHER = "Unable to open channel."  # paramiko keeps one reason for all threads; the second one refused hears only this
# Of either end, told in the SYN: one of the faults to be found is a path that loses full-sized packets and does not say so (RFC 4821).
MAX_SEGMENT_BYTES = 1200
SILENT_PEER_TIMEOUT_MS = 30_000  # unanswered for this long, the kernel gives a connection up

# what paramiko logs is told to people as sentences; without a handler Python would print it to the terminal as well
logging.getLogger("paramiko").addHandler(logging.NullHandler())

Dial = Callable[[str, int, Deadline], Any]


_good_keys: dict[tuple[str, str], bytes] = {}  # the public half that let a user into a machine: tried first from then on


class TooManyKeys(HostUnreachable):
    """Which key is meant is not known, and trying them is not harmless. Never retried."""


class NotYet(HostUnreachable):
    """A failure of the transport that may pass by itself: refused, reset, silent, not ready."""


class SessionsTaken(NotYet):
    """sshd has no room for another session: those that were just closed count there until their commands have ended."""


class _LastWords(logging.Handler):
    """Keeps why sshd refused a channel (refused, timed out …): paramiko drops that from its error and only logs it."""

    reason = ""

    def emit(self, record: logging.LogRecord) -> None:
        _, separator, words = record.getMessage().partition(" open FAILED: ")
        if separator:
            self.reason = words.rpartition(":")[0].strip()


def _to_own_handlers(record: logging.LogRecord) -> bool:
    """For a transport's own logger: its handlers are told, and nobody else, such as pytest, which shows all below a test that failed."""
    for handler in logging.getLogger(record.name).handlers:
        handler.handle(record)
    return False


class OrderedTransport(paramiko.Transport):
    """Sends no word on a channel after its CLOSE, and does not wait for new keys in the thread that has to agree on them.

    paramiko builds such a message under the channel's lock and sends it after letting go; the thread that answers sshd's CLOSE may
    come in between, and sshd ends the whole connection when it hears of a channel that it has forgotten.

    After 512 MiB it asks for new keys, until when nobody may send (RFC 4253, 7.1). Its reading thread answers a CLOSE that comes meanwhile,
    and would wait there for what only it can read: 30 s, after which the connection is lost (paramiko's issue 822).
    """

    def __init__(self, sock: object) -> None:
        super().__init__(sock)  # type: ignore[arg-type]
        self._held_messages: list[paramiko.Message] = []  # the reading thread's own, until the new keys are there

    def _send_user_message(self, data: paramiko.Message) -> None:
        if threading.current_thread() is not self:
            super()._send_user_message(data)  # type: ignore[misc]
            return
        # Under the lock, so that no CLOSE is sent between another thread's look at a channel and its word on it.
        with self.clear_to_send_lock:  # type: ignore[attr-defined]
            if self.clear_to_send.is_set():  # type: ignore[attr-defined]
                self._send_message(data)
            else:
                self._held_messages.append(data)

    def _parse_newkeys(self, message: paramiko.Message) -> None:
        super()._parse_newkeys(message)  # type: ignore[misc]
        with self.clear_to_send_lock:  # type: ignore[attr-defined]
            kept_back, self._held_messages = self._held_messages, []
            for data in kept_back:
                self._send_message(data)

    def _send_message(self, data: paramiko.Message) -> None:
        raw = data.asbytes()
        if raw[:1] not in OF_AN_OPEN_CHANNEL or self._is_open(int.from_bytes(raw[1:5], "big")):
            super()._send_message(data)  # type: ignore[misc]  # paramiko's stubs leave these out

    def _is_open(self, remote_id: int) -> bool:
        return any(channel.remote_chanid == remote_id and not channel.closed for channel in self._channels.values())  # type: ignore[attr-defined]


class Connection:
    """A logged-in transport and its session slots. `SshHost` makes a new one when this is lost."""

    def __init__(self, machine: Machine, transport: paramiko.Transport) -> None:
        self.name = machine.name
        self.transport = transport
        self.slots = threading.BoundedSemaphore(MAX_SESSIONS)
        self._last_words = _LastWords()
        transport.logger.addHandler(self._last_words)

    @property
    def usable(self) -> bool:
        """False once the local end knows that it is lost; true says nothing about the peer."""
        return self.transport.is_active() and self.transport.is_authenticated()

    def open_session(self, limit: float) -> paramiko.Channel:
        """A channel for one command within `limit` seconds. Raises NotYet; SessionsTaken while the connection is good."""
        try:
            return self.transport.open_session(timeout=limit)
        except (paramiko.SSHException, EOFError, OSError) as error:
            if isinstance(error, paramiko.ChannelException) or str(error) == REFUSED_TO_ANOTHER:
                raise SessionsTaken(
                    f"{self.name}: sshd refused another session ({_reason(error)}); does its MaxSessions admit {MAX_SESSIONS + 1}?"
                ) from error
            raise NotYet(f"{self.name}: the connection no longer answers ({_reason(error)}); is the host still up?") from error

    def open_tunnel(self, address: str, port: int, limit: float) -> paramiko.Channel:
        """A direct-tcpip channel to address:port as seen from this host."""
        try:
            return self.transport.open_channel("direct-tcpip", (address, port), ("127.0.0.1", 0), timeout=limit)
        except paramiko.ChannelException as error:
            reason = self._last_words.reason or error.text
            advice = (
                "does its AllowTcpForwarding permit this?" if error.code == 1 else "does sshd run there, and does the network admit it?"
            )
            raise NotYet(f"{self.name}, the jump host, could not connect to {address}:{port} ({reason}); {advice}") from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise NotYet(f"{self.name}, the jump host, gave no connection to {address}:{port} ({_reason(error)})") from error

    def close(self) -> None:
        """Closes the connection and every session on it."""
        self.transport.close()
        self.transport.logger.removeHandler(self._last_words)


def connect(machine: Machine, dial: Dial, deadline: Deadline, transport_of: type[OrderedTransport] = OrderedTransport) -> Connection:
    """Connect, check the key, log in; all before `deadline`. `dial` gives the socket (or the jump host's channel)."""
    address, port = address_of(machine)
    host_keys = _known_keys(machine, address, port)
    sock = dial(address, port, deadline)
    try:
        transport = transport_of(sock)
        transport.set_log_channel(f"paramiko.transport.{machine.name}")
        transport.logger.addFilter(_to_own_handlers)
    except (paramiko.SSHException, OSError) as error:
        sock.close()
        raise NotYet(f"{machine.name}: the connection to {address}:{port} broke at once ({_reason(error)})") from error
    try:
        _shake_hands(machine, transport, host_keys, deadline)
        _check_key(machine, transport, host_keys)
        _log_in(machine, transport, deadline)
    except BaseException:
        transport.close()
        raise
    transport.set_keepalive(KEEPALIVE_INTERVAL_S)
    return Connection(machine, transport)


def address_of(machine: Machine) -> tuple[str, int]:
    """Where a host's sshd is reached: address or name, and port."""
    return machine.ssh.host or str(machine.address), machine.ssh.port


def dial_directly(name: str) -> Dial:
    """A `Dial` that opens an ordinary TCP connection."""

    def dial(address: str, port: int, deadline: Deadline) -> socket.socket:
        try:
            sock = _open_socket(address, port, deadline)
        except TimeoutError as error:
            raise NotYet(
                f"{name}: no answer from {address}:{port} within {deadline.seconds:g} s; "
                "is it powered on and does the network admit SSH from here?"
            ) from error
        except ConnectionRefusedError as error:
            raise NotYet(f"{name}: {address}:{port} refused the connection; does sshd run there, on that port?") from error
        except socket.gaierror as error:
            raise HostUnreachable(f"{name}: the name {address} cannot be resolved ({error.strerror}); correct ssh.host") from error
        except OSError as error:
            raise NotYet(
                f"{name}: {address}:{port} cannot be reached ({error.strerror or error}); is there a route to it from here?"
            ) from error
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_PEER_TIMEOUT_MS)
        return sock

    return dial


def _open_socket(address: str, port: int, deadline: Deadline) -> socket.socket:
    """A TCP connection to the first of the name's addresses that takes one. Raises OSError, the last one's."""
    last_error: OSError = OSError("the name has no address")
    for family, kind, protocol, _, where in socket.getaddrinfo(address, port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, protocol)
        try:
            with contextlib.suppress(AttributeError, OSError):  # Windows has no such option
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, MAX_SEGMENT_BYTES)
            sock.settimeout(max(0.01, deadline.remaining()))
            sock.connect(where)
        except OSError as error:
            sock.close()
            last_error = error
        else:
            return sock
    raise last_error


def _known_keys(machine: Machine, address: str, port: int) -> known_hosts.HostKeys:
    path = machine.ssh.known_hosts or Path.home() / ".ssh" / "known_hosts"
    entry = known_hosts.entry_name(address, port)
    obtain = (
        f"on a network you trust run `ssh-keyscan -p {port} {address} >> {path}` "
        "and compare it with `ssh-keygen -lf` of the key on the host itself"
    )
    try:
        entries = known_hosts.read(path)
    except OSError as error:
        raise WrongHostKey(f"{machine.name}: {path} cannot be read ({error.strerror}), so no key for {entry} is known; {obtain}") from error
    host_keys = known_hosts.keys_of(entries, address, port)
    if not host_keys.keys:
        raise WrongHostKey(f"{machine.name}: {path} has no entry for {entry}; {obtain}")
    return host_keys


def _shake_hands(machine: Machine, transport: paramiko.Transport, host_keys: known_hosts.HostKeys, deadline: Deadline) -> None:
    """The banner and the key exchange, asking for the kind of host key that is on file."""
    address, port = address_of(machine)
    options = transport.get_security_options()
    preferred = [
        kind for kind in options.key_types if kind in host_keys.keys or (kind.startswith("rsa-sha2") and "ssh-rsa" in host_keys.keys)
    ]
    options.key_types = tuple([*preferred, *(kind for kind in options.key_types if kind not in preferred)])
    # Ciphers with a tag of their own first: the others' tags are compared in Python, byte by byte, which costs more than the cipher.
    options.ciphers = tuple(sorted(options.ciphers, key=lambda name: "-gcm@" not in name))
    transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = max(0.01, deadline.remaining())
    greeted = threading.Event()
    transport.start_client(event=greeted)
    greeted.wait(deadline.remaining())
    if transport.is_active() and transport.initial_kex_done:
        return
    error = transport.get_exception()
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        raise HostUnreachable(f"{machine.name}: {address}:{port} speaks no SSH algorithm that the harness accepts ({error})") from error
    if deadline.expired or error is None:
        raise NotYet(
            f"{machine.name}: {address}:{port} accepted the connection but did not complete SSH's greeting within {deadline.seconds:g} s; "
            "is that sshd, and is the host overloaded or frozen?"
        ) from error
    raise NotYet(f"{machine.name}: {address}:{port} broke off SSH's greeting ({_reason(error)}); is that sshd?") from error


def _check_key(machine: Machine, transport: paramiko.Transport, host_keys: known_hosts.HostKeys) -> None:
    address, port = address_of(machine)
    server_key = transport.get_remote_server_key()
    if host_keys.vouches_for(server_key.get_name(), server_key.asbytes()):
        return
    entry, path = known_hosts.entry_name(address, port), machine.ssh.known_hosts or "~/.ssh/known_hosts"
    description = f"{server_key.get_name()} {known_hosts.fingerprint(server_key.asbytes())}"
    if server_key.asbytes() in host_keys.revoked:
        raise WrongHostKey(
            f"{machine.name}: {path} revokes the key that {entry} shows ({description}); do not use this host until its key is replaced"
        )
    on_file = ", ".join(f"{kind} {known_hosts.fingerprint(key)}" for kind, keys in sorted(host_keys.keys.items()) for key in sorted(keys))
    raise WrongHostKey(
        f"{machine.name}: {entry} shows the key {description}, but {path} has {on_file}; another machine answers there or the host was "
        f"reinstalled: if so, remove the old entry with `ssh-keygen -R '{entry}' -f {path}` and add the new one"
    )


def _log_in(machine: Machine, transport: paramiko.Transport, deadline: Deadline) -> None:
    """Log in with the key file, or with the key of ssh-agent whose public half `ssh.key` names; without it, with what the agent holds.

    Each key that sshd turns down is a failed log-in there, for which it hangs up after MaxAuthTries, and others ban a machine; so no more
    than a few are ever tried, and never again.
    """
    user = machine.ssh.user
    with contextlib.ExitStack() as stack:
        keys = _usable_keys(machine, stack)
        for count, key in enumerate(keys, 1):
            transport.auth_timeout = max(0.01, deadline.remaining())
            try:
                transport.auth_publickey(user, key)
            except paramiko.AuthenticationException as error:
                if not deadline.expired and not transport.is_active() and len(keys) > 1:
                    raise TooManyKeys(
                        f"{machine.name}: sshd hung up after {count} of the {len(keys)} keys in ssh-agent were turned down for {user} "
                        f"(its MaxAuthTries); {NAME_ONE}"
                    ) from error
                if deadline.expired or not transport.is_active():
                    raise NotYet(
                        f"{machine.name}: the log-in as {user} was not answered within {deadline.seconds:g} s; "
                        "is the host overloaded, or the way to it slow? if it only needs longer, raise ssh.connect_limit_s"
                    ) from error
                continue
            except (paramiko.SSHException, EOFError, OSError) as error:
                raise NotYet(f"{machine.name}: the connection broke during the log-in as {user} ({_reason(error)})") from error
            if transport.is_authenticated():
                _good_keys[machine.name, user] = key.asbytes()
                return
    keys_in_words = f"the key {machine.ssh.key}" if machine.ssh.key else f"any of the {len(keys)} keys in ssh-agent"
    raise HostUnreachable(
        f"{machine.name}: sshd does not let {user} in with {keys_in_words}; is its public half in that user's authorized_keys?"
    )


def _read_key(machine: Machine, path: Path) -> paramiko.PKey:
    try:
        return paramiko.PKey.from_path(path)
    except OSError as error:
        raise HostUnreachable(f"{machine.name}: the key {path} cannot be read ({error.strerror}); correct ssh.key") from error
    except (paramiko.PasswordRequiredException, TypeError) as error:
        raise HostUnreachable(f"{machine.name}: the key {path} has a passphrase; load it with ssh-add and leave ssh.key out") from error
    except (paramiko.SSHException, UnsupportedAlgorithm, ValueError) as error:
        raise HostUnreachable(f"{machine.name}: {path} is not a private key that can be used ({error}); correct ssh.key") from error


def _usable_keys(machine: Machine, stack: contextlib.ExitStack) -> Sequence[paramiko.PKey | paramiko.AgentKey]:
    path = machine.ssh.key
    if path is not None and path.suffix == ".pub":
        return [_key_of_agent(machine, path, _agent_keys(machine, stack))]
    if path is not None:
        return [_read_key(machine, path)]
    keys = _agent_keys(machine, stack)
    if len(keys) > MAX_KEYS_TRIED:
        raise TooManyKeys(
            f"{machine.name}: ssh-agent holds {len(keys)} keys, and to try them all would be as many failed log-ins; {NAME_ONE}"
        )
    good = _good_keys.get((machine.name, machine.ssh.user))
    return sorted(keys, key=lambda key: key.asbytes() != good)


def _key_of_agent(machine: Machine, path: Path, keys: list[paramiko.AgentKey]) -> paramiko.AgentKey:
    """The agent's key of which this file is the public half, as ssh's IdentitiesOnly chooses it."""
    try:
        words = path.read_text(encoding="utf-8", errors="replace").split()
        public_key = base64.b64decode(words[1], validate=True)
    except OSError as error:
        raise HostUnreachable(f"{machine.name}: the public key {path} cannot be read ({error.strerror}); correct ssh.key") from error
    except (IndexError, ValueError) as error:
        raise HostUnreachable(f"{machine.name}: {path} is not a public key; correct ssh.key") from error
    agent_key = next((key for key in keys if key.asbytes() == public_key), None)
    if agent_key is None:
        raise HostUnreachable(f"{machine.name}: ssh-agent does not hold the key {path}; load it with ssh-add, or name the private key")
    return agent_key


def _agent_keys(machine: Machine, stack: contextlib.ExitStack) -> list[paramiko.AgentKey]:
    try:
        agent = paramiko.Agent()
    except (paramiko.SSHException, OSError) as error:
        raise HostUnreachable(f"{machine.name}: ssh-agent cannot be used ({_reason(error)}); set ssh.key to a key file") from error
    stack.callback(agent.close)
    keys = list(agent.get_keys())
    if not keys:
        lack = "ssh-agent holds no key" if os.environ.get("SSH_AUTH_SOCK") else "no ssh-agent runs"
        raise HostUnreachable(f"{machine.name}: there is no key to log in with: ssh.key is not set and {lack}; set one or the other")
    return keys


def _reason(error: BaseException) -> str:
    return str(error).strip() or type(error).__name__
