"""A filter package: a folder `<name>/v<N>` with config, prompt, prefilter and README.

package = load_filter("filters/sustainability_tech_deployment/v1")
package.prefilter.apply_filter(article)      # (True, 'passed')
package.view.oracle_prompt(package.view.read(article))
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ...config import read_written_text
from ...errors import ConfigError, DataNotFoundError
from .config_file import CONFIG_FILE, read_config
from .filter_config import FilterConfig
from .input_view import InputView
from .prefilter import BasePreFilter
from .prefilter_file import CODE_FILE, RULES_FILE, read_prefilter
from .prompt_template import PROMPT_FILES, PromptTemplate, parse_prompt, prompt_path
from .scoring.calibration import CALIBRATION_FILE, read_calibration
from .scoring.normalization import NORMALIZATION_FILE, read_normalization

README_FILE: Final = "README.md"
PACKAGED: Final = Path(__file__).parent / "packaged"
"""Folder of the filters that come with stillroom."""


@dataclass(frozen=True)
class FilterPackage:
    """A package without faults."""

    folder: Path
    config: FilterConfig
    prompt: PromptTemplate
    prefilter: BasePreFilter | None
    """None where the config disables it, or where it is code that was not allowed to run."""
    notices: tuple[str, ...] = ()
    """What is allowed and yet worth a look."""
    view: InputView = field(init=False)
    """How articles are shown to oracle, training and inference."""

    def __post_init__(self) -> None:
        """Make the view."""
        object.__setattr__(self, "view", InputView(self.prompt, self.config.compression))


def load_filter(path: str | Path, *, allow_code: bool = False) -> FilterPackage:
    """Load a filter package, or one that comes with stillroom by its `<name>/v<N>`.

    Args:
        path: The folder.
        allow_code: Whether `prefilter.py` may be run.

    Raises:
        DataNotFoundError: There is no such folder.
        ConfigError: The package has faults; lists all, each with file and key.
    """
    package, faults = inspect_filter(path, allow_code=allow_code)
    if package is None:
        raise ConfigError(faults)
    return package


def inspect_filter(
    path: str | Path, *, allow_code: bool = False
) -> tuple[FilterPackage | None, list[str]]:
    """Load a package and list its faults; the package is None where it has any.

    Raises:
        DataNotFoundError: There is no such folder.
    """
    folder = find_filter(path)
    config, faults = read_config(folder)
    prompt = None
    try:
        found = prompt_path(folder)
        prompt = parse_prompt(read_written_text(found), found.name)
    except FileNotFoundError:
        faults.append(f"{PROMPT_FILES[0]}: there is no such file in {folder}")
    except ConfigError as fault:
        faults += [one.replace(str(found), found.name, 1) for one in fault.faults]
    settings = {} if config is None else config.prefilter
    prefilter, more = read_prefilter(folder, settings, allow_code=allow_code)
    faults += more + _readme_faults(folder) + _number_faults(folder, config)
    if faults or config is None or prompt is None:
        return None, faults
    return FilterPackage(folder, config, prompt, prefilter, _notices(folder, config, prefilter)), []


def load_filter_package(
    filter_path: str | Path, *, allow_code: bool = False
) -> tuple[BasePreFilter | None, Path, dict[str, Any]]:
    """Load a package as `(prefilter, prompt_path, config)`, as LLM Distillery names it.

    Raises:
        FileNotFoundError: There is no such folder, or no prompt in it.
        ConfigError: The package has other faults.
    """
    prompt = prompt_path(find_filter(filter_path))
    package = load_filter(filter_path, allow_code=allow_code)
    return package.prefilter, prompt, dict(package.config.settings)


def find_filter(path: str | Path) -> Path:
    """Find the folder of a package: as given, else among those that come with stillroom.

    Raises:
        DataNotFoundError: There is none; names those that come with stillroom.
    """
    given = Path(path).expanduser()
    if given.is_dir():
        return given
    packaged = PACKAGED.joinpath(*given.parts[-2:])
    if len(given.parts) >= 2 and (packaged / CONFIG_FILE).is_file():
        return packaged
    raise DataNotFoundError(
        f"there is no folder {str(path)!r}; packaged are {', '.join(packaged_filters())}"
    )


def packaged_filters() -> list[str]:
    """List the filters that come with stillroom, as `<name>/v<N>`."""
    found = PACKAGED.glob(f"*/v*/{CONFIG_FILE}")
    return sorted(one.parent.relative_to(PACKAGED).as_posix() for one in found)


def _readme_faults(folder: Path) -> list[str]:
    path = folder / README_FILE
    if not path.is_file():
        return [f"{README_FILE}: there is no such file in {folder}"]
    try:
        return [] if read_written_text(path).strip() else [f"{README_FILE}: is empty"]
    except ConfigError as fault:
        return [one.replace(str(path), README_FILE, 1) for one in fault.faults]


def _number_faults(folder: Path, config: FilterConfig | None) -> list[str]:
    """List the faults of calibration and normalisation, which never fail in silence."""
    faults: list[str] = []
    if (folder / CALIBRATION_FILE).is_file():
        try:
            read_calibration(folder / CALIBRATION_FILE, config)
        except ConfigError as fault:
            faults += fault.faults
    if (folder / NORMALIZATION_FILE).is_file():
        try:
            read_normalization(folder / NORMALIZATION_FILE, config)
        except ConfigError as fault:
            faults += fault.faults
    return faults


def _notices(
    folder: Path, config: FilterConfig, prefilter: BasePreFilter | None
) -> tuple[str, ...]:
    found = []
    if config.tiers and config.tiers[-1].threshold > 0:
        lowest = config.tiers[-1]
        found.append(f"{CONFIG_FILE}: scoring.tiers.{lowest.name}.threshold is the lowest and is "
                     f"{lowest.threshold:g}; articles below it get the tier 'low'")  # fmt: skip
    if "score_scale_factor" in config.settings.get("scoring", {}):
        found.append(f"{CONFIG_FILE}: scoring.score_scale_factor is ignored; calibration.json "
                     "takes its place")  # fmt: skip
    if prefilter is None and (folder / CODE_FILE).is_file():
        found.append(f"{CODE_FILE}: was not run; allow it with --allow-code, or write the rules in "
                     f"{RULES_FILE}")  # fmt: skip
    return tuple(found)
