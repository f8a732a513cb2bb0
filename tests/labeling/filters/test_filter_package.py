"""Filter packages: what loads, and that each fault is listed with its file and key."""

import pytest
from made_filter import CONFIG, PROMPT, changed, write_filter
from stillroom.errors import ConfigError, DataNotFoundError
from stillroom.labeling.filters.filter_package import (
    inspect_filter,
    load_filter,
    load_filter_package,
    packaged_filters,
)
from stillroom.labeling.filters.prompt_template import parse_prompt

CODE = """
from stillroom.labeling.filters.prefilter import BasePreFilter
class Base(BasePreFilter): ...
class Mine(Base):
    VERSION = "9"
"""
BROKEN = {
    "no files at all": (
        {"config": None, "prompt": None, "readme": None},
        ["config.yaml: there is no such file", "prompt-compressed.md: there is no such",
         "README.md: there is no such file"],
    ),
    "weights": (
        {"config": changed("scoring.dimensions.a.weight", 0.6)},
        ["config.yaml: scoring.dimensions have weights that sum to 1.1"],
    ),
    "weight, tier and gatekeeper at once": (
        {
            "config": changed("scoring.dimensions.a.weight", "0.5")
            | {
                "scoring": {
                    "dimensions": {"a": {"weight": "0.5"}, "b": {"weight": -1}},
                    "tiers": {"high": {"threshold": 11}, "low": {}},
                    "gatekeepers": {"g": {"dimension": "aa", "threshold": 3, "max_score": True}},
                }
            }
        },
        ["scoring.dimensions.a.weight is '0.5'", "scoring.dimensions.b.weight is -1",
         "scoring.tiers.high.threshold is 11", "scoring.tiers.low.threshold is missing",
         "gatekeepers.g.dimension names the dimension 'aa'; the nearest known key is 'a'",
         "gatekeepers.g.max_score is True"],
    ),
    "names": (
        {"config": changed("filter.name", "other") | {"filter": {"name": "other", "version": "2"}}},
        ["config.yaml: filter.name is 'other', and the folder is 'made'",
         "config.yaml: filter.version is '2', and the folder is 'v1'"],
    ),
    "unknown keys": (
        {"config": changed("scoring.teirs", {}) | {"trainig": {}}},
        ["config.yaml: trainig is no known key; the nearest known key is 'training'",
         "config.yaml: scoring.teirs is no known key; the nearest known key is 'tiers'"],
    ),
    "a key twice, and no YAML": (
        {"config": "filter: {name: made, name: other, version: '1'}\n"},
        ["config.yaml: filter.name stands twice", "config.yaml: scoring is missing",
         "filter.name is 'other', and the folder is 'made'"],
    ),
    "tiers": (
        {"config": changed("scoring.tiers", {"x": {"threshold": 4}, "y": {"threshold": 4}})},
        ["config.yaml: scoring.tiers ['x', 'y'] have the same threshold 4"],
    ),
    "caps, preprocessing, training and prefilter": (
        {
            "config": changed("scoring.content_type_caps", {"op_ed": {"max_score": 5,
                                                                      "max_overall": 6}})
            | {
                "preprocessing": {"compression": {"max_words": 3, "keep_patterns": ["("]},
                                  "head_tail": {"enabled": "yes"}},
                "training": {"target_samples": 0, "train_val_test_split": [0.8, 0.1, 0.2]},
                "prefilter": {"expected_pass_rate": 1.5, "block_keywords": "solar"},
            }
        },
        ["scoring.content_type_caps.op_ed.max_score and max_overall: 2 are given",
         "preprocessing.compression.max_words is 3", "keep_patterns has '('",
         "preprocessing.head_tail.enabled is 'yes'", "training.target_samples is 0",
         "training.train_val_test_split is [0.8, 0.1, 0.2]",
         "prefilter.expected_pass_rate is 1.5", "prefilter.block_keywords is 'solar'"],
    ),
    "prompt without its place": (
        {"prompt": "Rate this.\n", "readme": " \n"},
        ["prompt-compressed.md: there is no place for the article", "README.md: is empty"],
    ),
    "prefilter rules": (
        {
            "prefilter__yaml": "version: 1\nexclusions: {x: ['(', 'a*']}\nrequird: {}\n"
            "category_overrides: {y: [b]}\n"
        },
        ["prefilter.yaml: version is 1;", "prefilter.yaml: exclusions.x has '('",
         "prefilter.yaml: exclusions.x has 'a*', which matches every",
         "prefilter.yaml: requird is no known key; the nearest known key is 'required'",
         "prefilter.yaml: category_overrides.y overrides no exclusion"],
    ),
    "prefilter code": (
        {"prefilter__py": CODE},
        ["prefilter.py: defines 2 subclasses of BasePreFilter ['Base', 'Mine']; exactly one"],
    ),
    "calibration and normalisation": (
        {
            "calibration__json": '{"method": "isotonic", "filter_name": "other", '
            '"dimensions": {"a": {"x": [1, 2], "y": [2, 1]}, "z": {"x": [1], "y": [1, 2]}}}',
            "normalization__json": '{"method": "percentile", "x": [2, 1], "y": [0, 10]}',
        },
        ["calibration.json: dimensions.a.y falls", "calibration.json: dimensions.z: x has 1 values",
         "calibration.json: filter_name is 'other'", "dimensions.z is no dimension of made",
         "normalization.json: curve.x does not ascend"],
    ),
    "classes": (
        {"config": changed("scoring", {"classes": {"x": {}, "y": {"descripton": "d"}},
                                       "pass_classes": ["z"]})},
        ["scoring.classes.y.descripton is no known key", "scoring.pass_classes has 'z'"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_all_faults_of_a_package_are_listed_with_file_and_key(case, tmp_path):
    parts, expected = BROKEN[case]
    folder = write_filter(tmp_path, **parts)
    package, faults = inspect_filter(folder, allow_code=True)
    assert package is None
    for part in expected:
        assert [fault for fault in faults if part in fault], (part, faults)
    assert len(faults) == len(expected), faults
    with pytest.raises(ConfigError) as raised:
        load_filter(folder, allow_code=True)
    assert raised.value.faults == faults


def test_the_faults_of_one_package_do_not_hide_those_of_another_file(tmp_path):
    folder = write_filter(tmp_path, config="a: [", prompt="x", readme=None, prefilter__py="class")
    files = [fault.split(":")[0].split(",")[0] for fault in inspect_filter(folder)[1]]
    assert files == ["config.yaml", "prompt-compressed.md", "prefilter.py", "README.md"]


def test_a_package_loads_with_tiers_in_order(tmp_path):
    package = load_filter(write_filter(tmp_path))
    assert [tier.name for tier in package.config.tiers] == ["high", "medium", "low"]
    assert package.config.weights == {"a": 0.5, "b": 0.3, "c": 0.2}
    assert package.notices == ()


def test_all_three_forms_of_gatekeepers_are_read_and_equal_ones_are_one(tmp_path):
    config = changed(
        "scoring.gatekeeper_rules",
        {
            "a": {"threshold": 3, "max_overall_if_below": 3.5},
            "b": {"threshold": 4, "max_overall_if_below": 2},
        },
    )
    own = {"weight": 0.2, "gatekeeper": True, "gatekeeper_threshold": 1, "gatekeeper_max_score": 1}
    config["scoring"]["dimensions"]["c"] = own
    found = load_filter(write_filter(tmp_path, config=config)).config.gatekeepers
    assert [(one.dimension, one.threshold, one.cap) for one in found] == [
        ("a", 3.0, 3.5), ("b", 4.0, 2.0), ("c", 1.0, 1.0),
    ]  # fmt: skip


def test_code_runs_only_where_it_is_allowed(tmp_path):
    marker = tmp_path / "ran"
    code = CODE.replace("class Base(BasePreFilter): ...", "").replace("(Base)", "(BasePreFilter)")
    code += f"open({str(marker)!r}, 'w').close()\n"
    folder = write_filter(tmp_path, prefilter__py=code)
    package = load_filter(folder)
    assert package.prefilter is None
    assert "prefilter.py: was not run" in package.notices[0]
    assert not marker.exists()
    assert load_filter(folder, allow_code=True).prefilter.VERSION == "9"
    assert marker.exists()


def test_the_public_names_load_the_same(tmp_path):
    folder = write_filter(tmp_path)
    prefilter, prompt, config = load_filter_package(folder)
    assert prefilter.apply_filter({}) == (False, "missing_title")
    assert prompt == folder / "prompt-compressed.md"
    assert config == CONFIG
    (folder / "prompt-compressed.md").unlink()
    with pytest.raises(FileNotFoundError, match=r"prompt-compressed\.md or prompt\.md"):
        load_filter_package(folder)
    with pytest.raises(DataNotFoundError, match="sustainability_tech_deployment/v1"):
        load_filter("filters/nothing/v1")


@pytest.mark.parametrize("name", packaged_filters())
def test_packaged_filters_have_no_fault_and_no_notice(name):
    package = load_filter(f"filters/{name}")
    assert package.notices == ()
    assert package.prefilter is not None
    asked = package.view.oracle_prompt(
        package.view.read({"title": "T", "content": "Solar. {text}"})
    )
    assert "Solar. {text}" in asked
    assert "{{" not in asked
    for word in (*package.config.dimension_names, *package.config.classes):
        assert word in asked, "the prompt asks for everything that the config names"
    assert all(tier.name in (package.folder / "README.md").read_text() for tier in
               package.config.tiers)  # fmt: skip


def test_prompt_hashes_are_those_of_the_contract():
    made = [parse_prompt(f"{end}Rate this.{end}[Paste the summary of the article here]{end}")
            for end in ("\n", "\r\n", "\r")]  # fmt: skip
    assert len({one.prompt_hash for one in made}) == 1
    from stillroom.labeling.filters.prompt_template import PromptTemplate

    rate = PromptTemplate("Rate this.", has_fields=False)
    assert rate.prompt_hash == "8b5f4fe3a6a1"
    assert rate.sha256 == "8b5f4fe3a6a18ae0085ce782090d16674515efae4de70b40e8829e396765cd48"


SECTION = "# Notes {x}\n## PROMPT TEMPLATE\nwords\n```text\n%s\n```\nmore\n"


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        ('{title}: {text} {{"a": {{"b": 1}}}}', 'T: {source} {{}} {"a": {"b": 1}}'),
        ('{title}: {text} {"a": {"b": 1}}', 'T: {source} {{}} {"a": {"b": 1}}'),
        ("{text} {published_date}", "{source} {{}} N/A"),
    ],
)
def test_only_the_four_fields_are_replaced_and_articles_are_no_templates(template, shown):
    made = parse_prompt(SECTION % template)
    assert made.render({"title": "T", "text": "{source} {{}}"}) == shown


def test_a_template_ends_with_its_last_line_also_behind_inner_fences():
    body = "{text}\n```json\n{{}}\n```\nDO NOT include any text outside the JSON object."
    assert parse_prompt(SECTION % (body + "\nignored")).text == body
    assert parse_prompt(SECTION % "{text}").text == "{text}"


def test_the_pasted_form_names_what_is_missing():
    made = parse_prompt(PROMPT)
    assert made.render({"title": "T", "text": "words"}) == (
        'Rate this.\n\nTitle: T\nSource: N/A\nPublished: N/A\n\nwords\n\nAnswer {"a": 1}.'
    )
    for wrong in ("", "## PROMPT TEMPLATE\nno fence", SECTION % "{title}", "{text}"):
        with pytest.raises(ConfigError, match=r"^prompt-compressed\.md: "):
            parse_prompt(wrong)
