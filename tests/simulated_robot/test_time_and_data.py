"""The robot's clock through the SDK's time sync, and its data buffer."""

import time
from typing import Any

import pytest
from bosdyn.api.data_buffer_pb2 import TextMessage
from bosdyn.api.time_sync_pb2 import TimeSyncState
from bosdyn.client.data_buffer import DataBufferClient
from bosdyn.util import now_nsec, timestamp_to_nsec

from simulated_robot import SimulatedRobot
from simulated_robot.robot import DEFAULT_CLOCK_SKEW_S, REBOOT_CLOCK_STEP_S


def test_time_sync_finds_the_skew(client: Any, robot: SimulatedRobot) -> None:
    """Local time converted by the SDK is the robot's time, and two calls are enough."""
    client.time_sync.wait_for_sync()
    converted = client.time_sync.robot_timestamp_from_local_secs(time.time())
    assert timestamp_to_nsec(converted) == pytest.approx(robot.now_ns(), abs=0.1e9)
    assert timestamp_to_nsec(converted) - now_nsec() == pytest.approx(DEFAULT_CLOCK_SKEW_S * 1e9, abs=0.1e9)
    assert robot.calls["TimeSyncService/TimeSyncUpdate"] == 2


def test_the_quickest_round_trip_is_the_best_estimate(client: Any) -> None:
    """The best estimate is never worse than the newest one."""
    endpoint = client.time_sync.endpoint
    endpoint.establish_timesync(max_samples=10)
    best, newest = endpoint.response.state.best_estimate, endpoint.response.previous_estimate
    assert 0 < timestamp_to_nsec(best.round_trip_time) <= timestamp_to_nsec(newest.round_trip_time)


def test_a_stepped_clock_is_found_by_the_next_syncs(client: Any, robot: SimulatedRobot) -> None:
    """After a step the old samples count no more: the client starts over and finds the new skew."""
    endpoint = client.time_sync.endpoint
    assert endpoint.establish_timesync(max_samples=5)
    robot.set_clock_skew(-50.0)
    assert not endpoint.get_new_estimate()
    assert endpoint.response.state.status == TimeSyncState.STATUS_MORE_SAMPLES_NEEDED
    assert endpoint.get_new_estimate()
    assert timestamp_to_nsec(endpoint.clock_skew) == pytest.approx(-50.0e9, abs=0.1e9)


def test_a_reboot_changes_the_clock(client: Any, robot: SimulatedRobot) -> None:
    """A client which keeps the skew from before the reboot is wrong from then on."""
    before_ns = robot.now_ns()
    robot.reboot(down_s=0.0)
    assert robot.now_ns() - before_ns == pytest.approx(REBOOT_CLOCK_STEP_S * 1e9, abs=2e9)
    client.authenticate("user", "password")
    endpoint = client.time_sync.endpoint
    assert endpoint.establish_timesync(max_samples=5, break_on_success=True)
    assert timestamp_to_nsec(endpoint.clock_skew) == pytest.approx(
        (DEFAULT_CLOCK_SKEW_S + REBOOT_CLOCK_STEP_S) * 1e9, abs=0.1e9
    )


def test_the_data_buffer_accepts_and_counts(client: Any, robot: SimulatedRobot) -> None:
    """Blobs, text and comments are accepted and seen in `recorded`, blobs in `blobs` too."""
    client.time_sync.wait_for_sync()
    data_buffer = client.ensure_client(DataBufferClient.default_service_name)
    data_buffer.add_blob(b"12345", "type", channel="channel")
    data_buffer.add_text_messages([TextMessage(message="text")])
    data_buffer.add_operator_comment("comment")
    assert robot.recorded == {"blobs": 1, "blob_bytes": 5, "text_messages": 1, "operator_comments": 1}
    (blob,) = robot.blobs
    assert (blob.data, blob.type_id, blob.channel) == (b"12345", "type", "channel")
    assert blob.timestamp.ToNanoseconds() == pytest.approx(robot.now_ns(), abs=5e9)
