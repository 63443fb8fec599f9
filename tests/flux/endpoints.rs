//! The endpoints beside the talks: embeddings, images, transcriptions, speech. Bytes, prices, failover, refusals.
//!
//! Must not know how they are priced: costs are worked out here by hand, from the lists in `conf/models.toml`.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::answers::Answer;
use super::config::{copy_of_conf, edit};
use super::gemini;
use super::harness::{Flux, Setup, ask_chat, ask_chat_stream, ask_messages};
use super::http::{Reply, request};
use super::passthrough::{assert_chat_error, assert_clean, assert_messages_error};
use super::provider::Provider;
use super::sse;

/// Three bytes of a PNG's head in base64: enough to be told for one.
pub(crate) const PNG: &str = "iVBORw0KGgo=";
pub(crate) const BOUNDARY: &str = "----flux7MA4";

/// The models that get a second provider, `other`, under names of its own: model, name there, format.
const SECONDS: [(&str, &str, &str, &str); 4] = [
    ("text-embedding-3-small", "embed-two", "openai-embeddings", "kind = \"embedding\""),
    ("whisper-1", "whisper-two", "openai-transcriptions", "kind = \"transcription\""),
    ("tts-1", "tts-two", "openai-speech", "kind = \"speech\""),
    ("gpt-image-2.6-flare", "flare-two", "openai-images", "kind = \"image\""),
];

/// A configuration in which each endpoint has two providers, the second at other prices.
fn with_seconds() -> TempDir {
    let dir = copy_of_conf();
    let formats = concat!(
        "formats.openai-embeddings = \"/embeddings\"\nformats.openai-images = \"/images/generations\"\n",
        "formats.openai-image-edits = \"/images/edits\"\nformats.openai-transcriptions = \"/audio/transcriptions\"\n",
        "formats.openai-speech = \"/audio/speech\"\n"
    );
    let provider = format!("[other]\nbase_url = \"http://127.0.0.1:1/v1\"\napi_key_env = []\n{formats}\n[openai]\n");
    edit(dir.path(), "providers.toml", "[openai]\n", &provider);
    for (model, name, format, kind) in SECONDS {
        let price = match format {
            "openai-embeddings" => "rates = { input = \"0.5\" }",
            "openai-transcriptions" => "per_hour = \"3.6\"",
            "openai-speech" => "per_1m_characters = \"1\"",
            _ => "per_image = { default = \"0.07\", \"high@1024x1024\" = \"0.11\" }",
        };
        let edits = if format == "openai-images" { ", \"openai-image-edits\"" } else { "" };
        let text = format!(
            "[\"other/{model}\"]\nmodel = \"{name}\"\ncanonical = \"{model}\"\n{kind}\nformats = [\"{format}\"{edits}]\n\
             [\"other/{model}\".price]\nas_of = \"2026-11-22\"\n{price}\n\n[\"openai/{model}\"]\n"
        );
        edit(dir.path(), "models.toml", &format!("[\"openai/{model}\"]\n"), &text);
        edit(
            dir.path(),
            "lanes.toml",
            &format!("{} = [\"openai/{model}\"", pin(model)),
            &format!("{} = [\"openai/{model}\", \"other/{model}\"", pin(model)),
        );
    }
    dir
}

fn pin(model: &str) -> String {
    format!("flux-pinned-{}", model.replace('.', "-"))
}

/// A failing OpenAI and a healthy second provider.
struct Pair {
    openai: Provider,
    other: Provider,
    flux: Flux,
    /// The files that Flux watches.
    _conf: TempDir,
}

impl Pair {
    fn start() -> Self {
        let (openai, other, conf) = (Provider::openai(), Provider::bearer("other"), with_seconds());
        let flux = Setup::with(&[&openai, &other]).config(conf.path()).start();
        Self { openai, other, flux, _conf: conf }
    }
}

fn post(flux: &Flux, path: &str, media_type: &str, body: &[u8]) -> Reply {
    let bearer = flux.bearer();
    flux.ask(&request("POST", path, &[("authorization", &bearer), ("content-type", media_type)], body))
}

pub(crate) fn post_json(flux: &Flux, path: &str, body: &Value) -> Reply {
    post(flux, path, "application/json", body.to_string().as_bytes())
}

pub(crate) fn post_form(flux: &Flux, path: &str, body: &[u8]) -> Reply {
    post(flux, path, &format!("multipart/form-data; boundary={BOUNDARY}"), body)
}

/// A form of text fields and one file, the model last as SDKs send it.
pub(crate) fn form(file: (&str, &[u8]), fields: &[(&str, &str)]) -> Vec<u8> {
    let (name, content) = file;
    let mut body = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"a.bin\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(content);
    for (name, value) in fields {
        let part = format!("\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}");
        body.extend_from_slice(part.as_bytes());
    }
    body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    body
}

fn vectors(tokens: u64) -> Answer {
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    Answer::json(
        200,
        &json!({"object": "list", "model": "provider-model", "usage": usage,
        "data": [{"object": "embedding", "index": 0, "embedding": [0.1, -0.2]}]}),
    )
}

pub(crate) fn pictures(count: usize, usage: &Value) -> Answer {
    let data = vec![json!({"b64_json": PNG}); count];
    Answer::json(200, &json!({"created": 1_790_000_000, "data": data, "usage": usage}))
}

pub(crate) fn picture_usage() -> Value {
    json!({"input_tokens": 50, "output_tokens": 1056, "total_tokens": 1106,
        "input_tokens_details": {"text_tokens": 50, "image_tokens": 0}})
}

/// 50 words at 5 USD and 1056 image tokens at 30 USD for a million.
pub(crate) const FLARE_NANO: i64 = 50 * 5_000 + 1_056 * 30_000;

#[track_caller]
pub(crate) fn assert_charged(flux: &Flux, reply: &Reply, nano: i64, format: &str) {
    assert_clean(reply);
    assert_eq!(reply.cost_nano(), nano);
    let row = flux.only_row();
    assert_eq!(row.amount_nano(), nano);
    assert_eq!((row.text("wire_format"), row.text("ending")), (format, "done"));
    assert_eq!(row.request_id(), reply.header("x-flux-request-id"));
}

#[test]
fn embeddings_go_through_and_are_paid_by_their_tokens() {
    let openai = Provider::openai();
    openai.next(vectors(8_000));
    let flux = Setup::with(&[&openai]).start();
    let body = "{\"input\":[\"a \\u00e9\",\"b\"], \"model\" : \"text-embedding-3-small\",\"dimensions\":2, \"x\":1e2}";
    let reply = post(&flux, "/v1/embeddings", "application/json", body.as_bytes()).expect_status(200);
    assert_eq!(openai.only().target, "POST /v1/embeddings");
    assert_eq!(openai.only().text(), body);
    assert_eq!(reply.json()["data"][0]["embedding"], json!([0.1, -0.2]));
    assert_charged(&flux, &reply, 8_000 * 20, "openai-embeddings");
    assert_eq!(flux.only_row().number("input"), 8_000);
    assert!(!flux.only_row().is_estimated());
    let listed: Vec<Value> = flux.get("/v1/models").json()["data"].as_array().expect("a list").clone();
    let entry = listed.iter().find(|model| model["id"] == "flux-pinned-text-embedding-3-small").expect("listed");
    assert_eq!(entry["pricing"]["input"], "0.02");
    let speaker = listed.iter().find(|model| model["id"] == "flux-pinned-tts-1").expect("listed");
    assert_eq!(speaker["pricing"], json!({"currency": "USD", "unit": "1M characters", "price": "15"}));
    assert!(flux.metric("flux_requests_total", &["embeddings"]) >= 1.0);
}

#[test]
fn embeddings_fail_over_and_are_estimated_where_nothing_is_reported() {
    let pair = Pair::start();
    pair.openai.next(Answer::failure(500));
    let silent = json!({"object": "list", "data": [{"index": 0, "embedding": "AAAA"}]});
    pair.other.next(Answer::json(200, &silent));
    let body = json!({"model": "text-embedding-3-small", "input": [[1, 2, 3], [4, 5]]});
    let reply = post_json(&pair.flux, "/v1/embeddings", &body).expect_status(200);
    assert_eq!(reply.header("x-flux-attempts"), "2");
    assert_eq!(pair.other.only().text(), body.to_string().replace("text-embedding-3-small", "embed-two"));
    assert_charged(&pair.flux, &reply, 5 * 500, "openai-embeddings");
    assert!(pair.flux.only_row().is_estimated());
}

#[test]
fn a_broken_answer_is_no_embedding() {
    for broken in [json!({}), json!({"data": []}), json!({"error": {"message": "x"}})] {
        let pair = Pair::start();
        pair.openai.next(Answer::json(200, &broken));
        pair.other.next(vectors(10));
        let body = json!({"model": "text-embedding-3-small", "input": "x"});
        let reply = post_json(&pair.flux, "/v1/embeddings", &body).expect_status(200);
        assert_charged(&pair.flux, &reply, 10 * 500, "openai-embeddings");
    }
}

#[test]
fn each_kind_of_model_has_its_endpoint() {
    let (openai, anthropic) = (Provider::openai(), Provider::anthropic());
    let flux = Setup::with(&[&openai, &anthropic]).start();
    let error = assert_chat_error(&flux.chat(&ask_chat("text-embedding-3-small")), 400);
    assert_eq!(error["code"], "unsupported_wire_format");
    let body = json!({"model": "gpt-6-luna", "input": "x"});
    assert_chat_error(&post_json(&flux, "/v1/embeddings", &body), 400);
    let body = json!({"model": "gpt-6-luna", "prompt": "x"});
    assert_chat_error(&post_json(&flux, "/v1/images/generations", &body), 400);
    let error = assert_messages_error(&flux.messages(&ask_messages("flux-image")), 400, "invalid_request_error");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("image_output_not_supported")));
    assert_chat_error(&post_json(&flux, "/v1/embeddings", &json!({"model": "no-such", "input": "x"})), 404);
    assert_chat_error(&flux.get("/v1/embeddings"), 405);
    let body = json!({"model": "flux-image", "prompt": "x", "stream": true});
    let error = assert_chat_error(&post_json(&flux, "/v1/images/generations", &body), 400);
    assert_eq!(error["param"], "stream");
    let unauthorised = request("POST", "/v1/embeddings", &[("content-type", "application/json")], b"{}");
    assert_chat_error(&flux.ask(&unauthorised), 401);
    assert_eq!((openai.count(), anthropic.count()), (0, 0));
}

#[test]
fn images_are_paid_by_their_tokens() {
    let openai = Provider::openai();
    openai.next(pictures(1, &picture_usage()));
    let flux = Setup::with(&[&openai]).start();
    let body = "{\"prompt\":\"a fox\",\"model\": \"flux-image\",\"size\":\"1024x1024\"}";
    let reply = post(&flux, "/v1/images/generations", "application/json", body.as_bytes()).expect_status(200);
    assert_eq!(openai.only().text(), body.replace("flux-image", "gpt-image-2.6-flare"));
    assert_eq!(reply.header("x-flux-lane"), "flux-image");
    assert_eq!(reply.json()["data"][0]["b64_json"], PNG);
    assert_charged(&flux, &reply, FLARE_NANO, "openai-images");
    assert_eq!(flux.only_row().number("output_image"), 1_056);
}

#[test]
fn t09_images_are_paid_by_the_piece_where_the_list_says_so() {
    let xai = Provider::bearer("xai");
    let flux = Setup::with(&[&xai]).start();
    for (quality, resolution, count, nano) in [
        (Some("low"), Some("1k"), 2, 2 * 40_000_000),
        (Some("medium"), Some("2k"), 1, 80_000_000),
        (Some("low"), None, 1, 40_000_000),
        (None, Some("2k"), 1, 80_000_000),
        (None, None, 3, 3 * 60_000_000),
        (Some("unheard of"), Some("9k"), 1, 60_000_000),
    ] {
        xai.next(pictures(count, &Value::Null));
        let body = json!({"model": "flux-pinned-grok-imagine-2", "prompt": "a fox", "n": 9,
            "quality": quality, "resolution": resolution});
        let reply = post_json(&flux, "/v1/images/generations", &body).expect_status(200);
        assert_eq!(reply.cost_nano(), nano, "{quality:?} {resolution:?}");
    }
}

#[test]
fn images_fail_over_to_another_way_of_paying() {
    let pair = Pair::start();
    pair.openai.next(Answer::json(200, &json!({"created": 1, "data": []})));
    pair.other.next(pictures(2, &Value::Null));
    let body = json!({"model": pin("gpt-image-2.6-flare"), "prompt": "x", "quality": "high", "size": "1024x1024"});
    let reply = post_json(&pair.flux, "/v1/images/generations", &body).expect_status(200);
    assert_eq!(reply.header("x-flux-attempts"), "2");
    assert_charged(&pair.flux, &reply, 2 * 110_000_000, "openai-images");
}

pub(crate) fn painted(text: &str) -> Vec<Value> {
    let mut parts = gemini::words(text);
    parts.push(json!({"inlineData": {"mimeType": "image/png", "data": PNG}}));
    parts
}

pub(crate) fn painted_usage() -> Value {
    let mut usage = gemini::usage(10, 1_125, 0);
    usage["candidatesTokensDetails"] = json!([{"modality": "IMAGE", "tokenCount": 1_120}]);
    usage
}

/// 10 words at 1.5 USD, 5 at 7.5 and 1120 image tokens at 30 for a million.
pub(crate) const BANANA_NANO: i64 = 10 * 1_500 + 5 * 7_500 + 1_120 * 30_000;

#[test]
fn gemini_paints_behind_the_images_endpoint() {
    let google = Provider::google();
    google.always(gemini::answering(painted("There."), painted_usage()));
    let flux = Setup::with(&[&google]).start();
    let body = json!({"model": "flux-image", "prompt": "a \"fox\"", "size": "1024x1536", "quality": "high", "n": 1,
        "moderation": "low"});
    let reply = post_json(&flux, "/v1/images/generations", &body).expect_status(200);
    let asked = google.only();
    assert_eq!(asked.target, "POST /v1beta/models/gemini-nano-banana-2.1:generateContent");
    assert_eq!(asked.json()["contents"], json!([{"role": "user", "parts": [{"text": "a \"fox\""}]}]));
    let config = &asked.json()["generationConfig"];
    assert_eq!(config["responseModalities"], json!(["TEXT", "IMAGE"]));
    assert_eq!(config["imageConfig"], json!({"aspectRatio": "2:3"}));
    assert_eq!(reply.json()["data"], json!([{"b64_json": PNG}]));
    assert_eq!(reply.json()["usage"]["output_tokens"], 1_125);
    assert_eq!(reply.header("x-flux-ignored"), "moderation, quality");
    assert_charged(&flux, &reply, BANANA_NANO, "openai-images");
}

#[test]
fn what_gemini_cannot_paint_is_told() {
    let google = Provider::google();
    let flux = Setup::with(&[&google]).start();
    for (field, value) in [
        ("n", json!(2)),
        ("background", json!("transparent")),
        ("output_format", json!("svg")),
        ("response_format", json!("url")),
        ("size", json!("huge")),
        ("prompt", json!("  ")),
    ] {
        let mut body = json!({"model": "flux-image", "prompt": "a fox"});
        body[field] = value;
        let error = assert_chat_error(&post_json(&flux, "/v1/images/generations", &body), 400);
        assert_eq!(error["param"], field);
    }
    assert_eq!(google.count(), 0);
    google.next(Answer::json(200, &gemini::body(&[], Some("IMAGE_SAFETY"), &gemini::usage(10, 0, 0))));
    let body = json!({"model": "flux-image", "prompt": "a fox"});
    let error = assert_chat_error(&post_json(&flux, "/v1/images/generations", &body), 400);
    assert_eq!(error["code"], "moderation_blocked");
}

#[test]
fn images_fail_over_between_formats() {
    let (openai, google) = (Provider::openai(), Provider::google());
    openai.next(Answer::failure(503));
    google.always(gemini::answering(painted(""), painted_usage()));
    let flux = Setup::with(&[&openai, &google]).start();
    let reply = post_json(&flux, "/v1/images/generations", &json!({"model": "flux-image", "prompt": "a fox"}));
    let reply = reply.expect_status(200);
    assert_eq!((reply.header("x-flux-attempts"), reply.header("x-flux-provider")), ("2", "google"));
    assert_eq!(reply.json()["data"][0]["b64_json"], PNG);
    openai.next(pictures(1, &picture_usage()));
    assert!(Setup::with(&[&openai]).start().get("/v1/models").text().contains("\"flux-image\""));
}

#[test]
fn a_chat_client_gets_pictures_from_the_images_endpoint() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    openai.next(pictures(1, &picture_usage()));
    let reply = flux.chat(&ask_chat("flux-image")).expect_status(200);
    let asked = openai.only();
    assert_eq!(asked.target, "POST /v1/images/generations");
    assert_eq!(asked.json(), json!({"model": "gpt-image-2.6-flare", "prompt": "Say hello."}));
    let message = &reply.json()["choices"][0]["message"];
    let url = format!("data:image/png;base64,{PNG}");
    assert_eq!(message["images"][0]["image_url"]["url"], url);
    assert_eq!(reply.header("x-flux-ignored"), "max_tokens");
    assert_charged(&flux, &reply, FLARE_NANO, "openai-chat");

    openai.next(pictures(1, &picture_usage()));
    let reply = flux.ask(&flux.chat_request(ask_chat_stream("flux-image").to_string().as_bytes())).expect_status(200);
    assert!(reply.text().contains(&url), "{}", reply.text());
    assert_eq!(sse::comment_cost_nano(&reply.body), FLARE_NANO);

    openai.next(pictures(1, &picture_usage()));
    let body = json!({"model": "flux-image", "input": "a fox"});
    let reply = post_json(&flux, "/v1/responses", &body).expect_status(200);
    let item = &reply.json()["output"][0];
    assert_eq!((&item["type"], &item["result"]), (&json!("image_generation_call"), &json!(PNG)));
}

#[test]
fn a_form_goes_up_byte_for_byte_but_for_the_model() {
    let openai = Provider::openai();
    openai.next(pictures(1, &picture_usage()));
    let flux = Setup::with(&[&openai]).start();
    let file: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let body = form(("image[]", &file), &[("prompt", "make it blue: flux"), ("model", "flux-image")]);
    let reply = post_form(&flux, "/v1/images/edits", &body).expect_status(200);
    let sent = openai.only();
    assert_eq!(sent.target, "POST /v1/images/edits");
    assert_eq!(sent.headers.get("content-type"), Some(&*format!("multipart/form-data; boundary={BOUNDARY}")));
    let expected = form(("image[]", &file), &[("prompt", "make it blue: flux"), ("model", "gpt-image-2.6-flare")]);
    assert!(sent.body == expected, "the form was changed on the way");
    assert_charged(&flux, &reply, FLARE_NANO, "openai-image-edits");
}

#[test]
fn a_form_that_is_none_is_refused() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let good = form(("image", b"x"), &[("model", "flux-image")]);
    assert_chat_error(&post_json(&flux, "/v1/images/edits", &json!({"model": "flux-image"})), 400);
    assert_chat_error(&post_form(&flux, "/v1/images/edits", &good[..good.len() - 9]), 400);
    let twice = form(("image", b"x"), &[("model", "flux-image"), ("model", "gpt-image-2")]);
    assert_eq!(assert_chat_error(&post_form(&flux, "/v1/images/edits", &twice), 400)["param"], "model");
    let none = form(("image", b"x"), &[("prompt", "x")]);
    assert_eq!(assert_chat_error(&post_form(&flux, "/v1/images/edits", &none), 400)["param"], "model");
    let streamed = form(("file", b"x"), &[("model", "whisper-1"), ("stream", "true")]);
    assert_eq!(assert_chat_error(&post_form(&flux, "/v1/audio/transcriptions", &streamed), 400)["param"], "stream");
    assert_eq!(openai.count(), 0);
}

#[test]
fn transcripts_are_paid_by_length_or_by_token() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let by_token = json!({"type": "tokens", "input_tokens": 100, "output_tokens": 20, "total_tokens": 120,
        "input_token_details": {"text_tokens": 10, "audio_tokens": 90}});
    for (model, answer, nano) in [
        ("whisper-1", json!({"text": "hi", "usage": {"type": "duration", "seconds": 90}}), 9_000_000),
        ("whisper-1", json!({"text": "hi", "duration": 1.2345, "segments": []}), 123_500),
        ("gpt-4o-transcribe", json!({"text": "hi", "usage": by_token}), 10 * 2_500 + 90 * 6_000 + 20 * 10_000),
    ] {
        openai.next(Answer::json(200, &answer));
        let body = form(("file", b"\0sound"), &[("language", "en"), ("model", model)]);
        let reply = post_form(&flux, "/v1/audio/transcriptions", &body).expect_status(200);
        assert_eq!(reply.json(), answer);
        assert_eq!(reply.cost_nano(), nano, "{model} {answer}");
    }
}

#[test]
fn a_plain_transcript_passes_and_fails_over() {
    let pair = Pair::start();
    pair.openai.next(Answer::failure(429));
    let text = b"1\n00:00:00,000 --> 00:00:02,000\nhi\n";
    pair.other.next(Answer::bytes(200, &[("content-type", "text/plain; charset=utf-8")], text));
    // 16 kB are two seconds of speech at 64 kbit/s.
    let file = vec![7; 16_000];
    let body = form(("file", &file), &[("response_format", "srt"), ("model", "whisper-1")]);
    let reply = post_form(&pair.flux, "/v1/audio/transcriptions", &body).expect_status(200);
    assert_eq!((reply.body.as_slice(), reply.header("x-flux-attempts")), (&text[..], "2"));
    assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
    let sent = [pair.openai.only(), pair.other.only()].map(|sent| sent.text());
    assert_eq!(sent[0].replace("whisper-1", "whisper-two"), sent[1]);
    assert_charged(&pair.flux, &reply, 2_000_000, "openai-transcriptions");
    assert!(pair.flux.only_row().is_estimated());
}

#[test]
fn speech_passes_untouched_and_is_paid_by_its_characters() {
    let openai = Provider::openai();
    let sound: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    openai.next(Answer::bytes(200, &[("content-type", "audio/mpeg")], &sound));
    let flux = Setup::with(&[&openai]).start();
    let body = "{\"input\":\"H\\u00e9llo \\ud83d\\ude00\",\"voice\":\"coral\",\"model\":\"tts-1\"}";
    let reply = post(&flux, "/v1/audio/speech", "application/json", body.as_bytes()).expect_status(200);
    assert_eq!(openai.only().text(), body);
    assert_eq!(openai.only().headers.get("accept"), Some("*/*"));
    assert!(reply.body == sound, "the sound was changed on the way");
    assert_eq!(reply.header("content-type"), "audio/mpeg");
    assert_charged(&flux, &reply, 7 * 15_000, "openai-speech");
    assert!(!flux.only_row().is_estimated());
}

#[test]
fn speech_fails_over() {
    let pair = Pair::start();
    pair.openai.next(Answer::bytes(200, &[("content-type", "audio/mpeg")], b""));
    pair.other.next(Answer::bytes(200, &[("content-type", "audio/wav")], b"RIFF\0\xff"));
    let body = json!({"model": "tts-1", "input": "four", "voice": "alloy"});
    let reply = post_json(&pair.flux, "/v1/audio/speech", &body).expect_status(200);
    assert_eq!((reply.body.as_slice(), reply.header("x-flux-attempts")), (&b"RIFF\0\xff"[..], "2"));
    assert_charged(&pair.flux, &reply, 4 * 1_000, "openai-speech");
    let sse = json!({"model": "tts-1", "input": "four", "voice": "alloy", "stream_format": "sse"});
    assert_eq!(assert_chat_error(&post_json(&pair.flux, "/v1/audio/speech", &sse), 400)["param"], "stream_format");
}

#[test]
fn an_answer_too_large_to_be_held_is_still_paid() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).env("FLUX_LIMITS__UNARY_HELD_BYTES_MAX", "65536").start();
    let sound = vec![9; 300_000];
    openai.next(Answer::bytes(200, &[("content-type", "audio/mpeg")], &sound));
    let body = json!({"model": "tts-1", "input": "four", "voice": "alloy"});
    let reply = post_json(&flux, "/v1/audio/speech", &body).expect_status(200);
    assert!(reply.body == sound && reply.is_complete);
    assert_eq!(flux.only_row().amount_nano(), 4 * 15_000);
    openai.next(pictures(20_000, &picture_usage()));
    let body = json!({"model": "flux-image", "prompt": "x"});
    post_json(&flux, "/v1/images/generations", &body).expect_status(200);
    assert_eq!(flux.wait_for_rows(2)[1].amount_nano(), FLARE_NANO);
}

#[test]
fn a_test_key_gets_a_mock_answer_from_each_endpoint() {
    let openai = Provider::openai();
    let flux = Setup::with(&[&openai]).start();
    let bearer = format!("Bearer {}", flux.test_key);
    let media_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let ask = |path: &str, media_type: &str, body: &[u8]| {
        flux.ask(&request("POST", path, &[("authorization", &bearer), ("content-type", media_type)], body))
    };
    for (path, body) in [
        ("/v1/embeddings", json!({"model": "mistral-embed", "input": ["a", "b"]})),
        ("/v1/images/generations", json!({"model": "flux-image", "prompt": "a fox", "n": 2})),
        ("/v1/audio/speech", json!({"model": "tts-1", "input": "hi", "voice": "alloy"})),
    ] {
        let reply = ask(path, "application/json", body.to_string().as_bytes()).expect_status(200);
        assert_eq!(reply.header("x-flux-provider"), "mock", "{path}");
        assert_eq!(reply.cost_nano(), 0, "{path}");
    }
    for (path, model) in [("/v1/images/edits", "flux-image"), ("/v1/audio/transcriptions", "whisper-1")] {
        let reply = ask(path, &media_type, &form(("file", b"x"), &[("model", model)])).expect_status(200);
        assert_eq!(reply.header("x-flux-provider"), "mock", "{path}");
    }
    assert_eq!((openai.count(), flux.ledger().len()), (0, 0));
}
