//! Every field of an answer of Responses, and what clients of other formats are told of it.
//!
//! Must not know those formats' fields: a field that is mapped may be spelt otherwise there.

use crate::translate::fields::AnswerFate::{Dropped, Emulated, Mapped, MappedBut};
use crate::translate::fields::{AnswerFate, AnswerField};

const fn field(path: &'static str, fate: AnswerFate) -> AnswerField {
    AnswerField { path, fate }
}

const OWN: &str = "the client's answer has an id and a time of its own";
const OWN_ITEM: &str = "items of the client's answer have ids of their own; nothing refers to the provider's";
const ECHO: &str = "it repeats the request, which the client has made itself";
const OWN_TOOLS: &str = "tools of the provider's own are never asked for: they are refused by name";
const STEP: &str = "a step of the answer's making; the items tell what came of it";
const NO_WORDS: &str = "Anthropic's format has no probabilities";
const NO_PLACES: &str = "Anthropic's citations name no place in the answer";
const NO_PICTURES: &str = "Anthropic's format has no pictures in answers";
const NO_TIERS: &str = "Anthropic's tiers are others";
const STATUS: &str = "what is not whole is told by the end of the answer";
const SEALED: &str = "goes back to its maker in an envelope";
const PICTURE: &str = "how a picture was made is not told with pictures in other formats";
const STORED: &str = "a file that is stored at the provider, which the client cannot fetch";
const CALLER: &str = "only the provider's own tools call for others";
const ORDER: &str = "counts of the stream's own; order tells the same";
const AGAIN: &str = "it repeats what the deltas have told";
const WORDS: &str = "whose fault it is decides what is told; a provider's own words are for the log";
const LATER: &str = "a piece that fits no call is told by the end of its item";
const BY_PLACE: &str = "tells which item a piece belongs to";

/// The fields of `Response` and of the events of a stream.
pub const ANSWER_FIELDS: &[AnswerField] = &[
    field("id", Dropped(OWN)),
    field("object", Dropped("it is always the same")),
    field("created_at", Dropped(OWN)),
    field("completed_at", Dropped(OWN)),
    field("model", Dropped("clients are told the name that they asked for; the provider's stands in a header")),
    field("status", Mapped),
    field("error", Emulated(WORDS)),
    field("incomplete_details.reason", Mapped),
    field("service_tier", MappedBut(NO_TIERS)),
    field("access_programs", Dropped(ECHO)),
    field("background", Dropped(ECHO)),
    field("conversation", Dropped(ECHO)),
    field("image", Dropped(ECHO)),
    field("input_transformations", Dropped(ECHO)),
    field("instructions", Dropped(ECHO)),
    field("max_output_tokens", Dropped(ECHO)),
    field("max_tool_calls", Dropped(ECHO)),
    field("metadata", Dropped(ECHO)),
    field("moderation", Dropped("it is only there where a request asked for it, and such requests are refused")),
    field("parallel_tool_calls", Dropped(ECHO)),
    field("previous_response_id", Dropped(ECHO)),
    field("prompt", Dropped(ECHO)),
    field("prompt_cache_diagnostics", Dropped("why a cache was missed tells the client nothing that it could mend")),
    field("prompt_cache_key", Dropped(ECHO)),
    field("prompt_cache_options", Dropped(ECHO)),
    field("prompt_cache_retention", Dropped(ECHO)),
    field("reasoning", Dropped(ECHO)),
    field("safety_identifier", Dropped(ECHO)),
    field("temperature", Dropped(ECHO)),
    field("text", Dropped(ECHO)),
    field("tool_choice", Dropped(ECHO)),
    field("tool_usage", Dropped(OWN_TOOLS)),
    field("tools", Dropped(ECHO)),
    field("top_logprobs", Dropped(ECHO)),
    field("top_p", Dropped(ECHO)),
    field("truncation", Dropped(ECHO)),
    field("user", Dropped(ECHO)),
    field("usage", Mapped),
    field("usage.total_tokens", Dropped("it is the sum of the two totals")),
    field(
        "usage.input_tokens_details.cache_write_tokens_details",
        Dropped("of tokens that are told how long they are kept; it counts for the price"),
    ),
    field("output[message].id", Dropped(OWN_ITEM)),
    field("output[message].role", Dropped("it is always the same")),
    field("output[message].status", Dropped(STATUS)),
    field("output[message].phase", Dropped("no other format tells apart what is said on the way")),
    field("output[message].content[output_text].text", Mapped),
    field("output[message].content[output_text].logprobs", MappedBut(NO_WORDS)),
    field("output[message].content[output_text].annotations[url_citation]", Mapped),
    field("output[message].content[output_text].annotations[url_citation].start_index", MappedBut(NO_PLACES)),
    field("output[message].content[output_text].annotations[url_citation].end_index", MappedBut(NO_PLACES)),
    field("output[message].content[output_text].annotations[file_citation]", Dropped(STORED)),
    field("output[message].content[output_text].annotations[file_citation].filename", Emulated("named as the source")),
    field("output[message].content[output_text].annotations[container_file_citation]", Dropped(STORED)),
    field(
        "output[message].content[output_text].annotations[container_file_citation].filename",
        Emulated("named as the source"),
    ),
    field(
        "output[message].content[output_text].annotations[container_file_citation].start_index",
        MappedBut(NO_PLACES),
    ),
    field("output[message].content[output_text].annotations[container_file_citation].end_index", MappedBut(NO_PLACES)),
    field("output[message].content[output_text].annotations[file_path]", Dropped(STORED)),
    field("output[message].content[refusal].refusal", Mapped),
    field("output[reasoning].id", Dropped(OWN_ITEM)),
    field("output[reasoning].status", Dropped(STATUS)),
    field("output[reasoning].summary", Mapped),
    field("output[reasoning].content", Mapped),
    field("output[reasoning].encrypted_content", Emulated(SEALED)),
    field("output[function_call].id", Dropped(OWN_ITEM)),
    field("output[function_call].status", Dropped(STATUS)),
    field("output[function_call].namespace", Dropped(CALLER)),
    field("output[function_call].caller", Dropped(CALLER)),
    field("output[function_call].async", Dropped(CALLER)),
    field("output[function_call].call_id", Mapped),
    field("output[function_call].name", Mapped),
    field("output[function_call].arguments", Mapped),
    field("output[custom_tool_call].id", Dropped(OWN_ITEM)),
    field("output[custom_tool_call].namespace", Dropped(CALLER)),
    field("output[custom_tool_call].caller", Dropped(CALLER)),
    field("output[custom_tool_call].async", Dropped(CALLER)),
    field("output[custom_tool_call].call_id", Mapped),
    field("output[custom_tool_call].name", Mapped),
    field("output[custom_tool_call].input", Mapped),
    field("output[image_generation_call]", Dropped(PICTURE)),
    field("output[image_generation_call].result", MappedBut(NO_PICTURES)),
    field("output[image_generation_call].output_format", MappedBut(NO_PICTURES)),
    field("output", Dropped(OWN_TOOLS)),
    field("events[error]", Dropped("the status and the place of an error are the gateway's to say")),
    field("events[error].code", Emulated(WORDS)),
    field("events[error].message", Emulated(WORDS)),
    field("*].sequence_number", Dropped(ORDER)),
    field("*].item_id", Dropped(OWN_ITEM)),
    field("*.delta].logprobs", MappedBut(NO_WORDS)),
    field("events[response.created].response", Dropped(STEP)),
    field("events[response.queued]", Dropped(STEP)),
    field("events[response.in_progress]", Dropped(STEP)),
    field("events[response.completed].response", Mapped),
    field("events[response.incomplete].response", Mapped),
    field("events[response.failed].response", Mapped),
    field("events[response.output_item.added].item", Mapped),
    field("events[response.output_item.added].output_index", Emulated(BY_PLACE)),
    field("events[response.output_item.done].item", Mapped),
    field("events[response.output_item.done].output_index", Emulated(BY_PLACE)),
    field("events[response.content_part.added]", Dropped(STEP)),
    field("events[response.content_part.done]", Dropped(AGAIN)),
    field("events[response.output_text.delta].delta", Mapped),
    field("events[response.output_text.annotation.added].annotation", Mapped),
    field("events[response.output_text.done].text", Emulated("told where a host sends no deltas")),
    field("events[response.output_text.done].logprobs", MappedBut(NO_WORDS)),
    field("events[response.refusal.delta].delta", Mapped),
    field("events[response.refusal.done].refusal", Emulated("told where a host sends no deltas")),
    field("events[response.reasoning_summary_part.added]", Dropped(STEP)),
    field("events[response.reasoning_summary_part.done]", Dropped(AGAIN)),
    field("events[response.reasoning_summary_text.delta].delta", Mapped),
    field("events[response.reasoning_summary_text.done].text", Emulated("told where a host sends no deltas")),
    field("events[response.reasoning_text.delta].delta", Mapped),
    field("events[response.reasoning_text.done].text", Emulated("told where a host sends no deltas")),
    field("events[response.function_call_arguments.delta].delta", Mapped),
    field("events[response.function_call_arguments.done].arguments", Emulated("told where a host sends no deltas")),
    field("events[response.custom_tool_call_input.delta].delta", Mapped),
    field("events[response.custom_tool_call_input.done].input", Emulated("told where a host sends no deltas")),
    field("*].output_index", Emulated(BY_PLACE)),
    field("*].content_index", Emulated(BY_PLACE)),
    field("*].summary_index", Emulated(BY_PLACE)),
    field("events[response.content_part.added].output_index", Dropped(STEP)),
    field("events[response.content_part.added].content_index", Dropped(STEP)),
    field("events[response.content_part.done].output_index", Dropped(AGAIN)),
    field("events[response.content_part.done].content_index", Dropped(AGAIN)),
    field("events[response.reasoning_summary_part.added].output_index", Dropped(STEP)),
    field("events[response.reasoning_summary_part.added].summary_index", Dropped(STEP)),
    field("events[response.reasoning_summary_part.done].output_index", Dropped(AGAIN)),
    field("events[response.reasoning_summary_part.done].summary_index", Dropped(AGAIN)),
    field("events[response.output_text.annotation.added]", Dropped(ORDER)),
    field("events[response.output_text.annotation.added].output_index", Dropped(ORDER)),
    field("events[response.output_text.annotation.added].content_index", Dropped(ORDER)),
    field("events[response.function_call_arguments.delta].output_index", Dropped(LATER)),
    field("events[response.custom_tool_call_input.delta].output_index", Dropped(LATER)),
    field("events", Dropped(OWN_TOOLS)),
];
