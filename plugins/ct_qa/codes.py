"""The coded concepts of ct_qa.

DICOM and SNOMED CT have the attenuation of a region, its mean and its standard deviation. For what a quality control
makes of them there are no codes: those are private, under the designator that the node declares (PS3.3 8.2).
"""

from __future__ import annotations

from plugins.contract import Code, Unit

PRIVATE = "99PACSNODE"


def _private(value: str, meaning: str, korean: str) -> Code:
    """A code of our own, with what it is called on pages in Korean."""
    return Code(value, PRIVATE, meaning, (("ko", korean),))


QUALITY = _private("CT_QA", "CT image quality, water phantom", "CT 영상 품질, 물 팬텀")
OUT_OF_LIMITS = _private("CT_QA_OUT", "CT image quality out of limits", "CT 영상 품질 한계 초과")
WATER = _private("CT_QA_WATER", "CT number of water, center", "물의 CT 번호, 중심")
NOISE = _private("CT_QA_NOISE", "Noise, standard deviation in the center", "노이즈, 중심의 표준편차")
UNIFORMITY = _private("CT_QA_UNIFORMITY", "Non-uniformity, edge minus center", "불균일도, 가장자리와 중심의 차이")
RING = _private("CT_QA_RING", "Ring artifact, height", "링 인공물, 크기")
SPOT = _private("CT_QA_SPOT", "Local deviation of CT number", "CT 번호의 국소 편차")
DRIFT = _private("CT_QA_DRIFT", "CT number of water, change since last time", "물의 CT 번호, 지난번 이후 변화")
NOISE_CHANGE = _private("CT_QA_NOISE_CHANGE", "Noise, change since last time", "노이즈, 지난번 이후 변화")
TREND = _private(
    "CT_QA_TREND", "CT number of water, change from mean of earlier scans", "물의 CT 번호, 이전 평균 대비 변화"
)
NOISE_TREND = _private("CT_QA_NOISE_TREND", "Noise, change from mean of earlier scans", "노이즈, 이전 평균 대비 변화")
REGIONS = {
    "center": WATER,
    "12 o'clock": _private("CT_QA_12", "CT number of water, 12 o'clock", "물의 CT 번호, 12시"),
    "3 o'clock": _private("CT_QA_3", "CT number of water, 3 o'clock", "물의 CT 번호, 3시"),
    "6 o'clock": _private("CT_QA_6", "CT number of water, 6 o'clock", "물의 CT 번호, 6시"),
    "9 o'clock": _private("CT_QA_9", "CT number of water, 9 o'clock", "물의 CT 번호, 9시"),
}
"""As on a clock that hangs on the image: 12 at the top."""

HOUNSFIELD = Unit("[hnsf'U]", "Hounsfield unit")
PERCENT = Unit("%", "percent")
