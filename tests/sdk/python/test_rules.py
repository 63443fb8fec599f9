"""The mock's rules bite: what a real API refuses is refused, and what it takes is taken."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import mock_rules  # noqa: E402

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAE="
USER = {"role": "user", "content": "a"}
CHAT_CALL = {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}
CLAUDE_CALL = {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {}}]}
CALL = {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"}
GEMINI_CALL = {"role": "model", "parts": [{"functionCall": {"id": "1", "name": "f", "args": {}}}]}


def gemini_answer(name):
    return {"role": "user", "parts": [{"functionResponse": {"id": "1", "name": name, "response": {}}}]}


def chat(*messages, **more):
    return mock_rules.chat, {"model": "m", "messages": list(messages), **more}


def responses(*items, **more):
    return mock_rules.responses, {"model": "m", "input": list(items), **more}


def claude(*messages, **more):
    return mock_rules.messages, {"model": "m", "max_tokens": 9, "messages": list(messages), **more}


def gemini(*contents, **more):
    return mock_rules.gemini, {"contents": list(contents), **more}


def picture(media_type, data):
    return {"role": "user", "content": [{"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}]}


GOOD = [
    chat(USER, CHAT_CALL, {"role": "tool", "tool_call_id": "1", "content": "r"}),
    responses(USER, CALL, {"type": "function_call_output", "call_id": "1", "output": "r"}),
    claude(USER, CLAUDE_CALL, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1"}, {"type": "text", "text": "b"}]}),
    claude(picture("image/png", PNG)),
    gemini({"role": "user", "parts": [{"text": "a"}]}, GEMINI_CALL, gemini_answer("f")),
]
BAD = [
    (chat(USER, CHAT_CALL, USER), "no results for"),
    (chat(USER, {"role": "tool", "tool_call_id": "1", "content": "r"}), "answers no open call"),
    (chat({"role": "robot", "content": "a"}), "role"),
    (chat({"role": "system", "content": [{"type": "image_url", "image_url": {"url": "https://a"}}]}, USER), "of system"),
    (chat({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,#"}}]}), "no base64"),
    (chat(USER, tool_choice="auto"), "only allowed"),
    (responses(USER, CALL), "no results for"),
    (responses({"role": "assistant", "content": [{"type": "input_text", "text": "a"}]}), "input_text of assistant"),
    (responses(USER, max_output_tokens=3), "integer_below_min_value"),
    (responses(USER, {"type": "reasoning"}), "summary"),
    (claude(CLAUDE_CALL), "first must be the user's"),
    (claude(USER, CLAUDE_CALL, USER), "no results for"),
    (claude({"role": "user", "content": [{"type": "text", "text": " "}]}), "non-empty"),
    (claude(picture("image/svg+xml", "AAAA")), "is no picture"),
    (claude(picture("image/jpeg", PNG)), "is image/png"),
    (claude(USER, thinking={"type": "enabled", "budget_tokens": 2000}), "budget"),
    (gemini({"role": "user", "parts": []}), "must not be empty"),
    (gemini({"role": "user", "parts": [{"text": "a"}]}, GEMINI_CALL, gemini_answer("g")), "does not answer"),
    (gemini(GEMINI_CALL, gemini_answer("f")), "first must be the user's"),
]


@pytest.mark.parametrize(("rules", "request_body"), GOOD)
def test_what_the_real_ones_take(rules, request_body):
    assert list(rules(request_body)) == []


@pytest.mark.parametrize(("case", "complaint"), BAD)
def test_what_the_real_ones_refuse(case, complaint):
    rules, request_body = case
    assert any(complaint in fault for fault in rules(request_body)), list(rules(request_body))
