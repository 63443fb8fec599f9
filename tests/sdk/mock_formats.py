"""Responses and Gemini for the mock provider: what they take, and what they say. It must not know Flux.

Offered tools are called, pictures are counted, a schema is followed, as in the other two formats.
"""

import json
import re

import mock_rules

WORDS = ["Hello ", "from ", "the ", "provider ", "\U0001f600."]
# What is said where an answer by a schema is wanted.
STRUCTURED = '{"city": "Paris", "degrees": 21}'
PROMPT, ANSWER, THOUGHT = 1000, 500, 50


def pieces(text):
    """A text as it streams."""
    return re.findall(r"\S+\s*|\s+", text) or [text]


# What an agent is told to do, in words that the mock understands.
WRITE_TASK = re.compile(r"Write the word \"?(\w+)\"? into the file ([\w./-]+)")
EDIT_TASK = re.compile(r"Put the word \"?(\w+)\"? in place of \"?(\w+)\"? in the file ([\w./-]+)")
READERS, EDITORS, WRITERS = ("Read", "read"), ("Edit", "edit"), ("Write", "write")
SHELLS = ("exec_command", "shell", "shell_command", "local_shell")
# A free-form tool has no schema.
FREE_FORM = {"free": True}


def field_of(schema, *names):
    """The name by which a tool knows a field."""
    return next(name for name in names if name in schema.get("properties", {}))


def shell_call(name, schema, command):
    field = field_of(schema, "cmd", "command")
    is_list = schema["properties"][field].get("type") == "array"
    return name, {field: ["bash", "-lc", command] if is_list else command}


def patch_of(old, new, path):
    return f"*** Begin Patch\n*** Update File: {path}\n@@\n-{old}\n+{new}\n*** End Patch"


def edit_call(tools, words, results):
    """An existing file is read before it is edited, as the agents demand; then one tool edits it."""
    new, old, path = words
    for name, schema in tools:
        if name == "apply_patch":
            patch = patch_of(old, new, path)
            return name, patch if schema is FREE_FORM else {field_of(schema, "input", "patch"): patch}
        if name in READERS and results == 0:
            return name, {field_of(schema, "file_path", "filePath"): path}
        if name in EDITORS and results == 1:
            names = [("file_path", "filePath"), ("old_string", "oldString"), ("new_string", "newString")]
            return name, dict(zip([field_of(schema, *either) for either in names], [path, old, new]))
    for name, schema in tools:
        if name in SHELLS:
            # Codex sees this command and applies the patch itself.
            return shell_call(name, schema, f"apply_patch <<'EOF'\n{patch_of(old, new, path)}\nEOF")
    raise LookupError("no tool edits a file")


def write_call(tools, words):
    word, path = words
    for name, schema in tools:
        if name in WRITERS:
            return name, {field_of(schema, "file_path", "filePath"): path, "content": word}
        if name in SHELLS:
            return shell_call(name, schema, f"printf {word} > {path}")
    raise LookupError("no tool writes a file")


def task_of(request):
    """What an agent is to do, and how many steps that takes; nothing where no agent asks."""
    said = json.dumps(request).replace('\\"', '"').replace("\\", "")
    edit, write = EDIT_TASK.search(said), WRITE_TASK.search(said)
    return (edit, write) if edit or write else None


def call_of(tools, request, results):
    """Which of the tools (name and schema) is called after so many results, and with what; nothing when all is done.

    A tool may be there only to force an answer by a schema. An agent offers many; the one that does its task is taken.
    """
    task = task_of(request)
    if task is None:
        name, schema = tools[0]
        arguments = json.loads(STRUCTURED) if "degrees" in json.dumps(schema) else {"city": "Paris"}
        return (name, arguments) if results == 0 else None
    edit, write = task
    if write is not None:
        return write_call(tools, write.groups()) if results == 0 else None
    steps = 2 if any(name in EDITORS for name, _ in tools) else 1
    return edit_call(tools, edit.groups(), results) if results < steps else None


def said_of_pictures(pictures):
    return f"{len(pictures)} picture of {len(pictures[0])} characters" if pictures else "".join(WORDS)


class Responses:
    """OpenAI's Responses: the fields that the real API knows, and no others."""

    NAME = "responses"
    RULES = staticmethod(mock_rules.responses)
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
        results = sum(item.get("type") == "function_call_output" for item in asked)
        tools = [(tool["name"], tool.get("parameters", FREE_FORM)) for tool in request.get("tools") or []]
        call = call_of(tools, request, results) if tools else None
        if call is not None:
            name, arguments = call
            yield {"type": "reasoning", "id": f"rs_{results + 1}", "summary": [], "encrypted_content": "gAAAAABsealed"}
            yield {"type": "function_call", "id": f"fc_{results + 1}", "call_id": f"call_{results + 1}", "name": name,
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
    RULES = staticmethod(mock_rules.gemini)
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
        results = sum("functionResponse" in part for part in self.parts(request))
        offered = [tool for group in request.get("tools") or [] for tool in group["functionDeclarations"]]
        tools = [(tool["name"], tool.get("parametersJsonSchema", {})) for tool in offered]
        call = call_of(tools, request, results) if tools else None
        if call is not None:
            name, arguments = call
            return [{"functionCall": {"id": f"fc-{results + 1}", "name": name, "args": arguments}, "thoughtSignature": "c2lnbmVk"}]
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
