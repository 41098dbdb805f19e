"""nftables through libnftables, inside this process: a switch takes 0.1 ms where spawning `nft` takes 16 (facts, measuring)."""

from __future__ import annotations

import ctypes
import ctypes.util

from harness.core.errors import Unusable


class Nft:
    """A libnftables context that belongs to the network namespace it was opened in."""

    def __init__(self) -> None:
        name = ctypes.util.find_library("nftables") or "libnftables.so.1"
        try:
            lib = ctypes.CDLL(name)
        except OSError as error:
            raise Unusable("libnftables is missing; install it: apt-get install -y nftables") from error
        lib.nft_ctx_new.restype = ctypes.c_void_p
        lib.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
            getattr(lib, name).restype = ctypes.c_char_p
            getattr(lib, name).argtypes = [ctypes.c_void_p]
        for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error"):
            getattr(lib, name).argtypes = [ctypes.c_void_p]
        self._lib = lib
        self._context = lib.nft_ctx_new(0)
        lib.nft_ctx_buffer_output(self._context)
        lib.nft_ctx_buffer_error(self._context)

    def run(self, commands: str) -> str:
        """Carry out all of `commands` as one transaction, or none. Raises RuntimeError with what nft said."""
        code = self._lib.nft_run_cmd_from_buffer(self._context, commands.encode())
        output = self._lib.nft_ctx_get_output_buffer(self._context).decode()
        complaint = self._lib.nft_ctx_get_error_buffer(self._context).decode()
        if code != 0:
            raise RuntimeError(f"nft refused: {complaint.strip() or 'no reason given'}\n{commands}")
        return output
