"""What clients' own parameters may take of a camera that captures for everybody: see docs/decisions/0011."""

import time

_LIMIT_S, _LIMIT_PERIODS = 0.3, 2  # whichever is longer; with one more period, max_age_s is not reached by default
_REMEMBERED_S, _LONGEST_REMEMBERED_S = 5.0, 300.0
_MOST_REMEMBERED = 64


class Sharing:
    """Between clients with parameters of their own, and the others, who get the ordinary frames.

    `limit_s` is how long a capture with a client's own parameters may take.
    """

    def __init__(self, fps: float | None, max_age_s: float | None) -> None:
        self._period_s = 1 / fps if fps else 0.0
        usual_s = max(_LIMIT_S, _LIMIT_PERIODS * self._period_s)
        self.limit_s = usual_s if max_age_s is None else max_age_s / 2
        self._taken_since_s: float | None = None
        self._others_until_s = 0.0
        self._too_slow: dict[str, tuple[float, str]] = {}
        self._way_back: tuple[float, str] | None = None
        self._way_back_remembered_s = _REMEMBERED_S

    def take(self) -> None:
        """Note that the others get no frames from now on."""
        self._taken_since_s = time.monotonic()

    def give_back(self) -> None:
        """Note that they have one again: they get the camera for as long as they had none, to the nearest frame."""
        if self._taken_since_s is not None:
            now_s = time.monotonic()
            self._others_until_s = now_s + (now_s - self._taken_since_s) - self._period_s / 2
            self._taken_since_s = None

    def is_others_turn(self) -> bool:
        """Whether what was taken from them is still being given back."""
        return time.monotonic() < self._others_until_s

    def note_too_slow(self, params_id: str, text: str) -> None:
        """Remember the parameters that took too long, so that they are not tried again at every request."""
        self._too_slow.pop(params_id, None)
        self._too_slow[params_id] = time.monotonic() + _REMEMBERED_S, text
        if len(self._too_slow) > _MOST_REMEMBERED:
            del self._too_slow[next(iter(self._too_slow))]

    def note_way_back(self, took_s: float) -> None:
        """Remember how long the first frame with the defaults took. One that always takes too long is rarely tried."""
        if took_s < self.limit_s:
            self._way_back, self._way_back_remembered_s = None, _REMEMBERED_S
            return
        text = (
            f"the camera captures for others too, and takes {took_s:.2f} s to go back to what they get "
            f'(at most {self.limit_s:.2f} s is fair). With mode = "on_request" it takes own parameters; '
            "or with a longer max_age_s"
        )
        self._way_back = time.monotonic() + self._way_back_remembered_s, text
        self._way_back_remembered_s = min(2 * self._way_back_remembered_s, _LONGEST_REMEMBERED_S)

    def note_lateness(self, late_s: float) -> None:
        """Do not try again a camera whose ordinary frames are so late that its way back must take too long."""
        if self._way_back is not None and late_s >= self.limit_s:
            self._way_back = time.monotonic() + _REMEMBERED_S, self._way_back[1]

    def refusal(self, params_id: str) -> str | None:
        """Say why these parameters are not even tried; None if they may be."""
        for until_s, text in filter(None, (self._way_back, self._too_slow.get(params_id))):
            if time.monotonic() < until_s:
                return text
        return None
