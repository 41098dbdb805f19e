"""Takes from this interpreter what CPython lacks on Windows: imported before the harness, by a process that acts as one there.

The standard library's own modules that need those things are loaded first, as their Windows halves are not here.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import getpass
import logging.handlers
import multiprocessing
import os
import select
import selectors
import shutil
import signal
import socketserver
import subprocess
import sys
import tarfile
import tempfile
import venv

LOADED = (asyncio, concurrent.futures, getpass, logging.handlers, multiprocessing, selectors, shutil, socketserver)
LOADED_TOO = (subprocess, tarfile, tempfile, venv)
MODULES = ("pwd", "grp", "fcntl", "resource", "termios", "tty", "pty", "syslog", "crypt", "spwd", "readline")
OF_OS = """
chown chroot fchmod fchown fork forkpty getegid geteuid getgid getgroups getloadavg getpgid getpgrp getsid getuid initgroups killpg lchown
mkfifo mknod nice openpty pidfd_open posix_spawn sched_getaffinity sched_setaffinity sendfile setegid seteuid setgid setns setpgid setsid
setuid sync uname unshare O_DIRECTORY O_NOFOLLOW O_NONBLOCK
"""
OF_SIGNAL = "SIGHUP SIGUSR1 SIGUSR2 SIGALRM SIGSTOP SIGCONT SIGCHLD SIGPIPE SIGQUIT alarm setitimer pthread_sigmask"

_open = os.open


def _open_files_only(path, *more, **words):
    """A folder cannot be opened there."""
    if not isinstance(path, int) and os.path.isdir(path):  # noqa: PTH112
        raise PermissionError(13, "Permission denied", str(path))
    return _open(path, *more, **words)


def take_away() -> None:
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]  # the import of it fails
    for module, names in ((os, OF_OS), (signal, OF_SIGNAL), (select, "poll epoll")):
        for name in names.split():
            if hasattr(module, name):
                delattr(module, name)
    os.open = _open_files_only
