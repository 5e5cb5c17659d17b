"""MLflow behind a server that passes everything on, until it is away, slow, answers 500, or loses answers."""

import http.client
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Literal
from urllib.parse import urlsplit

Sky = Literal["fair", "away", "slow", "broken", "lossy"]
_SLOW_S = 2.0
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


class Weather:
    """A way to MLflow at `url`; `sky` says what it is like now."""

    def __init__(self, mlflow_url: str, dice: Random) -> None:
        """Fair at first. `dice` choose which requests a broken or lossy way spoils: half of them."""
        address = urlsplit(mlflow_url)
        self.target = (str(address.hostname), int(address.port or 80))
        self.spoiled = 0
        self._dice, self._sky, self._server = dice, "fair", None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.sky: Sky = "fair"

    @property
    def url(self) -> str:
        """Where MLflow seems to be."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def sky(self) -> Sky:
        """What the way is like now."""
        return self._sky  # type: ignore[return-value]

    @sky.setter
    def sky(self, sky: Sky) -> None:
        self._sky = sky
        if sky == "away":
            self.close()
        elif self._server is None:
            self._server = _Server(("127.0.0.1", self.port), _Passing)
            self._server.weather = self
            threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def spoils(self) -> bool:
        """Whether this request is one of those that go wrong."""
        wrong = self._sky in ("broken", "lossy") and self._dice.random() < 0.5
        self.spoiled += wrong
        return wrong

    def close(self) -> None:
        """Nobody listens from now on."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    weather: Weather

    def handle_error(self, *_: object) -> None:
        """A client that was killed is no news."""


class _Passing(BaseHTTPRequestHandler):
    """One connection; after every answer it is closed, so that an outage meets whoever asks next."""

    server: _Server

    def _pass(self) -> None:
        weather = self.server.weather
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if weather.sky == "away":
            self.close_connection = True
            return
        if weather.sky == "slow":
            time.sleep(_SLOW_S)
        is_spoiled = weather.spoils()
        if is_spoiled and weather.sky == "broken":
            self._answer(500, {}, b"<h1>It broke</h1>")
            return
        there = http.client.HTTPConnection(*weather.target, timeout=30)
        there.request(self.command, self.path, body, dict(self.headers))
        found = there.getresponse()
        content = found.read()
        there.close()
        if is_spoiled:  # done, but nobody is told
            self._answer(500, {}, b"<h1>It broke</h1>")
        else:
            self._answer(found.status, dict(found.getheaders()), content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _pass

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Says nothing."""
