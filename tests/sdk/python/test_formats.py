"""Each SDK, unchanged, before providers of other formats: texts, streams, tools, schemas, pictures."""

import base64
import json

import anthropic
import openai
import pytest
from conftest import KEYS, URL
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

HELLO = "Hello from the provider \U0001f600."
CLAUDE, GEMINI, LUNA = "claude-haiku-5-5", "flux-pinned-gemini-3-5-flash-lite", "flux-pinned-gpt-6-luna"
# Served in Chat Completions only; the second sees pictures.
OSS, MISTRAL = "flux-pinned-gpt-oss-20b", "flux-pinned-mistral-small-4"
PICTURE = base64.b64encode(b"not really a png").decode()
SEEN = {CLAUDE: PICTURE, GEMINI: PICTURE, LUNA: f"data:image/png;base64,{PICTURE}", MISTRAL: f"data:image/png;base64,{PICTURE}"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}


class Weather(BaseModel):
    city: str
    degrees: int


def pictures_seen(model):
    return f"1 picture of {len(SEEN[model])} characters"


@pytest.fixture(scope="module")
def chat():
    with openai.OpenAI(base_url=URL + "/v1", api_key=KEYS["provider"], max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def claude():
    with anthropic.Anthropic(base_url=URL + "/anthropic", api_key=KEYS["provider"], max_retries=0) as client:
        yield client


class TestChat:
    """openai, Chat Completions, before Anthropic and Gemini."""

    pytestmark = pytest.mark.parametrize("model", [CLAUDE, GEMINI])
    TOOL = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA, "strict": True}}

    def test_text(self, chat, model):
        answer = chat.chat.completions.create(model=model, messages=[{"role": "user", "content": "hi"}])
        assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (HELLO, "stop")
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (1000, 500)

    def test_stream(self, chat, model):
        ask = {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream_options": {"include_usage": True}}
        with chat.chat.completions.stream(**ask) as stream:
            types = {event.type for event in stream}
            answer = stream.get_final_completion()
        assert "content.delta" in types and answer.choices[0].message.content == HELLO
        assert answer.usage.total_tokens == 1500

    @pytest.mark.parametrize("stream", [False, True])
    def test_tools(self, chat, model, stream):
        messages = [{"role": "user", "content": "Weather in Paris?"}]

        def ask():
            if not stream:
                return chat.chat.completions.create(model=model, messages=messages, tools=[self.TOOL])
            with chat.chat.completions.stream(model=model, messages=messages, tools=[self.TOOL]) as events:
                for _ in events:
                    pass
                return events.get_final_completion()

        message = ask().choices[0].message
        call = message.tool_calls[0]
        assert call.function.name == "weather" and json.loads(call.function.arguments) == {"city": "Paris"}
        messages += [message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
        for sent in messages[1].get("tool_calls", []):
            sent.get("function", {}).pop("parsed_arguments", None)
        assert ask().choices[0].message.content == HELLO

    def test_structured_output(self, chat, model):
        ask = {"model": model, "messages": [{"role": "user", "content": "Weather?"}], "response_format": Weather}
        assert chat.chat.completions.parse(**ask).choices[0].message.parsed == Weather(city="Paris", degrees=21)

    def test_pictures(self, chat, model):
        picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}}
        content = [{"type": "text", "text": "What is it?"}, picture]
        answer = chat.chat.completions.create(model=model, messages=[{"role": "user", "content": content}])
        assert answer.choices[0].message.content == pictures_seen(model)


class TestResponses:
    """openai, Responses, before Anthropic, Gemini and Chat Completions."""

    pytestmark = pytest.mark.parametrize("model", [CLAUDE, GEMINI, OSS])
    TOOL = {"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}

    def test_text(self, chat, model):
        answer = chat.responses.create(model=model, input="hi", instructions="Be brief.", store=False)
        assert (answer.output_text, answer.status) == (HELLO, "completed")
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (1000, 500)

    def test_stream(self, chat, model):
        with chat.responses.stream(model=model, input="hi") as stream:
            text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            answer = stream.get_final_response()
        assert text == answer.output_text == HELLO

    @pytest.mark.parametrize("stream", [False, True])
    def test_tools(self, chat, model, stream):
        items = [{"role": "user", "content": "Weather in Paris?"}]

        def ask():
            if not stream:
                return chat.responses.create(model=model, input=items, tools=[self.TOOL], store=False)
            with chat.responses.stream(model=model, input=items, tools=[self.TOOL], store=False) as events:
                for _ in events:
                    pass
                return events.get_final_response()

        answer = ask()
        call = next(item for item in answer.output if item.type == "function_call")
        assert call.name == "weather" and json.loads(call.arguments) == {"city": "Paris"}
        items += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in answer.output]
        items.append({"type": "function_call_output", "call_id": call.call_id, "output": "sunny"})
        assert ask().output_text == HELLO

    def test_structured_output(self, chat, model):
        answer = chat.responses.parse(model=model, input="Weather?", text_format=Weather)
        assert answer.output_parsed == Weather(city="Paris", degrees=21)

    def test_pictures(self, chat, model):
        model = MISTRAL if model == OSS else model
        picture = {"type": "input_image", "image_url": f"data:image/png;base64,{PICTURE}", "detail": "auto"}
        content = [{"type": "input_text", "text": "What is it?"}, picture]
        answer = chat.responses.create(model=model, input=[{"role": "user", "content": content}])
        assert answer.output_text == pictures_seen(model)


class TestMessages:
    """anthropic before Responses, Gemini and Chat Completions."""

    pytestmark = pytest.mark.parametrize("model", [LUNA, GEMINI, OSS])
    TOOL = {"name": "weather", "description": "of a city", "input_schema": SCHEMA}

    @staticmethod
    def ask(model, content, **more):
        return {"model": model, "max_tokens": 2000, "messages": [{"role": "user", "content": content}], **more}

    def test_text(self, claude, model):
        answer = claude.messages.create(**self.ask(model, "hi"))
        assert (answer.content[0].text, answer.stop_reason) == (HELLO, "end_turn")
        assert answer.usage.input_tokens + answer.usage.cache_read_input_tokens == 1000
        assert answer.usage.output_tokens == 500

    def test_stream(self, claude, model):
        with claude.messages.stream(**self.ask(model, "hi")) as stream:
            assert "".join(stream.text_stream) == HELLO
            answer = stream.get_final_message()
        assert answer.usage.output_tokens == 500 and answer.usage.input_tokens > 0

    @pytest.mark.parametrize("stream", [False, True])
    def test_tools(self, claude, model, stream):
        body = self.ask(model, "Weather in Paris?", tools=[self.TOOL])

        def ask():
            if not stream:
                return claude.messages.create(**body)
            with claude.messages.stream(**body) as events:
                return events.get_final_message()

        answer = ask()
        call = next(block for block in answer.content if block.type == "tool_use")
        assert (call.name, call.input, answer.stop_reason) == ("weather", {"city": "Paris"}, "tool_use")
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
        turns = [block.model_dump(exclude_none=True) for block in answer.content]
        body["messages"] += [{"role": "assistant", "content": turns}, {"role": "user", "content": [result]}]
        assert next(block for block in ask().content if block.type == "text").text == HELLO

    def test_structured_output(self, claude, model):
        answer = claude.messages.parse(**self.ask(model, "Weather?"), output_format=Weather)
        assert answer.parsed_output == Weather(city="Paris", degrees=21)

    def test_pictures(self, claude, model):
        model = MISTRAL if model == OSS else model
        picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}}
        answer = claude.messages.create(**self.ask(model, [picture, {"type": "text", "text": "What is it?"}]))
        assert answer.content[0].text == pictures_seen(model)

    def test_counting(self, claude, model):
        counted = claude.messages.count_tokens(model=model, messages=[{"role": "user", "content": "word " * 100}])
        assert 80 < counted.input_tokens < 400


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


def of_langchain():
    of_openai = {"base_url": URL + "/v1", "api_key": KEYS["provider"], "max_retries": 0}
    of_anthropic = {"base_url": URL + "/anthropic", "api_key": KEYS["provider"], "max_retries": 0, "max_tokens": 2000}
    for model in (CLAUDE, GEMINI):
        yield f"openai chat {model}", ChatOpenAI(model=model, **of_openai)
        yield f"openai responses {model}", ChatOpenAI(model=model, use_responses_api=True, **of_openai)
    for model in (LUNA, GEMINI, OSS):
        yield f"anthropic {model}", ChatAnthropic(model=model, **of_anthropic)


LANGCHAIN = dict(of_langchain())


@pytest.fixture(params=list(LANGCHAIN))
def langchain(request):
    return LANGCHAIN[request.param]


class TestLangchain:
    """langchain-openai by both of its APIs, and langchain-anthropic, before providers of other formats."""

    def test_text_and_stream(self, langchain):
        answer = langchain.invoke("hi")
        assert answer.text == HELLO and answer.usage_metadata["output_tokens"] == 500
        chunks = list(langchain.stream("hi"))
        assert "".join(chunk.text for chunk in chunks) == HELLO and len(chunks) > 3

    def test_tools(self, langchain):
        model = langchain.bind_tools([weather])
        messages = [HumanMessage("Weather in Paris?")]
        for stream in (False, True):
            answer = model.invoke(messages[:1])
            if stream:
                chunks = list(model.stream(messages[:1]))
                answer = sum(chunks[1:], chunks[0])
            call = answer.tool_calls[0]
            assert (call["name"], call["args"]) == ("weather", {"city": "Paris"})
            result = ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"])
            assert model.invoke([*messages, answer, result]).text == HELLO

    def test_structured_output(self, langchain):
        assert langchain.with_structured_output(Weather).invoke("Weather?") == Weather(city="Paris", degrees=21)

    def test_pictures(self, langchain):
        name = getattr(langchain, "model_name", None) or langchain.model
        if name == OSS:
            langchain = langchain.model_copy(update={"model": MISTRAL})
        picture = {"type": "image", "base64": PICTURE, "mime_type": "image/png"}
        answer = langchain.invoke([HumanMessage([{"type": "text", "text": "What is it?"}, picture])])
        assert answer.text == pictures_seen(MISTRAL if name == OSS else name)
