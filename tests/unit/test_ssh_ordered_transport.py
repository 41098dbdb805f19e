"""What two threads send over one SSH connection keeps the order that sshd wants: no word on a channel after its CLOSE."""

from __future__ import annotations

import socket
import threading
from types import SimpleNamespace

from harness.hosts.ssh.ssh_connection import OrderedTransport
from harness.hosts.ssh.ssh_library import paramiko

CHANNEL = 7
WINDOW_ADJUST, CLOSE = 93, 97  # RFC 4254


def message(kind: int) -> paramiko.Message:
    made = paramiko.Message()
    made.add_byte(bytes([kind]))
    made.add_int(CHANNEL)
    return made


class Reading(OrderedTransport):
    """Its thread, which reads as a rule, answers one CLOSE here."""

    def run(self) -> None:
        self._send_user_message(message(CLOSE))


def test_a_close_waits_for_the_word_that_another_thread_is_about_to_send() -> None:
    near, far = socket.socketpair()
    transport = Reading(near)
    channel = SimpleNamespace(remote_chanid=CHANNEL, closed=False)
    transport._channels = SimpleNamespace(values=lambda: [channel])
    transport.active = True
    transport.clear_to_send.set()
    sent: list[int] = []
    sending, go = threading.Event(), threading.Event()

    def send(data: paramiko.Message) -> None:
        kind = data.asbytes()[0]
        if kind == WINDOW_ADJUST:
            sending.set()
            assert go.wait(60)
        sent.append(kind)

    transport.packetizer.send_message = send
    other = threading.Thread(target=lambda: transport._send_user_message(message(WINDOW_ADJUST)))
    other.start()
    assert sending.wait(60)  # it has looked whether the channel is open, and its word is under way
    threading.Thread.start(transport)
    transport.join(0.5)
    assert sent == []
    go.set()
    other.join(60)
    threading.Thread.join(transport, 60)
    assert sent == [WINDOW_ADJUST, CLOSE]
    near.close()
    far.close()


def test_what_the_reading_thread_has_to_say_waits_for_new_keys_and_it_does_not() -> None:
    near, far = socket.socketpair()
    transport = Reading(near)
    transport.active = True
    transport.clear_to_send.clear()
    sent: list[int] = []
    transport.packetizer.send_message = lambda data: sent.append(data.asbytes()[0])
    threading.Thread.start(transport)
    threading.Thread.join(transport, 60)
    assert not transport.is_alive() and sent == []
    assert [kept.asbytes()[0] for kept in transport._held_messages] == [CLOSE]
    near.close()
    far.close()


def test_no_word_is_sent_on_a_closed_channel_although_another_is_open() -> None:
    near, far = socket.socketpair()
    transport = OrderedTransport(near)
    channels = [SimpleNamespace(remote_chanid=CHANNEL, closed=True), SimpleNamespace(remote_chanid=CHANNEL + 1, closed=False)]
    transport._channels = SimpleNamespace(values=lambda: channels)
    transport.active = True
    transport.clear_to_send.set()
    sent: list[int] = []
    transport.packetizer.send_message = lambda data: sent.append(data.asbytes()[0])
    transport._send_user_message(message(WINDOW_ADJUST))
    assert sent == []
    channels[0].closed = False
    transport._send_user_message(message(WINDOW_ADJUST))
    assert sent == [WINDOW_ADJUST]
    near.close()
    far.close()
