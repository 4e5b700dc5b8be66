"""A stranger on the robot's network: asks for images once a second, and has to be refused every time.

`python -m chaos.intruder OBSERVER OWN_IP HOST PORT`. What comes back to it is counted where it arrives, on the socket.
"""

import socket
import sys
import threading
import time
from pathlib import Path

import grpc
from bosdyn.api import image_pb2, image_service_pb2_grpc

from chaos.facts import IntruderSeen
from chaos.telling import Teller

_PAUSE_S = 1.0
_DEADLINE_S = 2.0


class Relay:
    """Passes connections on from an address of its own, because gRPC cannot choose its own; `bytes_back` counts."""

    def __init__(self, own_ip: str, host: str, port: int) -> None:
        self.bytes_back = 0
        self._target = (host, port)
        self._own_ip = own_ip
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            try:
                far = socket.create_connection(self._target, source_address=(self._own_ip, 0))
            except OSError:
                near.close()
                continue
            threading.Thread(target=self._pass, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, True), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, back: bool) -> None:
        try:
            while data := source.recv(65536):
                self.bytes_back += len(data) if back else 0
                sink.sendall(data)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                end.close()


def main() -> None:
    """Ask until the observer, or whoever started us, is gone."""
    observer, own_ip, host, port = sys.argv[1:]
    teller, relay = Teller(Path(observer)), Relay(own_ip, host, int(port))
    request = image_pb2.GetImageRequest(image_requests=[image_pb2.ImageRequest(image_source_name="front")])
    over = threading.Event()
    threading.Thread(target=_wait_for_end, args=(over,), daemon=True).start()
    while not over.wait(_PAUSE_S):
        before = relay.bytes_back
        with grpc.insecure_channel(f"127.0.0.1:{relay.port}") as channel:
            try:
                image_service_pb2_grpc.ImageServiceStub(channel).GetImage(request, timeout=_DEADLINE_S)
                code = "OK"
            except grpc.RpcError as error:
                code = error.code().name
        try:
            teller.tell(IntruderSeen(time.monotonic(), code, relay.bytes_back - before))
        except BrokenPipeError:
            return


def _wait_for_end(over: threading.Event) -> None:
    sys.stdin.read()  # until whoever started us closes it, or dies
    over.set()


if __name__ == "__main__":
    main()
