"""Finds the camera that a `factory` setting names: imports the user's module, calls what it names, picks the source.

What trying again cannot mend is a MisconfiguredError; what depends on a device, as any exception in a constructor
may, is an OpenFailedError or a CameraAbsentError, after which the supervisor tries again. `sys.exit` is an exception
like any other: a camera that ends has not done what it is there for, whatever its exit code says.
"""

import importlib
import inspect
import logging
import operator
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bosdyn.client.image_service_helpers import CameraInterface, VisualImageSource

from capture_worker.camera import CameraAbsentError, MisconfiguredError, OpenFailedError
from supervision.camera_settings import CameraInterfaceSettings

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UserCamera:
    """A `CameraInterface` of the user's, and the `VisualImageSource` around it, None if there is none."""

    name: str
    camera: Any
    source: Any

    @property
    def class_name(self) -> str:
        """What to call it in a sentence about its methods."""
        return type(self.camera).__name__

    @property
    def pixel_formats(self) -> tuple[int, ...]:
        """What its source says it supports; empty if it does not say."""
        return tuple(self.source.supported_pixel_formats or ()) if self.source is not None else ()

    @property
    def advertised_size(self) -> tuple[int, int]:
        """The (rows, cols) that its source claims; zeros if it does not."""
        if self.source is None:
            return 0, 0
        return self.source.image_source_proto.rows, self.source.image_source_proto.cols


def load(settings: CameraInterfaceSettings) -> UserCamera:
    """Import, construct, choose. Raises MisconfiguredError, OpenFailedError or CameraAbsentError."""
    factory = _find(settings)
    made = _call(factory, settings)
    things = list(made) if isinstance(made, list | tuple) else [made]
    return _choose([_user_camera(thing, settings.factory) for thing in things], settings)


def in_words(error: BaseException) -> str:
    """The type and the text of somebody else's exception, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")


def accepts(signature: inspect.Signature, *positional: object, **named: object) -> bool:
    """Whether a call with these arguments fits the signature. Nothing is called."""
    try:
        signature.bind(*positional, **named)
    except TypeError:
        return False
    return True


def _find(settings: CameraInterfaceSettings) -> Callable[..., Any]:
    module_name, _, name = settings.factory.partition(":")
    if settings.python_path is not None and sys.path[:1] != [str(settings.python_path)]:
        sys.path.insert(0, str(settings.python_path))
    module = _import(module_name, settings)
    try:
        found = operator.attrgetter(name)(module)
    except AttributeError as error:
        where = getattr(module, "__file__", None) or module_name
        raise MisconfiguredError(f"there is no {name} in {where}") from error
    if inspect.isclass(found) and not issubclass(found, CameraInterface | VisualImageSource):
        raise MisconfiguredError(f"{settings.factory} is a class, but no CameraInterface")
    if inspect.isabstract(found):
        missing = ", ".join(sorted(found.__abstractmethods__))
        raise MisconfiguredError(f"{settings.factory} is no complete CameraInterface: it has no {missing}")
    if not callable(found):
        raise MisconfiguredError(f"{settings.factory} is no camera class, and nothing that makes one")
    return found  # type: ignore[no-any-return]


def _import(module_name: str, settings: CameraInterfaceSettings) -> Any:
    try:
        return importlib.import_module(module_name)
    except (ModuleNotFoundError, SyntaxError) as error:
        where = ""
        if isinstance(error, ModuleNotFoundError) and error.name == module_name.partition(".")[0]:
            unset = ", and python_path is not set" if settings.python_path is None else ""
            where = f"; it is neither in {settings.python_path or Path.cwd()} nor installed{unset}"
        raise MisconfiguredError(f"the module {module_name} cannot be imported: {in_words(error)}{where}") from error
    except (Exception, SystemExit) as error:
        _log.warning("the module %s raised an exception", module_name, exc_info=error)
        raise OpenFailedError(f"the module {module_name} cannot be imported: {in_words(error)}") from error


def _call(factory: Callable[..., Any], settings: CameraInterfaceSettings) -> Any:
    named, positional = (settings.arguments, []) if isinstance(settings.arguments, dict) else ({}, settings.arguments)
    try:
        inspect.signature(factory).bind(*positional, **named)
    except TypeError as error:
        raise MisconfiguredError(f"{settings.factory} does not take these arguments: {error}") from error
    except ValueError:
        pass  # written in C, without a signature: it says itself what it does not take
    try:
        return factory(*positional, **named)
    except (Exception, SystemExit) as error:
        _log.warning("%s raised an exception", settings.factory, exc_info=error)
        raise OpenFailedError(f"{settings.factory} raised {in_words(error)}") from error


def _user_camera(thing: Any, factory: str) -> UserCamera:
    if isinstance(thing, VisualImageSource):
        return UserCamera(str(thing.image_source_name), thing.camera_interface, thing)
    if isinstance(thing, CameraInterface):
        return UserCamera(str(getattr(thing, "image_source_name", type(thing).__name__)), thing, None)
    raise MisconfiguredError(
        f"{factory} made an object of type {type(thing).__name__}, which is no CameraInterface and no VisualImageSource"
    )


def _choose(cameras: list[UserCamera], settings: CameraInterfaceSettings) -> UserCamera:
    names = ", ".join(camera.name for camera in cameras) or "none"
    if settings.source is None and len(cameras) > 1:
        raise MisconfiguredError(f"{settings.factory} makes several cameras; say which is the `source`: {names}")
    chosen = [camera for camera in cameras if settings.source in (None, camera.name)]
    if not chosen:  # perhaps it makes those that are plugged in
        raise CameraAbsentError(f"{settings.factory} makes no camera {settings.source or ''}; it makes: {names}")
    if len(chosen) > 1:
        raise MisconfiguredError(f"{settings.factory} makes {len(chosen)} cameras of the name {settings.source}")
    return chosen[0]
