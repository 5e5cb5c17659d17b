"""A way to the MLflow server that can be shut: MLflow as it is while nobody answers there."""

import socket
import socketserver
import threading
from dataclasses import dataclass, field


@dataclass
class Gate:
    """A port that leads to the MLflow server once it is opened; until then nobody answers there."""

    target: tuple[str, int]
    port: int
    servers: list[socketserver.ThreadingTCPServer] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where MLflow seems to be."""
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        """Lets everybody through from now on."""
        target = self.target

        class Forward(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with socket.create_connection(target) as there:
                    back = threading.Thread(target=_copy, args=(there, self.request), daemon=True)
                    back.start()
                    _copy(self.request, there)
                    back.join(30)

        socketserver.ThreadingTCPServer.allow_reuse_address = True
        server = socketserver.ThreadingTCPServer(("127.0.0.1", self.port), Forward)
        server.daemon_threads = True
        self.servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return
