"""What codes are called on pages in the reader's language; in objects every meaning stays English and ASCII.

A plugin gives second meanings with its codes (`Code.meanings`), the built-in ones too; those of common context groups
(PS3.16 CID 4031, 6047, 7469, 7473) are here.
"""

from __future__ import annotations

from node.results.texts import Texts
from plugins.contract import Code, Score, Segment

_KOREAN: dict[tuple[str, str], str] = {
    ("SCT", "91723000"): "해부학적 구조",
    ("SCT", "39607008"): "폐",
    ("SCT", "3341006"): "오른쪽 폐",
    ("SCT", "44029006"): "왼쪽 폐",
    ("SCT", "51185008"): "흉부",
    ("SCT", "76752008"): "유방",
    ("SCT", "12738006"): "뇌",
    ("SCT", "69536005"): "머리",
    ("SCT", "45048000"): "목",
    ("SCT", "818981001"): "복부",
    ("SCT", "10200004"): "간",
    ("SCT", "64033007"): "신장",
    ("SCT", "78961009"): "비장",
    ("SCT", "15776009"): "췌장",
    ("SCT", "80891009"): "심장",
    ("SCT", "15825003"): "대동맥",
    ("SCT", "41216001"): "전립선",
    ("SCT", "69748006"): "갑상선",
    ("SCT", "427359005"): "폐의 고립 결절",
    ("SCT", "4147007"): "종괴",
    ("SCT", "27925004"): "결절",
    ("SCT", "129748003"): "석회화",
    ("SCT", "36118008"): "기흉",
    ("SCT", "60046008"): "흉막 삼출",
    ("SCT", "46621007"): "무기폐",
    ("SCT", "95436008"): "폐 경화",
    ("SCT", "19242006"): "폐부종",
    ("SCT", "8186001"): "심비대",
    ("SCT", "50960005"): "출혈",
    ("SCT", "1386000"): "두개내 출혈",
    ("SCT", "59282003"): "폐색전증",
    ("SCT", "125605004"): "골절",
    ("SCT", "118565006"): "부피",
    ("SCT", "410668003"): "길이",
    ("SCT", "42798000"): "면적",
    ("SCT", "81827009"): "지름",
    ("SCT", "103339001"): "장축",
    ("SCT", "103340004"): "단축",
    ("SCT", "373098007"): "평균",
    ("SCT", "56851009"): "최댓값",
    ("SCT", "255605001"): "최솟값",
    ("DCM", "112031"): "감쇠 계수",
    ("DCM", "130404"): "현저성",
    ("DCM", "130402"): "클래스 활성화",
}
"""By coding scheme designator and code value."""
_WORDS = {"Likelihood of finding": "소견 가능성", "Heat map": "히트맵"}
"""What the contract says where a plugin says nothing."""


def meaning(code: Code, texts: Texts) -> str:
    """What a code is called on a page: as its plugin says, else as it is commonly called, else in English."""
    own = dict(code.meanings).get(texts.language)
    if own is not None:
        return own
    return _KOREAN.get((code.scheme, code.value), code.meaning) if texts.language == "ko" else code.meaning


def score_name(score: Score, texts: Texts) -> str:
    """What a score is called on a page: as its plugin says, else as its concept is, which the report has."""
    if score.concept is not None and score.is_named_by_its_concept:
        return meaning(score.concept, texts)
    return words(score.meaning, texts)


def segment_name(segment: Segment, texts: Texts) -> str:
    """What a segment is called on a page: its label, in the reader's language where it is what its type means."""
    return meaning(segment.type, texts) if segment.label == segment.type.meaning else segment.label


def words(text: str, texts: Texts) -> str:
    """A default text of the contract in the reader's language; what a plugin wrote stays."""
    return _WORDS.get(text, text) if texts.language == "ko" else text
