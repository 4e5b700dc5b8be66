"""The certificate authority of one simulated robot, and its server's certificate, made on the fly.

The SDK verifies the authority of the service that it calls ("fault.spot.robot"), never the robot's address:
one wildcard certificate serves every service. Private keys stay in memory.
"""

import os
from pathlib import Path

import grpc
import trustme

SERVER_NAME = "*.spot.robot"


class Certificates:
    """A new authority and a server certificate that it issued."""

    def __init__(self) -> None:
        self._authority = trustme.CA()
        self._server = self._authority.issue_cert(SERVER_NAME)

    def write_authority(self, path: Path) -> None:
        """Put the authority's certificate (PEM) at `path` in one step, so that a waiting reader sees all or nothing.

        OSError if it cannot be written.
        """
        new = path.parent / f".{path.name}.{os.getpid()}"
        try:
            self._authority.cert_pem.write_to_path(str(new))
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)

    def server_credentials(self) -> grpc.ServerCredentials:
        """Return what the robot's port is opened with."""
        chain = b"".join(certificate.bytes() for certificate in self._server.cert_chain_pems)
        return grpc.ssl_server_credentials([(self._server.private_key_pem.bytes(), chain)])
