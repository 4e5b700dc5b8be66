"""The address that is registered with the robot: this computer's end of the route to it, unless one is configured."""

import ipaddress
import socket

from supervision import exit_codes
from supervision.configuration import ConfigurationError
from supervision.settings import Settings

_ROBOTS_OWN_NETWORKS = ipaddress.IPv4Network("192.168.0.0/16")  # payload 192.168.50.0/24, WiFi 192.168.80.0/24, …
_PREFIX = 24


class NoRouteError(ConfigurationError):
    """There is no way to the robot now. Later there may be one: a computer that has just booted has no network."""

    exit_code = exit_codes.NO_ROUTE


def with_host_ip(settings: Settings, known: Settings | None = None) -> Settings:
    """Fill in the address that is registered with the robot.

    With `known` settings, those of the running pipeline, nothing waits: the address for the same robot is taken from
    there, and the name of another robot is not looked up. Raises ConfigurationError, NoRouteError.
    """
    hostname = settings.robot.hostname
    if settings.service.host_ip is not None:
        _check_address(settings.service.host_ip)
        return settings
    if settings.simulate:
        host_ip = "127.0.0.1"
    elif known and known.service.host_ip and known.robot.hostname == hostname:
        host_ip = known.service.host_ip
    else:
        robot_ip, host_ip = _ends_of_route_to(hostname, may_wait=known is None)
        check_same_network(robot_ip, host_ip)
    service = settings.service.model_copy(update={"host_ip": host_ip})
    return settings.model_copy(update={"service": service})


def check_same_network(robot_ip: str, host_ip: str) -> None:
    """Refuse an address that a robot in a network of its own cannot know. Raises NoRouteError.

    It is a bridged container's own, or that of another network while the robot's is not up yet.
    """
    robot = ipaddress.ip_address(robot_ip.partition("%")[0])
    if robot not in _ROBOTS_OWN_NETWORKS:
        return  # a network of somebody else's, whose size and routes are not known
    network = ipaddress.ip_network(f"{robot}/{_PREFIX}", strict=False)
    if ipaddress.ip_address(host_ip) not in network:
        raise NoRouteError(
            f"service.host_ip: the route to the robot {robot} starts at {host_ip}, which is outside its network "
            f"{network} (a bridged container, or a network that is not up yet?); give the address at which the robot "
            "reaches us with --host-ip"
        )


def _ends_of_route_to(hostname: str, *, may_wait: bool) -> tuple[str, str]:
    try:
        flags = 0 if may_wait else socket.AI_NUMERICHOST
        address = socket.getaddrinfo(hostname, 9, type=socket.SOCK_DGRAM, flags=flags)[0]
        with socket.socket(address[0], socket.SOCK_DGRAM) as route:
            route.connect(address[4])  # looks up the route; a datagram socket sends nothing here
            return str(address[4][0]), str(route.getsockname()[0])
    except OSError as error:
        if not may_wait and isinstance(error, socket.gaierror):
            raise ConfigurationError(
                f"robot.hostname: the name {hostname} is not looked up while the pipeline runs; give the robot's "
                "address, or service.host_ip, or start again"
            ) from error
        raise NoRouteError(
            f"service.host_ip: no route to the robot {hostname} ({error.strerror}); give this computer's own address "
            "with --host-ip"
        ) from error


def _check_address(host_ip: str) -> None:
    try:
        usable = not ipaddress.ip_address(host_ip).is_unspecified
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError(f"service.host_ip: {host_ip!r} is no address at which a robot could reach us")
