//! Every field of an answer of Anthropic Messages, and what clients of other formats are told of it.
//!
//! Must not know those formats' fields: a field that is mapped may be spelt otherwise there.

use crate::translate::fields::AnswerFate::{Dropped, Emulated, Mapped, MappedBut};
use crate::translate::fields::{AnswerFate, AnswerField};

const fn field(path: &'static str, fate: AnswerFate) -> AnswerField {
    AnswerField { path, fate }
}

const OWN: &str = "the client's answer has an id of its own";
const OWN_MODEL: &str = "clients are told the name that they asked for; the provider's stands in a header";
const FIXED: &str = "it is always the same";
const OWN_TOOLS: &str = "tools of the provider's own are never asked for: they are refused by name";
const PLACE: &str = "it points into what the client sent, by a count that other formats do not have";
const WHY_MISSED: &str = "why a cache was missed tells the client nothing that it could mend in its own format";
const SIGNED: &str = "goes back to its maker in an envelope";
const NOT_YET: &str = "nothing is known of it at the beginning; the end tells it";
const FIRST: &str = "the end tells all of it";
const WHERE: &str = "where it was served is the provider's affair";
const ORDER: &str = "blocks come one after another";
const BY_TIME: &str = "clients are told the sum; how long the tokens are kept counts for the price";
const AT_ONCE: &str = "it begins empty as a rule; what stands there is told as if it came in deltas";
const CALLER: &str = "only the provider's own tools call for others";

/// The fields of `Message` and of the events of a stream.
pub const ANSWER_FIELDS: &[AnswerField] = &[
    field("id", Dropped(OWN)),
    field("model", Dropped(OWN_MODEL)),
    field("role", Dropped(FIXED)),
    field("container", Dropped(OWN_TOOLS)),
    field("diagnostics", Dropped(WHY_MISSED)),
    field("content[bash_code_execution_tool_result]", Dropped(OWN_TOOLS)),
    field("content[code_execution_tool_result]", Dropped(OWN_TOOLS)),
    field("content[container_upload]", Dropped(OWN_TOOLS)),
    field("content[server_tool_use]", Dropped(OWN_TOOLS)),
    field("content[text_editor_code_execution_tool_result]", Dropped(OWN_TOOLS)),
    field("content[tool_search_tool_result]", Dropped(OWN_TOOLS)),
    field("content[web_fetch_tool_result]", Dropped(OWN_TOOLS)),
    field("content[web_search_tool_result]", Dropped(OWN_TOOLS)),
    field("content[redacted_thinking]", Emulated(SIGNED)),
    field("content[text].text", Mapped),
    field("content[text].citations", Mapped),
    field("*_location].cited_text", Dropped("other formats name the source of a text, and do not quote it")),
    field("*_location].document_title", MappedBut("Responses' citations are of addresses only")),
    field("*_location].document_index", Dropped(PLACE)),
    field("*_location].search_result_index", Dropped(PLACE)),
    field("*_location].encrypted_index", Dropped(PLACE)),
    field("*_location].file_id", Dropped(PLACE)),
    field("*_location].start_char_index", Dropped(PLACE)),
    field("*_location].end_char_index", Dropped(PLACE)),
    field("*_location].start_block_index", Dropped(PLACE)),
    field("*_location].end_block_index", Dropped(PLACE)),
    field("*_location].start_page_number", Dropped(PLACE)),
    field("*_location].end_page_number", Dropped(PLACE)),
    field("content[thinking].thinking", Mapped),
    field("content[thinking].signature", Emulated(SIGNED)),
    field("content[tool_use].id", Mapped),
    field("content[tool_use].name", Mapped),
    field("content[tool_use].input", Mapped),
    field("content[tool_use].caller", Dropped(CALLER)),
    field("content[tool_use].toolset_name", Dropped(CALLER)),
    field("stop_reason", Mapped),
    field("stop_sequence", Dropped("other formats do not say which text they stopped at")),
    field("stop_details", Dropped("its kind and category: other formats have words for a refusal only")),
    field("stop_details.explanation", Mapped),
    field("usage.input_tokens", Mapped),
    field("usage.output_tokens", Mapped),
    field("usage.cache_creation_input_tokens", Mapped),
    field("usage.cache_read_input_tokens", Mapped),
    field("usage.cache_creation.ephemeral_1h_input_tokens", Emulated(BY_TIME)),
    field("usage.cache_creation.ephemeral_5m_input_tokens", Emulated(BY_TIME)),
    field("usage.output_tokens_details.thinking_tokens", Mapped),
    field("usage.service_tier", Mapped),
    field("*usage.server_tool_use", Dropped(OWN_TOOLS)),
    field("*usage.inference_geo", Dropped(WHERE)),
    field("*usage.speed", Dropped(WHERE)),
    field("events[message_start].message", Dropped(FIRST)),
    field("events[message_start].message.id", Dropped(OWN)),
    field("events[message_start].message.model", Dropped(OWN_MODEL)),
    field("events[message_start].message.role", Dropped(FIXED)),
    field("events[message_start].message.container", Dropped(OWN_TOOLS)),
    field("events[message_start].message.content", Dropped(NOT_YET)),
    field("events[message_start].message.diagnostics", Dropped(WHY_MISSED)),
    field("events[message_start].message.stop_reason", Dropped(NOT_YET)),
    field("events[message_start].message.stop_sequence", Dropped(NOT_YET)),
    field("events[message_start].message.stop_details", Dropped(NOT_YET)),
    field("events[message_start].message.usage.cache_creation.ephemeral_1h_input_tokens", Emulated(BY_TIME)),
    field("events[message_start].message.usage.cache_creation.ephemeral_5m_input_tokens", Emulated(BY_TIME)),
    field("events[message_start].message.usage.service_tier", Mapped),
    field("events[content_block_start].index", Dropped(ORDER)),
    field("events[content_block_delta].index", Dropped(ORDER)),
    field("events[content_block_stop].index", Dropped(ORDER)),
    field("events[content_block_start].content_block", Dropped(OWN_TOOLS)),
    field("events[content_block_start].content_block[redacted_thinking]", Emulated(SIGNED)),
    field("events[content_block_start].content_block[text]", Emulated(AT_ONCE)),
    field("events[content_block_start].content_block[thinking]", Emulated(AT_ONCE)),
    field("events[content_block_start].content_block[tool_use].id", Mapped),
    field("events[content_block_start].content_block[tool_use].name", Mapped),
    field("events[content_block_start].content_block[tool_use].input", Emulated(AT_ONCE)),
    field("events[content_block_start].content_block[tool_use].caller", Dropped(CALLER)),
    field("events[content_block_start].content_block[tool_use].toolset_name", Dropped(CALLER)),
    field("events[content_block_delta].delta[citations_delta]", Mapped),
    field("events[content_block_delta].delta[input_json_delta]", Mapped),
    field("events[content_block_delta].delta[signature_delta]", Emulated(SIGNED)),
    field("events[content_block_delta].delta[text_delta]", Mapped),
    field("events[content_block_delta].delta[thinking_delta]", Mapped),
    field("events[message_delta].delta.container", Dropped(OWN_TOOLS)),
    field("events[message_delta].delta.stop_reason", Mapped),
    field("events[message_delta].delta.stop_sequence", Dropped("other formats do not say which text they stopped at")),
    field(
        "events[message_delta].delta.stop_details",
        Dropped("its kind and category: other formats have words for a refusal only"),
    ),
    field("events[message_delta].delta.stop_details.explanation", Mapped),
    field("events[message_delta].usage", Mapped),
];
