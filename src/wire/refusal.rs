//! How a refusal looks in each client wire format, as an answer and as the last event of a stream.
//!
//! Must not know HTTP headers or sockets. Nothing else in the crate knows the error envelopes:
//! OpenAI's `{"error":{message,type,param,code}}` and Anthropic's
//! `{"type":"error","error":{type,message},"request_id"}`.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::json;

use crate::base::ids::RequestId;
use crate::base::refusal::{Figures, Refusal, RefusalKind};
use crate::base::wire_format::WireFormat;

/// The JSON body of a refusal.
pub fn body(refusal: &Refusal, format: WireFormat, id: RequestId) -> Bytes {
    let value = match format {
        WireFormat::AnthropicMessages => anthropic(refusal, id),
        WireFormat::OpenaiChat
        | WireFormat::OpenaiResponses
        | WireFormat::OpenaiImages
        | WireFormat::GeminiGenerate
        | WireFormat::BedrockConverse
        | WireFormat::OpenaiEmbeddings
        | WireFormat::OpenaiImageEdits
        | WireFormat::OpenaiTranscriptions
        | WireFormat::OpenaiSpeech => openai(refusal),
    };
    let mut body = value.to_string();
    if let (Some(figures), true) = (&refusal.figures, body.ends_with('}')) {
        body.pop();
        add_figures(&mut body, figures);
        body.push('}');
    }
    Bytes::from(body)
}

/// The figures stand beside `error`, as numbers of any length.
fn add_figures(body: &mut String, figures: &Figures) {
    let Figures { balance, estimated_cost, limit, remaining, reset } = figures;
    let members = [
        ("balance", balance.clone()),
        ("estimated_cost", estimated_cost.clone()),
        ("limit", limit.clone()),
        ("remaining", remaining.map(|remaining| remaining.to_string())),
        ("reset", reset.map(|reset| reset.0.div_ceil(1_000).to_string())),
    ];
    for (name, value) in members {
        if let Some(value) = value {
            body.extend([",\"", name, "\":", &value]);
        }
    }
}

/// The status of a refusal: Anthropic has one for requests that make no sense, other providers several.
pub fn status(refusal: &Refusal, format: WireFormat) -> u16 {
    match (refusal.kind, format) {
        (RefusalKind::UpstreamRejected(status), WireFormat::AnthropicMessages)
            if !matches!(status, 404 | 413) && (400..500).contains(&status) =>
        {
            400
        }
        _ => refusal.status(),
    }
}

/// The event that ends a stream which failed after content had gone out. No terminator follows it:
/// a client must not take what it has for a whole answer.
pub fn stream_event(refusal: &Refusal, format: WireFormat, id: RequestId) -> Bytes {
    let (name, body) = match format {
        WireFormat::AnthropicMessages => ("event: error\n", body(refusal, format, id)),
        WireFormat::OpenaiResponses => ("event: error\n", Bytes::from(responses_event(refusal).to_string())),
        WireFormat::OpenaiChat
        | WireFormat::OpenaiImages
        | WireFormat::GeminiGenerate
        | WireFormat::BedrockConverse
        | WireFormat::OpenaiEmbeddings
        | WireFormat::OpenaiImageEdits
        | WireFormat::OpenaiTranscriptions
        | WireFormat::OpenaiSpeech => ("", body(refusal, format, id)),
    };
    let mut event = Vec::with_capacity(body.len().saturating_add(32));
    event.extend_from_slice(name.as_bytes());
    event.extend_from_slice(b"data: ");
    event.extend_from_slice(&body);
    event.extend_from_slice(b"\n\n");
    Bytes::from(event)
}

/// Responses has its fields at the top. Its numbers are not counted where its bytes pass as they are.
fn responses_event(refusal: &Refusal) -> serde_json::Value {
    let (kind, code) = openai_type_and_code(refusal.kind);
    json!({
        "type": "error",
        "code": refusal.code.as_deref().or(code).unwrap_or(kind),
        "message": refusal.message,
        "param": refusal.param,
        "sequence_number": 0,
    })
}

fn openai(refusal: &Refusal) -> serde_json::Value {
    let (kind, code) = openai_type_and_code(refusal.kind);
    json!({
        "error": {
            "message": refusal.message,
            "type": kind,
            "param": refusal.param,
            "code": refusal.code.as_deref().or(code),
        }
    })
}

fn anthropic(refusal: &Refusal, id: RequestId) -> serde_json::Value {
    json!({
        "type": "error",
        "error": { "type": anthropic_type(refusal), "message": placed(refusal) },
        "request_id": id.to_string(),
    })
}

/// The format has no place for the field that is at fault: it goes ahead of the message, as Anthropic itself does.
fn placed(refusal: &Refusal) -> Cow<'_, str> {
    match &refusal.param {
        Some(param) if !refusal.message.contains(&**param) => format!("{param}: {}", refusal.message).into(),
        Some(_) | None => Cow::Borrowed(&*refusal.message),
    }
}

fn openai_type_and_code(kind: RefusalKind) -> (&'static str, Option<&'static str>) {
    match kind {
        RefusalKind::InvalidRequest | RefusalKind::UpstreamRejected(_) => ("invalid_request_error", None),
        RefusalKind::WireFormatMismatch => ("invalid_request_error", Some("unsupported_wire_format")),
        RefusalKind::ContextTooLong => ("invalid_request_error", Some("context_length_exceeded")),
        RefusalKind::FundsSpent => ("insufficient_quota", Some("insufficient_quota")),
        RefusalKind::BudgetSpent => ("insufficient_quota", Some("key_budget_exceeded")),
        RefusalKind::TooManyRequests => ("requests", Some("rate_limit_exceeded")),
        RefusalKind::TooManyTokens => ("tokens", Some("rate_limit_exceeded")),
        RefusalKind::InvalidKey => ("invalid_request_error", Some("invalid_api_key")),
        RefusalKind::Forbidden => ("permission_error", Some("forbidden")),
        RefusalKind::NotFound => ("invalid_request_error", Some("not_found")),
        RefusalKind::ModelNotFound => ("invalid_request_error", Some("model_not_found")),
        RefusalKind::MethodNotAllowed(_) => ("invalid_request_error", Some("method_not_allowed")),
        RefusalKind::RequestTimeout => ("invalid_request_error", Some("request_timeout")),
        RefusalKind::Repeated => ("invalid_request_error", Some("idempotency_conflict")),
        RefusalKind::BodyTooLarge => ("invalid_request_error", Some("request_too_large")),
        RefusalKind::ExpectationFailed => ("invalid_request_error", Some("expectation_failed")),
        RefusalKind::HeadTooLarge => ("invalid_request_error", Some("headers_too_large")),
        RefusalKind::Internal => ("server_error", Some("internal_error")),
        RefusalKind::AllAttemptsFailed => ("server_error", Some("upstream_unavailable")),
        RefusalKind::Misconfigured => ("server_error", Some("upstream_misconfigured")),
        RefusalKind::Overloaded => ("server_error", Some("overloaded")),
        RefusalKind::DeadlineExceeded => ("server_error", Some("timeout")),
    }
}

fn anthropic_type(refusal: &Refusal) -> &'static str {
    if refusal.kind == RefusalKind::Misconfigured {
        return "api_error";
    }
    match status(refusal, WireFormat::AnthropicMessages) {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        408 | 504 => "timeout_error",
        status if status < 500 => "invalid_request_error",
        _ => "api_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::UnixMs;

    fn id() -> RequestId {
        RequestId::new(UnixMs(1), 2)
    }

    #[test]
    fn each_format_has_its_own_envelope() {
        let refusal = Refusal::new(RefusalKind::ModelNotFound, "no model \"x\"").with_param("model");
        let openai: serde_json::Value = serde_json::from_slice(&body(&refusal, WireFormat::OpenaiChat, id())).unwrap();
        assert_eq!(openai["error"]["code"], "model_not_found");
        assert_eq!(openai["error"]["param"], "model");
        let anthropic: serde_json::Value =
            serde_json::from_slice(&body(&refusal, WireFormat::AnthropicMessages, id())).unwrap();
        assert_eq!(anthropic["type"], "error");
        assert_eq!(anthropic["error"]["type"], "not_found_error");
        assert_eq!(anthropic["request_id"], id().to_string());
    }

    #[test]
    fn anthropics_clients_read_the_field_in_the_message_and_know_one_status() {
        let refusal = Refusal::new(RefusalKind::UpstreamRejected(422), "must be a text").with_param("messages[1]");
        let told: serde_json::Value =
            serde_json::from_slice(&body(&refusal, WireFormat::AnthropicMessages, id())).unwrap();
        assert_eq!(told["error"]["message"], "messages[1]: must be a text");
        assert_eq!(told["error"]["type"], "invalid_request_error");
        assert_eq!(status(&refusal, WireFormat::AnthropicMessages), 400);
        assert_eq!(status(&refusal, WireFormat::OpenaiChat), 422);
        let kept = Refusal::new(RefusalKind::UpstreamRejected(413), "too long");
        assert_eq!(status(&kept, WireFormat::AnthropicMessages), 413);
    }

    #[test]
    fn a_stream_event_is_one_frame() {
        let refusal = Refusal::new(RefusalKind::AllAttemptsFailed, "the provider failed");
        let event = stream_event(&refusal, WireFormat::AnthropicMessages, id());
        assert!(event.starts_with(b"event: error\ndata: {"));
        assert!(event.ends_with(b"}\n\n"));
    }
}
