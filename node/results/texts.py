"""Every sentence a radiologist reads on our pages and in our reports, in each language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from node.config.encoding import Language
from node.own_notes import OwnNote
from node.results import envelope_words
from node.results.request import Mode, PartKind
from plugins.contract import Code, Finding, Result, ResultStatus


@dataclass(frozen=True, slots=True)
class Texts:
    """The catalogue of one language; a sentence missing from one language is a type error."""

    language: Language
    language_name: str
    marking_spelled_out: dict[Mode, str]
    status: dict[ResultStatus, str]
    status_present: str
    not_a_negative: dict[ResultStatus, str]
    present: str
    absent: str
    measured: str
    urgent: str
    score: str
    finding: str
    threshold: str
    measurement: str
    value: str
    unit: str
    site: str
    reference: str
    not_computed: str
    not_attempted: str
    both: str
    limits: str
    numbers: str
    pictures: str
    continued: str
    page: str
    asked: str
    software: str
    version: str
    by: str
    images_complete: str
    result_made: str
    study_of: str
    supersedes: str
    pseudonyms_in_document: str
    """Of a document whose plugin did not know the patient."""
    computed_from: str
    """On what earlier result it rests."""
    revision_replaces: str
    revision_beside: str
    """Of a failure after a result."""
    images_more: str
    images_fewer: str
    images_the_same: str
    slice_position: str
    series_number: str
    slice_number: str
    frame_number: str
    window: str
    hottest: str
    whole_scale: str
    """The colours of a heat map stand for the whole range of its quantity."""
    range_of_map: str
    """They stand for its own values, from the least to the greatest."""
    segmentation: str
    empty_segmentation: str
    empty_segment: str
    heat_map: str
    picture: str
    not_drawable: str
    no_pixels: str
    analysed_image: str
    more_images: str
    more_key_images: str
    laterality: dict[str, str]
    not_verified: str
    not_reportable: str
    returned: str
    """A DICOM object that the plugin made itself, and is sent."""
    returned_not_sent: str
    returned_odd: str
    """It does not conform to the Standard in some places."""
    missing: dict[PartKind, str]
    """All of a kind could not be written."""
    partly_missing: dict[PartKind, str]
    """Some of a kind could not be written."""
    present_below: str
    """Called present, though the score is below the threshold."""
    absent_above: str
    """The reverse."""
    own_notes: Mapping[OwnNote, str]
    """What the node itself says of the limits of an analysis."""
    envelope_words: Mapping[str, str]
    """What an envelope names, by the English words."""

    def note(self, text: str) -> str:
        """A limit of the analysis: in this language where the node said it, else as the plugin said it."""
        for each, said in self.own_notes.items():
            if (filled := each.read(text)) is not None:
                return said.format(**{name: self.note(value) for name, value in filled.items()})
        words, bracket, role = text.partition(" (")
        return f"{self.envelope_words[words]}{bracket}{role}" if words in self.envelope_words else text

    def summary(self, result: Result) -> str:
        """The answer, or why there is none: where the node said it, each line in this language."""
        return "\n".join(map(self.note, result.summary.split("\n")))

    def against_threshold(self, finding: Finding) -> str:
        """What the report says where score and threshold do not give the plugin's answer; empty where they do."""
        score = finding.score
        if score is None or score.threshold is None:
            return ""
        if finding.present and score.value < score.threshold:
            return self.present_below
        return self.absent_above if finding.present is False and score.value > score.threshold else ""


ENGLISH = Texts(
    language="en",
    language_name="English",
    marking_spelled_out={
        "shadow": "AI under evaluation, not for patient care",
        "pilot": "Investigational AI result, not for diagnosis on its own",
        "clinical": "Result of AI software",
    },
    status={
        ResultStatus.FINDINGS: "Measured",
        ResultStatus.NO_FINDINGS: "Nothing found of what was looked for",
        ResultStatus.NOT_APPLICABLE: "NOT ANALYSED: these images are not suitable",
        ResultStatus.FAILED: "NOT ANALYSED: the analysis failed",
    },
    status_present="Finding present",
    not_a_negative={
        ResultStatus.NOT_APPLICABLE: "Nothing was looked for. This is not a negative result.",
        ResultStatus.FAILED: "No conclusion can be drawn from this. This is not a negative result.",
    },
    present="PRESENT",
    absent="ABSENT",
    measured="MEASURED",
    urgent="URGENT",
    score="Score",
    finding="Finding",
    threshold="threshold",
    measurement="Measurement",
    value="Value",
    unit="Unit",
    site="Site",
    reference="Reference",
    not_computed="not computable",
    not_attempted="not attempted",
    both="Both",
    limits="Limits of this analysis",
    numbers="Measurements",
    pictures="Images",
    continued="continued",
    page="Page {page} of {pages}",
    asked="Asked",
    software="Software",
    version="version",
    by="by",
    images_complete="Images complete",
    result_made="Result made",
    study_of="Study of",
    supersedes="This result supersedes an earlier one of the same study.",
    pseudonyms_in_document="Its pages were made under a pseudonym and may show that instead of the patient",
    computed_from="Computed from the result of the step {step} ({plugin} {version}), which is an AI result, too",
    revision_replaces="Revision {number}, replaces {time}: {why}",
    revision_beside="Revision {number}; the result of {time} stands",
    images_more="{count} more images",
    images_fewer="{count} fewer images",
    images_the_same="as many images, analysed again",
    slice_position="Slice position {value}",
    series_number="Series {number}",
    slice_number="Image {number}",
    frame_number="frame {number} of {frames}",
    window="Window C {centre} W {width}",
    hottest="Slice of the greatest value; the heat map has {slices} slices",
    whole_scale="Colours from {low} to {high}, greatest value {greatest}",
    range_of_map="Colours from the least value of this map, {low}, to its greatest, {high}",
    segmentation="Segmentation",
    empty_segmentation="Segmentation (it is empty)",
    empty_segment="Segment {label} (it is empty)",
    heat_map="Heat map: {label}",
    picture="Picture: {caption}",
    not_drawable="Some characters cannot be shown here (▯); the structured report holds them.",
    no_pixels="The pixels of this image could not be decoded here; see the image itself.",
    analysed_image="One of the images analysed",
    more_images="Pages show {shown} of {count} images on which something lies; the report names all of them.",
    more_key_images="Of the key images, {count} more are in the Key Object Selection.",
    laterality={"24028007": "Right", "7771000": "Left", "51440002": "Both"},
    not_verified="Not verified by a physician.",
    not_reportable="There is a result, but it could not be reported: what would have been sent failed the checks. "
    "The administrator of this node has been alerted.",
    returned="Also sent, as the program made it: {what}",
    returned_not_sent="Not sent here, though the program made it: {what}",
    returned_odd="In parts not as the DICOM Standard asks: {what}",
    missing={
        "sr": "The structured report could not be written.",
        "sc": "The pages could not be written.",
        "seg": "The segmentation could not be written.",
        "pm": "The heat map could not be written.",
        "ko": "The selection of key images could not be written.",
        "pr": "The presentation state of the regions could not be written.",
        "rtstruct": "The segmentation could not be written as outlines (RT Structure Set).",
        "pdf": "The document of the software could not be written.",
        "dicom": "The DICOM objects that the program returned could not be sent.",
        "picture": "The pictures could not be drawn.",
    },
    partly_missing={
        "seg": "A part of the segmentation could not be written.",
        "pm": "One or more of the heat maps could not be written.",
        "pr": "A part of the presentation states of the regions could not be written.",
        "rtstruct": "A part of the segmentation could not be written as outlines (RT Structure Set).",
        "pdf": "One or more of the documents of the software could not be written.",
        "dicom": "One or more of the DICOM objects that the program returned could not be sent.",
        "picture": "One or more of the pictures could not be drawn.",
    },
    present_below="Called present by the software, although the score is below its threshold.",
    absent_above="Called absent by the software, although the score is above its threshold.",
    own_notes={each: each.value for each in OwnNote},
    envelope_words={},
)

KOREAN = Texts(
    language="ko",
    language_name="Korean",
    marking_spelled_out={
        "shadow": "평가 중인 AI 결과 - 진료에 사용 금지",
        "pilot": "연구용 AI 결과 - 단독으로 진단에 사용할 수 없음",
        "clinical": "AI 소프트웨어의 결과",
    },
    status={
        ResultStatus.FINDINGS: "측정 완료",
        ResultStatus.NO_FINDINGS: "찾고자 한 소견이 발견되지 않음",
        ResultStatus.NOT_APPLICABLE: "분석하지 않음: 적합하지 않은 영상",
        ResultStatus.FAILED: "분석하지 못함: 분석 실패",
    },
    status_present="소견 있음",
    not_a_negative={
        ResultStatus.NOT_APPLICABLE: "아무 소견도 찾아보지 않았습니다. 음성(정상) 결과가 아닙니다.",
        ResultStatus.FAILED: "이 결과로는 어떤 결론도 내릴 수 없습니다. 음성(정상) 결과가 아닙니다.",
    },
    present="있음",
    absent="없음",
    measured="측정",
    urgent="긴급",
    score="점수",
    finding="소견",
    threshold="기준값",
    measurement="측정 항목",
    value="값",
    unit="단위",
    site="부위",
    reference="참고 범위",
    not_computed="계산할 수 없음",
    not_attempted="측정하지 않음",
    both="양측",
    limits="이 분석의 한계",
    numbers="측정값",
    pictures="영상",
    continued="계속",
    page="{page} / {pages} 쪽",
    asked="요청",
    software="소프트웨어",
    version="버전",
    by="제조",
    images_complete="영상 수신 완료",
    result_made="결과 생성",
    study_of="검사일",
    supersedes="이 결과는 같은 검사의 이전 결과를 대체합니다.",
    pseudonyms_in_document="문서의 페이지는 가명으로 작성되어 환자 대신 가명이 표시될 수 있음",
    computed_from="역시 AI 결과인 {step} 단계의 결과({plugin} {version})로부터 계산됨",
    revision_replaces="개정 {number}, {time} 결과를 대체: {why}",
    revision_beside="개정 {number}: {time} 결과가 유효합니다",
    images_more="영상 {count}장 추가",
    images_fewer="영상 {count}장 감소",
    images_the_same="영상 수 동일, 다시 분석함",
    slice_position="단면 위치 {value}",
    series_number="시리즈 {number}",
    slice_number="영상 {number}",
    frame_number="프레임 {number} / {frames}",
    window="윈도우 C {centre} W {width}",
    hottest="최댓값이 있는 단면 (히트맵 {slices}장)",
    whole_scale="색상 범위 {low} - {high}, 최댓값 {greatest}",
    range_of_map="색상 범위: 이 맵의 최솟값 {low} - 최댓값 {high}",
    segmentation="분할",
    empty_segmentation="분할 (비어 있음)",
    empty_segment="분할 영역 {label} (비어 있음)",
    heat_map="히트맵: {label}",
    picture="그림: {caption}",
    not_drawable="일부 문자는 여기에 표시할 수 없습니다(▯). 구조화 보고서를 참고하십시오.",
    no_pixels="이 영상의 화소를 해독하지 못했습니다. 원본 영상을 확인하십시오.",
    analysed_image="분석한 영상 중 하나",
    more_images="해당 영상 {count}장 가운데 {shown}장만 페이지에 표시합니다. 보고서에는 모두 기재되어 있습니다.",
    more_key_images="주요 영상 {count}장이 Key Object Selection에 더 있습니다.",
    laterality={"24028007": "우측", "7771000": "좌측", "51440002": "양측"},
    not_verified="의사가 확인하지 않은 결과입니다.",
    not_reportable="결과가 있으나 보고할 수 없습니다: 전송하려던 자료가 검사를 통과하지 못했습니다. "
    "이 노드의 관리자에게 알렸습니다.",
    returned="프로그램이 만든 객체도 함께 전송: {what}",
    returned_not_sent="프로그램이 만들었으나 여기로 전송하지 않음: {what}",
    returned_odd="일부가 DICOM 표준과 다름: {what}",
    missing={
        "sr": "구조화 보고서를 작성할 수 없었습니다.",
        "sc": "결과 화면을 작성할 수 없었습니다.",
        "seg": "분할 영상을 작성할 수 없었습니다.",
        "pm": "히트맵을 작성할 수 없었습니다.",
        "ko": "주요 영상 목록을 작성할 수 없었습니다.",
        "pr": "영역의 표시 상태를 작성할 수 없었습니다.",
        "rtstruct": "분할 영상을 윤곽선(RT Structure Set)으로 작성할 수 없었습니다.",
        "pdf": "소프트웨어의 문서를 작성할 수 없었습니다.",
        "dicom": "프로그램이 반환한 DICOM 객체를 전송할 수 없었습니다.",
        "picture": "그림을 그릴 수 없었습니다.",
    },
    partly_missing={
        "seg": "분할 영상의 일부를 작성할 수 없었습니다.",
        "pm": "일부 히트맵을 작성할 수 없었습니다.",
        "pr": "영역의 표시 상태 중 일부를 작성할 수 없었습니다.",
        "rtstruct": "분할 영상의 일부를 윤곽선(RT Structure Set)으로 작성할 수 없었습니다.",
        "pdf": "소프트웨어의 일부 문서를 작성할 수 없었습니다.",
        "dicom": "프로그램이 반환한 DICOM 객체 중 일부를 전송할 수 없었습니다.",
        "picture": "일부 그림을 그릴 수 없었습니다.",
    },
    present_below="점수가 기준값보다 낮지만 소프트웨어가 '있음'으로 판정했습니다.",
    absent_above="점수가 기준값보다 높지만 소프트웨어가 '없음'으로 판정했습니다.",
    own_notes={
        OwnNote.NOT_SENT: "전송하지 않음: 프로그램의 객체 {number}: {why}.",
        OwnNote.MORE_NOT_SENT: "전송하지 않음: 반환된 객체 {count}개가 더 있음.",
        OwnNote.FINDINGS_LEFT_OUT: "이 보고서에 포함되지 않음: 반환된 객체의 소견 {count}건.",
        OwnNote.NOTHING_CAME: "프로그램이 DICOM 객체를 반환하지 않았습니다.",
        OwnNote.NOT_OUTLINED: "윤곽이 그려지지 않은 항목: {names}.",
        OwnNote.PARTS_LEFT_OUT: "목록에 없는 {name} 부위: {count}개, 합계 {volume} mL.",
        OwnNote.PARTLY_SEEN: "일부만 분석함: 영상 가장자리는 잘려 나가 분석되지 않음.",
        OwnNote.RESAMPLED: "다른 격자에서 계산하여 영상의 격자로 옮김(최근접 복셀): {names}.",
        OwnNote.ENVELOPE_RANGE: "검증 범위를 벗어남: {what} {found}, 검증된 범위 {low}~{high}.",
        OwnNote.ENVELOPE_LEAST: "검증 범위를 벗어남: {what} {found}, 검증된 범위 {low} 이상.",
        OwnNote.ENVELOPE_MOST: "검증 범위를 벗어남: {what} {found}, 검증된 범위 {high} 이하.",
        OwnNote.ENVELOPE_LIST: "검증 범위를 벗어남: {what} {found}, 검증된 값 {names}.",
        OwnNote.ENVELOPE_CONTRAST: "검증 범위를 벗어남: 영상에 조영제가 기재되어 있음.",
        OwnNote.ENVELOPE_NO_CONTRAST: "검증 범위를 벗어남: 영상에 조영제가 기재되어 있지 않음.",
        OwnNote.ENVELOPE_UNKNOWN: "이러한 영상으로 검증되었는지 알 수 없음: 영상에 기재되지 않은 항목: {what}.",
        OwnNote.ANOTHER_STUDY: "다른 검사의 객체임",
        OwnNote.ANOTHER_PATIENT: "다른 환자의 객체임",
        OwnNote.OTHER_ISSUER: "다른 환자의 객체임: Patient ID의 발급 기관이 다름",
        OwnNote.TWICE: "요소 {element}가 두 번 있음",
        OwnNote.ODD_IDENTITY: "{name}가 시퀀스이거나 {bytes}바이트보다 김",
        OwnNote.LOOSE: "픽셀 데이터 뒤의 {bytes}바이트는 요소가 아님",
        OwnNote.SAME_UID: "다른 객체와 SOP Instance UID가 같음",
        OwnNote.UID_OF_IMAGE: "프로그램에 제공된 영상의 SOP Instance UID와 같음",
        OwnNote.NO_UID: "{name}가 없거나 올바르지 않음",
        OwnNote.NOT_STORED: "SOP class {uid}는 저장 대상이 아님",
        OwnNote.EMPTY: "비어 있음",
        OwnNote.NOT_WHOLE: "온전한 DICOM 객체가 아님: {problem}",
        OwnNote.NOT_DICOM: "DICOM 파일이 아님",
    },
    envelope_words=envelope_words.KOREAN,
)

_BY_LANGUAGE: dict[Language, Texts] = {"en": ENGLISH, "ko": KOREAN}


def texts_of(language: Language) -> Texts:
    """The catalogue of a language."""
    return _BY_LANGUAGE[language]


def laterality_text(code: Code, texts: Texts) -> str:
    """ "Right", "Left", "Both" in the reader's language; another code's own meaning."""
    return texts.laterality.get(code.value, code.meaning) if code.scheme == "SCT" else code.meaning
