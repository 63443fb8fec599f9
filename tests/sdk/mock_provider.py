"""A strict mock of OpenAI's and Anthropic's APIs for the SDK tests; Responses and Gemini stand in `mock_formats`, what
a request must be like in `mock_rules`.

What it does is told by the last words of the user: `fail:429` fails with that status, `stall` streams a few words and
then nothing until the client leaves; anything else is answered. Offered tools are called, pictures are counted. It
notes what a provider should not get. It must not know Flux.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import mock_formats
import mock_rules

OPENAI_KEY = "sk-upstream-openai-secret"
ANTHROPIC_KEY = "sk-upstream-anthropic-secret"
GOOGLE_KEY = "upstream-google-secret"
WORDS = mock_formats.WORDS
FOREIGN = {"cookie", "x-forwarded-for", "te", "trailer", "transfer-encoding", "upgrade", "expect", "openai-organization"}


class Provider:
    """A running provider: its address, the faults it found, the clients that left in mid-stream."""

    def __init__(self):
        self.faults = []
        self.left = {dialect.NAME: 0 for dialect in (OpenAi, Anthropic, mock_formats.Responses, mock_formats.Gemini)}
        self.lock = threading.Lock()
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.provider = self
        self.url = f"http://127.0.0.1:{self.server.server_port}"


class Server(ThreadingHTTPServer):
    daemon_threads = True
    # More clients at once than the default of 5.
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """A client that leaves while it is written to is no fault of the provider's."""


def start():
    provider = Provider()
    threading.Thread(target=provider.server.serve_forever, daemon=True).start()
    return provider


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        """Any path: how many streams of each dialect were closed before their end."""
        self.answer(200, self.server.provider.left)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"] or 0))
        path = self.path.split("?")[0]
        if path == "/openai/v1/responses/input_tokens" or path.endswith(":countTokens"):
            return self.count(path, json.loads(body))
        if path in ("/openai/v1/chat/completions", "/groq/v1/chat/completions", "/mistral/v1/chat/completions"):
            dialect = OpenAi(self)
        elif path == "/openai/v1/responses":
            dialect = mock_formats.Responses(self, OPENAI_KEY)
        elif path.startswith("/google/v1beta/models/"):
            dialect = mock_formats.Gemini(self, GOOGLE_KEY)
        elif path == "/anthropic/v1/messages":
            dialect = Anthropic(self)
        else:
            self.fault(f"path {self.path}")
            return self.answer(404, {"error": {"message": "no such path", "type": "invalid_request_error"}})
        request = json.loads(body)
        self.check(dialect, request)
        wrong = list(dialect.RULES(request))
        if wrong:
            # Told twice: to the client, whose test then fails, and to who runs the tests, should the client bear it.
            self.fault(f"{dialect.NAME}: {wrong[0]} in {json.dumps(request):.2000}")
            return self.answer(400, dialect.error("; ".join(wrong)))
        command = dialect.last_words(request)
        if command.startswith("fail:"):
            return self.answer(int(command[5:8]), dialect.error("the provider says no"))
        if not dialect.is_stream(request):
            return self.answer(200, dialect.unary(request))
        self.stream(dialect, request, stalls=command == "stall")

    def count(self, path, request):
        """How long a prompt is: a token for each four characters of it."""
        if path.startswith("/google/"):
            dialect, prompt, field = mock_formats.Gemini(self, GOOGLE_KEY), request["generateContentRequest"], "contents"
        else:
            dialect, prompt, field = mock_formats.Responses(self, OPENAI_KEY), request, "input"
        self.check(dialect, prompt)
        if not prompt.get(field):
            self.fault(f"{dialect.NAME}: nothing to count in {json.dumps(request):.2000}")
        tokens = len(json.dumps(prompt[field])) // 4
        self.answer(200, {"totalTokens": tokens, "object": "response.input_tokens", "input_tokens": tokens})

    def check(self, dialect, request):
        if dialect.credentials() != dialect.KEY:
            self.fault(f"credentials {dialect.credentials()!r}")
        for name, value in self.headers.items():
            if name.lower() in FOREIGN or name.lower().startswith("x-flux") or "sk-flux" in value:
                self.fault(f"header {name}: {value}")
        if self.headers["accept-encoding"] != "identity":
            self.fault(f"accept-encoding {self.headers['accept-encoding']}")
        if dialect.model(request) not in dialect.MODELS:
            self.fault(f"model {dialect.model(request)}")
        for foreign in dialect.FOREIGN:
            if self.headers[foreign] is not None:
                self.fault(f"{dialect.NAME} got {foreign}")

    def fault(self, text):
        with self.server.provider.lock:
            self.server.provider.faults.append(text)

    def answer(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.send_header("set-cookie", "upstream=1")
        self.end_headers()
        self.wfile.write(content)

    def stream(self, dialect, request, stalls):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for number, event in enumerate(dialect.stream(request)):
            if stalls and number == 5:
                # Nothing more comes; reading returns when the other side closes.
                self.rfile.read(1)
                with self.server.provider.lock:
                    self.server.provider.left[dialect.NAME] += 1
                self.close_connection = True
                return
            piece = event.encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")


def words_of(content):
    """The text of a message, whether it is a string or a list of parts."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content if isinstance(part, dict))


class Dialect:
    """What the formats have in common."""

    FOREIGN = ("x-api-key", "anthropic-version", "anthropic-beta")

    @staticmethod
    def is_stream(request):
        return bool(request.get("stream"))

    @staticmethod
    def model(request):
        return request.get("model")


class OpenAi(Dialect):
    NAME = "openai"
    RULES = staticmethod(mock_rules.chat)
    KEY = f"Bearer {OPENAI_KEY}"
    MODELS = {"gpt-6-luna", "openai/gpt-oss-20b", "mistral-small-2603"}

    def __init__(self, handler):
        self.handler = handler

    def credentials(self):
        return self.handler.headers["authorization"]

    @staticmethod
    def last_words(request):
        return words_of(request["messages"][-1].get("content") or "")

    @staticmethod
    def error(message):
        return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}

    @staticmethod
    def usage():
        details = {"cached_tokens": 400}
        return {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500, "prompt_tokens_details": details}

    @staticmethod
    def pictures(request):
        parts = [part for message in request["messages"] if isinstance(message.get("content"), list) for part in message["content"]]
        return [part["image_url"]["url"] for part in parts if part.get("type") == "image_url"]

    def text(self, request):
        if (request.get("response_format") or {}).get("type") == "json_schema":
            return mock_formats.STRUCTURED
        pictures = self.pictures(request)
        return f"{len(pictures)} picture of {len(pictures[0])} characters" if pictures else "".join(WORDS)

    @staticmethod
    def tool_call(request):
        """The next call, if one is to be made."""
        results = sum(message["role"] == "tool" for message in request["messages"])
        offered = [tool["function"] for tool in request.get("tools") or [] if tool["type"] == "function"]
        tools = [(tool["name"], tool.get("parameters", {})) for tool in offered]
        call = mock_formats.call_of(tools, request, results) if tools else None
        if call is None:
            return None
        name, arguments = call
        return {"id": f"call_{results + 1}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}

    def unary(self, request):
        message = {"role": "assistant", "content": self.text(request)}
        finish = "stop"
        call = self.tool_call(request)
        if call is not None:
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
            finish = "tool_calls"
        choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
        return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-6-luna", "choices": [choice], "usage": self.usage()}

    def stream(self, request):
        def chunk(delta, finish=None):
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            return self.event({"choices": [choice]})

        yield chunk({"role": "assistant", "content": ""})
        call = self.tool_call(request)
        if call is not None:
            arguments = call["function"].pop("arguments")
            yield chunk({"tool_calls": [{"index": 0, **call, "function": {**call["function"], "arguments": ""}}]})
            for part in (arguments[:6], arguments[6:]):
                yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
            yield chunk({}, "tool_calls")
        else:
            for word in mock_formats.pieces(self.text(request)):
                yield chunk({"content": word})
            yield chunk({}, "stop")
        if (request.get("stream_options") or {}).get("include_usage"):
            yield self.event({"choices": [], "usage": self.usage()})
        yield "data: [DONE]\n\n"

    @staticmethod
    def event(parts):
        chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-6-luna", **parts}
        return f"data: {json.dumps(chunk)}\n\n"


class Anthropic(Dialect):
    FOREIGN = ("openai-organization", "openai-beta", "x-goog-api-key")
    NAME = "anthropic"
    RULES = staticmethod(mock_rules.messages)
    KEY = ANTHROPIC_KEY
    MODELS = {"claude-haiku-5-5"}

    def __init__(self, handler):
        self.handler = handler

    def credentials(self):
        return self.handler.headers["x-api-key"] if self.handler.headers["authorization"] is None else "two credentials"

    @staticmethod
    def last_words(request):
        return words_of(request["messages"][-1]["content"])

    @staticmethod
    def error(message):
        return {"type": "error", "error": {"type": "invalid_request_error", "message": message}}

    def blocks(self, request):
        contents = [message["content"] for message in request["messages"] if isinstance(message["content"], list)]
        results = sum(part["type"] == "tool_result" for content in contents for part in content)
        tools = [(tool["name"], tool["input_schema"]) for tool in request.get("tools") or []]
        call = mock_formats.call_of(tools, request, results) if tools else None
        if call is not None:
            name, arguments = call
            return [{"type": "tool_use", "id": f"toolu_{results + 1}", "name": name, "input": arguments}], "tool_use"
        if (request.get("output_config") or {}).get("format"):
            return [{"type": "text", "text": mock_formats.STRUCTURED}], "end_turn"
        parts = [part for message in request["messages"] if isinstance(message["content"], list) for part in message["content"]]
        pictures = [part["source"]["data"] for part in parts if part.get("type") == "image"]
        text = f"{len(pictures)} picture of {len(pictures[0])} characters" if pictures else "".join(WORDS)
        return [{"type": "text", "text": text}], "end_turn"

    @staticmethod
    def message(blocks, stop, usage):
        return {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-5-5", "content": blocks,
                "stop_reason": stop, "stop_sequence": None, "usage": usage}

    def unary(self, request):
        blocks, stop = self.blocks(request)
        return self.message(blocks, stop, {"input_tokens": 600, "cache_read_input_tokens": 400, "output_tokens": 500})

    def stream(self, request):
        blocks, stop = self.blocks(request)
        start = self.message([], None, {"input_tokens": 600, "cache_read_input_tokens": 400, "output_tokens": 1})
        yield self.event({"type": "message_start", "message": start})
        yield self.event({"type": "ping"})
        for number, block in enumerate(blocks):
            yield from self.block(number, block)
        yield self.event({"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": {"output_tokens": 500}})
        yield self.event({"type": "message_stop"})

    def block(self, number, block):
        if block["type"] == "tool_use":
            yield self.event({"type": "content_block_start", "index": number, "content_block": {**block, "input": {}}})
            arguments = json.dumps(block["input"])
            for part in (arguments[:9], arguments[9:]):
                yield self.event({"type": "content_block_delta", "index": number, "delta": {"type": "input_json_delta", "partial_json": part}})
        else:
            yield self.event({"type": "content_block_start", "index": number, "content_block": {"type": "text", "text": ""}})
            for word in mock_formats.pieces(block["text"]):
                yield self.event({"type": "content_block_delta", "index": number, "delta": {"type": "text_delta", "text": word}})
        yield self.event({"type": "content_block_stop", "index": number})

    @staticmethod
    def event(body):
        return f"event: {body['type']}\ndata: {json.dumps(body)}\n\n"
