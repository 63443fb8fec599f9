//! Every field of an answer of Chat Completions, and what clients of other formats are told of it.
//!
//! Must not know those formats' fields: a field that is mapped may be spelt otherwise there.

use crate::translate::fields::AnswerFate::{Dropped, Emulated, Mapped, MappedBut};
use crate::translate::fields::{AnswerFate, AnswerField};

const fn field(path: &'static str, fate: AnswerFate) -> AnswerField {
    AnswerField { path, fate }
}

const OWN: &str = "the client's answer has an id, a time and a model of its own; calls without ids are named after it";
const FIXED: &str = "it is always the same";
const NO_SOUND: &str = "sound is never asked for: its modality is refused";
const NOT_ASKED: &str = "it is only there where a request asked for it, and such requests are refused";
const SHARE: &str = "a share of a total that is told; it counts for the price, and other formats have no place for it";
const SUM: &str = "it is the sum of the two totals";
const NO_WORDS: &str = "Anthropic's format has no probabilities";
const NO_PLACES: &str = "Anthropic's citations name no place in the answer";
const NO_TIERS: &str = "Anthropic's tiers are others";
const PADDING: &str = "it is noise against listeners";
const ONE: &str = "more than one answer is never asked for; others than the first are passed over";
const OF_REFUSAL: &str = "no other format has probabilities of a refusal's words";

/// The fields of `ChatCompletion` and `ChatCompletionChunk`, then those that hosts added.
pub const ANSWER_FIELDS: &[AnswerField] = &[
    field("id", Emulated(OWN)),
    field("object", Dropped(FIXED)),
    field("created", Emulated(OWN)),
    field("model", Dropped("clients are told the name that they asked for; the provider's stands in a header")),
    field("metadata", Dropped("the client said it itself")),
    field("moderation", Dropped(NOT_ASKED)),
    field("service_tier", MappedBut(NO_TIERS)),
    field("system_fingerprint", Dropped("it tells apart states of one provider, and the client asked for none")),
    field("choices[].index", Emulated(ONE)),
    field("choices[].finish_reason", Mapped),
    field("choices[].logprobs", MappedBut(NO_WORDS)),
    field("choices[].logprobs.refusal", Dropped(OF_REFUSAL)),
    field("choices[].message.role", Dropped(FIXED)),
    field("choices[].message.content", Mapped),
    field("choices[].message.refusal", Mapped),
    field("choices[].message.annotations[].url_citation", Mapped),
    field("choices[].message.annotations[].url_citation.start_index", MappedBut(NO_PLACES)),
    field("choices[].message.annotations[].url_citation.end_index", MappedBut(NO_PLACES)),
    field("choices[].message.audio", Dropped(NO_SOUND)),
    field("choices[].message.function_call", Mapped),
    field("choices[].message.tool_calls", Mapped),
    field("usage", Mapped),
    field("*usage.total_tokens", Dropped(SUM)),
    field("*_details.audio_tokens", Dropped(SHARE)),
    field("*_details.image_tokens", Dropped(SHARE)),
    field("*_details.text_tokens", Dropped(SHARE)),
    field("*_details.accepted_prediction_tokens", Dropped(SHARE)),
    field("*_details.rejected_prediction_tokens", Dropped(SHARE)),
    field("events[].id", Emulated(OWN)),
    field("events[].object", Dropped(FIXED)),
    field("events[].created", Emulated(OWN)),
    field(
        "events[].model",
        Dropped("clients are told the name that they asked for; the provider's stands in a header"),
    ),
    field("events[].moderation", Dropped(NOT_ASKED)),
    field("events[].obfuscation", Dropped(PADDING)),
    field("events[].service_tier", MappedBut(NO_TIERS)),
    field(
        "events[].system_fingerprint",
        Dropped("it tells apart states of one provider, and the client asked for none"),
    ),
    field("events[].choices[].index", Emulated(ONE)),
    field("events[].choices[].finish_reason", Mapped),
    field("events[].choices[].logprobs", MappedBut(NO_WORDS)),
    field("events[].choices[].logprobs.refusal", Dropped(OF_REFUSAL)),
    field("events[].choices[].delta.role", Dropped(FIXED)),
    field("events[].choices[].delta.content", Mapped),
    field("events[].choices[].delta.refusal", Mapped),
    field("events[].choices[].delta.audio", Dropped(NO_SOUND)),
    field("events[].choices[].delta.function_call", Mapped),
    field("events[].choices[].delta.tool_calls", Mapped),
    field(
        "events[].choices[].delta.tool_calls[].index",
        Dropped("an id that is new begins a call: some hosts number all calls 0"),
    ),
    field("events[].usage", Mapped),
    // Of hosts.
    field("choices[].message.reasoning_content", Mapped),
    field("choices[].message.reasoning", Mapped),
    field("choices[].message.reasoning_details", Emulated("goes back to its maker in an envelope")),
    field("choices[].message.images", MappedBut("Anthropic's format has no pictures in answers")),
    field("events[].choices[].delta.reasoning_content", Mapped),
    field("events[].choices[].delta.reasoning", Mapped),
    field("events[].choices[].delta.annotations", Mapped),
    field("events[].choices[].delta.images", MappedBut("Anthropic's format has no pictures in answers")),
];
