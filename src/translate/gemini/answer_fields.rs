//! Every field of an answer of Gemini, and what clients are told of it. A chunk of a stream is a whole answer.
//!
//! Must not know the clients' fields: a field that is mapped may be spelt otherwise there.

use crate::translate::fields::AnswerFate::{Dropped, Emulated, Mapped, MappedBut};
use crate::translate::fields::{AnswerFate, AnswerField};

const fn field(path: &'static str, fate: AnswerFate) -> AnswerField {
    AnswerField { path, fate }
}

const OWN_TOOLS: &str = "tools of the provider's own are never asked for: they are refused by name";
const NO_WORDS: &str = "Anthropic's format has no probabilities";
const NO_PLACES: &str = "Anthropic's citations name no place in the answer";
const NO_PICTURES: &str = "Anthropic's format has no pictures in answers";
const RATED: &str = "ratings change nothing in an answer that was given, and no client's format has them";
const SHARE: &str =
    "a share of a total that is told; it counts for the price, and clients' formats have no place for it";
const SHARES: &str = "Responses' and Anthropic's usage do not tell pictures and sound apart; they count for the price";
const SEARCHED: &str = "how the provider searched; the sources that it found are told";

/// Every field of the answer.
pub const ANSWER_FIELDS: &[AnswerField] = &[
    field("responseId", Emulated("calls without ids are named after it; the answer has an id of its own")),
    field("modelVersion", Dropped("clients are told the name that they asked for; the provider's stands in a header")),
    field("modelStatus", Dropped("when a model retires is the operator's affair")),
    field("createTime", Dropped("the client's answer has a time of its own")),
    field("promptFeedback.blockReason", Mapped),
    field("promptFeedback.blockReasonMessage", Dropped("a filter's words are the provider's; its effect is told")),
    field("promptFeedback.safetyRatings", Dropped(RATED)),
    field("candidates[].index", Emulated("more than one answer is never asked for; others are passed over")),
    field("candidates[].finishReason", Mapped),
    field("candidates[].finishMessage", Emulated("for the log, where the reason is a failure")),
    field("candidates[].tokenCount", Dropped("usage tells it")),
    field("candidates[].avgLogprobs", Dropped("it follows from the probabilities that are told")),
    field("candidates[].safetyRatings", Dropped(RATED)),
    field("candidates[].content.role", Dropped("it is always the same")),
    field("candidates[].content.parts[].text", Mapped),
    field("candidates[].content.parts[].thought", Mapped),
    field("candidates[].content.parts[].thoughtSignature", Emulated("goes back to its maker in an envelope")),
    field("candidates[].content.parts[].inlineData.mimeType", MappedBut(NO_PICTURES)),
    field("candidates[].content.parts[].inlineData.data", MappedBut(NO_PICTURES)),
    field("candidates[].content.parts[].inlineData.displayName", Dropped("pictures in answers have no names")),
    field("candidates[].content.parts[].functionCall.id", Mapped),
    field("candidates[].content.parts[].functionCall.name", Mapped),
    field("candidates[].content.parts[].functionCall.args", Mapped),
    field("candidates[].content.parts[].functionResponse", Dropped(OWN_TOOLS)),
    field("candidates[].content.parts[].fileData", Dropped(OWN_TOOLS)),
    field("candidates[].content.parts[].executableCode", Dropped(OWN_TOOLS)),
    field("candidates[].content.parts[].codeExecutionResult", Dropped(OWN_TOOLS)),
    field("candidates[].content.parts[].toolCall", Dropped(OWN_TOOLS)),
    field("candidates[].content.parts[].toolResponse", Dropped(OWN_TOOLS)),
    field("candidates[].citationMetadata.citationSources[].uri", Mapped),
    field("candidates[].citationMetadata.citationSources[].license", Dropped("no client's format has a place for it")),
    field("candidates[].citationMetadata.citationSources[].startIndex", MappedBut(NO_PLACES)),
    field("candidates[].citationMetadata.citationSources[].endIndex", MappedBut(NO_PLACES)),
    field("candidates[].groundingAttributions", Dropped(SEARCHED)),
    field("candidates[].groundingMetadata", Dropped(SEARCHED)),
    field("candidates[].groundingMetadata.groundingChunks[].web.uri", Mapped),
    field("candidates[].groundingMetadata.groundingChunks[].web.title", Mapped),
    field("candidates[].groundingMetadata.groundingSupports[].groundingChunkIndices", Mapped),
    field("candidates[].groundingMetadata.groundingSupports[].segment.startIndex", MappedBut(NO_PLACES)),
    field("candidates[].groundingMetadata.groundingSupports[].segment.endIndex", MappedBut(NO_PLACES)),
    field("candidates[].urlContextMetadata", Dropped(OWN_TOOLS)),
    field("candidates[].logprobsResult.chosenCandidates[].token", MappedBut(NO_WORDS)),
    field("candidates[].logprobsResult.chosenCandidates[].logProbability", MappedBut(NO_WORDS)),
    field("candidates[].logprobsResult.topCandidates[].candidates[].token", MappedBut(NO_WORDS)),
    field("candidates[].logprobsResult.topCandidates[].candidates[].logProbability", MappedBut(NO_WORDS)),
    field("*.tokenId", Dropped("a number of the provider's own vocabulary")),
    field("candidates[].logprobsResult.logProbabilitySum", Dropped("it follows from the probabilities that are told")),
    field("usageMetadata.promptTokenCount", Mapped),
    field("usageMetadata.cachedContentTokenCount", Mapped),
    field("usageMetadata.candidatesTokenCount", Mapped),
    field("usageMetadata.thoughtsTokenCount", Mapped),
    field("usageMetadata.toolUsePromptTokenCount", Mapped),
    field("usageMetadata.totalTokenCount", Emulated("tells whether the thoughts are inside the candidates' tokens")),
    field("usageMetadata.promptTokensDetails", MappedBut(SHARES)),
    field("usageMetadata.cacheTokensDetails", MappedBut(SHARES)),
    field("usageMetadata.candidatesTokensDetails", MappedBut(SHARES)),
    field("usageMetadata.toolUsePromptTokensDetails", Dropped(SHARE)),
    field("usageMetadata.serviceTier", Dropped("the answer's tier is said by a header of the provider, if at all")),
    field("usageMetadata.trafficType", Dropped("how the provider bills its customer")),
];
