"""What is joined from pieces is what protobuf itself would have made."""

import math

import pytest
from bosdyn.api import header_pb2, image_pb2
from hypothesis import given
from hypothesis import strategies as st

from servicer import answer
from servicer.custom_parameters import ParameterSpec
from servicer.image_request import Wanted
from servicer.picture import Encoded
from tests.servicer.serving import IMAGE, STATUS

NO_PARAMETERS = ParameterSpec(None).defaults
HEADER = header_pb2.ResponseHeader(error=header_pb2.CommonError(code=header_pb2.CommonError.CODE_OK))


def encoded(data: bytes, *, gain: float = math.nan, exposure_s: float = math.nan) -> Encoded:
    """Return the picture of one frame."""
    wanted = Wanted(IMAGE.FORMAT_RAW, IMAGE.PIXEL_FORMAT_RGB_U8, 0, 1.0)
    return Encoded(data, 480, 640, wanted, 1, 2_000, 480, 640, gain, exposure_s)


def ordinary(answers: list[answer.Answer]) -> image_pb2.GetImageResponse:
    """Return the response as protobuf makes it."""
    response = image_pb2.GetImageResponse(header=HEADER)
    for each in answers:
        message = response.image_responses.add()
        message.CopyFrom(each.message)
        if each.data:
            message.shot.image.data = each.data
    return response


@given(
    sizes=st.lists(st.sampled_from([0, 1, 127, 128, 16_383, 16_384, 2_097_152]), max_size=4),
    gain=st.floats(0, 1e6, width=32),
    exposure_s=st.floats(1e-9, 3600),
    name=st.text(max_size=200),
)
def test_pieces_are_the_message(sizes: list[int], gain: float, exposure_s: float, name: str) -> None:
    """Field for field and byte count for byte count, whatever the lengths; without a picture too."""
    source = image_pb2.ImageSource(name=name, rows=480, cols=640)
    answers = []
    for size in sizes:
        if size:
            made = encoded(bytes(size), gain=gain, exposure_s=exposure_s)
            shot = image_pb2.ImageCapture(frame_name_image_sensor=name)
            answers.append(answer.with_picture(made, source, shot, 1_700_000_000_123_456_789, NO_PARAMETERS))
        else:
            answers.append(answer.without_picture(image_pb2.ImageResponse(status=STATUS.STATUS_UNKNOWN_CAMERA)))
    joined, expected = answer.joined(HEADER, answers), ordinary(answers)
    assert image_pb2.GetImageResponse.FromString(joined) == expected
    assert len(joined) == expected.ByteSize()


@pytest.mark.parametrize("unknown", [math.nan, -1.0, math.inf, 1e9])
def test_what_a_driver_does_not_know_is_not_told(unknown: float) -> None:
    """Some say -1 for it, some infinity."""
    gain = unknown if unknown != 1e9 else math.nan
    shot = image_pb2.ImageCapture()
    made = answer.with_picture(
        encoded(b"x", gain=gain, exposure_s=unknown), image_pb2.ImageSource(), shot, 1, NO_PARAMETERS
    )
    assert not made.message.shot.HasField("capture_params")
    assert not made.message.shot.image.data
