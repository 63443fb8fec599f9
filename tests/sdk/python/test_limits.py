"""402 and 429 as the official SDKs see them: the right exception, with figures and headers."""

import os

import anthropic
import httpx
import openai
import pytest
from conftest import URL

MODEL = "gpt-4o-mini"
HELLO = [{"role": "user", "content": "Say hello."}]
ADMIN = {"authorization": "Bearer " + os.environ["FLUX_ADMIN_KEY"]}


def key_with(**settings):
    made = httpx.post(URL + "/v1/keys", headers=ADMIN, json=settings)
    assert made.status_code == 201, made.text
    return made.json()["key"]


def chat_with(key):
    return openai.OpenAI(base_url=URL + "/v1", api_key=key, max_retries=0).chat.completions


def claude_with(key):
    return anthropic.Anthropic(base_url=URL + "/anthropic", api_key=key, max_retries=0).messages


def test_a_spent_budget_in_openais_shape():
    chat = chat_with(key_with(budget={"amount_usd": "0.00000001", "period": "total"}))
    with pytest.raises(openai.APIStatusError) as caught:
        chat.create(model=MODEL, messages=HELLO)
    error = caught.value
    assert error.status_code == 402
    assert (error.code, error.type) == ("key_budget_exceeded", "insufficient_quota")
    body = error.response.json()
    assert body["balance"] == 1e-8 and body["estimated_cost"] > body["balance"]
    assert error.response.headers["x-should-retry"] == "false"
    assert not [name for name in error.response.headers if "ratelimit" in name or name == "retry-after"]


def test_a_spent_budget_in_anthropics_shape():
    claude = claude_with(key_with(budget={"amount_usd": "0.00000001", "period": "total"}))
    with pytest.raises(anthropic.APIStatusError) as caught:
        claude.create(model=MODEL, max_tokens=20, messages=HELLO)
    assert caught.value.status_code == 402
    assert caught.value.body["error"]["type"] == "billing_error"
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_a_reached_limit_in_openais_shape():
    chat = chat_with(key_with(limits={"requests_per_minute": 1, "tokens_per_minute": 1_000_000}))
    raw = chat.with_raw_response.create(model=MODEL, messages=HELLO)
    assert raw.headers["x-ratelimit-limit-requests"] == "1"
    assert raw.headers["x-ratelimit-remaining-requests"] == "0"
    assert raw.headers["x-ratelimit-reset-requests"] == "1m0s"
    assert int(raw.headers["x-ratelimit-remaining-tokens"]) < 1_000_000 == int(raw.headers["x-ratelimit-limit-tokens"])
    with pytest.raises(openai.RateLimitError) as caught:
        chat.create(model=MODEL, messages=HELLO)
    headers = caught.value.response.headers
    assert (caught.value.code, headers["x-ratelimit-remaining-requests"]) == ("rate_limit_exceeded", "0")
    assert 1 <= int(headers["retry-after"]) <= 60
    assert (headers["x-should-retry"], caught.value.response.json()["limit"]) == ("true", 1)


def test_a_reached_limit_in_anthropics_shape():
    claude = claude_with(key_with(limits={"requests_per_minute": 1}))
    raw = claude.with_raw_response.create(model=MODEL, max_tokens=20, messages=HELLO)
    assert raw.headers["anthropic-ratelimit-requests-limit"] == "1"
    assert raw.headers["anthropic-ratelimit-requests-remaining"] == "0"
    with pytest.raises(anthropic.RateLimitError) as caught:
        claude.create(model=MODEL, max_tokens=20, messages=HELLO)
    assert caught.value.body["error"]["type"] == "rate_limit_error"
    assert int(caught.value.response.headers["retry-after"]) >= 1


def test_a_model_that_the_key_may_not_ask_for():
    chat = chat_with(key_with(allowed_models=["flux-fast"]))
    with pytest.raises(openai.PermissionDeniedError) as caught:
        chat.create(model=MODEL, messages=HELLO)
    assert caught.value.param == "model"


def test_a_balance_is_told_where_the_key_says_so():
    budget = {"amount_usd": 1, "period": "month"}
    raw = chat_with(key_with(shows_balance=True, budget=budget)).with_raw_response.create(model=MODEL, messages=HELLO)
    assert int(raw.headers["x-flux-held"]) >= 0
