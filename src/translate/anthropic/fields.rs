//! Every field of a request in this format, and what becomes of it for a target of another one.
//!
//! Must not read anything: it is a table, kept true by tests of the reader.

use crate::translate::fields::Fate::{Dropped, Emulated, Hint, Mapped, Moot, Refused};
use crate::translate::fields::{Fate, Field};

const HINT: Fate = Dropped("a hint to Anthropic's own servers");
const MARK: Fate = Hint("a mark for a cache; the answer is the same without it");
const THOUGHT: Fate = Hint("thoughts go back to the model that made them, and to no other");
const OWN: Fate = Refused("Anthropic alone has it; another target of the plan may be Anthropic");
const NO_CITATIONS: Fate = Dropped("no other format cites parts of the prompt");

/// A row of the table.
const fn field(path: &'static str, fate: Fate) -> Field {
    Field { path, fate }
}

/// The fields of a request, of the released API and of its betas.
pub const FIELDS: &[Field] = &[
    field("model", Moot("each target knows it by its own name")),
    field("max_tokens", Mapped),
    field("stream", Hint("Gemini is told by the path")),
    field("system", Mapped),
    field("system[].type", Moot("there are none but texts")),
    field("system[].text", Mapped),
    field("system[].cache_control", MARK),
    field("system[].citations", NO_CITATIONS),
    field("messages", Mapped),
    field("messages[].role", Mapped),
    field("messages[].content", Mapped),
    field("messages[].clear_at", HINT),
    field("messages[].output_config", Dropped("the effort of the whole request holds")),
    field("messages[].content[].type", Mapped),
    field("messages[].content[].cache_control", MARK),
    field("messages[].content[].cache_control.type", MARK),
    field("messages[].content[].cache_control.ttl", MARK),
    // Texts.
    field("messages[].content[].text", Mapped),
    field("messages[].content[].citations", NO_CITATIONS),
    // Pictures and documents.
    field("messages[].content[].source", Mapped),
    field("messages[].content[].source.type", Mapped),
    field("messages[].content[].source.media_type", Mapped),
    field("messages[].content[].source.data", Mapped),
    field("messages[].content[].source.url", Mapped),
    field("messages[].content[].source.file_id", Refused("a file is known to one provider only")),
    field("messages[].content[].source.content", Emulated("its blocks stand in the message")),
    field("messages[].content[].transformations", Dropped("no other format says how pictures are shrunk")),
    field("messages[].content[].title", Mapped),
    field("messages[].content[].context", Emulated("a text before the document")),
    // Search results: `source` is a string there.
    field("messages[].content[search_result]", Emulated("a text of title, source and content")),
    // Calls and results.
    field("messages[].content[].id", Mapped),
    field("messages[].content[].name", Mapped),
    field("messages[].content[].input", Mapped),
    field("messages[].content[].caller", Dropped("every call is the model's where there are no containers")),
    field("messages[].content[].toolset_name", Dropped("no other format has sets of tools")),
    field("messages[].content[].tool_use_id", Mapped),
    field("messages[].content[].content", Mapped),
    field("messages[].content[].is_error", Mapped),
    // Thoughts.
    field("messages[].content[].thinking", THOUGHT),
    field("messages[].content[].signature", THOUGHT),
    field("messages[].content[].data", THOUGHT),
    // What Anthropic's own tools left.
    field("messages[].content[server_tool_use]", Dropped("nobody else ran it; its result is kept as text")),
    field("messages[].content[mcp_tool_use]", Dropped("nobody else ran it; its result is kept as text")),
    field("messages[].content[mcp_tool_listing]", Dropped("nobody else calls MCP servers")),
    field("messages[].content[*_tool_result]", Emulated("a text of what can be read in it")),
    field("messages[].content[compaction]", Emulated("a text")),
    field("messages[].content[browser_state]", Emulated("a text of what can be read in it")),
    field("messages[].content[tool_reference]", Dropped("all tools are offered from the start")),
    field("messages[].content[tool_addition]", Dropped("all tools are offered from the start")),
    field("messages[].content[tool_removal]", Dropped("all tools are offered from the start")),
    field("messages[].content[fallback]", Dropped("it says which model of Anthropic answered")),
    field("messages[].content[container_upload]", OWN),
    // Tools.
    field("tools", Mapped),
    field("tools[].type", Refused("a tool of Anthropic's own; \"custom\" is mapped")),
    field("tools[].name", Mapped),
    field("tools[].description", Mapped),
    field("tools[].input_schema", Mapped),
    field("tools[].strict", Mapped),
    field("tools[].cache_control", Moot("a mark for a cache; no other format has one on tools")),
    field("tools[].allowed_callers", Dropped("every call is the model's where there are no containers")),
    field("tools[].defer_loading", Dropped("all tools are offered from the start")),
    field("tools[].eager_input_streaming", Dropped("other formats stream arguments as they come")),
    field("tools[].input_examples", Dropped("no other format has a place for examples")),
    field("tool_choice", Mapped),
    field("tool_choice.type", Mapped),
    field("tool_choice.name", Mapped),
    field("tool_choice.disable_parallel_tool_use", Mapped),
    // How the answer is made.
    field("stop_sequences", Mapped),
    field("temperature", Mapped),
    field("top_p", Mapped),
    field("top_k", Mapped),
    field("thinking", Mapped),
    field("thinking.type", Mapped),
    field("thinking.block_binding", HINT),
    field("thinking.budget_tokens", Mapped),
    field("thinking.display", Hint("thoughts are shown only where they are asked for, or not at all")),
    field("output_config", Mapped),
    field("output_config.effort", Mapped),
    field("output_config.format", Mapped),
    field("output_config.format.type", Mapped),
    field("output_config.format.schema", Mapped),
    field("output_config.task_budget", HINT),
    field("output_format", Mapped),
    field("service_tier", Mapped),
    field("speed", Dropped("tiers of other providers differ in price: they are asked for by service_tier")),
    field("metadata", Mapped),
    field("metadata.user_id", Mapped),
    field("cache_control", MARK),
    // For Anthropic's servers.
    field("betas", HINT),
    field("billing_policy", HINT),
    field("compaction", HINT),
    field("context_management", HINT),
    field("diagnostics", HINT),
    field("fallbacks", HINT),
    field("user_profile_id", HINT),
    field("workspace_id", HINT),
    field("container", OWN),
    field("fallback_credit_token", OWN),
    field("inference_geo", Refused("where a request is served must not be left to chance")),
    field("mcp_servers", OWN),
    field("thread", OWN),
];
