"""An account's own API against its own description: whatever is sent, the answer is one that is described."""

import os

import httpx
import hypothesis
import schemathesis
from conftest import URL
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

ADMIN = {"authorization": "Bearer " + os.environ["FLUX_ADMIN_KEY"]}
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES_MAX = 20

config = schemathesis.Config.from_dict({"rate-limit": "18/s", "phases": {"coverage": {"enabled": False}}})
schema = schemathesis.openapi.from_url(URL + "/openapi.json", config=config)
own = schema.include(path_regex="^/v1/(keys|usage|credits|models|route|feedback)").include(path="/openapi.json")


def own_id():
    keys = httpx.get(URL + "/v1/keys?limit=1000", headers=ADMIN).json()["data"]
    return next(key["id"] for key in keys if ADMIN["authorization"].startswith("Bearer " + key["prefix"]))


OWN_ID = own_id()


def names_own_key(case):
    """Whether the key that asks would revoke itself: all that follows would be 401."""
    body = case.body if isinstance(case.body, dict) else {}
    named = [(case.path_parameters or {}).get("id"), body.get("id"), body.get("key_id")]
    prefix = body.get("prefix")
    by_prefix = isinstance(prefix, str) and ADMIN["authorization"].startswith("Bearer " + prefix)
    return by_prefix or any(str(value).isdigit() and int(str(value)) == OWN_ID for value in named)


@own.parametrize()
@hypothesis.settings(max_examples=EXAMPLES_MAX, deadline=None, derandomize=True, database=None)
def test_answers_are_as_described(case):
    hypothesis.assume(not names_own_key(case))
    case.call_and_validate(headers=ADMIN, checks=CHECKS)


def test_the_key_outlived_all_that():
    assert own_id() == OWN_ID
