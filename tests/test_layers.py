"""The house as architecture.md draws it: who imports whom, and what a bare import may load."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from project_paths import ROOT

ROOMS = ("data", "labeling", "distillation", "evaluation", "agentic_workflow")
LEAVES = ("errors", "config", "records", "prompts", "record_shapes", "files", "tables",
          "run_folder", "run_identity", "record_template", "html_page", "console",
          "rate_interval")  # fmt: skip
COMPOSERS = ("cli", "pipeline", "__init__", "__main__")
HEAVY = ("torch", "transformers", "gradio", "langgraph", "fastapi", "uvicorn", "pandas", "datasets")
SOURCES = sorted((ROOT / "src").rglob("*.py"))
MOST_FILES = 20
"""In one folder of `src/`."""

FLOORS = {
    "data": [
        "datasets readers",
        "identity questions text_to_sql",
        "data_preparation prepare_records",
    ],
    "inference": [
        "constrained llama no_real_models sources",
        "tool_calls",
        "prompt_tokens",
        "checkpoints",
        "scoring",
        "engine",
        "generate gguf_export onnx_export remote",
        "open_engine system_pair",
        "chat",
        "score_students",
    ],
    "understanding": ["table", "mentions", "plans", "ranker verified", "joins", "answers practice"],
    "labeling": ["teachers", "batch", "tasks", "gates wordings", "reports", "filters"],
    "distillation": [
        "runtime_patches setting_names training_data",
        "batches settings_checks torch_processes",
        "loss_curve losses settings",
        "stage_plan students teacher",
        "score_students",
        "pruning",
        "training",
        "distiller",
        "stages starter_student",
    ],
    "evaluation": [
        "calibration compare_models eval_results footprint metrics scores speed statistics",
        "held_out model_card plots score_drift sql_scores",
        "calibrate_student export_price predictions promotion",
        "evaluate_models report",
    ],
    "agentic_workflow": [
        "local_database text_matching",
        "feedback state",
        "answer_types custom_nodes format_checks model_calls reading state_updates threads"
        " workflow_input",
        "policy record_search",
        "grounding",
        "routing",
        "nodes",
        "answer_events distilled_agent",
        "graphs",
        "workflow",
        "multi_agent single_agent",
        "agent http",
        "conversations langgraph_api mcp_server openai_api",
        "chat_page",
        "serve_app",
    ],
    "pipeline": [
        "machine options reasoning stage_times threads",
        "command option_file path_checks reading_options",
        "easydistill filter_judging filter_training records run_report",
        "main_job",
        "agent_job renewal",
        "commands model_comparison sweeps systems",
        "llm_distillery text_to_sql",
    ],
}
"""The packages and single files of each room, floor by floor: what stands on a floor may import
what stands on the floors below it, and nothing beside it or above."""


def module_of(path):
    """Name a file by its parts below `src`; a package by its folder."""
    parts = path.relative_to(ROOT / "src").with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


MODULES = {module_of(path): path for path in SOURCES}


def own_imports(path):
    """List the modules of ours that a file imports, wherever in the file it does so."""
    found = set()
    package = path.relative_to(ROOT / "src").parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            base += tuple(node.module.split(".")) if node.module else ()
            names = [alias.name for alias in node.names]
            found |= {(*base, n) if (*base, n) in MODULES else base for n in names}
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            absolute = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                absolute = [node.module or ""]
            wrong = [n for n in absolute if n.split(".")[0] in ("stillroom", "src")]
            assert not wrong, f"{path}: absolute import of {wrong}"
    return found - {module_of(path), ()}


IMPORTS = {module: own_imports(path) for module, path in MODULES.items()}


def allowed(importer):
    if importer in COMPOSERS:
        return set(ROOMS) | {"understanding", "inference"} | set(LEAVES) | set(COMPOSERS)
    if importer in LEAVES:
        return set(LEAVES)
    if importer == "inference":
        return set(LEAVES) | {"inference"}
    return set(LEAVES) | {"understanding", "inference", importer}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT / "src")))
def test_a_file_imports_only_what_its_room_may(path):
    importer = path.relative_to(ROOT / "src").with_suffix("").parts[0]
    assert importer in (*ROOMS, "understanding", "inference", *LEAVES, *COMPOSERS), (
        f"{path} is in no known room"
    )
    wrong = {name[0] for name in IMPORTS[module_of(path)]} - allowed(importer)
    assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


@pytest.mark.parametrize("room", FLOORS)
def test_packages_import_only_from_the_floors_below(room):
    floors = {name: floor for floor, names in enumerate(FLOORS[room]) for name in names.split()}
    there = {module[1] for module in MODULES if module[:1] == (room,) and len(module) > 1}
    assert set(floors) == there, "the table of floors is not that of the folder"
    wrong = [
        f"{'.'.join(module)} imports {'.'.join(other)}"
        for module, others in IMPORTS.items()
        for other in others
        if module[:1] == other[:1] == (room,) and len(module) > 1 and len(other) > 1
        and module[1] != other[1] and floors[module[1]] <= floors[other[1]]
    ]  # fmt: skip
    assert not wrong, wrong


def test_there_is_no_circle_of_imports():
    seen, path = set(), []

    def follow(module):
        assert module not in path, f"circle: {path[path.index(module) :]}"
        if module in seen:
            return
        path.append(module)
        for other in sorted(IMPORTS.get(module, ())):
            follow(other)
        path.pop()
        seen.add(module)

    for module in MODULES:
        follow(module)


def test_no_folder_is_a_heap():
    counts = {}
    for path in SOURCES:
        counts[path.parent] = counts.get(path.parent, 0) + (path.name != "__init__.py")
    crowded = {str(p): n for p, n in counts.items() if n > MOST_FILES}
    assert not crowded, crowded


@pytest.mark.parametrize(
    "command", [["-c", "import stillroom"], ["-m", "stillroom", "--help"]], ids=["import", "help"]
)
def test_a_bare_import_loads_nothing_heavy(command, tmp_path):
    script = tmp_path / "probe.py"
    script.write_text(
        "import atexit, sys\n"
        f"atexit.register(lambda: print('LOADED', [m for m in {HEAVY!r} if m in sys.modules]))\n"
        + (
            command[1]
            if command[0] == "-c"
            else "import runpy; sys.argv = ['stillroom', '--help']; runpy.run_module('stillroom')"
        )
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert "LOADED []" in done.stdout, done.stdout + done.stderr


def test_every_public_name_is_there():
    import stillroom

    for name in stillroom.__all__:
        assert getattr(stillroom, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = stillroom.nonsense


def test_the_map_of_the_readme_names_every_package():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `src/([\w/]+)/`", readme, re.MULTILINE))
    named |= {f"pipeline/{name}" for name in re.findall(r"`, `(\w+)/` \|", readme)}
    packages = {"/".join(m) for m, path in MODULES.items() if path.name == "__init__.py" and m}
    inner = {name for name in packages if name.startswith(("data/readers/", "pipeline/records/"))}
    assert named == packages - inner


def test_the_questions_of_contributing_are_answered_by_files_that_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    files = re.findall(r"^\| Where .*\? \| `(.+)` \|$", text, re.MULTILINE)
    assert len(files) == 10
    assert [name for name in files if not (ROOT / name).is_file()] == []


def test_every_folder_of_code_is_a_package_that_the_wheel_finds():
    # In a process of its own: setuptools warns where distutils was imported before it.
    code = "import setuptools, sys; print(*setuptools.find_packages(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT / "src")], capture_output=True, text=True, check=True
    )
    folders = {path.parent.relative_to(ROOT / "src") for path in SOURCES} - {Path()}
    assert {".".join(folder.parts) for folder in folders} == set(done.stdout.split())


def test_the_users_own_spelling_works(tmp_path):
    """`from src.data.data_preparation import ...`, as the users' document has it, in a checkout."""
    code = (
        "from src.data.data_preparation import StructuredDataLoader\n"
        "from src.distillation.distiller import DistillationConfig\n"
        "from src.agentic_workflow.agent import AgenticWorkflow\n"
        "print(DistillationConfig().temperature)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.stdout.strip() == "2.0", done.stderr
