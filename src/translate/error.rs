//! A provider's error answer → a refusal that a client may see.
//!
//! Must not let through what is not the client's business: keys, organisations, deployment names,
//! addresses. Only the words of the error object are taken, cleaned and cut.

use std::borrow::Cow;

use serde::Deserialize;

use crate::base::refusal::{Refusal, RefusalKind};

/// A message longer than this is cut: some providers quote the whole prompt.
const MESSAGE_CHARS_MAX: usize = 600;
/// A code or a field name longer than this is not one.
const CODE_BYTES_MAX: usize = 80;

/// The error object of all providers: nested under `error` (OpenAI, Anthropic, Gemini), at the top
/// (Cerebras), or a bare string (xAI).
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default, borrow)]
    error: Option<Inner<'a>>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    code: Option<serde_json::Value>,
    #[serde(default)]
    param: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Inner<'a> {
    Text(Cow<'a, str>),
    Object {
        #[serde(default)]
        message: Option<String>,
        #[serde(default)]
        code: Option<serde_json::Value>,
        #[serde(default)]
        param: Option<String>,
    },
}

/// What the provider said about a request that it refused, fit for the client.
///
/// `status` is the provider's (400 to 499, not one that is its own fault); `body` may be anything.
pub fn rejected(status: u16, body: &[u8]) -> Refusal {
    let said = serde_json::from_slice::<Envelope<'_>>(body).ok();
    let (message, code, param) = match said {
        Some(Envelope { error: Some(Inner::Text(text)), code, param, .. }) => (Some(text.into_owned()), code, param),
        Some(
            Envelope { error: Some(Inner::Object { message, code, param }), .. }
            | Envelope { error: None, message, code, param },
        ) => (message, code, param),
        None => (None, None, None),
    };
    let message = message.map_or_else(
        || "the provider refused the request; check its parameters against the model's documentation".to_owned(),
        |text| clean(&text),
    );
    // Some providers quote the prompt: their words are for the client, not for the log.
    let mut refusal = Refusal::new(RefusalKind::UpstreamRejected(status), message)
        .with_detail(format!("the provider refused the request with {status}"));
    refusal.param = param.filter(|p| is_name(p)).map(Cow::Owned);
    refusal.code = code.and_then(|c| c.as_str().map(str::to_owned)).filter(|c| is_name(c)).map(String::into_boxed_str);
    if refusal.code.as_deref() == Some("context_length_exceeded") {
        refusal.kind = RefusalKind::ContextTooLong;
    }
    refusal
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= CODE_BYTES_MAX
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.[]".contains(&b))
}

/// Cuts the message, and blanks every word that looks like a secret, an account or an address.
fn clean(message: &str) -> String {
    let cut: String = message.chars().filter(|c| !c.is_control() || *c == '\n').take(MESSAGE_CHARS_MAX).collect();
    cut.split(' ').map(|word| if is_private(word) { "***" } else { word }).collect::<Vec<_>>().join(" ")
}

fn is_private(word: &str) -> bool {
    const PREFIXES: [&str; 12] =
        ["sk-", "sk_", "gsk_", "csk-", "xai-", "key-", "org-", "proj_", "AIza", "Bearer", "http://", "https://"];
    let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    PREFIXES.iter().any(|prefix| bare.contains(prefix)) || bare.contains('@') || is_long_token(bare)
}

/// A run of 24 or more characters with digits and letters mixed is no English word.
fn is_long_token(word: &str) -> bool {
    word.len() >= 24
        && word.bytes().any(|b| b.is_ascii_digit())
        && word.bytes().any(|b| b.is_ascii_alphabetic())
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_' || b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_all_shapes_are_found() {
        for (body, message) in [
            (
                r#"{"error":{"message":"bad temperature","type":"x","param":"temperature","code":null}}"#,
                "bad temperature",
            ),
            (
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: required"}}"#,
                "max_tokens: required",
            ),
            (r#"{"message":"wrong","type":"t","param":"p","code":"c"}"#, "wrong"),
            (r#"{"code":"x","error":"plain words"}"#, "plain words"),
        ] {
            assert_eq!(rejected(400, body.as_bytes()).message, message, "{body}");
        }
        assert!(rejected(400, b"<html>").message.contains("refused"));
        assert_eq!(rejected(422, b"{}").status(), 422);
    }

    #[test]
    fn secrets_and_addresses_are_blanked() {
        let body =
            r#"{"error":{"message":"Incorrect key sk-abcdef for org-42 at https://internal.example/v1 (a@b.c)"}}"#;
        let message = rejected(400, body.as_bytes()).message.into_owned();
        assert_eq!(message, "Incorrect key *** for *** at *** ***");
    }

    #[test]
    fn context_too_long_keeps_its_code() {
        let body = r#"{"error":{"message":"too long","code":"context_length_exceeded","param":"messages"}}"#;
        assert_eq!(rejected(400, body.as_bytes()).kind, RefusalKind::ContextTooLong);
    }
}
