"""The official anthropic package, unchanged but for its base URL."""

import base64

import anthropic
import pytest
from conftest import KEYS, URL, left, wait_until

MODEL = "claude-haiku-5-5"
HELLO = "Hello from the provider \U0001f600."
TOOL = {
    "name": "weather",
    "description": "The weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def ask(text, **more):
    return {"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": text}], **more}


def test_message(claude, behind):
    answer = claude.messages.create(**ask("Say hello."))
    assert (answer.type, answer.role, answer.stop_reason) == ("message", "assistant", "end_turn")
    assert answer.usage.output_tokens > 0
    assert answer.content[0].text == HELLO if behind == "provider" else answer.content[0].text


def test_message_says_what_it_cost(live_claude):
    raw = live_claude.messages.with_raw_response.create(**ask("Say hello."))
    assert float(raw.headers["x-flux-cost-usd"]) == pytest.approx((600 * 0.1 + 400 * 0.01 + 500 * 0.5) / 1e6)
    assert raw.headers["request-id"] == raw.headers["x-flux-request-id"]


@pytest.mark.parametrize("path", ["/anthropic", ""])
def test_both_base_urls(behind, path):
    with anthropic.Anthropic(base_url=URL + path, api_key=KEYS[behind], max_retries=0) as client:
        assert client.messages.create(**ask("Say hello.")).content


def test_both_ways_of_showing_a_key(behind):
    with anthropic.Anthropic(base_url=URL + "/anthropic", auth_token=KEYS[behind], max_retries=0) as client:
        assert client.messages.create(**ask("Say hello.")).content


def test_stream(claude, behind):
    with claude.messages.stream(**ask("Say hello.")) as stream:
        text = "".join(stream.text_stream)
        answer = stream.get_final_message()
    assert text == HELLO if behind == "provider" else text
    assert answer.stop_reason == "end_turn"
    assert answer.usage.output_tokens > 0 and answer.usage.input_tokens > 0


def test_raw_events(claude):
    types = [event.type for event in claude.messages.create(**ask("Say hello."), stream=True)]
    assert types[0] == "message_start" and types[-1] == "message_stop"
    assert types.count("message_start") == 1


def test_tools(claude):
    answer = claude.messages.create(**ask("Weather in Paris?", tools=[TOOL]))
    assert answer.stop_reason == "tool_use"
    call = next(block for block in answer.content if block.type == "tool_use")
    assert call.name == "weather" and "city" in call.input
    messages = [
        {"role": "user", "content": "Weather in Paris?"},
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in answer.content]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}]},
    ]
    answer = claude.messages.create(model=MODEL, max_tokens=100, messages=messages, tools=[TOOL])
    assert any(block.type == "text" and block.text for block in answer.content)


def test_tools_streamed(claude):
    with claude.messages.stream(**ask("Weather in Paris?", tools=[TOOL])) as stream:
        answer = stream.get_final_message()
    call = next(block for block in answer.content if block.type == "tool_use")
    assert call.name == "weather" and "city" in call.input
    assert answer.stop_reason == "tool_use"


@pytest.mark.parametrize("size", [100, 3_000_000])
def test_images(claude, behind, size):
    picture = base64.b64encode(bytes(size)).decode()
    source = {"type": "base64", "media_type": "image/png", "data": picture}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "What is it?"}]
    answer = claude.messages.create(model=MODEL, max_tokens=100, messages=[{"role": "user", "content": content}])
    assert answer.content[0].text == f"1 picture of {len(picture)} characters" if behind == "provider" else answer.content


def test_betas(claude):
    answer = claude.beta.messages.create(**ask("Say hello."), betas=["context-1m-2025-08-07", "not-known-yet"])
    assert answer.content


def test_a_wrong_key():
    with anthropic.Anthropic(base_url=URL + "/anthropic", api_key="sk-flux-nobody", max_retries=0) as client:
        with pytest.raises(anthropic.AuthenticationError) as caught:
            client.messages.create(**ask("hi"))
    assert caught.value.body["error"]["type"] == "authentication_error"
    assert caught.value.request_id


def test_an_unknown_model(claude):
    with pytest.raises(anthropic.NotFoundError) as caught:
        claude.messages.create(**ask("hi") | {"model": "no-such-model"})
    assert caught.value.body["error"]["type"] == "not_found_error"


def test_a_bad_request(claude):
    with pytest.raises(anthropic.BadRequestError):
        claude.messages.create(**ask("hi"), extra_body={"stream": "perhaps"})


def test_an_error_of_the_provider_that_is_the_clients_own(live_claude):
    with pytest.raises(anthropic.BadRequestError) as caught:
        live_claude.messages.create(**ask("fail:400"))
    assert "the provider says no" in str(caught.value)


@pytest.mark.parametrize("status", [500, 529])
def test_a_failing_provider(live_claude, status):
    with pytest.raises(anthropic.InternalServerError) as caught:
        live_claude.messages.create(**ask(f"fail:{status}"))
    assert caught.value.status_code == 503
    assert "the provider says no" not in str(caught.value)


def test_a_limited_provider(live_claude):
    with pytest.raises((anthropic.RateLimitError, anthropic.InternalServerError)):
        live_claude.messages.create(**ask("fail:429"))


def test_another_path_is_forbidden(live_claude):
    with pytest.raises(anthropic.PermissionDeniedError):
        live_claude.messages.batches.list()


def test_cancel_in_mid_stream(live_claude):
    before = left("anthropic")
    with live_claude.messages.stream(**ask("stall")) as stream:
        assert next(stream.text_stream)
    wait_until(lambda: left("anthropic") == before + 1)
    assert live_claude.messages.create(**ask("hi")).content


def test_models():
    with anthropic.Anthropic(base_url=URL, api_key=KEYS["provider"], max_retries=0) as client:
        models = {model.id: model for model in client.models.list()}
        assert "flux-pinned-claude-haiku-5-5" in models
        assert models["flux-pinned-claude-haiku-5-5"].type == "model"
        assert client.models.retrieve("flux-pinned-claude-haiku-5-5").display_name
