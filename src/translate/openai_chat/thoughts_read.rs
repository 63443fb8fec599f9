//! What a client sends back of the model's thoughts: text in `reasoning_content`, tokens in `reasoning_details`.
//!
//! An entry of ours is `{type, index, format: "flux", data: ENVELOPE}`. It also says in `characters` how much of the
//! text belongs to its thought, and in `skipped` how much before it belongs to none, since all
//! thoughts of a message share one field; or in `part: "text"` that it stands on the message's text. Entries of others are their host's own, and go back to it together. Must not know targets.

use crate::translate::envelope::{Envelope, Opened};
use crate::translate::ir::{Blob, BlobKind, Part, PartKind, Text, Value};

use super::spelling::{self, split_characters};

/// The `format` of entries that are ours.
pub(super) const OURS: &str = "flux";

/// The thoughts of one message.
#[derive(Default)]
pub(super) struct Thoughts<'a> {
    /// In their order.
    pub(super) parts: Vec<Part<'a>>,
    /// What stands on the text of the answer.
    pub(super) on_text: Option<Blob<'a>>,
}

/// Reads both fields.
pub(super) fn read<'a>(words: Option<Text<'a>>, details: Option<Value<'a>>, envelope: &Envelope) -> Thoughts<'a> {
    let words = words.filter(|words| !words.is_empty());
    let entries = || details.into_iter().flat_map(Value::elements);
    if entries().next().is_none() {
        let blob = Blob { kind: BlobKind::ChatText, token: Text::default(), maker: None };
        let thought = words.map(|words| signed(words, blob));
        return Thoughts { parts: thought.into_iter().collect(), on_text: None };
    }
    let is_ours = |entry: &Value<'_>| entry.get("format").and_then(Value::as_text).is_some_and(|name| name.is(OURS));
    if entries().any(|entry| is_ours(&entry)) {
        return read_ours(words, entries().filter(is_ours), envelope);
    }
    let token = Text::plain(details.map_or("", Value::spelt));
    let blob = Blob { kind: BlobKind::ChatDetails, token, maker: None };
    Thoughts { parts: vec![signed(words.unwrap_or_default(), blob)], on_text: None }
}

fn read_ours<'a>(
    words: Option<Text<'a>>,
    entries: impl Iterator<Item = Value<'a>>,
    envelope: &Envelope,
) -> Thoughts<'a> {
    let mut read = Thoughts::default();
    let mut tokens: Vec<Token<'a>> = Vec::new();
    for entry in entries {
        let Some(token) = entry.get("data").and_then(Value::as_text) else { continue };
        let blob = match envelope.open(token) {
            Opened::Sealed(blob) => Some(blob),
            Opened::Bare(_) | Opened::Foreign => None,
        };
        if entry.get("part").and_then(Value::as_text).is_some_and(|part| part.is("text")) {
            read.on_text = blob;
        } else {
            let count = |name: &str| entry.get(name).and_then(Value::as_u64).unwrap_or(0);
            tokens.push(Token { skipped: count("skipped"), characters: count("characters"), blob });
        }
    }
    let words = words.unwrap_or_default();
    read.parts = share_out(&words, &tokens).unwrap_or_else(|| {
        // The text is not the one that we sent: no signature of a text fits it any more, but tokens that hold
        // their thought themselves do.
        let whole = tokens.into_iter().filter_map(|token| token.blob).filter(|blob| is_whole(blob.kind));
        let mut parts: Vec<_> = whole.map(|blob| signed(Text::default(), blob)).collect();
        if !words.is_empty() {
            parts.push(PartKind::Thought(words).into());
        }
        parts
    });
    read
}

/// An entry of ours.
struct Token<'a> {
    /// Characters before its thought that belong to none.
    skipped: u64,
    /// Characters of its thought.
    characters: u64,
    /// What was sealed; `None` where it cannot be opened.
    blob: Option<Blob<'a>>,
}

/// Whether a token is worth something without the text that it came with.
fn is_whole(kind: BlobKind) -> bool {
    match kind {
        BlobKind::AnthropicRedacted
        | BlobKind::ResponsesEncrypted
        | BlobKind::GeminiSignature
        | BlobKind::ChatDetails => true,
        BlobKind::AnthropicSignature | BlobKind::ChatText => false,
    }
}

/// Gives each token its share of the text; `None` where the text has not as much.
fn share_out<'a>(words: &Text<'a>, tokens: &[Token<'a>]) -> Option<Vec<Part<'a>>> {
    if let [Token { skipped: 0, characters, blob: Some(blob) }] = tokens
        && *characters == spelling::characters(words.spelt())
    {
        return Some(vec![signed(words.clone(), blob.clone())]);
    }
    let plain = words.to_plain();
    let mut rest: &str = &plain;
    let mut parts = Vec::with_capacity(tokens.len());
    for Token { skipped, characters, blob } in tokens {
        for (count, blob) in [(*skipped, None), (*characters, blob.clone())] {
            let (share, after) = split_characters(rest, count)?;
            rest = after;
            // A token that cannot be opened leaves its text, if it has one.
            if blob.is_some() || !share.is_empty() {
                let kind = PartKind::Thought(Text::plain(share.to_owned()));
                parts.push(Part { blob, ..kind.into() });
            }
        }
    }
    if !rest.is_empty() {
        parts.push(PartKind::Thought(Text::plain(rest.to_owned())).into());
    }
    Some(parts)
}

fn signed<'a>(words: Text<'a>, blob: Blob<'a>) -> Part<'a> {
    Part { blob: Some(blob), ..PartKind::Thought(words).into() }
}
