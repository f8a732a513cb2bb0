"""LangGraph's own conformance suite for checkpointers, with all that is optional in it."""

import asyncio

import pytest

conformance = pytest.importorskip("langgraph.checkpoint.conformance")

PASSED = {
    "put": 17,
    "put_writes": 10,
    "get_tuple": 10,
    "list": 16,
    "delete_thread": 5,
    "delete_for_runs": 7,
    "copy_thread": 8,
    "prune": 8,
}


def test_all_81_tests_of_the_conformance_suite_pass(threads_url, open_threads):
    # One place per capability would be cleaner than the suite asks for; one for all is harder.
    @conformance.checkpointer_test(name="stillroom")
    async def checkpointer():
        yield open_threads(threads_url)

    report = asyncio.run(conformance.validate(checkpointer))
    failures = [failure for result in report.results.values() for failure in result.failures]
    assert failures == []
    assert {name: result.tests_passed for name, result in report.results.items()} == PASSED
    assert report.conformance_level() == "FULL"
