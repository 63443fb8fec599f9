"""Claude Code, Codex and opencode, as their users run them, each before a provider of another format: a task with one file written, and one with a file changed.

They run in a home and a folder of their own, with nothing of the machine's but the path to their programs.
"""

import json
import os
import shutil
import subprocess

import pytest

URL, KEY = os.environ["FLUX_URL"], os.environ["FLUX_KEY"]
PLACE = os.environ["AGENTS"]
SECONDS_MAX = 120
CODEX_CONFIG = """
model = "{model}"
model_provider = "flux"
web_search = "disabled"
approval_policy = "never"
sandbox_mode = "danger-full-access"
check_for_update_on_startup = false

[model_providers.flux]
name = "Flux"
base_url = "{url}/v1"
env_key = "FLUX_KEY"
wire_api = "responses"

# What another provider than OpenAI does not run.
[features]
multi_agent = false
apps = false

[analytics]
enabled = false
"""


@pytest.fixture
def place(tmp_path):
    """A home, and a folder to work in."""
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    return tmp_path


def written(place):
    """A file that is not there is written."""
    file = place / "work" / "hello.txt"
    return file, f"Write the word bonjour into the file {file}", "bonjour"


def changed(place):
    """One line of a file that is there is changed; the others stay as they are."""
    file = place / "work" / "greeting.txt"
    file.write_text("one\nhello\nthree\n")
    return file, f"Put the word bonjour in place of hello in the file {file}", "one\nbonjour\nthree\n"


TASKS = (written, changed)


def run(place, command, **environment):
    program = shutil.which(command[0], path=f"{PLACE}/node_modules/.bin")
    if program is None:
        why = f"{command[0]} is not installed; see the output of tests/sdk/run"
        print(f"\n*** SKIPPED: {why}")
        pytest.skip(why)
    known = {"PATH": os.environ["PATH"], "HOME": str(place / "home"), "LANG": "C.UTF-8"}
    done = subprocess.run([program, *command[1:]], env=known | environment, cwd=place / "work", stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=SECONDS_MAX)
    print(done.stdout, done.stderr)
    return done


# A provider of Gemini's format, of Chat Completions, of Responses; the key in either place.
@pytest.mark.parametrize(
    ("model", "key"),
    [
        ("flux-pinned-gemini-3-5-flash-lite", "ANTHROPIC_AUTH_TOKEN"),
        ("flux-pinned-gpt-oss-20b", "ANTHROPIC_AUTH_TOKEN"),
        ("flux-pinned-gpt-6-luna", "ANTHROPIC_API_KEY"),
    ],
)
@pytest.mark.parametrize("task", TASKS)
def test_claude_code(place, model, key, task):
    file, prompt, expected = task(place)
    tools = "Read,Edit,Write"
    done = run(
        place,
        ["claude", "-p", prompt, "--output-format", "json", "--permission-mode", "acceptEdits", "--allowedTools", tools],
        **{key: KEY},
        ANTHROPIC_BASE_URL=URL + "/anthropic",
        ANTHROPIC_MODEL=model,
        ANTHROPIC_DEFAULT_HAIKU_MODEL=model,
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        DISABLE_AUTOUPDATER="1",
    )
    assert done.returncode == 0
    assert file.read_text() == expected
    told = json.loads(done.stdout)
    assert told["is_error"] is False and "Hello from the provider" in told["result"]
    assert told["usage"]["input_tokens"] > 0 and told["usage"]["output_tokens"] > 0


@pytest.mark.parametrize("model", ["claude-haiku-5-5", "flux-pinned-gemini-3-5-flash-lite"])
@pytest.mark.parametrize("task", TASKS)
def test_codex(place, model, task):
    file, prompt, expected = task(place)
    (place / "home" / ".codex").mkdir()
    (place / "home" / ".codex" / "config.toml").write_text(CODEX_CONFIG.format(url=URL, model=model))
    done = run(place, ["codex", "exec", "--skip-git-repo-check", "--json", prompt], FLUX_KEY=KEY)
    assert done.returncode == 0
    assert file.read_text() == expected
    if task is changed:
        # It was the agent's own tool that changed the file, not some command.
        assert '"file_change"' in done.stdout
    assert "Hello from the provider" in done.stdout


@pytest.mark.parametrize("model", ["claude-haiku-5-5", "flux-pinned-gemini-3-5-flash-lite"])
def test_opencode(place, model):
    file = place / "work" / "hello.txt"
    options = {"baseURL": URL + "/v1", "apiKey": "{env:FLUX_KEY}"}
    provider = {"npm": "@ai-sdk/openai-compatible", "name": "Flux", "options": options, "models": {model: {}}}
    config = {
        "$schema": "https://opencode.ai/config.json",
        "provider": {"flux": provider},
        "model": f"flux/{model}",
        "small_model": f"flux/{model}",
        "autoupdate": False,
        "share": "disabled",
    }
    (place / "work" / "opencode.json").write_text(json.dumps(config))
    done = run(place, ["opencode", "run", f"Write the word bonjour into the file {file}"], FLUX_KEY=KEY,
               OPENCODE_DISABLE_AUTOUPDATE="1", OPENCODE_DISABLE_MODELS_FETCH="1", OPENCODE_DISABLE_LSP_DOWNLOAD="1")
    assert done.returncode == 0
    assert file.read_text().strip() == "bonjour"
    assert "Hello from the provider" in done.stdout
