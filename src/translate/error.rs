//! A provider's error answer → whose fault it is, and a refusal that a client may see.
//!
//! Must not let through what is not the client's business: keys, organisations, deployment names,
//! addresses. Only the words of the error object are taken, cleaned and cut.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::base::refusal::{Refusal, RefusalKind};

/// A message longer than this is cut: some providers quote the whole prompt.
const MESSAGE_CHARS_MAX: usize = 600;
/// A code or a field name longer than this is not one.
const CODE_BYTES_MAX: usize = 80;

/// What an error answer with a status of the client's fault (4xx) really says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request is at fault; no other target would take it.
    Refuse(Box<Refusal>),
    /// The target is at fault, or our account there.
    Fail(Cause),
    /// The prompt is longer than this target's window: a larger one may take it, else this is the refusal.
    TooLong(Box<Refusal>),
}

/// Why a target cannot serve, although it answers as if the client were wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It refuses our key or our balance. Some say so with a 400.
    Credentials,
    /// It does not know the model that we named.
    UnknownModel,
}

/// The error object of all providers: nested under `error` (`OpenAI`, Anthropic, Gemini), at the top
/// (Cerebras, Mistral, Bedrock), or a bare string (xAI, Ollama).
#[derive(Default, Deserialize)]
struct Said {
    #[serde(default)]
    message: Option<Value>,
    #[serde(default)]
    code: Option<Value>,
    #[serde(default)]
    param: Option<Value>,
    #[serde(default, rename = "type")]
    kind: Option<Value>,
    #[serde(default)]
    status: Option<Value>,
    #[serde(default)]
    details: Option<Value>,
    #[serde(default)]
    detail: Option<Value>,
}

impl Said {
    fn read(body: &[u8]) -> Self {
        let Ok(mut whole) = serde_json::from_slice::<Value>(body) else { return Self::default() };
        // Gemini puts its errors into a list where a list was asked for.
        if let Value::Array(list) = &mut whole {
            whole = list.first_mut().map(Value::take).unwrap_or_default();
        }
        match whole.get_mut("error").map(Value::take) {
            Some(Value::String(message)) => {
                let outside: Self = serde_json::from_value(whole).unwrap_or_default();
                Self { message: Some(Value::String(message)), ..outside }
            }
            Some(inside @ Value::Object(_)) => serde_json::from_value(inside).unwrap_or_default(),
            _ => serde_json::from_value(whole).unwrap_or_default(),
        }
    }

    /// The sentence for people. Mistral wraps it once more, or gives a list of complaints.
    fn sentence(&self) -> Option<String> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let listed = |value: &Value| {
            let said = value.get(0)?.get("msg").and_then(text)?;
            Some(place_of(value).map_or(said.clone(), |place| format!("{place}: {said}")))
        };
        let message = self.message.as_ref();
        let wrapped = message.and_then(|message| message.get("detail"));
        message
            .and_then(text)
            .or_else(|| wrapped.and_then(|detail| text(detail).or_else(|| listed(detail))))
            .or_else(|| self.detail.as_ref().and_then(|detail| text(detail).or_else(|| listed(detail))))
    }

    /// The field that a list of complaints begins with.
    fn place(&self) -> Option<String> {
        let wrapped = self.message.as_ref().and_then(|message| message.get("detail"));
        wrapped.or(self.detail.as_ref()).and_then(place_of)
    }

    /// All words by which kinds are told apart, in lower case.
    fn words(&self, sentence: &str) -> String {
        let mut words = sentence.to_owned();
        for part in [&self.code, &self.kind, &self.status, &self.details].into_iter().flatten() {
            words.push(' ');
            match part.as_str() {
                Some(word) => words.push_str(word),
                None => words.push_str(&part.to_string()),
            }
        }
        words.make_ascii_lowercase();
        words
    }
}

/// The place of the first complaint of a list (`loc`), as a path of ours: `messages[0].content`.
fn place_of(complaints: &Value) -> Option<String> {
    let steps = complaints.get(0)?.get("loc")?.as_array()?;
    let mut path = String::new();
    for step in steps.iter().skip_while(|step| *step == "body") {
        match (step.as_str(), step.as_u64()) {
            (Some(name), _) if path.is_empty() => path.push_str(name),
            (Some(name), _) => path.extend([".", name]),
            (None, Some(index)) => path.extend(["[", &index.to_string(), "]"]),
            (None, None) => {}
        }
    }
    (!path.is_empty()).then_some(path)
}

/// How long a provider says in an error answer that it wants to be left alone: Google's `RetryInfo`, in seconds with
/// a fraction (`34.07s`). Longer than an hour is not believed.
pub fn wait_told(body: &[u8]) -> Option<Duration> {
    const WAIT_MAX: Duration = Duration::from_hours(1);
    let said = Said::read(body);
    let details = said.details.as_ref()?.as_array()?;
    let told = details.iter().find_map(|detail| detail.get("retryDelay")?.as_str()?.strip_suffix('s'))?;
    let (whole, fraction) = told.split_once('.').unwrap_or((told, ""));
    let is_more = fraction.bytes().any(|digit| digit != b'0');
    let seconds = whole.parse::<u64>().ok()?.saturating_add(u64::from(is_more));
    Some(Duration::from_secs(seconds).min(WAIT_MAX))
}

/// What a provider said about a request that it refused.
///
/// `status` is the provider's (400 to 499, not one that is always its own fault); `body` may be anything.
pub fn judge(status: u16, body: &[u8]) -> Verdict {
    let said = Said::read(body);
    let sentence = said.sentence();
    let words = said.words(sentence.as_deref().unwrap_or_default());
    let says_any = |signs: &[&str]| signs.iter().any(|sign| words.contains(sign));
    if status == 412 || says_any(OF_CREDENTIALS) {
        return Verdict::Fail(Cause::Credentials);
    }
    // What else is not there (a file, a stored response) the client has named.
    if status == 404 && says_any(&["model", "deployment"]) {
        return Verdict::Fail(Cause::UnknownModel);
    }
    let refusal = refusal(status, sentence, &said);
    // Groq answers 413 where a prompt is too large for its quota of a minute.
    if says_any(OF_LENGTH) || (status == 413 && says_any(&["tokens per minute", "tpm"])) {
        return Verdict::TooLong(Box::new(Refusal { kind: RefusalKind::ContextTooLong, code: None, ..refusal }));
    }
    if says_any(OF_POLICY) {
        let code = Some("content_policy_violation".into());
        return Verdict::Refuse(Box::new(Refusal { kind: RefusalKind::UpstreamRejected(400), code, ..refusal }));
    }
    Verdict::Refuse(Box::new(refusal))
}

/// Gemini's and xAI's 400 for a wrong key, `OpenAI`'s codes for an empty account.
const OF_CREDENTIALS: &[&str] = &[
    "api_key_invalid",
    "api key not valid",
    "invalid_api_key",
    "incorrect api key",
    "wrong_api_key",
    "insufficient_quota",
    "billing_not_active",
    "billing_hard_limit",
    "credit balance is too low",
];

/// `OpenAI`'s code, and the sentences of Anthropic, Gemini, vLLM, Together and Bedrock.
const OF_LENGTH: &[&str] = &[
    "context_length_exceeded",
    "prompt is too long",
    "exceeds the maximum number of tokens",
    "maximum context length",
    "input is too long",
    "exceed context limit",
    "model_context_window_exceeded",
];

/// Azure's filter and `OpenAI`'s moderation.
const OF_POLICY: &[&str] =
    &["content_filter", "content_policy_violation", "moderation_blocked", "responsibleaipolicyviolation"];

fn refusal(status: u16, sentence: Option<String>, said: &Said) -> Refusal {
    let message = sentence.map_or_else(
        || "the provider refused the request; check its parameters against the model's documentation".to_owned(),
        |text| clean(&text),
    );
    // Some providers quote the prompt: their words are for the client, not for the log.
    let mut refusal = Refusal::new(RefusalKind::UpstreamRejected(status), message)
        .with_detail(format!("the provider refused the request with {status}"));
    let name =
        |value: &Option<Value>| value.as_ref().and_then(Value::as_str).filter(|text| is_name(text)).map(str::to_owned);
    let place = || said.place().filter(|place| is_name(place));
    refusal.param = name(&said.param).or_else(place).map(String::into_boxed_str);
    refusal.code = name(&said.code).map(String::into_boxed_str);
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

    fn refused(status: u16, body: &str) -> Refusal {
        match judge(status, body.as_bytes()) {
            Verdict::Refuse(refusal) | Verdict::TooLong(refusal) => *refusal,
            Verdict::Fail(cause) => panic!("{body}: {cause:?}"),
        }
    }

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
            (r#"[{"error":{"code":400,"message":"no contents","status":"INVALID_ARGUMENT"}}]"#, "no contents"),
            (r#"{"detail":[{"loc":["body"],"msg":"field required","type":"missing"}]}"#, "field required"),
            (r#"{"object":"error","message":{"detail":[{"msg":"extra field"}]},"code":null}"#, "extra field"),
        ] {
            assert_eq!(refused(400, body).message, message, "{body}");
        }
        assert!(refused(400, "<html>").message.contains("refused"));
        assert_eq!(refused(422, "{}").status(), 422);
        assert_eq!(refused(404, r#"{"error":{"message":"file-1 was not found"}}"#).status(), 404);
    }

    #[test]
    fn the_field_of_a_list_of_complaints_is_named() {
        let body = r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","messages",0,"x"],"msg":"Extra inputs are not permitted"}]}}"#;
        let refusal = refused(422, body);
        assert_eq!(refusal.message, "messages[0].x: Extra inputs are not permitted");
        assert_eq!(refusal.param.as_deref(), Some("messages[0].x"));
    }

    #[test]
    fn googles_wait_is_read_and_rounded_up() {
        let body = |delay: &str| {
            format!(
                r#"[{{"error":{{"code":429,"details":[{{"@type":"x"}},{{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"{delay}"}}]}}}}]"#
            )
        };
        for (delay, seconds) in
            [("34.074824224s", Some(35)), ("3s", Some(3)), ("0.0s", Some(0)), ("99999s", Some(3_600)), ("soon", None)]
        {
            assert_eq!(wait_told(body(delay).as_bytes()), seconds.map(Duration::from_secs), "{delay}");
        }
        assert_eq!(wait_told(b"<html>"), None);
    }

    #[test]
    fn whose_fault_it_is() {
        let credentials = Verdict::Fail(Cause::Credentials);
        for (status, body, verdict) in [
            (
                400,
                r#"{"error":{"code":400,"message":"x","details":[{"reason":"API_KEY_INVALID"}]}}"#,
                credentials.clone(),
            ),
            (400, r#"{"code":"invalid-argument","error":"Incorrect API key provided"}"#, credentials.clone()),
            (400, r#"{"error":{"message":"Your credit balance is too low"}}"#, credentials.clone()),
            (412, "{}", credentials),
            (404, r#"{"error":{"message":"no such model"}}"#, Verdict::Fail(Cause::UnknownModel)),
        ] {
            assert_eq!(judge(status, body.as_bytes()), verdict, "{body}");
        }
        for body in [
            r#"{"error":{"message":"too long","code":"context_length_exceeded","param":"messages"}}"#,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 3 > 2"}}"#,
            r#"{"error":{"message":"This model's maximum context length is 8 tokens","code":400}}"#,
        ] {
            let Verdict::TooLong(refusal) = judge(400, body.as_bytes()) else { panic!("{body}") };
            assert_eq!(refusal.kind, RefusalKind::ContextTooLong, "{body}");
        }
        let filtered = refused(400, r#"{"error":{"code":"content_filter","message":"no","innererror":{}}}"#);
        assert_eq!((filtered.status(), filtered.code.as_deref()), (400, Some("content_policy_violation")));
    }

    #[test]
    fn secrets_and_addresses_are_blanked() {
        let body = r#"{"error":{"message":"The key sk-abcdef for org-42 at https://internal.example/v1 (a@b.c)"}}"#;
        let message = refused(400, body).message.into_owned();
        assert_eq!(message, "The key *** for *** at *** ***");
    }
}
