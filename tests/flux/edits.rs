//! Pictures at providers that say it otherwise than `OpenAI`: the form of `/v1/images/edits`, and xAI's own fields.
//!
//! Must not know how the form is read.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::answers::Answer;
use super::endpoints::{
    BANANA_NANO, BOUNDARY, PNG, assert_charged, form, painted, painted_usage, picture_usage, pictures, post_form,
    post_json,
};
use super::gemini;
use super::harness::Setup;
use super::passthrough::assert_chat_error;
use super::provider::Provider;

/// What [`PNG`] is in base64.
const PNG_HEAD: &[u8] = b"\x89PNG\r\n\x1a\n";

#[test]
fn an_edit_fails_over_to_a_provider_without_the_form() {
    let (openai, google) = (Provider::openai(), Provider::google());
    openai.next(Answer::failure(503));
    google.always(gemini::answering(painted("There."), painted_usage()));
    let flux = Setup::with(&[&openai, &google]).start();
    let fields = [
        ("prompt", "make it \"blue\""),
        ("size", "1024x1536"),
        ("quality", "high"),
        ("background", "auto"),
        ("input_fidelity", "high"),
        ("n", "1"),
        ("user", ""),
        ("model", "flux-image"),
    ];
    let reply = post_form(&flux, "/v1/images/edits", &form(("image[]", PNG_HEAD), &fields)).expect_status(200);
    assert_eq!((reply.header("x-flux-attempts"), reply.header("x-flux-provider")), ("2", "google"));
    let asked = google.only();
    assert_eq!(asked.target, "POST /v1beta/models/gemini-nano-banana-2.1:generateContent");
    assert_eq!(asked.headers.get("content-type"), Some("application/json"));
    let picture = json!({"inlineData": {"mimeType": "image/png", "data": PNG}});
    let parts = json!([{"text": "make it \"blue\""}, picture]);
    assert_eq!(asked.json()["contents"], json!([{"role": "user", "parts": parts}]));
    assert_eq!(asked.json()["generationConfig"]["imageConfig"], json!({"aspectRatio": "2:3"}));
    assert_eq!(reply.json()["data"], json!([{"b64_json": PNG}]));
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.header("x-flux-ignored"), "input_fidelity, quality");
    assert_charged(&flux, &reply, BANANA_NANO, "openai-image-edits");
}

#[test]
fn several_pictures_go_in_their_order() {
    let google = Provider::google();
    google.always(gemini::answering(painted(""), painted_usage()));
    let flux = Setup::with(&[&google]).start();
    let first = form(("image[]", PNG_HEAD), &[("prompt", "both"), ("model", "flux-image")]);
    let mut second = String::new();
    write!(second, "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"image[]\"; filename=\"b\"\r\n\r\n")
        .expect("room");
    let mut body = [second.as_bytes(), b"GIF89a", b"\r\n"].concat();
    body.extend_from_slice(&first);
    post_form(&flux, "/v1/images/edits", &body).expect_status(200);
    let parts = &google.only().json()["contents"][0]["parts"];
    let kinds = [1, 2].map(|at| parts[at]["inlineData"]["mimeType"].clone());
    assert_eq!(kinds, [json!("image/gif"), json!("image/png")]);
}

#[test]
fn what_cannot_be_changed_so_is_told_and_goes_to_the_next_provider() {
    let google = Provider::google();
    let flux = Setup::with(&[&google]).start();
    for (file, content, field, value, param) in [
        ("mask", PNG_HEAD, "x", "y", "mask"),
        ("image", b"no picture", "x", "y", "image"),
        ("image", PNG_HEAD, "n", "2", "n"),
        ("image", PNG_HEAD, "n", "two", "n"),
        ("image", PNG_HEAD, "background", "transparent", "background"),
        ("image", PNG_HEAD, "response_format", "url", "response_format"),
        ("image", PNG_HEAD, "size", "huge", "size"),
        ("image", PNG_HEAD, "image[]", "no file", "image[]"),
    ] {
        let body = form((file, content), &[("prompt", "x"), (field, value), ("model", "flux-image")]);
        let error = assert_chat_error(&post_form(&flux, "/v1/images/edits", &body), 400);
        assert_eq!(error["param"], param, "{file} {field}={value}");
    }
    let none = form(("image", PNG_HEAD), &[("model", "flux-image")]);
    assert_eq!(assert_chat_error(&post_form(&flux, "/v1/images/edits", &none), 400)["param"], "prompt");
    assert_eq!(google.count(), 0);

    // A mask is for the maker of the form: who would have to leave it out is passed over.
    let openai = Provider::openai();
    openai.next(pictures(1, &picture_usage()));
    let flux = Setup::with(&[&openai, &google]).start();
    let body = form(("mask", PNG_HEAD), &[("prompt", "x"), ("model", "flux-image")]);
    post_form(&flux, "/v1/images/edits", &body).expect_status(200);
    openai.next(Answer::failure(503));
    assert_chat_error(&post_form(&flux, "/v1/images/edits", &body), 503);
    assert_eq!(google.count(), 0);
}

#[test]
fn a_declined_edit_is_no_empty_answer() {
    let google = Provider::google();
    google.next(Answer::json(200, &gemini::body(&[], Some("IMAGE_SAFETY"), &gemini::usage(10, 0, 0))));
    let flux = Setup::with(&[&google]).start();
    let body = form(("image", PNG_HEAD), &[("prompt", "x"), ("model", "flux-image")]);
    let error = assert_chat_error(&post_form(&flux, "/v1/images/edits", &body), 400);
    assert_eq!(error["code"], "moderation_blocked");
}

#[test]
fn xai_is_told_a_ratio_and_a_class_for_a_size_and_paid_by_them() {
    let xai = Provider::bearer("xai");
    let flux = Setup::with(&[&xai]).start();
    let told = json!({"model": "grok-imagine-image-2.0", "prompt": "a \"fox\"", "response_format": "b64_json"});
    for (said, extra, ignored, nano) in [
        (json!({}), json!({}), "", 60_000_000),
        (json!({"size": "auto", "quality": "auto"}), json!({}), "", 60_000_000),
        (json!({"size": "1024x1536"}), json!({"aspect_ratio": "2:3", "resolution": "1k"}), "", 60_000_000),
        (
            json!({"size": "2048x2048", "quality": "medium"}),
            json!({"aspect_ratio": "1:1", "resolution": "2k", "quality": "medium"}),
            "",
            80_000_000,
        ),
        (
            json!({"size": "1024x1024", "quality": "low"}),
            json!({"aspect_ratio": "1:1", "resolution": "1k", "quality": "low"}),
            "",
            40_000_000,
        ),
        (
            json!({"size": "1792x1024", "quality": "high", "output_format": "png", "background": "opaque"}),
            json!({"aspect_ratio": "16:9", "resolution": "2k"}),
            "background, output_format, quality, size",
            80_000_000,
        ),
        (json!({"resolution": "2k", "x": [1]}), json!({"resolution": "2k", "x": [1]}), "", 80_000_000),
    ] {
        xai.next(pictures(1, &Value::Null));
        let with = |base: &Value, more: &Value| {
            let (mut all, more) = (base.clone(), more.as_object().expect("fields").clone());
            all.as_object_mut().expect("fields").extend(more);
            all
        };
        let body = with(&json!({"model": "flux-image", "prompt": "a \"fox\""}), &said);
        let reply = post_json(&flux, "/v1/images/generations", &body).expect_status(200);
        assert_eq!(xai.requests().pop().expect("asked").json(), with(&told, &extra), "{said}");
        assert_eq!(reply.headers.get("x-flux-ignored").unwrap_or_default(), ignored, "{said}");
        assert_eq!(reply.cost_nano(), nano, "{said}");
    }
    for (field, value) in [("background", "transparent"), ("output_format", "svg"), ("size", "huge")] {
        let mut body = json!({"model": "flux-image", "prompt": "a fox"});
        body[field] = json!(value);
        let error = assert_chat_error(&post_json(&flux, "/v1/images/generations", &body), 400);
        assert_eq!(error["param"], field);
    }
}

/// A form with these files and fields.
fn edit_of(files: &[&[u8]], fields: &[(&str, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    for content in files {
        let mut head = String::new();
        write!(head, "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"image[]\"; filename=\"b\"\r\n\r\n")
            .expect("room");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    for (name, value) in fields {
        let field = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(field.as_bytes());
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

#[test]
fn an_edit_at_xai_is_json_with_the_pictures_in_it() {
    let xai = Provider::bearer("xai");
    let flux = Setup::with(&[&xai]).start();
    let url = |url: &str| json!({"url": url, "type": "image_url"});
    let png = url(&format!("data:image/png;base64,{PNG}"));
    let gif = url("data:image/gif;base64,R0lGODlh");
    let one: &[&[u8]] = &[PNG_HEAD];
    let two: &[&[u8]] = &[b"GIF89a", PNG_HEAD];
    let pair = json!({"images": [gif, png]});
    for (files, said, told, ignored, nano) in [
        (one, vec![], json!({"image": png}), "", 60_000_000),
        (one, vec![("size", "1024x1536")], json!({"image": png, "resolution": "1k"}), "size", 60_000_000),
        (
            two,
            vec![("size", "2048x2048"), ("quality", "medium"), ("n", "1"), ("user", "u")],
            json!({"images": pair["images"], "aspect_ratio": "1:1", "resolution": "2k", "quality": "medium", "n": 1,
                "user": "u"}),
            "",
            80_000_000,
        ),
        (
            two,
            vec![("size", "900x1950"), ("quality", "low"), ("input_fidelity", "high")],
            json!({"images": pair["images"], "aspect_ratio": "9:19.5", "resolution": "2k", "quality": "low"}),
            "input_fidelity",
            60_000_000,
        ),
        (
            one,
            vec![
                ("aspect_ratio", "auto"),
                ("resolution", "2k"),
                ("response_format", "b64_json"),
                ("background", "auto"),
            ],
            json!({"image": png, "aspect_ratio": "auto", "resolution": "2k"}),
            "",
            80_000_000,
        ),
    ] {
        xai.next(pictures(1, &Value::Null));
        let fields = [vec![("prompt", "make it \"blue\""), ("model", "flux-image")], said.clone()].concat();
        let reply = post_form(&flux, "/v1/images/edits", &edit_of(files, &fields)).expect_status(200);
        let asked = xai.requests().pop().expect("asked");
        assert_eq!(asked.target, "POST /v1/images/edits");
        assert_eq!(asked.headers.get("content-type"), Some("application/json"));
        let mut all = json!({"model": "grok-imagine-image-2.0", "prompt": "make it \"blue\"",
            "response_format": "b64_json"});
        all.as_object_mut().expect("fields").extend(told.as_object().expect("fields").clone());
        assert_eq!(asked.json(), all, "{said:?}");
        assert_eq!(reply.headers.get("x-flux-ignored").unwrap_or_default(), ignored, "{said:?}");
        assert_eq!(reply.cost_nano(), nano, "{said:?}");
        assert_eq!(reply.json()["data"], json!([{"b64_json": PNG}]));
    }
}

#[test]
fn what_xai_cannot_change_is_told_and_goes_to_the_next_provider() {
    let xai = Provider::bearer("xai");
    let flux = Setup::with(&[&xai]).start();
    let four: &[&[u8]] = &[PNG_HEAD; 4];
    for (files, field, value, param) in [
        (four, "x", "y", "image"),
        (&four[..1], "n", "0", "n"),
        (&four[..1], "image", "no file", "image"),
        (&four[..1], "size", "huge", "size"),
        (&four[..1], "background", "transparent", "background"),
        (&four[..0], "x", "y", "image"),
    ] {
        let body = edit_of(files, &[("prompt", "x"), (field, value), ("model", "flux-image")]);
        let error = assert_chat_error(&post_form(&flux, "/v1/images/edits", &body), 400);
        assert_eq!(error["param"], param, "{field}={value}");
    }
    let masked = form(("mask", PNG_HEAD), &[("prompt", "x"), ("model", "flux-image")]);
    assert_eq!(assert_chat_error(&post_form(&flux, "/v1/images/edits", &masked), 400)["param"], "mask");
    let mute = edit_of(&four[..1], &[("prompt", " "), ("model", "flux-image")]);
    assert_eq!(assert_chat_error(&post_form(&flux, "/v1/images/edits", &mute), 400)["param"], "prompt");
    assert_eq!(xai.count(), 0);

    // Who takes the form as it is passes xAI by, and whom it fails finds xAI.
    let openai = Provider::openai();
    openai.next(Answer::failure(503));
    xai.next(pictures(1, &Value::Null));
    let flux = Setup::with(&[&openai, &xai]).start();
    let body = edit_of(&four[..1], &[("prompt", "x"), ("model", "flux-image")]);
    let reply = post_form(&flux, "/v1/images/edits", &body).expect_status(200);
    assert_eq!((reply.header("x-flux-attempts"), reply.header("x-flux-provider")), ("2", "xai"));
    assert_charged(&flux, &reply, 60_000_000, "openai-image-edits");
}
