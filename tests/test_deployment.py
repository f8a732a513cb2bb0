"""The files of `deploy/`, held against the commands, routes and metrics that they name."""

import json
import re
import shlex
import tomllib
from types import SimpleNamespace

import pytest
import yaml
from project_paths import ROOT
from stillroom.agentic_workflow.agent import AgenticWorkflow
from stillroom.agentic_workflow.http.app import build_app
from stillroom.agentic_workflow.http.metrics import Metrics
from stillroom.agentic_workflow.http.service import Service
from stillroom.inference.chat.scripted_model import ScriptedModel
from stillroom.pipeline.commands.serve import serve_parser

DEPLOY = ROOT / "deploy"
YAMLS = sorted(DEPLOY.rglob("*.yaml"))
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
INSTRUCTIONS = {
    "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL",
    "HEALTHCHECK", "ENTRYPOINT", "CMD",
}  # fmt: skip
PORT = 8000


def documents(path):
    return [one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one]


def kind(name):
    """Give the Kubernetes object of a kind."""
    (found,) = [
        one
        for path in (DEPLOY / "kubernetes").glob("*.yaml")
        for one in documents(path)
        if one["kind"] == name
    ]
    return found


def docker_lines():
    """Give the instructions of the Dockerfile, each in one line."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    return [line.split(None, 1) for line in text.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def service():
    model = ScriptedModel(lambda prompt: "Au")
    stats = SimpleNamespace(
        running=0, waiting=0, slots=1, cached_tokens=0, steps=0, cancelled=0, failed=0, restarts=0
    )
    made = Service(model, {"single": AgenticWorkflow(model)})
    engine = SimpleNamespace(stats=lambda: stats, ready=lambda: True)
    object.__setattr__(made, "chat_model", SimpleNamespace(serving_engine=engine))
    return made


@pytest.mark.parametrize("path", YAMLS, ids=lambda p: str(p.relative_to(DEPLOY)))
def test_every_yaml_file_is_read_and_is_named_by_another(path):
    assert documents(path)
    others = [p for p in DEPLOY.rglob("*") if p.is_file() and p != path]
    names = "\n".join(p.read_text(encoding="utf-8") for p in others)
    assert path.name in names


def test_the_dockerfile_has_known_instructions_and_copies_what_is_there():
    lines = docker_lines()
    assert {name for name, _ in lines} <= INSTRUCTIONS
    for name, rest in lines:
        if name == "COPY" and "--from" not in rest:
            assert all((ROOT / source).exists() for source in rest.split()[:-1]), rest
    extras = set(re.search(r'"\.\[(.+)\]"', DOCKERFILE)[1].split(","))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert extras <= project["optional-dependencies"].keys()
    by_name = dict(lines)
    assert by_name["USER"] == "10001"
    assert by_name["EXPOSE"] == str(PORT)
    assert f":{PORT}/health" in by_name["HEALTHCHECK"]
    assert all(":latest" not in rest for name, rest in lines if name == "FROM")


def commands():
    """Give every command of `stillroom` in the files."""
    compose = documents(DEPLOY / "compose.yaml")[0]
    (container,) = kind("Deployment")["spec"]["template"]["spec"]["containers"]
    docker = dict(docker_lines())
    assert json.loads(docker["ENTRYPOINT"]) == ["stillroom"]
    shown = re.findall(
        r"^ +stillroom (serve .+)$", (DEPLOY / "README.md").read_text(), re.MULTILINE
    )
    return [
        json.loads(docker["CMD"]),
        compose["services"]["stillroom"]["command"],
        container["args"],
        *(shlex.split(line) for line in shown),
    ]


@pytest.mark.parametrize("command", commands(), ids=["docker", "compose", "kubernetes", "readme"])
def test_every_command_is_one_that_the_parser_takes(command):
    assert command[0] == "serve"
    args = serve_parser().parse_args(command[1:])
    assert args.port == PORT
    assert args.tokens or args.host == "127.0.0.1"


def test_probes_are_routes_that_need_no_key(service):
    app = build_app(service)
    (container,) = kind("Deployment")["spec"]["template"]["spec"]["containers"]
    paths = app.openapi()["paths"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        wanted = container[probe]["httpGet"]
        assert wanted["port"] == "http"
        assert "get" in paths[wanted["path"]]
    assert container["livenessProbe"]["httpGet"]["path"] == "/health"
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    assert container["ports"] == [{"name": "http", "containerPort": PORT}]


def test_pods_end_after_their_drain_and_run_without_rights():
    pod = kind("Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    drain_s = serve_parser().parse_args(container["args"][1:]).drain_s
    assert pod["terminationGracePeriodSeconds"] > drain_s
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    mounted = {one["name"] for one in container["volumeMounts"]}
    assert mounted == {one["name"] for one in pod["volumes"]}
    compose = documents(DEPLOY / "compose.yaml")[0]["services"]["stillroom"]
    assert int(compose["stop_grace_period"].removesuffix("s")) > drain_s
    assert compose["ports"] == [f"127.0.0.1:{PORT}:{PORT}"]


def test_kubernetes_objects_mean_the_same_pods():
    labels = kind("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert kind("Deployment")["spec"]["selector"]["matchLabels"] == labels
    assert kind("Service")["spec"]["selector"] == labels
    assert kind("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    assert kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    (rule,) = kind("Ingress")["spec"]["rules"]
    backend = rule["http"]["paths"][0]["backend"]["service"]["name"]
    assert backend == kind("Service")["metadata"]["name"]
    resources = kind("Kustomization")["resources"]
    folder = DEPLOY / "kubernetes"
    assert set(resources) == {p.name for p in folder.glob("*.yaml")} - {"kustomization.yaml"}


def test_no_image_floats_and_secrets_are_in_no_file():
    text = "\n".join(path.read_text(encoding="utf-8") for path in YAMLS)
    images = re.findall(r"image: (\S+)", text)
    assert len(images) >= 5
    assert all(re.search(r":v?\d", image) for image in images), images
    assert re.findall(r"PASSWORD: (?!\$\{)", text) == []
    assert "sr-" not in text


def test_every_panel_asks_for_metrics_that_there_are(service):
    metrics = Metrics(service)
    for labelled in (metrics._latency, metrics._first, metrics._prompt, metrics._made):
        labelled.labels("single")
    metrics._success.labels("single", "answered")
    there = set(re.findall(r"^(stillroom:\w+)", metrics.text().decode(), re.MULTILINE))
    board = json.loads((DEPLOY / "monitoring" / "dashboard.json").read_text(encoding="utf-8"))
    asked = set()
    for panel in board["panels"]:
        assert panel["targets"], panel["title"]
        for target in panel["targets"]:
            names = re.findall(r"stillroom:\w+", target["expr"])
            assert names, target
            assert target["expr"].count("(") == target["expr"].count(")")
            asked |= set(names)
    assert asked <= there, asked - there
    unseen = {re.sub("_(bucket|sum|count|created|total)$", "", name) for name in there}
    assert unseen == {re.sub("_(bucket|total)$", "", name) for name in asked}
    places = [tuple(panel["gridPos"][k] for k in "xy") for panel in board["panels"]]
    assert len(set(places)) == len({panel["id"] for panel in board["panels"]}) == len(places)


def test_prometheus_asks_where_the_server_answers(service):
    (job,) = documents(DEPLOY / "monitoring" / "prometheus.yaml")[0]["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"stillroom:{PORT}"]}]
    assert job["metrics_path"] in build_app(service).openapi()["paths"]
