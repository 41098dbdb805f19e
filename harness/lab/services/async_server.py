"""For a stand-in that meets hundreds of short connections a second: all of them on one thread.

A thread for each would do on an idle machine. On a busy one the threads stand in line for the interpreter behind one another, answers
come later and later, and a healthy service looks silent to a meter that asks it every ten milliseconds from three places.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from queue import SimpleQueue

from harness.lab.services.service_base import BACKLOG, Service

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
LOG_FLUSH_INTERVAL_S = 0.1  # so many seconds' lines are written at once: a wake-up for each would cost as much as an answer

_lines: SimpleQueue[str] = SimpleQueue()


def serve(service: Service, listener: socket.socket, handle: Handler) -> None:
    """Accept for ever. Nothing that a peer sends ends the service; a connection is closed when `handle` is done with it."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername") or ("somebody", 0)
        try:
            await handle(reader, writer)
        except TimeoutError:
            note(service, f"{peer[0]}:{peer[1]} said nothing for too long: connection closed")
        except ConnectionError:
            pass  # the peer left, which is its right; a log line for each would drown the log under measurement
        except Exception as error:
            note(service, f"{peer[0]}:{peer[1]}: {type(error).__name__}: {error}: connection closed")
        finally:
            writer.close()

    threading.Thread(target=_write_lines, daemon=True).start()

    async def run() -> None:
        server = await asyncio.start_server(converse, sock=listener, backlog=BACKLOG)
        await server.serve_forever()

    asyncio.run(run())


def note(service: Service, text: str) -> None:
    """Log beside the thread that serves: a disk that is busy for somebody else must not keep everybody's answers back."""
    _lines.put(service.stamped(text))


def _write_lines() -> None:
    while True:
        waiting = [_lines.get()]
        time.sleep(LOG_FLUSH_INTERVAL_S)
        while not _lines.empty():
            waiting.append(_lines.get())
        with contextlib.suppress(OSError):  # a full disk: these lines are lost, later ones may not be, and the service goes on
            print("\n".join(waiting), flush=True)
