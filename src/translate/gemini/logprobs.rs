//! `logprobsResult` as Chat's array of words.
//!
//! Must not be called for answers that nobody asked probabilities of: it makes JSON anew.

use crate::translate::ir::Value;
use crate::wire::json::Writer;

/// The array, as JSON text; empty where there is nothing to tell.
pub(super) fn chat_array(result: Value<'_>) -> Vec<u8> {
    let Some(chosen) = result.get("chosenCandidates") else { return Vec::new() };
    let mut tops = result.get("topCandidates").map(Value::elements);
    let mut out = Writer::default();
    out.array(|out| {
        for word in chosen.elements() {
            let top = tops.as_mut().and_then(Iterator::next).and_then(|step| step.get("candidates"));
            out.object(|out| {
                write_word(word, out);
                out.name("top_logprobs").array(|out| {
                    for other in top.into_iter().flat_map(Value::elements) {
                        out.object(|out| write_word(other, out));
                    }
                });
            });
        }
    });
    out.into_bytes()
}

fn write_word(word: Value<'_>, out: &mut Writer) {
    let (mut token, mut logprob) = (None, None);
    for (name, value) in word.members() {
        match &*name {
            "token" => token = value.as_text(),
            "logProbability" => logprob = Some(value),
            _ => {}
        }
    }
    out.name("token").text(&token.unwrap_or_default());
    out.name("logprob");
    match logprob {
        Some(logprob) => out.value(logprob),
        None => out.number(0),
    }
    // The bytes of a word that is no whole character are not told.
    out.name("bytes").null();
}
