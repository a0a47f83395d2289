"""What a message says of each kind of alert, in Korean; in English it says the sentence of the kind itself.

node/handbook has both, on the page of the kind.
"""

from __future__ import annotations

from collections.abc import Mapping

from node.ledger.alert_kinds import AlertKind

KOREAN: Mapping[AlertKind, str] = {
    AlertKind.RECEIPT_NOT_READABLE: "수신한 파일을 읽을 수 없습니다. 파일은 `incoming/`에 그대로 있습니다.",
    AlertKind.RECEIPT_NOT_INDEXED: "수신한 파일을 색인할 수 없습니다. 계속 실패하면 해당 검사가 보류됩니다.",
    AlertKind.INSTANCE_CORRECTION: "영상이 다른 환자 또는 다른 오더로 다시 왔습니다."
    " 기존 영상과 함께 보관하고 결정을 기다립니다.",
    AlertKind.INSTANCE_CONFLICT: "같은 영상이 다른 내용으로, 또는 다른 환자의 검사로 다시 왔습니다."
    " 따로 두고 사용하지 않습니다.",
    AlertKind.INSTANCE_UNREADABLE: "헤더를 읽을 수 없는 영상이 왔습니다. 따로 두고 사용하지 않습니다.",
    AlertKind.INSTANCE_MARKED: "환자 ID가 없는 검사가 왔습니다. 환자를 추정하여 결과를 만들지 않습니다.",
    AlertKind.INSTANCE_DAMAGED: "저장된 영상이 없거나 수신한 내용과 다릅니다.",
    AlertKind.SENDER_BAD_UIDS: "송신 장비가 결과에서 참조할 수 없는 UID로 영상을 보냅니다."
    " 어떤 플러그인도 이 영상을 받지 않습니다.",
    AlertKind.REJECTION_IGNORED: "거부 문서가 명시한 것과 다른 검사나 환자의 영상을 가리켜 무시했습니다.",
    AlertKind.STUDY_HELD: "검사의 환자 또는 오더가 확실하지 않거나 검사가 순환 전송되고 있습니다."
    " 이 검사에 관한 것은 노드에서 나가지 않습니다.",
    AlertKind.STUDY_TO_WITHDRAW: "더 이상 사용하면 안 되는 객체가 목적지에 있습니다."
    " 해당 영상이 정정되었거나 거부되었습니다.",
    AlertKind.STUDY_NOT_COMPLETED: "검사를 완료 처리할 수 없습니다. 다시 시도합니다.",
    AlertKind.STUDY_NOT_LOOKED_AT: "수신 중인 검사를 미리 확인하지 못했습니다. 다시 시도합니다.",
    AlertKind.STUDY_DECISION_FAILED: "규칙이 검사에 대해 결정하지 못했습니다.",
    AlertKind.DECISION_IN_DOUBT: "규칙에서 없으면 오류로 정한 값이 없습니다.",
    AlertKind.DECISION_PLUGIN_UNUSABLE: "규칙이 일치했으나 플러그인을 사용할 수 없습니다. 작업은 실패합니다.",
    AlertKind.FETCH_FAILED: "규칙이나 작업에 필요한 영상을 아카이브가 보내지 않았습니다.",
    AlertKind.JOB_FOLLOW_UP_FAILED: "작업 다음 단계를 결정하지 못했습니다.",
    AlertKind.JOB_OBJECTS_MISSING: "결과의 일부 객체를 작성하지 못했습니다."
    " 나머지는 전송되었고 보고서에 그 사실이 적혀 있습니다.",
    AlertKind.JOB_POSTPONED: "노드가 작업을 실행하지 못하여 다시 시도합니다.",
    AlertKind.JOB_REFUSED: "결과를 그대로 보고할 수 없었습니다. 그 자리에 이를 알리는 보고서가 있습니다.",
    AlertKind.JOB_REFUSED_FOR: "일부 목적지가 결과 보고서를 받지 못합니다.",
    AlertKind.JOB_UNREPORTABLE: "작업에 대해 어떤 객체도 만들지 못했습니다. 판독자는 작업이 끝난 것을 볼 수 없습니다.",
    AlertKind.PLUGIN_NOT_COMMISSIONED: "플러그인이 예제에 대해 정해진 것과 다른 답을 냅니다."
    " 이 플러그인의 작업은 대기합니다.",
    AlertKind.PLUGIN_FAILING: "플러그인의 최근 작업 3건이 모두 실패했습니다."
    " 검사가 아니라 플러그인 또는 그 실행 환경의 문제입니다.",
    AlertKind.PLUGIN_WITHDRAWN: "플러그인의 한 버전이 회수되었고, 그 결과가 목적지에 있습니다.",
    AlertKind.STOP_RULE_MET: "플러그인의 실패, 지연 또는 소견의 비율이 한 장비에서 중지 규칙의 한도를 벗어났습니다.",
    AlertKind.RULE_JOBS_CANCELLED: "규칙이 비활성화되거나 삭제되어 대기 중이던 작업이 취소되었습니다.",
    AlertKind.BOX_DOWN: "외부 분석 장비에 10분 동안 연결되지 않았습니다.",
    AlertKind.BOX_PERHAPS_SENT: "복원 이후 외부 분석 장비에 작업의 영상이 이미 있을 수 있습니다."
    " 담당자가 답할 때까지 아무것도 보내지 않습니다.",
    AlertKind.BOX_SILENT: "외부 분석 장비가 기한까지 응답하지 않았거나 일부만 응답했습니다.",
    AlertKind.BOX_ANSWER_UNMATCHED: "외부 분석 장비가 보낸 것과 관련이 없거나 너무 늦은 객체를 보냈습니다."
    " 사람이 결정해야 합니다.",
    AlertKind.DELIVERY_WAITS: "목적지가 이 노드의 연결(association)을 받아들이지 않습니다.",
    AlertKind.SERVICE_DOWN: "웹 서비스에 10분 동안 연결되지 않았습니다. 작업은 기한까지 대기합니다.",
    AlertKind.SERVICE_SILENT: "웹 서비스가 기한까지 응답하지 않았습니다. 작업의 보고서에 그 사실이 적혀 있습니다.",
    AlertKind.DESTINATION_DOWN: "목적지에 10분 동안 연결되지 않았습니다. 그곳으로 가는 것은 모두 대기합니다.",
    AlertKind.DELIVERY_HELD: "목적지로 보낼 객체가 사람의 결정을 기다립니다.",
    AlertKind.DELIVERY_DEAD: "목적지로 보낼 객체의 전송을 포기했습니다.",
    AlertKind.DELIVERY_DELIVERED_THOUGH_HELD: "전송 중에 보류된 객체를 목적지가 저장했습니다.",
    AlertKind.FORWARD_LEFT_OUT: "헤더를 읽을 수 없어 검사의 일부 영상을 전달하지 않습니다.",
    AlertKind.IDENTITY_DIFFERS: "목적지에 있는 검사의 환자 또는 오더가 다릅니다.",
    AlertKind.IDENTITY_OVERDUE: "`wait_for_study`보다 오래 목적지에 검사가 없습니다. 결과는 대기합니다.",
    AlertKind.COMMITMENT_UNREADABLE: "저장 확약(storage commitment) 메시지를 읽을 수 없어 보고하지 않습니다.",
    AlertKind.COMMITMENT_WAITS: "상대 장비가 저장 확약의 보고 또는 요청을 위한 연결을 거부합니다.",
    AlertKind.COMMITMENT_DEAD: "저장 확약 보고의 전송을 포기했습니다.",
    AlertKind.COMMITMENT_ARCHIVE_LATE: "아카이브가 제시간에 저장을 확약하지 않아 해당 영상을 실패로 보고했습니다.",
    AlertKind.COMMITMENT_OVERDUE: "목적지가 받은 객체의 보관을 제시간에 확약하지 않았습니다. 계속 요청합니다.",
    AlertKind.COMMITMENT_REFUSED: "목적지가 받은 검사의 객체를 보관하지 않는다고 응답했습니다.",
    AlertKind.COMMITMENT_UNSUPPORTED: "설정에서 저장 확약을 요구하는 목적지가 저장 확약을 지원하지 않습니다.",
    AlertKind.NOTIFICATION_WAITS: "알림이 받는 사람에게 전달되지 않았습니다. 다시 시도합니다.",
    AlertKind.NOTIFICATION_DEAD: "알림의 전송을 포기했습니다.",
    AlertKind.NOTIFICATION_UNACKNOWLEDGED: "아무도 알림을 확인하지 않았고, 더 알릴 사람이 없습니다.",
    AlertKind.RETENTION_CLOCK: "시계에 따르면 보존 정리가 몇 주 동안 실행되지 않았습니다."
    " 사람이 확인할 때까지 기간에 따라 삭제하지 않습니다.",
    AlertKind.RETENTION_NO_SPACE: "여유 공간이 `retention.below`보다 적은데, 남은 것은 삭제할 수 없습니다.",
    AlertKind.ITEM_FAILED: "항목을 처리하다 예상하지 못한 오류가 발생했습니다.",
    AlertKind.STAGE_FAILING: "처리 단계 전체가 실패하여 동작하지 않습니다.",
    AlertKind.RULES_REFUSED: "변경된 설정이 거부되었습니다. 이전 설정으로 계속 동작합니다.",
    AlertKind.LEDGER_BEHIND_STORE: "저장된 영상 중 원장에 없는 것이 있어 다시 색인하며, 해당 검사는 보류됩니다.",
    AlertKind.PSEUDONYMS_KEY_LOST: "가명을 만드는 비밀 키가 바뀌어 플러그인이 이전과 다른 가명을 받습니다.",
    AlertKind.LEDGER_ROW_UNREADABLE: "원장의 한 행을 읽을 수 없습니다."
    " 그 대상은 진행되지 않고 나머지는 모두 진행됩니다.",
    AlertKind.FILES_MISSING: "업그레이드 후 원장에 있는 파일이 없습니다.",
    AlertKind.BACKUP_FAILED: "마지막 백업이 실패했습니다.",
    AlertKind.BACKUP_OVERDUE: "너무 오랫동안 백업되지 않았습니다.",
    AlertKind.RESULTS_PERHAPS_SENT: "복원 후, 목적지에 이미 검사의 결과가 있을 수 있습니다."
    " 사람이 답할 때까지 보내지 않습니다.",
    AlertKind.AUDIT_BROKEN: "감사 기록이 작성된 내용과 다릅니다. 변경, 삭제 또는 삽입된 부분이 있습니다.",
    AlertKind.AUDIT_BEHIND: "syslog 서버가 10분 동안 감사 메시지를 받지 않았습니다. 메시지는 대기합니다.",
    AlertKind.DISK_LOW: "데이터 폴더의 디스크가 거의 찼습니다.",
    AlertKind.RECEPTION_REFUSED: "지금은 장비의 전송을 거부합니다."
    " 디스크가 찼거나 쓸 수 없거나, 색인 대기가 너무 많습니다.",
    AlertKind.BACKLOG_HIGH: "처리되는 것보다 많이 들어옵니다. 오래 대기 중인 일이 있습니다.",
    AlertKind.CERTIFICATE_ENDS: "노드의 인증서 또는 인증서 폐기 목록이 30일 안에 만료됩니다.",
    AlertKind.CERTIFICATE_ENDED: "노드의 인증서 또는 인증서 폐기 목록이 만료되어 상대 장비가 거부합니다.",
    AlertKind.CALLERS_REFUSED: "등록되지 않았거나 잘못 등록된 장비의 연결을 계속 거부하고 있습니다.",
}
