"""A generic TCP service in the lab: greets with one line that names its node, then echoes; with --udp it echoes datagrams too.

The greeting is `lab-echo NODE STARTED` (seconds since the epoch). A UDP reply is the node's name, a space and the datagram.

Example: python -m harness.lab.services.echo --port 7777 --bind 0.0.0.0 --node lknode01 --udp
"""

from __future__ import annotations

import socket
import threading

from harness.lab.services import service_base

IP_PKTINFO = 8  # Linux's number; Python's socket module knows the name only from 3.12 on
PKTINFO_SIZE = 12  # struct in_pktinfo: interface, local address, destination address of the header


def converse(service: service_base.Service, connection: socket.socket) -> None:
    """Greet, then give back every byte until the peer has no more. Idle connections stay: idle timeouts are tested with them."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(f"lab-echo {service.node} {service.started:.3f}\n".encode())
    while data := connection.recv(65536):
        connection.sendall(data)


def answer_datagrams(service: service_base.Service, sock: socket.socket) -> None:
    """Echo datagrams for ever, each from the very address it was sent to.

    A socket bound to any address would answer from the address that routing picks, which need not be the VIP that the
    client sent to; the client would not recognise the answer.
    """
    sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    prefix = service.node.encode() + b" "
    while True:
        try:
            data, ancillary, _, peer = sock.recvmsg(65535, socket.CMSG_SPACE(PKTINFO_SIZE))
            arrived_at = next(info[8:12] for level, kind, info in ancillary if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO))
            leave_from = bytes(4) + arrived_at + bytes(4)
            sock.sendmsg([prefix + data], [(socket.IPPROTO_IP, IP_PKTINFO, leave_from)], 0, peer)
        except OSError as error:  # this peer cannot be answered (too long, no route, an ICMP error came back): the next may
            service.log(f"a datagram was not answered: {error.strerror}")


def main(arguments: list[str] | None = None) -> None:
    """Serves until it is ended by a signal."""
    assert __doc__
    parser = service_base.options("echo", __doc__, port=7)
    parser.add_argument("--udp", action="store_true", help="echo datagrams on the same port as well")
    options = parser.parse_args(arguments)
    service_base.send_log_to(options.log)
    service_base.raise_priority()
    service = service_base.Service("echo", options.node)
    service.log("a lab service that greets and echoes")
    service_base.exit_on_sigterm(service)
    listener = service_base.listen(service, options.bind, options.port)
    address, port = listener.getsockname()
    if options.udp:
        datagrams = service_base.listen(service, options.bind, port, kind=socket.SOCK_DGRAM)
        threading.Thread(target=answer_datagrams, args=(service, datagrams), daemon=True).start()
    service.log(f"listening on {address}:{port}{', tcp and udp' if options.udp else ''}")
    service_base.say_ready()
    service_base.serve(service, listener, converse)


if __name__ == "__main__":
    main()
