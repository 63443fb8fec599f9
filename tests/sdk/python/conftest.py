"""Clients of both SDKs, once with a live key before the strict provider, once with a test key before the built-in mock."""

import json
import os
import time
import urllib.request

import anthropic
import openai
import pytest

URL = os.environ["FLUX_URL"]
KEYS = {"provider": os.environ["FLUX_KEY"], "mock": os.environ["FLUX_TEST_KEY"]}
WAIT_SECONDS_MAX = 30


@pytest.fixture(params=list(KEYS))
def behind(request):
    """Who answers: the strict provider or the built-in mock."""
    return request.param


@pytest.fixture
def chat(behind):
    with openai.OpenAI(base_url=URL + "/v1", api_key=KEYS[behind], max_retries=0) as client:
        yield client


@pytest.fixture
def claude(behind):
    with anthropic.Anthropic(base_url=URL + "/anthropic", api_key=KEYS[behind], max_retries=0) as client:
        yield client


@pytest.fixture
def live_chat():
    with openai.OpenAI(base_url=URL + "/v1", api_key=KEYS["provider"], max_retries=0) as client:
        yield client


@pytest.fixture
def live_claude():
    with anthropic.Anthropic(base_url=URL + "/anthropic", api_key=KEYS["provider"], max_retries=0) as client:
        yield client


def left(dialect):
    """How many streams were closed before the provider's end of them."""
    with urllib.request.urlopen(os.environ["PROVIDER_URL"] + "/left") as answer:
        return json.load(answer)[dialect]


def wait_until(holds):
    end = time.monotonic() + WAIT_SECONDS_MAX
    while not holds():
        assert time.monotonic() < end, "gave up waiting"
        time.sleep(0.01)
