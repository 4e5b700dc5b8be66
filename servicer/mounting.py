"""Where the sensor of a camera is on the robot, as `image_pb2.ImageCapture` says it.

The sensor's frame has x to the right of the picture that is sent, y down and z out of the lens. (In a mirrored picture
x is to the right of the picture as it was before it was mirrored: no pose can say otherwise.)
"""

import math

from bosdyn.api import geometry_pb2
from bosdyn.client.math_helpers import Quat, SE3Pose

from supervision.camera_settings import MountSettings

_LOOKING_ALONG_X = Quat(w=0.5, x=-0.5, y=0.5, z=-0.5)  # z to the parent's x, x to its -y, y to its -z


def snapshot(mount: MountSettings, frame_name: str, rotate: int) -> geometry_pb2.FrameTreeSnapshot:
    """Tree of two frames, the parent its root, for a camera whose picture is turned clockwise by `rotate` degrees."""
    tree = geometry_pb2.FrameTreeSnapshot()
    tree.child_to_parent_edge_map[mount.parent].parent_tform_child.rotation.w = 1.0
    edge = tree.child_to_parent_edge_map[frame_name]
    edge.parent_frame_name = mount.parent
    edge.parent_tform_child.CopyFrom(_pose(mount, rotate).to_proto())
    return tree


def _pose(mount: MountSettings, rotate: int) -> SE3Pose:
    # The right of a picture that was turned clockwise is what was up: the frame turns the other way.
    return SE3Pose(*mount.position_m, _orientation(mount) * Quat.from_yaw(-math.radians(rotate)))


def _orientation(mount: MountSettings) -> Quat:
    if mount.quaternion_wxyz is not None:
        return Quat(*(part / math.hypot(*mount.quaternion_wxyz) for part in mount.quaternion_wxyz))
    roll, pitch, yaw = map(math.radians, mount.rpy_deg or (0.0, 0.0, 0.0))
    return Quat.from_yaw(yaw) * Quat.from_pitch(pitch) * Quat.from_roll(roll) * _LOOKING_ALONG_X
