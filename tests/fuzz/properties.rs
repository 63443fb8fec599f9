// What must hold for any bytes. The fuzz targets call it with what the fuzzer makes up, a plain test with the
// corpus. Included as text, so that both compile it against the crate as they see it.

use bytes::Bytes;
use flux::base::wire_format::WireFormat;
use flux::meter::{Asked, Piece, Pieces, StreamBounds, StreamMeter};
use flux::wire::head::scan;
use flux::wire::splice::{UsageAsk, upstream_body};
use flux::wire::text::{prompt_text, visible_text};
use flux::wire::usage::{UsageQuirks, anthropic, openai_chat, read_answer};

/// A body with a head can be spliced, and then says what was spliced into it.
pub(crate) fn head(body: &[u8]) {
    let Ok(head) = scan(body) else { return };
    let body = Bytes::copy_from_slice(body);
    let spliced = upstream_body(&body, &head, "other\"model", UsageAsk::Include);
    let again = scan(&spliced).expect("a spliced body is a request");
    assert_eq!(again.model(&spliced), "other\"model");
    assert_eq!(again.stream, head.stream);
    if head.stream {
        let options = again.stream_options.and_then(|options| options.include_usage);
        assert_eq!(options.map(|(wanted, _)| wanted), Some(true));
    }
    let text = prompt_text(&body, &head, 100);
    assert!(text.kept.len() <= 100);
}

/// Metering does not depend on how a stream is cut, and loses no byte but a usage chunk and half a frame.
pub(crate) fn stream(stream: &[u8]) {
    for format in [WireFormat::OpenaiChat, WireFormat::AnthropicMessages] {
        for usage in [true, false] {
            let whole = metered(format, Asked { usage }, stream, usize::MAX);
            assert_eq!(metered(format, Asked { usage }, stream, 1), whole);
            assert_eq!(metered(format, Asked { usage }, stream, 7), whole);
            assert!(whole.0.len() <= stream.len() + 2);
        }
    }
}

fn metered(
    format: WireFormat,
    asked: Asked,
    stream: &[u8],
    chunk_bytes: usize,
) -> (Vec<u8>, impl PartialEq + std::fmt::Debug + use<>) {
    let bounds = StreamBounds { frame_bytes_max: 1 << 20, text_bytes_max: 64 };
    let mut meter = StreamMeter::new(format, UsageQuirks::default(), asked, bounds);
    let mut out = Pieces::new();
    for chunk in stream.chunks(chunk_bytes) {
        meter.push(Bytes::copy_from_slice(chunk), &mut out);
    }
    meter.finish(&mut out);
    let mut bytes = Vec::new();
    for piece in &out {
        match piece {
            Piece::Frames(frame) | Piece::Terminator(frame) | Piece::ErrorEvent { bytes: frame, kind: _ } => {
                bytes.extend_from_slice(frame);
            }
            Piece::UsageFrame { bytes: frame, cost_at } => {
                if let Some(at) = cost_at {
                    assert_eq!(frame[at - 1], b'{');
                }
                bytes.extend_from_slice(frame);
            }
        }
    }
    assert!(meter.text().len() <= 64);
    let ended = (meter.opened(), meter.has_terminated(), meter.has_finish_reason());
    (bytes, (meter.usage(), meter.prompt_usage(), meter.text().to_vec(), meter.text_bytes_total(), ended))
}

/// No figure panics, and shares stay inside their totals.
pub(crate) fn usage(answer: &[u8]) {
    for reasoning_outside_output in [true, false] {
        let quirks = UsageQuirks { reasoning_outside_output, cache_outside_input: false };
        for usage in [openai_chat(answer, quirks), anthropic(answer)].into_iter().flatten() {
            assert!(usage.reasoning <= usage.output);
        }
        for format in [WireFormat::OpenaiChat, WireFormat::OpenaiImages, WireFormat::AnthropicMessages] {
            let is_whole = serde_json::from_slice::<serde::de::IgnoredAny>(answer).is_ok();
            assert!(is_whole || read_answer(format, answer, quirks).is_err());
        }
    }
    assert!(visible_text(answer, 100).kept.len() <= 100);
}
