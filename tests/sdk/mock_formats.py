"""Responses and Gemini for the mock provider: what they take, and what they say. It must not know Flux.

Offered tools are called, pictures are counted, a schema is followed, as in the other two formats.
"""

import json
import re

WORDS = ["Hello ", "from ", "the ", "provider ", "\U0001f600."]
# What is said where an answer by a schema is wanted.
STRUCTURED = '{"city": "Paris", "degrees": 21}'
PROMPT, ANSWER, THOUGHT = 1000, 500, 50


def pieces(text):
    """A text as it streams."""
    return re.findall(r"\S+\s*|\s+", text) or [text]


# What an agent is told to do, in words that the mock understands.
AGENTS_TASK = re.compile(r"Write the word \"?(\w+)\"? into the file ([\w./-]+)")


def call_of(tools, request):
    """Which of the tools (name and schema) is called, and with what.

    A tool may be there only to force an answer by a schema. An agent offers many; the one that does its task is taken.
    """
    task = AGENTS_TASK.search(json.dumps(request).replace('\\"', '"').replace('\\', ""))
    for name, schema in tools if task else []:
        word, path = task.groups()
        known = schema.get("properties", {})
        command = f"printf {word} > {path}"
        if name in ("Write", "write"):
            return name, {"file_path" if "file_path" in known else "filePath": path, "content": word}
        if name in ("exec_command", "shell", "shell_command", "local_shell"):
            field = "cmd" if "cmd" in known else "command"
            is_list = known[field].get("type") == "array"
            return name, {field: ["bash", "-lc", command] if is_list else command}
    name, schema = tools[0]
    return name, json.loads(STRUCTURED) if "degrees" in json.dumps(schema) else {"city": "Paris"}


def said_of_pictures(pictures):
    return f"{len(pictures)} picture of {len(pictures[0])} characters" if pictures else "".join(WORDS)


class Responses:
    """OpenAI's Responses: the fields that the real API knows, and no others."""

    NAME = "responses"
    FOREIGN = ("x-api-key", "anthropic-version", "anthropic-beta")
    MODELS = {"gpt-6-luna"}
    FIELDS = {
        "model", "input", "instructions", "stream", "stream_options", "store", "include", "max_output_tokens", "temperature",
        "top_p", "top_logprobs", "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning", "service_tier", "metadata",
        "user", "safety_identifier", "prompt_cache_key", "truncation",
    }

    def __init__(self, handler, key):
        self.handler = handler
        self.KEY = f"Bearer {key}"

    def credentials(self):
        return self.handler.headers["authorization"]

    @staticmethod
    def is_stream(request):
        return bool(request.get("stream"))

    @staticmethod
    def model(request):
        return request.get("model")

    @staticmethod
    def parts(request):
        if isinstance(request["input"], str):
            return [{"type": "input_text", "text": request["input"]}]
        contents = [item.get("content") for item in request["input"] if item.get("type", "message") == "message"]
        return [part for content in contents for part in (content if isinstance(content, list) else [{"text": content}])]

    def last_words(self, request):
        for name in request.keys() - self.FIELDS:
            self.handler.fault(f"responses got {name}")
        return next((part["text"] for part in reversed(self.parts(request)) if part.get("text")), "")

    @staticmethod
    def error(message):
        return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}

    def items(self, request):
        asked = request["input"] if isinstance(request["input"], list) else []
        if request.get("tools") and not any(item.get("type") == "function_call_output" for item in asked):
            tools = [(tool["name"], tool["parameters"]) for tool in request["tools"]]
            name, arguments = call_of(tools, request)
            yield {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAABsealed"}
            yield {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": name,
                   "arguments": json.dumps(arguments), "status": "completed"}
            return
        form = ((request.get("text") or {}).get("format") or {}).get("type")
        pictures = [part["image_url"] for part in self.parts(request) if part.get("type") == "input_image"]
        text = STRUCTURED if form == "json_schema" else said_of_pictures(pictures)
        content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
        yield {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}

    @staticmethod
    def response(items, status):
        usage = {
            "input_tokens": PROMPT,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": ANSWER,
            "output_tokens_details": {"reasoning_tokens": THOUGHT},
            "total_tokens": PROMPT + ANSWER,
        }
        return {
            "id": "resp_1", "object": "response", "created_at": 1, "status": status, "model": "gpt-6-luna", "output": items,
            "error": None, "incomplete_details": None, "instructions": None, "metadata": {}, "parallel_tool_calls": True,
            "temperature": 1.0, "top_p": 1.0, "tool_choice": "auto", "tools": [], "text": {"format": {"type": "text"}},
            "reasoning": {"effort": None, "summary": None}, "usage": usage if status == "completed" else None,
        }

    def unary(self, request):
        return self.response(list(self.items(request)), "completed")

    def stream(self, request):
        for number, event in enumerate(self.events(request)):
            event["sequence_number"] = number
            yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"

    def events(self, request):
        items = list(self.items(request))
        for name in ("created", "in_progress"):
            yield {"type": f"response.{name}", "response": self.response([], "in_progress")}
        for place, item in enumerate(items):
            emptied = {"message": {"content": []}, "function_call": {"arguments": ""}}.get(item["type"], {})
            yield {"type": "response.output_item.added", "output_index": place, "item": {**item, **emptied, "status": "in_progress"}}
            at = {"item_id": item["id"], "output_index": place}
            if item["type"] == "function_call":
                for part in (item["arguments"][:6], item["arguments"][6:]):
                    yield {"type": "response.function_call_arguments.delta", **at, "delta": part}
                yield {"type": "response.function_call_arguments.done", **at, "arguments": item["arguments"]}
            elif item["type"] == "message":
                yield from self.content({**at, "content_index": 0}, item["content"][0])
            yield {"type": "response.output_item.done", "output_index": place, "item": item}
        yield {"type": "response.completed", "response": self.response(items, "completed")}

    @staticmethod
    def content(at, part):
        yield {"type": "response.content_part.added", **at, "part": {**part, "text": ""}}
        for piece in pieces(part["text"]):
            yield {"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []}
        yield {"type": "response.output_text.done", **at, "text": part["text"], "logprobs": []}
        yield {"type": "response.content_part.done", **at, "part": part}


class Gemini:
    """Google's generateContent."""

    NAME = "gemini"
    FOREIGN = ("authorization", "x-api-key", "anthropic-version", "anthropic-beta", "openai-beta")
    MODELS = {"gemini-3.5-flash-lite"}
    FIELDS = {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings", "serviceTier"}

    def __init__(self, handler, key):
        self.handler = handler
        self.KEY = key
        self.model_name, _, self.method = handler.path.removeprefix("/google/v1beta/models/").partition(":")

    def credentials(self):
        return self.handler.headers["x-goog-api-key"]

    def model(self, _):
        return self.model_name

    def is_stream(self, _):
        return self.method == "streamGenerateContent?alt=sse"

    @staticmethod
    def parts(request):
        return [part for content in request["contents"] for part in content["parts"]]

    def last_words(self, request):
        for name in request.keys() - self.FIELDS:
            self.handler.fault(f"gemini got {name}")
        if self.method not in ("generateContent", "streamGenerateContent?alt=sse"):
            self.handler.fault(f"gemini got the method {self.method}")
        for part in self.parts(request):
            # The second is what Google documents for calls whose signature a client has lost.
            if "functionCall" in part and part.get("thoughtSignature") not in ("c2lnbmVk", "skip_thought_signature_validator"):
                self.handler.fault("a function call came back without its signature")
        return next((part["text"] for part in reversed(self.parts(request)) if part.get("text")), "")

    @staticmethod
    def error(message):
        return {"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}

    def answer_parts(self, request):
        if request.get("tools") and not any("functionResponse" in part for part in self.parts(request)):
            offered = [tool for group in request["tools"] for tool in group["functionDeclarations"]]
            name, arguments = call_of([(tool["name"], tool.get("parametersJsonSchema", {})) for tool in offered], request)
            return [{"functionCall": {"id": "fc-1", "name": name, "args": arguments}, "thoughtSignature": "c2lnbmVk"}]
        config = request.get("generationConfig") or {}
        pictures = [part["inlineData"]["data"] for part in self.parts(request) if "inlineData" in part]
        text = STRUCTURED if "responseJsonSchema" in config else said_of_pictures(pictures)
        return [{"text": piece} for piece in pieces(text)]

    @staticmethod
    def body(parts, finish):
        usage = {
            "promptTokenCount": PROMPT,
            "candidatesTokenCount": ANSWER - THOUGHT,
            "thoughtsTokenCount": THOUGHT,
            "totalTokenCount": PROMPT + ANSWER,
        }
        candidate = {"content": {"role": "model", "parts": parts}, "index": 0, **({"finishReason": finish} if finish else {})}
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-3.5-flash-lite", "responseId": "r1"}

    def unary(self, request):
        return self.body(self.answer_parts(request), "STOP")

    def stream(self, request):
        parts = self.answer_parts(request)
        for number, part in enumerate(parts):
            yield f"data: {json.dumps(self.body([part], 'STOP' if number == len(parts) - 1 else None))}\r\n\r\n"
