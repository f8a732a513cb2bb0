"""`verify_filter_package` and `upload_to_huggingface`.

stillroom verify_filter_package --filter filters/uplifting/v1 --check-hub
stillroom upload_to_huggingface --filter filters/uplifting/v1 --repo-name me/uplifting --private
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...console import Console
from ..options import CommandParser, add_verbose, guarded, text
from .options import add_secret, warn_of_secret

if TYPE_CHECKING:
    from ...labeling.filters.filter_package import FilterPackage

METADATA_FILE: Final = "training_metadata.json"
_REPO_KEYS: Final = ("repo_name", "repo_id", "hub_repo", "huggingface_repo")
"""Keys of `deployment` in the config that may name the repository."""
UPLOADED: Final = ("*.yaml", "*.md", "*.json", "prefilter.py", "base_scorer.py", "inference*.py",
                   "model/*.json", "model/*.safetensors", "model/*.txt", "model/*.model",
                   "probe/*.json", "probe/*.safetensors", "student/*", "student/**/*")  # fmt: skip
"""Patterns of the files that are uploaded; pickles, data and anything else stay here."""
_NEVER: Final = ("**/.*", ".*", "*.bin", "**/*.bin", "**/*.pkl", "*.jsonl", "**/*.jsonl")


def verify_parser() -> CommandParser:
    """Make the parser of `verify_filter_package`."""
    parser = CommandParser(
        "stillroom verify_filter_package",
        "List all faults of a package, those of its trained model and of its copy on the hub too.",
        ("stillroom verify_filter_package --filter filters/uplifting/v1",
         "stillroom verify_filter_package --filter filters/uplifting/v1 --check-hub"),
    )  # fmt: skip
    add = parser.add_argument
    add("--filter", required=True, type=text, metavar="DIR", help="folder of the package")
    add("--check-hub", action="store_true", help="compare with the repository that the config "
        "names as deployment.repo_name")  # fmt: skip
    add("--allow-code", action="store_true", help="run the package's prefilter.py")
    add_secret(parser, "--token")
    add_verbose(parser)
    return parser


def upload_parser() -> CommandParser:
    """Make the parser of `upload_to_huggingface`."""
    parser = CommandParser(
        "stillroom upload_to_huggingface",
        "Verify a package and upload it to the Hugging Face hub, with its model.",
        ("stillroom upload_to_huggingface --filter filters/uplifting/v1 --repo-name me/uplifting "
         "--private",),
    )  # fmt: skip
    add = parser.add_argument
    add("--filter", required=True, type=text, metavar="DIR", help="folder of the package")
    add("--repo-name", required=True, type=text, metavar="OWNER/NAME", help="repository")
    add("--private", action="store_true", help="make a new repository private")
    add("--allow-code", action="store_true", help="run the package's prefilter.py")
    add_secret(parser, "--token")
    add_verbose(parser)
    return parser


def verify(argv: Sequence[str]) -> int:
    """Verify a package; give the exit code."""
    parser = verify_parser()
    args = parser.read(argv)
    return guarded(lambda: _verify(args, Console(args.verbose)), parser, args)


def upload(argv: Sequence[str]) -> int:
    """Upload a package; give the exit code."""
    parser = upload_parser()
    args = parser.read(argv)
    return guarded(lambda: _upload(args, Console(args.verbose)), parser, args)


def model_faults(package: FilterPackage) -> list[str]:
    """List where the metadata of a trained model disagree with the config of its package."""
    from ...config import read_written_json
    from ...errors import ConfigError

    path, config = package.folder / METADATA_FILE, package.config
    if not path.is_file():
        return []
    try:
        told = read_written_json(path)
    except ConfigError as fault:
        return [one.replace(str(path), METADATA_FILE, 1) for one in fault.faults]
    if not isinstance(told, Mapping):
        return [f"{METADATA_FILE}: is no object"]
    wanted: dict[str, Any] = {"filter_name": config.name}
    if not config.is_classifier:
        wanted |= {
            "dimension_names": list(config.dimension_names),
            "num_dimensions": len(config.dimensions),
        }
    return [
        f"{METADATA_FILE}: {key} is {told[key]!r}; the config says {value!r}"
        for key, value in wanted.items()
        if key in told and told[key] != value
    ]


def _verify(args: argparse.Namespace, console: Console) -> None:
    from ...errors import ConfigError

    package = _without_faults(args)
    faults = []
    if args.check_hub:
        repo = repository_of(package)
        if repo is None:
            faults.append("config.yaml: deployment.repo_name is missing, so there is nothing on "
                          "the hub to compare with")  # fmt: skip
        else:
            faults += _hub_faults(package, repo, _token(args))
    if faults:
        raise ConfigError(faults)
    console.line("verified", f"{package.config.name} {package.config.version}: no faults"
                 + (", and the hub has the same files" if args.check_hub else ""))  # fmt: skip


def repository_of(package: FilterPackage) -> str | None:
    """Find the repository that a package's config names; None where it names none."""
    deployment = package.config.settings.get("deployment")
    told = deployment if isinstance(deployment, Mapping) else {}
    return next((str(told[key]) for key in _REPO_KEYS if told.get(key)), None)


def _upload(args: argparse.Namespace, console: Console) -> None:
    package = _without_faults(args)
    files = uploaded_files(package.folder)
    hub, token = _hub(args), _token(args)
    with _told_errors(token):
        hub.create_repo(args.repo_name, private=args.private, exist_ok=True)
        hub.upload_folder(
            repo_id=args.repo_name,
            folder_path=str(package.folder),
            allow_patterns=files,
            commit_message=f"{package.config.name} {package.config.version}",
        )
    console.line("uploaded", f"{len(files):,} files to {args.repo_name}"
                 + (", private" if args.private else ""))  # fmt: skip


def uploaded_files(folder: str | Path) -> list[str]:
    """List the files of a package that are uploaded, by their paths in it."""
    root = Path(folder)
    wanted = {one for pattern in UPLOADED for one in root.glob(pattern) if one.is_file()}
    refused = {one for pattern in _NEVER for one in root.glob(pattern)}
    return sorted(one.relative_to(root).as_posix() for one in wanted - refused)


def _without_faults(args: argparse.Namespace) -> FilterPackage:
    """Load a package; all faults, those of its model too, are raised at once."""
    from ...errors import ConfigError
    from ...labeling.filters.filter_package import inspect_filter

    package, faults = inspect_filter(args.filter, allow_code=args.allow_code)
    if package is not None:
        faults = model_faults(package)
    if package is None or faults:
        raise ConfigError(faults)
    return package


def _hub_faults(package: FilterPackage, repo: str, token: str | None) -> list[str]:
    """List the files that the hub lacks, and those of another size or content."""
    import huggingface_hub

    with _told_errors(token):
        info = huggingface_hub.HfApi(token=token).model_info(repo, files_metadata=True)
    there = {one.rfilename: one for one in info.siblings or ()}
    faults = []
    for name in uploaded_files(package.folder):
        size = (package.folder / name).stat().st_size
        if name not in there:
            faults.append(f"{name}: is not in {repo}; upload the package again")
        elif there[name].size not in (None, size):
            faults.append(f"{name}: has {size} bytes, and that in {repo} has {there[name].size}")
    return faults


def _hub(args: argparse.Namespace) -> Any:  # noqa: ANN401 - HfApi, imported when it is needed
    import huggingface_hub

    return huggingface_hub.HfApi(token=_token(args))


def _token(args: argparse.Namespace) -> str | None:
    if args.token is not None:
        warn_of_secret("--token", "HF_TOKEN")
        return str(args.token)
    return os.environ.get("HF_TOKEN", "").strip() or None


class _told_errors:  # noqa: N801 - used as a function
    """Raise errors of the hub as ours, without the token."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, fault: BaseException | None, trace: object) -> None:
        if not isinstance(fault, Exception):
            return
        from ...errors import RemoteError

        said = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
        if self._token:
            said = said.replace(self._token, "***")
        raise RemoteError(f"the hub refused: {said}; is HF_TOKEN set, and may it write?") from None
