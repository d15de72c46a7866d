"""Shows the book to a browser on this machine, until Ctrl-C."""

import errno
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cae_lib.config import count_of
from cae_lib.files import UserError


def opened(folder: Path, port: str) -> ThreadingHTTPServer:
    """A server of the files in `folder`, which begins with `serve`; `UserError` where it cannot have the port.

    It is opened before the book is made: the port is known to be free, and stays so.
    """
    number = count_of(port)
    if number is None or not 0 < number < 2**16:
        raise UserError(f"PORT: found {port!r}, allowed is a whole number from 1 to 65535")
    try:
        return ThreadingHTTPServer(("127.0.0.1", number), partial(SimpleHTTPRequestHandler, directory=folder))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UserError(
                f"PORT: {number} is taken, by another `make serve` or another program: end that, or choose another "
                f"port, as with make serve PORT={number + 1 if number < 65535 else 8001}"
            ) from None
        raise UserError(f"PORT: {number} cannot be used ({error.strerror}); choose one from 1024 on") from None


def serve(server: ThreadingHTTPServer) -> None:
    with server:
        print(f"the book is at http://localhost:{server.server_port}/ until Ctrl-C", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
