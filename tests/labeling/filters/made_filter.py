"""A small filter package, and copies of it with changes."""

import copy

import yaml

CONFIG = {
    "filter": {"name": "made", "version": "1.0", "description": "A made filter."},
    "scoring": {
        "dimensions": {"a": {"weight": 0.5}, "b": {"weight": 0.3}, "c": {"weight": 0.2}},
        "tiers": {
            "low": {"threshold": 0, "description": "rest"},
            "high": {"threshold": 7},
            "medium": {"threshold": 4},
        },
        "gatekeepers": {"g": {"dimension": "a", "threshold": 3.0, "max_score": 3.5}},
    },
}
PROMPT = 'Rate this.\n\n[Paste the summary of the article here]\n\nAnswer {"a": 1}.\n'


def changed(place, value):
    """The config with one key set, or deleted where the value is `...`."""
    made = copy.deepcopy(CONFIG)
    *parents, last = place.split(".")
    inner = made
    for name in parents:
        inner = inner.setdefault(name, {})
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return made


def write_filter(root, config=CONFIG, prompt=PROMPT, readme="# Made\n", **files):
    """Write `made/v1` below a folder; a part that is None is left out."""
    folder = root / "made" / "v1"
    folder.mkdir(parents=True, exist_ok=True)
    written = config if isinstance(config, str) or config is None else yaml.safe_dump(config)
    parts = {"config.yaml": written, "prompt-compressed.md": prompt, "README.md": readme}
    for name, text in {**parts, **{k.replace("__", "."): v for k, v in files.items()}}.items():
        if text is not None:
            (folder / name).write_text(text, encoding="utf-8")
    return folder
