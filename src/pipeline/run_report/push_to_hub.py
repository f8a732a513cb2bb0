"""Upload a student to the Hugging Face hub, where the user asks for it.

    push_to_hub("outputs/elements/student", "me/elements")

The token is read from the environment and kept nowhere. The table of the student holds the user's
data, so it stays here unless it is asked for.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from ...errors import ConfigError, RemoteError
from ...evaluation.eval_results import RESULTS_FOLDER
from ...tables import TABLE_FILE

TOKENS: Final = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
"""Environment variables that may hold the token."""
UPLOADED: Final = (
    "*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json",
    "tokenizer*.json", "special_tokens_map.json", "chat_template.jinja", "run.json",
    "confidence.json", "README.md", f"{RESULTS_FOLDER}/*.yaml", "loss.png",
    "risk_coverage.png", "export/*",
)  # fmt: skip
"""Files that are uploaded; others, such as earlier checkpoints, stay here."""
_NAME: Final = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")


def push_faults(repository: str) -> list[str]:
    """List why a push would be refused, without asking the hub."""
    faults = []
    if not _NAME.fullmatch(repository):
        faults.append(f"push is {repository!r}; write OWNER/NAME")
    if _token() is None:
        faults.append(f"push needs a token of the hub in the environment: {' or '.join(TOKENS)}")
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        faults.append("push is given, but HF_HUB_OFFLINE forbids it; unset HF_HUB_OFFLINE")
    return faults


def push_to_hub(
    folder: str | Path, repository: str, *, public: bool = False, with_table: bool = False
) -> str:
    """Upload a student's folder.

    Args:
        folder: Checkpoint folder.
        repository: `OWNER/NAME`; created where it is not there.
        public: Whether everybody may see a repository that is created.
        with_table: Whether to upload `table.json`, the user's data, too.

    Returns:
        Address of the commit.

    Raises:
        ConfigError: The name is wrong, there is no token, or the hub is off.
        RemoteError: The hub refused.
    """
    faults = push_faults(repository)
    if faults:
        raise ConfigError(faults)
    from httpx import HTTPError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi(token=_token())
    patterns = [*UPLOADED, *([TABLE_FILE] if with_table else [])]
    try:
        api.create_repo(repository, private=not public, exist_ok=True)
        done = api.upload_folder(
            repo_id=repository,
            folder_path=str(folder),
            allow_patterns=patterns,
            commit_message="A student distilled by stillroom",
        )
    except (HfHubHTTPError, HTTPError) as fault:
        raise RemoteError(f"the hub refused {repository}: {fault}") from fault
    return str(getattr(done, "commit_url", done))


def _token() -> str | None:
    return next((os.environ[name] for name in TOKENS if os.environ.get(name)), None)
