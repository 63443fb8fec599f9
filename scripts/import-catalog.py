#!/usr/bin/env python3
"""Writes conf/providers.toml, conf/models.toml and conf/lanes.toml from a catalogue folder.

    scripts/import-catalog.py FOLDER [CONF]

FOLDER holds providers.json, models.json and aliases.json. Run it again to take new prices in, then read the
diff: a price counts only after a person has accepted it. What the catalogue does not say (names of environment
variables, lane prices, where a provider's second format lives) stands in the tables below.
"""

import json
import re
import sys
from pathlib import Path

# provider -> environment variables that may hold its key, first match wins
KEY_ENV = {
    "openai": ["OPENAI_API_KEY"],
    "anthropic": ["ANTHROPIC_API_KEY"],
    "google": ["GEMINI_API_KEY", "GOOGLE_API_KEY"],
    "vertex": [],
    "cerebras": ["CEREBRAS_API_KEY"],
    "groq": ["GROQ_API_KEY"],
    "deepseek": ["DEEPSEEK_API_KEY"],
    "mistral": ["MISTRAL_API_KEY"],
    "xai": ["XAI_API_KEY"],
    "together": ["TOGETHER_API_KEY"],
    "fireworks": ["FIREWORKS_API_KEY"],
    "openrouter": ["OPENROUTER_API_KEY"],
    "azure-openai": ["AZURE_OPENAI_API_KEY"],
    "bedrock": ["AWS_BEARER_TOKEN_BEDROCK"],
    "vllm": ["VLLM_API_KEY"],
    "ollama": ["OLLAMA_API_KEY"],
}

# Bedrock takes bearer keys; signed requests (aws-sigv4) and Vertex's short-lived tokens (oauth2) come later.
AUTH = {"bedrock": "bearer", "vertex": "oauth2", "ollama": "none", "vllm": "bearer"}
AUTH_BY_HEADER = {"Authorization": "bearer", "x-api-key": "x-api-key", "x-goog-api-key": "x-goog-api-key",
                  "api-key": "api-key"}
KEY_OPTIONAL = {"vllm", "ollama"}
VALUES = {
    "azure-openai": {"resource": ""},
    "bedrock": {"region": "us-east-1"},
    "vertex": {"project": "", "location": "global"},
    "vllm": {"host": "127.0.0.1"},
    "ollama": {"host": "127.0.0.1"},
}
HEADERS = {"anthropic": {"anthropic-version": "2023-06-01"}, "bedrock": {"anthropic-version": "2023-06-01"}}

# wire format -> key of the catalogue's `paths`
PATH_KEY = {
    "openai-chat": "chat",
    "openai-responses": "responses",
    "anthropic-messages": "messages",
    "openai-images": "images_generate",
    "gemini-generate": "generate",
    "bedrock-converse": "converse",
}
STREAM_PATH_KEY = {"gemini-generate": "stream", "bedrock-converse": "converse_stream"}
# What the catalogue tells in prose: second formats and odd paths.
MORE_PATHS = {
    "openai": {
        "openai-image-edits": {"path": "/images/edits"},
        "openai-embeddings": {"path": "/embeddings"},
        "openai-transcriptions": {"path": "/audio/transcriptions"},
        "openai-speech": {"path": "/audio/speech"},
    },
    "groq": {
        "openai-transcriptions": {"path": "/audio/transcriptions"},
        "openai-speech": {"path": "/audio/speech"},
    },
    "mistral": {
        "openai-embeddings": {"path": "/embeddings"},
        "openai-transcriptions": {"path": "/audio/transcriptions"},
    },
    "together": {"openai-embeddings": {"path": "/embeddings"}},
    "fireworks": {"openai-embeddings": {"path": "/embeddings"}},
    "vllm": {
        "openai-embeddings": {"path": "/embeddings"},
        "openai-transcriptions": {"path": "/audio/transcriptions"},
    },
    "anthropic": {"openai-chat": {"path": "/chat/completions", "auth": "bearer"}},
    "google": {
        "openai-chat": {"path": "/openai/chat/completions", "auth": "bearer"},
        "openai-embeddings": {"path": "/openai/embeddings", "auth": "bearer"},
    },
    "vertex": {
        "anthropic-messages": {
            "path": "/projects/{project}/locations/{location}/publishers/anthropic/models/{model}:rawPredict",
            "stream_path":
                "/projects/{project}/locations/{location}/publishers/anthropic/models/{model}:streamRawPredict",
        },
        "openai-chat": {"path": "/projects/{project}/locations/{location}/endpoints/openapi/chat/completions"},
    },
    "bedrock": {
        "anthropic-messages": {
            "path": "/model/{model}/invoke",
            "stream_path": "/model/{model}/invoke-with-response-stream",
        },
    },
    "deepseek": {
        "anthropic-messages": {"root_path": "/anthropic/v1/messages", "auth": "x-api-key"},
        "openai-responses": {"path": "/responses"},
    },
    "xai": {"anthropic-messages": {"path": "/messages"}},
    "azure-openai": {
        "openai-images": {"path": "/images/generations"},
        "openai-image-edits": {"path": "/images/edits"},
        "openai-embeddings": {"path": "/embeddings"},
    },
    "ollama": {"openai-embeddings": {"path": "/embeddings"}},
}
KNOWN_FORMATS = set(PATH_KEY)
# Whose image models also take edits as a form; xAI's edits are JSON of its own.
EDITS = ("openai", "azure-openai")
# Prices of images by what a request says alone: what it leaves out is the provider's default.
MORE_IMAGE_PRICES = {"xai/grok-imagine-image-2.0": {"low": "low@1k", "2k": "medium@2k"}}
# What follows this line in models.toml was written by hand and is kept.
BY_HAND = "# ---- Written by hand: scripts/import-catalog.py keeps what follows. ----"
# Pins of those models. Each is also known by the model's own name.
MORE_PINS = {
    "flux-pinned-text-embedding-3-small": ["openai/text-embedding-3-small"],
    "flux-pinned-text-embedding-3-large": ["openai/text-embedding-3-large"],
    "flux-pinned-mistral-embed": ["mistral/mistral-embed"],
    "flux-pinned-whisper-1": ["openai/whisper-1"],
    "flux-pinned-gpt-4o-transcribe": ["openai/gpt-4o-transcribe"],
    "flux-pinned-gpt-4o-mini-transcribe": ["openai/gpt-4o-mini-transcribe"],
    "flux-pinned-whisper-large-v3": ["groq/whisper-large-v3"],
    "flux-pinned-whisper-large-v3-turbo": ["groq/whisper-large-v3-turbo"],
    "flux-pinned-tts-1": ["openai/tts-1"],
    "flux-pinned-tts-1-hd": ["openai/tts-1-hd"],
}

LANE_PRICES = {
    "flux-fast": {"input": "1", "output": "4"},
    "flux-standard": {"input": "2", "output": "8"},
    "flux-reasoning": {"input": "4", "output": "16"},
    "flux-image": None,
}
RATE_KEYS = ["input", "output", "cache_read", "cache_write", "input_image", "cache_read_image", "output_image",
             "input_audio", "cache_read_audio", "output_audio"]


def text(value):
    return json.dumps(value, ensure_ascii=False)


def key(name):
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else text(name)


def inline(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list):
        return "[" + ", ".join(inline(v) for v in value) + "]"
    return "{ " + ", ".join(f"{key(k)} = {inline(v)}" for k, v in value.items()) + " }" if value else "{}"


def rates(value):
    unknown = set(value) - set(RATE_KEYS)
    if unknown:
        sys.exit(f"unknown rates {sorted(unknown)}: teach src/catalog/price.rs first")
    return {k: value[k] for k in RATE_KEYS if k in value}


def ladder(value):
    out = {}
    if "rates" in value:
        out["rates"] = rates(value["rates"])
    if value.get("tiers"):
        out["tiers"] = [{"prompt_tokens_over": t["prompt_tokens_over"], "rates": rates(t["rates"])}
                        for t in value["tiers"]]
    return out


# Where a provider counts the tokens of a request in that format.
COUNT_PATH_KEY = {"anthropic-messages": "count_tokens", "openai-responses": "responses_input_tokens"}
# Whose variant of a format the others speak is their own; these have another name than their id.
DIALECT = {"azure-openai": "azure", "anthropic": "plain", "google": "plain", "vertex": "plain", "bedrock": "plain"}
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
CONTROL = {"model": "always"}
# Google caches what was stored before by name; there is no mark to set in a prompt.
NO_INLINE_MARKS = ("google", "vertex")


# provider -> a path below the host where its health check is not below the base URL, or none that proves anything.
PROBE = {"vllm": {"root_path": "/health"}, "ollama": {"root_path": "/api/version"}, "bedrock": None, "vertex": None}


def provider(p, lines):
    pid = p["id"]
    lines += ["", f"[{key(pid)}]", f"name = {text(p['name'])}", f"base_url = {text(p['base_url'])}"]
    auth = AUTH.get(pid) or AUTH_BY_HEADER[p["auth"]["header"]]
    lines.append(f"auth = {text(auth)}")
    lines.append(f"api_key_env = {inline(KEY_ENV[pid])}")
    if pid in KEY_OPTIONAL:
        lines += ["key_optional = true", "enabled = false"]
    if VALUES.get(pid):
        lines.append(f"values = {inline(VALUES[pid])}")
    if HEADERS.get(pid):
        lines.append(f"headers = {inline(HEADERS[pid])}")
    if p.get("regional_base_urls"):
        urls = {k: v for k, v in p["regional_base_urls"].items() if "{" not in v}
        lines.append(f"regional_base_urls = {inline(urls)}")
    dialect = DIALECT.get(pid, pid)
    if dialect != "plain":
        lines.append(f"dialect = {text(dialect)}")
    stream = p["streaming"].get("openai-chat") or {}
    opt_in = stream.get("usage_opt_in")
    lines.append(f"stream_usage = {text('stream_options' if opt_in else 'always')}")
    usage = p["usage"]
    if not usage.get("prompt_includes_cached", True):
        lines.append("cached_outside_input = true")
    if not usage.get("completion_includes_reasoning", True):
        lines.append("reasoning_outside_output = true")
    probe = PROBE.get(pid, p["health_check"]["path"])
    if probe:
        lines.append(f"probe = {text(probe) if isinstance(probe, str) else inline(probe)}")
    formats = {}
    for name, path_key in PATH_KEY.items():
        if path_key in p["paths"]:
            entry = {"path": p["paths"][path_key]}
            stream_key = STREAM_PATH_KEY.get(name)
            if stream_key:
                entry["stream_path"] = p["paths"][stream_key]
            count_key = COUNT_PATH_KEY.get(name)
            if count_key in p["paths"]:
                entry["count_path"] = p["paths"][count_key]
            formats[name] = entry
    formats.update(MORE_PATHS.get(pid, {}))
    for name, entry in formats.items():
        entry = {k: v.replace("{modelId}", "{model}") for k, v in entry.items()}
        value = entry["path"] if set(entry) == {"path"} else entry
        lines.append(f"formats.{name} = {inline(value)}")


def model(o, lines):
    lines += ["", f"[{text(o['id'])}]", f"model = {text(o['provider_model_id'])}",
              f"canonical = {text(o['canonical_model'])}", f"display_name = {text(o['display_name'])}",
              f"developer = {text(o['developer'])}", f"kind = {text(o['kind'])}", f"status = {text(o['status'])}"]
    if o["released"]:
        lines.append(f"released = {text(o['released'])}")
    if o["retirement"] and o["retirement"]["date"]:
        lines.append(f"retires = {text(o['retirement']['date'])}")
    formats = [f for f in o["api_formats"] if f in KNOWN_FORMATS]
    if "openai-images" in formats and o["provider"] in EDITS:
        formats.append("openai-image-edits")
    lines.append(f"formats = {inline(formats)}")
    second = [f for f in o["secondary_formats"] if f in KNOWN_FORMATS]
    if second:
        lines.append(f"secondary_formats = {inline(second)}")
    for name, field in (("context_tokens", "context_window"), ("input_tokens_max", "max_input_tokens"),
                        ("output_tokens_max", "max_output_tokens")):
        if o[field] is not None:
            lines.append(f"{name} = {o[field]}")
    lines.append(f"tokenizer_factor = {text(o['tokenizer']['multiplier_vs_o200k'])}")
    lines.append(f"input = {inline(o['modalities']['input'])}")
    lines.append(f"output = {inline(o['modalities']['output'])}")
    caps = o["capabilities"]
    wanted = ("streaming", "tools", "parallel_tools", "forced_tool_choice", "json_schema", "sampling_params",
              "assistant_prefill")
    stated = {c: caps[c] for c in wanted if caps.get(c) is not None}
    reasoning = caps.get("reasoning", {})
    stated["reasoning"] = bool(reasoning.get("supported"))
    if reasoning.get("tools_with_reasoning_on_chat") is False:
        stated["tools_with_reasoning_on_chat"] = False
    stated["cache_marks"] = "explicit" in caps["prompt_caching"]["mode"] and o["provider"] not in NO_INLINE_MARKS
    lines.append(f"capabilities = {inline(stated)}")
    if stated["reasoning"]:
        thinking = {"control": CONTROL.get(reasoning["control"], reasoning["control"])}
        efforts = [level for level in reasoning.get("levels") or [] if level in EFFORTS]
        if efforts:
            thinking["efforts"] = efforts
        thinking["can_disable"] = bool(reasoning.get("can_disable"))
        lines.append(f"thinking = {inline(thinking)}")
    price(o, lines)


def price(o, lines):
    p = o["pricing"]
    head = text(o["id"])
    image = {k: v for k, v in p.get("per_image", {}).items() if k not in ("note", "default_output")}
    image |= {name: image[listed] for name, listed in MORE_IMAGE_PRICES.get(o["id"], {}).items()}
    known = {r: v for r, v in p["rates"].items() if v}
    if known and all(v == "0" for v in known.values()):
        lines.append("free = true")
        return
    lines += [f"[{head}.price]", f"as_of = {text(p['as_of'])}"]
    base = ladder(p)
    lines.append(f"rates = {inline(base['rates'])}")
    if "tiers" in base:
        lines.append(f"tiers = {inline(base['tiers'])}")
    for name, tier in p.get("service_tiers", {}).items():
        lines.append(f"service_tiers.{key(name)} = {inline(ladder(tier))}")
    if p.get("regional_uplift"):
        lines.append(f"regional_uplift = {inline(p['regional_uplift'])}")
    if image:
        lines.append(f"per_image = {inline(image)}")
    if p.get("web_search_per_1k_calls"):
        lines.append(f"web_search_per_1k_calls = {text(p['web_search_per_1k_calls'])}")
    off_peak = p.get("time_of_day", {}).get("off_peak")
    if off_peak:
        lines.append("off_peak = " + inline({"rates": rates(off_peak["rates"]),
                                             "windows_utc": off_peak["windows_utc"]}))
    for entry in p.get("scheduled", []):
        lines += [f"[[{head}.price.scheduled]]", f"effective_from = {text(entry['effective_from'])}"]
        step = ladder(entry)
        for part in ("rates", "tiers"):
            if part in step:
                lines.append(f"{part} = {inline(step[part])}")
        for name, tier in entry.get("service_tiers", {}).items():
            lines.append(f"service_tiers.{key(name)} = {inline(ladder(tier))}")


def lanes(aliases, offerings, lines):
    lines += ["", "[auto]", 'name = "flux-auto"', f"default_lane = {text(aliases['router']['flux-auto']['default_lane'])}"]
    for name, lane in aliases["lanes"].items():
        lines += ["", f"[lanes.{name}]", f"product_name = {text(lane['product_name'])}",
                  f"default = {text(lane['default'])}", f"fallbacks = {inline(lane['fallbacks'])}"]
        if LANE_PRICES[name]:
            lines.append(f"price = {inline(LANE_PRICES[name])}")
    launch = [a for a in aliases["pinned"] if a["wave"] == "launch"]
    extra = [a for a in aliases["pinned"] if a["wave"] != "launch"]
    lines += ["", "# A pin never changes its model: all its targets serve the same one.", "[pins]"]
    lines += [f"{a['alias']} = {inline(a['targets'])}" for a in launch]
    lines += [f"{name} = {inline(targets)}" for name, targets in MORE_PINS.items()]
    lines += ["# Ready when wanted:"]
    lines += [f"# {a['alias']} = {inline(a['targets'])}" for a in extra]
    names = dict(aliases["suggested_client_name_map"])
    retired = len(names)
    for a in launch:
        for name in [a["canonical_model"]] + [offerings[t]["provider_model_id"] for t in a["targets"]]:
            names.setdefault(name, a["alias"])
    for alias, targets in MORE_PINS.items():
        names.setdefault(targets[0].split("/")[1], alias)
    lines += ["", "# Names that clients send on their own. The first ones stand for models that have ended or will soon.",
              "[client_names]"]
    for at, (name, alias) in enumerate(names.items()):
        if at == retired:
            lines.append("# The pinned models by their own names.")
        lines.append(f"{key(name)} = {text(alias)}")


def head(what, generated):
    return [f"# {what}", f"# Imported by scripts/import-catalog.py from the catalogue of {generated}; edit freely."]


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    conf = Path(sys.argv[2] if len(sys.argv) == 3 else Path(__file__).parent.parent / "conf")
    read = {n: json.loads((folder / f"{n}.json").read_text()) for n in ("providers", "models", "aliases")}

    lines = head("The providers: addresses, auth, and a path for each wire format.", read["providers"]["generated"])
    lines += [
        "#",
        "# A provider is live when it has a key, from one of `api_key_env` or from FLUX_PROVIDERS__<ID>__API_KEY, or needs",
        "# none and is enabled. {braces} in addresses and paths are filled from `values`, {model} with the model's name.",
        "# auth: bearer, x-api-key, x-goog-api-key, api-key, none; not served yet: aws-sigv4, oauth2.",
        "# dialect: whose variant of its formats it speaks; plain where none is written.",
        "# stream_usage: what makes usage arrive in a chat stream: stream_options (we add it), always, never.",
        "# probe: a cheap question that shows whether address and key work; below base_url, or { root_path = \"…\" }.",
        "# accesses: further keys and addresses, each with one of them or both, and all with a weight (1):",
        "#   accesses = [{ api_key_env = \"GROQ_API_KEY_2\", weight = 2 }, { base_url = \"https://…\" }]",
        "# region: where an address is, for requests that ask for a region and for regional prices; else the name in",
        "# regional_base_urls that has its host. Each of the accesses has its own.",
        "# concurrent_max: requests that the provider is sent at once; 0 for any number.",
        "# http:// only to this machine, private addresses and local names; allow_link_local = true opens 169.254.0.0/16.",
    ]
    for p in read["providers"]["providers"]:
        provider(p, lines)
    (conf / "providers.toml").write_text("\n".join(lines) + "\n")

    offerings = {o["id"]: o for o in read["models"]["offerings"]}
    lines = head("The models of each provider, with limits, abilities and prices.", read["models"]["generated"])
    lines += [
        "#",
        "# kind: chat, image, embedding, transcription, speech.",
        "# Prices are decimal strings in USD per 1,000,000 tokens; per image in `per_image`, by \"quality@size\" as requests",
        "# say them, by one of the two alone, and \"default\"; of sound `per_minute` or `per_hour`; of texts read aloud",
        "# `per_1m_characters`. A model without the price of its kind is refused unless it says free = true.",
        "# An ability that is not stated is unknown, and left to the provider.",
        "# tokenizer_factor: tokens on this model for one token of o200k, cautious.",
    ]
    for o in offerings.values():
        model(o, lines)
    models = conf / "models.toml"
    by_hand = models.read_text().partition(BY_HAND)[2] if models.exists() else ""
    if by_hand:
        lines += ["", BY_HAND + by_hand.rstrip("\n")]
    models.write_text("\n".join(lines) + "\n")

    lines = head("Lanes, pinned aliases, and the names that clients use.", read["aliases"]["generated"])
    lines += [
        "#",
        "# A lane tries `default`, then `fallbacks`: models of models.toml, or the name of another lane. At most 64 targets.",
        "# Targets in a list of their own share one step by their weight (1; from 0 to 1000; 0 stands in for the others only):",
        '#   default = [{ target = "openai/gpt-6-luna", weight = 3 }, { target = "azure-openai/gpt-6-luna" }]',
        "# A conversation stays with the target that it began with as long as that is well: it is known by its account and x-flux-session, else",
        "# by its system prompt and the first words of its user. So the shares are those of conversations; other requests are drawn one by one.",
        "# when: only requests that are so are sent there; any of vision, tools (true: with them, false: without), prompt_tokens_min,",
        "# prompt_tokens_max (text of Chat, Responses and Messages, by four bytes a token; the prompts of other endpoints count as empty),",
        "# region (what the request asks for by x-flux-region, or its key stays in):",
        '#   fallbacks = [{ target = "google/gemini-3.8-flash", when = { vision = true } }, "groq/gpt-oss-120b"]',
        "# Pins are written in the same way.",
        "# hedge = true: another target is asked beside one whose first token is late, see hedge_after_ms_min in flux.toml.",
        "# price: USD per 1,000,000 tokens for whatever model answers; without it the model's own price counts.",
        "# cache_read and cache_write may be set too; they are the input price by default.",
    ]
    lanes(read["aliases"], offerings, lines)
    (conf / "lanes.toml").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
