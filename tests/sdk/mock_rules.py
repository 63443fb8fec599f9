"""What the real APIs demand of a request: roles, their order, calls and results by id, required fields, media.

The same rules as `tests/flux/strict`, for what real clients send. Each function gets a body and yields complaints. It
must not know Flux, nor sockets. What a newer client adds is no fault here: only what is known to be wrong is.
"""

import base64
import binascii
import json
import re

PICTURES = ("image/jpeg", "image/png", "image/gif", "image/webp")
TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
MAGIC = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
    b"%PDF": "application/pdf",
}


def missing(value, fields, at):
    """The fields that must be there, each with its type."""
    for name, kind in fields.items():
        if not isinstance(value.get(name), kind):
            yield f"{at}.{name}: {value.get(name)!r:.60} is no {kind}"


def of_base64(text, media_type, at):
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        yield f"{at}: no base64"
        return
    known = next((kind for magic, kind in MAGIC.items() if content.startswith(magic)), None)
    if known is not None and known != media_type:
        yield f"{at}: is {known} and not {media_type}"


def of_data_url(url, at):
    if url.startswith("data:"):
        kind, _, content = url.removeprefix("data:").partition(";base64,")
        yield from of_base64(content, kind, at)
    elif not url.startswith(("http://", "https://")):
        yield f"{at}: {url!r:.40} is no address"


def unpaired(steps, at):
    """Steps of ("call", id), ("result", id) and ("speech", role): every call is answered before anybody speaks."""
    opened = []
    for place, (what, name) in steps:
        if what == "call":
            opened.append(name)
        elif what == "result":
            if name not in opened:
                yield f"{at}[{place}]: the result {name} answers no open call"
            else:
                opened.remove(name)
        elif opened:
            yield f"{at}[{place}]: no results for {opened}"
            opened = []
    if opened:
        yield f"{at}: no results for {opened}"


def of_choice(request, names, chosen):
    if chosen is not None and chosen not in names:
        yield f"tool_choice: {chosen} is not among {names}"
    if len(set(names)) != len(names):
        yield f"tools: a name is there twice: {names}"


# --- Chat Completions


def chat(request):
    yield from missing(request, {"model": str, "messages": list}, "body")
    steps = []
    for place, message in enumerate(request["messages"]):
        at = f"messages[{place}]"
        role, content = message.get("role"), message.get("content")
        if role not in ("system", "developer", "user", "assistant", "tool"):
            yield f"{at}.role: {role}"
        if role != "assistant" and not content:
            yield f"{at}.content is missing"
        for number, part in enumerate(content if isinstance(content, list) else []):
            yield from chat_part(part, role, f"{at}.content[{number}]")
        if role == "tool":
            yield from missing(message, {"tool_call_id": str}, at)
            steps.append((place, ("result", message.get("tool_call_id"))))
            continue
        steps.append((place, ("speech", role)))
        for call in message.get("tool_calls") or []:
            yield from missing(call, {"id": str, "type": str}, at)
            if call.get("type") == "function":
                yield from missing(call["function"], {"name": str, "arguments": str}, at)
            steps.append((place, ("call", call.get("id"))))
        if role == "assistant" and not content and not message.get("tool_calls") and not message.get("refusal"):
            yield f"{at}: an assistant who says nothing"
    yield from unpaired(steps, "messages")
    yield from chat_tools(request)


def chat_part(part, role, at):
    kind = part.get("type")
    if kind == "text":
        yield from missing(part, {"text": str}, at)
    elif role != "user":
        yield f"{at}: {kind} in a message of {role}"
    elif kind == "image_url":
        yield from of_data_url(part["image_url"]["url"], at)
    elif kind not in ("file", "input_audio"):
        yield f"{at}: unknown type {kind}"


def chat_tools(request):
    names = []
    for tool in request.get("tools") or []:
        inner = tool.get(tool.get("type"), {})
        yield from missing(inner, {"name": str}, "tools")
        names.append(inner.get("name", ""))
        if not TOOL_NAME.fullmatch(names[-1]):
            yield f"tools: the name {names[-1]!r}"
    choice = request.get("tool_choice")
    if choice is not None and not names:
        yield "'tool_choice' is only allowed when 'tools' are specified"
    chosen = choice.get("function", {}).get("name") if isinstance(choice, dict) else None
    yield from of_choice(request, names, chosen)


# --- Responses

PARTS = {
    "user": ("input_text", "input_image", "input_file", "input_audio"),
    "system": ("input_text", "input_image", "input_file"),
    "developer": ("input_text", "input_image", "input_file"),
    "assistant": ("output_text", "refusal"),
}


def responses(request):
    yield from missing(request, {"model": str, "input": (str, list)}, "body")
    if isinstance(request.get("max_output_tokens"), int) and request["max_output_tokens"] < 16:
        yield "max_output_tokens: integer_below_min_value"
    steps = []
    for place, item in enumerate(request["input"] if isinstance(request["input"], list) else []):
        at = f"input[{place}]"
        kind = item.get("type", "message")
        if kind == "message":
            yield from responses_message(item, at)
            steps.append((place, ("speech", item.get("role"))))
        elif kind in ("function_call", "custom_tool_call"):
            arguments = "arguments" if kind == "function_call" else "input"
            yield from missing(item, {"call_id": str, "name": str, arguments: str}, at)
            if not item.get("id", "fc_").startswith(("fc_", "ctc_")):
                yield f"{at}.id: {item['id']}"
            steps.append((place, ("call", item.get("call_id"))))
        elif kind in ("function_call_output", "custom_tool_call_output"):
            yield from missing(item, {"call_id": str, "output": (str, list)}, at)
            steps.append((place, ("result", item.get("call_id"))))
        elif kind == "reasoning":
            yield from missing(item, {"summary": list}, at)
            if request.get("store") is False and not item.get("encrypted_content"):
                yield f"{at}: not found, items are not kept when store is false"
        elif kind not in ("image_generation_call", "item_reference"):
            yield f"{at}: unknown type {kind}"
    yield from unpaired(steps, "input")
    yield from responses_tools(request)


def responses_message(item, at):
    role, content = item.get("role"), item.get("content")
    if role not in PARTS:
        yield f"{at}.role: {role}"
        return
    if not content:
        yield f"{at}.content is missing"
    for number, part in enumerate(content if isinstance(content, list) else []):
        if part.get("type") not in PARTS[role]:
            yield f"{at}.content[{number}]: {part.get('type')} of {role}"
        elif part["type"] == "input_image" and part.get("image_url"):
            yield from of_data_url(part["image_url"], f"{at}.content[{number}]")


def responses_tools(request):
    names = []
    for tool in request.get("tools") or []:
        yield from missing(tool, {"type": str}, "tools")
        if tool.get("type") not in ("function", "custom"):
            continue
        yield from missing(tool, {"name": str}, "tools")
        names.append(tool.get("name", ""))
        if tool["type"] == "function" and "parameters" not in tool:
            yield f"tools: {names[-1]} has no parameters"
        if tool.get("strict") is True and (tool.get("parameters") or {}).get("additionalProperties") is not False:
            yield f"tools: {names[-1]} is strict, and additionalProperties is not false"
    choice = request.get("tool_choice")
    chosen = choice.get("name") if isinstance(choice, dict) and choice.get("type") == "function" else None
    yield from of_choice(request, names, chosen)


# --- Messages


def messages(request):
    yield from missing(request, {"model": str, "max_tokens": int, "messages": list}, "body")
    marks = json.dumps(request).count('"cache_control"')
    if marks > 4:
        yield f"a maximum of 4 blocks with cache_control may be provided, found {marks}"
    if not request["messages"] or request["messages"][0].get("role") != "user":
        yield "messages: the first must be the user's"
    steps = []
    for place, message in enumerate(request["messages"]):
        at = f"messages.{place}"
        role, content = message.get("role"), message.get("content")
        # Anthropic's own clients put a system's words between turns where a model knows that.
        if role not in ("user", "assistant", "system"):
            yield f"{at}.role: {role}"
        blocks = content if isinstance(content, list) else [{"type": "text", "text": content}]
        if not blocks:
            yield f"{at}: no content"
        has_spoken = False
        for number, block in enumerate(blocks):
            yield from block_faults(block, role, f"{at}.content.{number}")
            if block.get("type") == "tool_result":
                if has_spoken:
                    yield f"{at}: results stand before anything else"
                steps.append((place, ("result", block.get("tool_use_id"))))
            elif block.get("type") == "tool_use":
                steps.append((place, ("call", block.get("id"))))
            elif role != "system" and not has_spoken:
                has_spoken = True
                steps.append((place, ("speech", role)))
    yield from unpaired(steps, "messages")
    yield from messages_tools(request)


def block_faults(block, role, at):
    kind = block.get("type")
    if kind == "text":
        if not str(block.get("text") or "").strip():
            yield f"{at}: text content blocks must be non-empty"
    elif kind in ("image", "document"):
        if role == "assistant":
            yield f"{at}: {kind} of the assistant"
        source = block.get("source") or {}
        if source.get("type") == "base64":
            if kind == "image" and source.get("media_type") not in PICTURES:
                yield f"{at}: {source.get('media_type')} is no picture"
            yield from of_base64(source.get("data", ""), source.get("media_type"), at)
    elif kind == "tool_use":
        yield from missing(block, {"id": str, "name": str, "input": dict}, at)
        if not re.fullmatch(r"[a-zA-Z0-9_-]+", block.get("id", "")):
            yield f"{at}.id: {block.get('id')!r}"
    elif kind == "tool_result":
        yield from missing(block, {"tool_use_id": str}, at)
    elif kind == "thinking":
        yield from missing(block, {"thinking": str, "signature": str}, at)
    elif kind == "redacted_thinking":
        yield from missing(block, {"data": str}, at)
    elif role == "user" and kind not in ("search_result",):
        yield f"{at}: unknown type {kind}"
    if kind in ("tool_use", "thinking", "redacted_thinking") and role != "assistant":
        yield f"{at}: {kind} of {role}"
    if kind == "tool_result" and role != "user":
        yield f"{at}: {kind} of {role}"


def messages_tools(request):
    names = []
    for tool in request.get("tools") or []:
        names.append(tool.get("name", ""))
        if tool.get("type", "custom") == "custom" and tool.get("input_schema", {}).get("type") != "object":
            yield f"tools: {names[-1]} has no schema of an object"
    choice = request.get("tool_choice") or {}
    if choice and not names:
        yield "tool_choice without tools"
    if choice.get("type") not in (None, "auto", "any", "tool", "none"):
        yield f"tool_choice: {choice}"
    yield from of_choice(request, names, choice.get("name"))
    thinking = request.get("thinking") or {}
    if thinking.get("type") in ("enabled", "adaptive") and choice.get("type") in ("any", "tool"):
        yield "thinking may not be enabled when tool_choice forces tool use"
    if thinking.get("type") == "enabled" and not 1024 <= thinking.get("budget_tokens", 0) < request["max_tokens"]:
        yield f"thinking: the budget {thinking.get('budget_tokens')} of {request['max_tokens']}"


# --- Gemini

DATA = {"text", "inlineData", "fileData", "functionCall", "functionResponse"}


def gemini(request):
    yield from missing(request, {"contents": list}, "body")
    calls = []
    for place, content in enumerate(request["contents"]):
        at = f"contents[{place}]"
        role, parts = content.get("role"), content.get("parts") or []
        if role not in ("user", "model"):
            yield f"{at}.role: {role}"
        if not parts:
            yield f"{at}.parts must not be empty"
        for number, part in enumerate(parts):
            yield from gemini_part(part, role, f"{at}.parts[{number}]")
        answers = [part["functionResponse"] for part in parts if "functionResponse" in part]
        if answers and len(answers) != len(parts):
            yield f"{at}: results stand alone"
        if [(call.get("id"), call["name"]) for call in calls] != [(answer.get("id"), answer.get("name")) for answer in answers]:
            yield f"{at}: {answers!r:.200} does not answer {calls!r:.200}"
        calls = [part["functionCall"] for part in parts if "functionCall" in part]
    if request["contents"] and request["contents"][0].get("role") != "user":
        yield "contents: the first must be the user's"
    if calls:
        yield "contents: calls without results at the end"
    yield from gemini_tools(request)


def gemini_part(part, role, at):
    if len(DATA & part.keys()) != 1:
        yield f"{at}: one of {sorted(DATA)}, not {sorted(part)}"
    if role != "model" and ("functionCall" in part or "thought" in part or "thoughtSignature" in part):
        yield f"{at}: not the user's"
    if role == "model" and "functionResponse" in part:
        yield f"{at}: not the model's"
    if "inlineData" in part:
        blob = part["inlineData"]
        yield from missing(blob, {"mimeType": str, "data": str}, at)
        yield from of_base64(blob.get("data", ""), blob.get("mimeType"), at)
    if "functionResponse" in part:
        yield from missing(part["functionResponse"], {"name": str, "response": dict}, at)
    if "functionCall" in part:
        yield from missing(part["functionCall"], {"name": str, "args": dict}, at)


def gemini_tools(request):
    groups = request.get("tools") or []
    names = [tool["name"] for group in groups for tool in group.get("functionDeclarations", [])]
    config = (request.get("toolConfig") or {}).get("functionCallingConfig") or {}
    if request.get("toolConfig") and not groups:
        yield "toolConfig without tools"
    for allowed in config.get("allowedFunctionNames", []):
        if config.get("mode") not in ("ANY", "VALIDATED"):
            yield "allowedFunctionNames only with ANY or VALIDATED"
        yield from of_choice(request, names, allowed)
    generation = request.get("generationConfig") or {}
    has_schema = "responseSchema" in generation or "responseJsonSchema" in generation
    if has_schema and generation.get("responseMimeType") != "application/json":
        yield "a schema needs application/json"
    thinking = generation.get("thinkingConfig") or {}
    if "thinkingLevel" in thinking and "thinkingBudget" in thinking:
        yield "one of level and budget"
