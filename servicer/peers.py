"""Who may call: this computer and the robot, unless the configuration names more.

The robot forwards its WiFi and LAN ports 21000-22000 to the payload, in plaintext and without a token check, with
the sender's own address. Without this list everybody on the robot's network would see through its cameras.
"""

import functools
import ipaddress
import logging
import socket
import threading
import time
from collections.abc import Iterable
from urllib.parse import unquote

_log = logging.getLogger(__name__)

_REMEMBERED_PEERS = 16
_REMEMBERED_S = 600.0
_LOOK_UP_EVERY_S = 60.0
_FIRST_RETRY_S = 1.0  # doubling: at boot the name service may be later than we are


class AllowedPeers:
    """The allow-list. `refused` counts calls.

    Between `start` and `stop` its names are looked up every minute, and sooner after a failure or when told to. That is
    done in a thread of its own: it may take long, and neither calls nor the robot wait for it.
    """

    def __init__(self, hosts: Iterable[str]) -> None:
        self.refused = 0
        self._addresses: dict[str, frozenset[str]] = {}  # host → what it stands for, once that is known
        for host in hosts:
            address = _canonical(host)
            self._addresses[host] = frozenset([address]) if _is_address(address) else frozenset()
        self._names = [host for host, addresses in self._addresses.items() if not addresses]
        self._is_stopped = False
        self._wake = threading.Event()
        self._refused_s: dict[str, float] = {}  # address → when, in the order of the first time
        self._counting = threading.Lock()

    def start(self) -> None:
        """Begin to look up the names, if there are any."""
        if self._names:
            threading.Thread(target=self._look_up_for_ever, name="names-of-peers", daemon=True).start()

    def stop(self) -> None:
        """Look up nothing any more; a look-up that is under way is not waited for."""
        self._is_stopped = True
        self._wake.set()

    def look_up_soon(self) -> None:
        """Look up the names now instead of at the next turn: what they stand for may be another since now."""
        self._wake.set()

    def look_up(self) -> bool:
        """Look up the names: those that are found have their new addresses only, the others keep their last ones.

        Returns whether all were found.
        """
        all_found = True
        for name in self._names:
            try:
                found = socket.getaddrinfo(name, None)
            except (OSError, UnicodeError):  # UnicodeError: what no name can look like
                all_found = False
                continue
            self._addresses[name] = frozenset(_canonical(str(entry[4][0])) for entry in found)
        return all_found

    def _look_up_for_ever(self) -> None:
        retry_s = _FIRST_RETRY_S
        while not self._is_stopped:
            all_found = self.look_up()
            if self._wake.wait(_LOOK_UP_EVERY_S if all_found else retry_s):
                self._wake.clear()
                all_found = True  # whatever was: the retries begin anew
            retry_s = _FIRST_RETRY_S if all_found else min(_LOOK_UP_EVERY_S, retry_s * 2)

    def _is_named(self, address: str) -> bool:
        return any(address in addresses for addresses in self._addresses.values())

    def admit(self, peer: str, *, local_only: bool = False) -> bool:
        """Whether gRPC's name of a peer ("ipv4:1.2.3.4:567") may call; counts it if not.

        `local_only` is for what concerns nobody but this computer.
        """
        if peer.startswith("unix"):
            return True
        address = _address_of(peer)
        if _is_loopback(address) or (self._is_named(address) and not local_only):
            return True
        if not peer:
            return False  # the connection is gone already, and gRPC no longer knows whose it was
        with self._counting:
            self.refused += 1
            if self._is_named(address):
                return False  # it may see images, and wanted something else: nothing that the operator could change
            if address not in self._refused_s and len(self._refused_s) < _REMEMBERED_PEERS:
                _log.warning("refused a call from %s: name it in service.allowed_peers if it may see images", address)
                self._refused_s[address] = 0.0
            if address in self._refused_s:
                self._refused_s[address] = time.monotonic()
        return False

    def recently_refused(self) -> list[str]:
        """The first few addresses that were refused within the last ten minutes, and would be again."""
        since_s = time.monotonic() - _REMEMBERED_S
        with self._counting:
            for address, refused_s in list(self._refused_s.items()):
                if refused_s < since_s or self._is_named(address):
                    del self._refused_s[address]
            return list(self._refused_s)


@functools.lru_cache(maxsize=1024)
def _address_of(peer: str) -> str:
    """The address in "ipv4:1.2.3.4:567" or "ipv6:[::1%25lo]:567"."""
    return _canonical(unquote(peer.partition(":")[2].rpartition(":")[0]).strip("[]"))


def _canonical(host: str) -> str:
    """An address as Python writes it: without a zone, and an IPv4-mapped one as IPv4. A name stays what it is."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    return str(getattr(address, "ipv4_mapped", None) or address)


@functools.lru_cache(maxsize=1024)
def _is_loopback(address: str) -> bool:
    return _is_address(address) and ipaddress.ip_address(address).is_loopback


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
