"""What tests of sources share."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from urllib.parse import parse_qsl, urlsplit

from tests.support.jobs import Ended, run_job


def cut(text: bytes, places: Iterable[int]) -> list[bytes]:
    """The text in blocks that end at these places, none of them empty."""
    borders = [0, *sorted(places), len(text)]
    pieces = (text[a:b] for a, b in pairwise(borders))
    return [piece for piece in pieces if piece]


@dataclass
class Load:
    """A catalogue with a source of some kind, loaded into schema `shop` of one database."""

    folder: Path
    dsn: str
    kind: str
    top: str = ""
    part: str = ""
    env: dict[str, str] = field(default_factory=dict)
    tables: list[str] = field(default_factory=list)

    def table(self, name: str, columns: Mapping[str, str], settings: str = "") -> None:
        """Declare a table; `settings` are further lines of its part of the catalogue."""
        kinds = ", ".join(f'"{column}" = "{kind}"' for column, kind in columns.items())
        self.tables.append(f'[[table]]\nname = "{name}"\ncolumns = {{ {kinds} }}\n{settings}\n')

    def load(self, number: int = 0, **env: str) -> Ended:
        return self.run(f"table --id {number}", **env)

    def run(self, command: str, **env: str) -> Ended:
        """A job of the load, with its options: `table --id 0`."""
        catalogue, output = self.folder / "tables.toml", self.folder / "output.jsonl"
        head = f'[source]\nkind = "{self.kind}"\n{self.top}\n[source.{self.kind}]\n{self.part}\n'
        catalogue.write_text(head + '[warehouse]\nschema = "shop"\n' + "\n".join(self.tables))
        module, *options = command.split()
        return run_job(self.dsn, module, *options, "--catalogue", catalogue, output=output, **{**self.env, **env})


@dataclass
class Asked:
    """One request a server got."""

    method: str
    path: str
    parameters: dict[str, str]
    headers: dict[str, str]
    body: bytes
    at: float
    query: str  # as it was written


Answer = tuple[int, Mapping[str, str], bytes]


@contextmanager
def served(answer: Callable[[Asked], Answer | None], *, tls: Path | None = None) -> Iterator[tuple[str, list[Asked]]]:
    """A real HTTP server: its address, and what it was asked. No answer means that it hangs up in the middle of one.

    With `tls`, a file of a key and its certificate, over HTTPS.
    """
    asked: list[Asked] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            request = Asked(
                self.command,
                parts.path,
                dict(parse_qsl(parts.query, keep_blank_values=True)),
                dict(self.headers),
                body,
                monotonic(),
                parts.query,
            )
            asked.append(request)
            answered = answer(request)
            if answered is None:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n[{")
                self.close_connection = True
                return
            status, headers, content = answered
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that hangs up is no news here."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = _context(tls).wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _context(tls: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls)
    return context


def own_certificate(folder: Path) -> Path:
    """A key and a certificate that nobody has reason to believe."""
    path = folder / "own.pem"
    options = [
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=127.0.0.1",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]
    subprocess.run(["openssl", "req", *options, "-keyout", path, "-out", folder / "own.crt"],
                   capture_output=True, check=True)  # fmt: skip
    path.write_bytes(path.read_bytes() + (folder / "own.crt").read_bytes())
    return path


@contextmanager
def dripping(
    begin: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
    *,
    piece: bytes = b" ",
    first: bytes = b"",
    tls: Path | None = None,
) -> Iterator[str]:
    """The address of a server that begins an answer and goes on with a piece each tenth of a second, without an end.

    With `first`, that is the answer to a request before.
    """
    over = Event()

    def drip(connection: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(connection, server_side=True) if context else connection as client:
            for whole in (first, begin) if first else (begin,):
                client.recv(65536)
                client.sendall(whole)
            while not over.wait(0.1):
                client.sendall(piece)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threads.append(Thread(target=drip, args=[listener.accept()[0]]))
                threads[-1].start()

    context = _context(tls) if tls else None
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads = [Thread(target=accept)]
        threads[0].start()
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


@contextmanager
def saying(answer: bytes) -> Iterator[str]:
    """The address of a server that says this to whoever comes, and hangs up."""

    def speak() -> None:
        with suppress(OSError):
            while True:
                with listener.accept()[0] as client:
                    client.recv(65536)
                    client.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=speak)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def page(document: object, status: int = 200, **headers: str) -> Answer:
    """An answer of JSON."""
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(document).encode()
