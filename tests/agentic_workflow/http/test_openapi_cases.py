"""Cases that schemathesis makes from the OpenAPI document, right and wrong ones.

About 2,000 by default, 20,000 with `-m slow`. No answer is a 5xx, breaks its schema, is given
without a key, or swallows an unknown field.
"""

import contextlib

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)
from stillroom.agentic_workflow.http.keys import add_key
from stillroom.agentic_workflow.http.settings import ServerSettings
from stillroom.agentic_workflow.serve_app import server_app

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    ignored_auth,
]
KEY: dict[str, str] = {}


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    KEY["authorization"] = f"Bearer {add_key(file, 'anna')}"
    return file


@pytest.fixture
def document(make_service, keys_file):
    many = 10**9
    limits = ServerSettings(
        tokens=keys_file, owner_rate=many, address_rate=many, failed_key_rate=many
    )
    app = server_app(make_service(settings=limits))
    return schemathesis.openapi.from_asgi("/openapi.json", app, headers=KEY)


def hold(document, count):
    """Make about so many cases, of both modes for every operation; give how many there were.

    An operation without parameters has one right case and no wrong ones.
    """
    made = 0
    operations = [found.ok() for found in document.get_all_operations()]
    with_input = [one for one in operations if one.body or one.path_parameters or one.query]
    each = count // (2 * len(with_input)) + 1
    for operation in operations:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(
                max_examples=each,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            def holds(case):
                nonlocal made
                made += 1
                for name in ("authorization", "x-api-key"):  # made from the document
                    case.headers.pop(name, None)
                case.headers.update(KEY)
                response = case.call()
                # schemathesis does not count 413 among the refusals.
                large = response.status_code == 413
                checks = [c for c in CHECKS if not (large and c is negative_data_rejection)]
                case.validate_response(response, checks=checks, headers=KEY)

            with contextlib.suppress(Unsatisfiable):  # a route without parameters has no wrong case
                holds()
    return made


def test_cases_of_every_route(document):
    print(hold(document, 2_000), "cases")


@pytest.mark.slow
def test_many_cases_of_every_route(document):
    made = hold(document, 24_000)
    assert made >= 20_000, made
