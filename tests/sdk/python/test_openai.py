"""The official openai package, unchanged but for its base URL."""

import base64
import json

import openai
import pytest
from conftest import KEYS, URL, left, wait_until

MODEL = "gpt-4o-mini"
HELLO = "Hello from the provider \U0001f600."
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def say(text):
    return [{"role": "user", "content": text}]


def test_chat(chat, behind):
    answer = chat.chat.completions.create(model=MODEL, messages=say("Say hello."))
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    if behind == "provider":
        assert answer.choices[0].message.content == HELLO
        assert answer.usage.prompt_tokens_details.cached_tokens == 400
    else:
        assert answer.choices[0].message.content


def test_chat_says_what_it_cost(live_chat):
    raw = live_chat.chat.completions.with_raw_response.create(model=MODEL, messages=say("Say hello."))
    # 600 fresh, 400 cached, 500 out at gpt-6-luna's prices.
    assert float(raw.headers["x-flux-cost-usd"]) == pytest.approx((600 * 0.1 + 400 * 0.01 + 500 * 0.5) / 1e6)
    assert raw.headers["x-flux-original-model"] == MODEL
    assert raw.headers["x-request-id"] == raw.parse()._request_id


def test_stream(chat, behind):
    chunks = list(chat.chat.completions.create(model=MODEL, messages=say("Say hello."), stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert all(chunk.choices for chunk in chunks), "a chunk that was not asked for"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert text == HELLO if behind == "provider" else text


def test_stream_with_usage_and_cost(chat, behind):
    options = {"include_usage": True}
    chunks = list(chat.chat.completions.create(model=MODEL, messages=say("Say hello."), stream=True, stream_options=options))
    last = chunks[-1]
    assert last.choices == []
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens
    # A test key costs nothing, so it may be told nothing.
    cost = last.usage.model_extra["cost_usd"] if behind == "provider" else last.usage.model_extra.get("cost_usd", 0)
    assert cost == pytest.approx(0.000314 if behind == "provider" else 0)


def test_stream_helper(chat, behind):
    with chat.chat.completions.stream(model=MODEL, messages=say("Say hello.")) as stream:
        for _ in stream:
            pass
        text = stream.get_final_completion().choices[0].message.content
    assert text == HELLO if behind == "provider" else text


def test_tools(chat):
    answer = chat.chat.completions.create(model=MODEL, messages=say("Weather in Paris?"), tools=[TOOL])
    assert answer.choices[0].finish_reason == "tool_calls"
    call = answer.choices[0].message.tool_calls[0]
    assert call.function.name == "weather"
    assert "city" in json.loads(call.function.arguments)
    messages = say("Weather in Paris?") + [
        answer.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    answer = chat.chat.completions.create(model=MODEL, messages=messages, tools=[TOOL])
    assert answer.choices[0].message.content


def test_tools_streamed(chat):
    with chat.chat.completions.stream(model=MODEL, messages=say("Weather in Paris?"), tools=[TOOL]) as stream:
        for _ in stream:
            pass
        answer = stream.get_final_completion()
    call = answer.choices[0].message.tool_calls[0]
    assert call.function.name == "weather"
    assert "city" in json.loads(call.function.arguments)
    assert answer.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("size", [100, 3_000_000])
def test_images(chat, behind, size):
    url = "data:image/png;base64," + base64.b64encode(bytes(size)).decode()
    content = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]
    answer = chat.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}])
    text = answer.choices[0].message.content
    assert text == f"1 picture of {len(url)} characters" if behind == "provider" else text


def test_a_wrong_key():
    with openai.OpenAI(base_url=URL + "/v1", api_key="sk-flux-nobody", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            client.chat.completions.create(model=MODEL, messages=say("hi"))
    assert caught.value.code == "invalid_api_key"
    assert caught.value.request_id


def test_an_unknown_model(chat):
    with pytest.raises(openai.NotFoundError) as caught:
        chat.chat.completions.create(model="no-such-model", messages=say("hi"))
    assert caught.value.code == "model_not_found"


def test_a_bad_request(chat):
    with pytest.raises(openai.BadRequestError):
        chat.chat.completions.create(model=MODEL, messages=say("hi"), extra_body={"stream": "perhaps"})


@pytest.mark.parametrize("status, error", [(400, openai.BadRequestError), (422, openai.UnprocessableEntityError)])
def test_an_error_of_the_provider_that_is_the_clients_own(live_chat, status, error):
    with pytest.raises(error) as caught:
        live_chat.chat.completions.create(model=MODEL, messages=say(f"fail:{status}"))
    assert "the provider says no" in caught.value.message
    assert caught.value.type == "invalid_request_error"


@pytest.mark.parametrize("stream", [False, True])
def test_a_failing_provider(live_chat, stream):
    with pytest.raises(openai.InternalServerError) as caught:
        live_chat.chat.completions.create(model=MODEL, messages=say("fail:500"), stream=stream)
    assert caught.value.status_code == 503
    assert "the provider says no" not in str(caught.value)


def test_a_limited_provider(live_chat):
    with pytest.raises((openai.RateLimitError, openai.InternalServerError)):
        live_chat.chat.completions.create(model=MODEL, messages=say("fail:429"))


def test_cancel_in_mid_stream(live_chat):
    before = left("openai")
    stream = live_chat.chat.completions.create(model=MODEL, messages=say("stall"), stream=True)
    assert next(iter(stream)).choices
    stream.close()
    wait_until(lambda: left("openai") == before + 1)
    assert live_chat.chat.completions.create(model=MODEL, messages=say("hi")).choices


def test_models(chat):
    ids = [model.id for model in chat.models.list()]
    assert {"flux-auto", "flux-fast", "flux-pinned-gpt-6-luna"} <= set(ids)
    one = chat.models.retrieve("flux-fast")
    assert (one.id, one.object) == ("flux-fast", "model")
    assert one.model_extra["max_input_tokens"] > 0
    with pytest.raises(openai.NotFoundError):
        chat.models.retrieve("no-such-model")


@pytest.mark.parametrize("model", ["flux-auto", "flux-fast"])
def test_lanes(chat, model):
    raw = chat.chat.completions.with_raw_response.create(model=model, messages=say("hi"))
    assert raw.headers["x-flux-lane"].startswith("flux-")
    assert raw.parse().choices


@pytest.mark.anyio
async def test_many_at_once(behind):
    import asyncio

    async def one(client, number):
        stream = await client.chat.completions.create(model=MODEL, messages=say(f"Say hello {number}."), stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async with openai.AsyncOpenAI(base_url=URL + "/v1", api_key=KEYS[behind], max_retries=0) as client:
        texts = await asyncio.gather(*(one(client, number) for number in range(20)))
    assert len(texts) == 20 and all(texts)


@pytest.fixture
def anyio_backend():
    return "asyncio"
