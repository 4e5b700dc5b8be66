"""What a person sees on stdout: what is served and where, then a line a second."""

from shm.records import ChildRecord, Status
from supervision.configuration import shown_device
from supervision.output import Output
from supervision.settings import Settings

_SECOND_NS = 1_000_000_000


class Display:
    """Shows a run on `output`: once what is served, and with `repeat` one line per second."""

    def __init__(self, settings: Settings, output: Output, *, repeat: bool) -> None:
        self._settings = settings
        self._output = output
        self._repeat = repeat
        self._said: set[str] = set()
        self._last_line_ns = 0

    def show(self, status: Status) -> None:
        """Show what is new in a status."""
        self._say_once("what", _what_is_served(self._settings))
        for child in status.children:
            if child.kind == "simulated_robot" and child.state == "running" and "ca" in child.facts:
                address = f"127.0.0.1:{child.facts.get('port')}"
                self._say_once("robot", f"simulated robot at {address}, certificate {child.facts['ca']}")
            if child.kind == "servicer" and child.state == "running":
                delivers = any(camera.kind == "camera" and camera.state == "running" for camera in status.children)
                self._say_once("service", f"serving{'' if delivers else ', but no camera works yet'}; Ctrl-C ends it")
        if self._repeat and status.updated_ns - self._last_line_ns >= _SECOND_NS:
            self._last_line_ns = status.updated_ns
            self._output.write(" | ".join(summary(child, status.updated_ns) for child in status.children))

    def _say_once(self, key: str, text: str) -> None:
        if key not in self._said:
            self._said.add(key)
            self._output.write(text)


def summary(child: ChildRecord, now_ns: int) -> str:
    """Return one child in a few words, as in `front 30.0 Hz 12 ms running`."""
    if child.kind == "camera":
        age = "no frame" if child.captured_ns is None else f"{shown_age(now_ns - child.captured_ns):>6}"
        rate = "" if is_idle(child) else f" {child.rate_hz:4.1f} Hz"  # how often somebody asked is no rate
        words = f"{child.name}{rate} {age} {shown_state(child)}"
    elif child.kind == "servicer":
        registered = child.facts.get("robot") if child.state == "running" else None
        words = f"service {child.state}, {registered or 'not registered'}"
    else:
        words = f"simulated robot {child.state}"
    return f"{words} ({child.error_code})" if child.error_code else words


def is_idle(child: ChildRecord) -> bool:
    """Whether this is a camera that delivers nothing because nobody asks for it."""
    return child.state == "running" and child.facts.get("idle") is True


def shown_state(child: ChildRecord) -> str:
    """Return the state as people see it: a camera that nobody asks for anything is idle."""
    return "idle" if is_idle(child) else child.state


def shown_age(age_ns: int) -> str:
    """Return an age in three figures: `12 ms`, `3.4 s`, `55 s`."""
    if age_ns < _SECOND_NS:
        return f"{age_ns / 1e6:.0f} ms"
    return f"{age_ns / 1e9:.1f} s" if age_ns < 10 * _SECOND_NS else f"{age_ns / 1e9:.0f} s"


def _what_is_served(settings: Settings) -> str:
    service, robot = settings.service, settings.robot
    where = "a simulated robot" if settings.simulate else f"robot {robot.hostname}:{robot.port}"
    lines = [
        f"instance {settings.instance}: service {service.name} (authority {service.authority}) "
        f"on {service.host_ip}:{service.port}, for {where}"
    ]
    width = max(len(name) for name in settings.cameras)
    lines += [f"  {name:<{width}}  {shown_device(camera)}" for name, camera in settings.cameras.items()]
    return "\n".join(lines)
