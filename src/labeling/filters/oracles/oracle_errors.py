"""Errors of an oracle under LLM Distillery's names; all are errors of a server.

RemoteError
└── LLMError              an oracle gave no answer that can be used
    ├── LLMTimeoutError   no answer in time
    ├── LLMRateLimitError too many calls
    ├── LLMAuthError      the key is missing or refused; never tried again
    └── LLMResponseError  an answer that is no valid analysis
"""

from __future__ import annotations

from enum import StrEnum

from ....errors import RemoteError
from ...batch.label_run import LabelFault


class ErrorType(StrEnum):
    """Why an article has no label, as `metrics.jsonl` and the dead letters name it."""

    TIMEOUT = "timeout"
    JSON_PARSE_ERROR = "json_parse_error"
    JSON_EXTRACTION_FAILED = "json_extraction_failed"
    LLM_API_ERROR = "llm_api_error"
    EMPTY_RESPONSE = "empty_response"
    RATE_LIMIT = "rate_limit"
    AUTH_ERROR = "auth_error"
    UNKNOWN = "unknown"


class LLMError(RemoteError):
    """An oracle gave no answer that can be used.

    Args:
        message: What happened.
        error_type: Kind of the error.
        retryable: Whether another call may succeed.
    """

    def __init__(self, message: str, error_type: ErrorType, retryable: bool = True) -> None:
        """Keep the kind."""
        super().__init__(message)
        self.error_type = ErrorType(error_type)
        self.retryable = retryable


class LLMTimeoutError(LLMError):
    """There was no answer in time.

    Args:
        message: What happened.
        timeout_seconds: How long the call waited.
    """

    def __init__(self, message: str, timeout_seconds: float) -> None:
        """Keep the time."""
        super().__init__(message, ErrorType.TIMEOUT)
        self.timeout_seconds = timeout_seconds


class LLMRateLimitError(LLMError):
    """The server takes no more calls for now.

    Args:
        message: What happened.
        retry_after: Seconds that the server asks to wait, as a number or as its header says it;
            None where it does not say.
    """

    def __init__(self, message: str, retry_after: float | str | None = None) -> None:
        """Keep the wait."""
        super().__init__(message, ErrorType.RATE_LIMIT)
        self.retry_after = None if retry_after is None else f"{retry_after}"


class LLMAuthError(LLMError):
    """The key is missing or refused; another call would be refused too."""

    def __init__(self, message: str) -> None:
        """Mark it as final."""
        super().__init__(message, ErrorType.AUTH_ERROR, retryable=False)


class LLMResponseError(LLMError):
    """An answer is no valid analysis."""

    def __init__(self, message: str, error_type: ErrorType) -> None:
        """Keep the kind."""
        super().__init__(message, error_type)


def error_type_of(fault: LabelFault) -> ErrorType:
    """Name the kind of a failed label in LLM Distillery's words."""
    reason = fault.message.partition(":")[0].strip() if fault.kind == "rejected" else fault.kind
    known = {one.value for one in ErrorType}
    if reason in known:
        return ErrorType(reason)
    if fault.kind in ("rejected", "truncated"):
        return ErrorType.JSON_PARSE_ERROR
    return ErrorType.LLM_API_ERROR if fault.kind in ("connection", "bad_request") else (
        ErrorType.UNKNOWN)  # fmt: skip
