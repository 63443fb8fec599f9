// What must hold for any bytes. The fuzz targets call it with what the fuzzer makes up, a plain test with the
// corpus. Included as text, so that both compile it against the crate as they see it.

use std::sync::Arc;

use bytes::Bytes;
use flux::base::ids::{AccountId, RequestId};
use flux::base::secret::Secret;
use flux::base::time::UnixMs;
use flux::base::wire_format::WireFormat;
use flux::catalog::price::PriceCard;
use flux::catalog::kept::Kept;
use flux::catalog::provider::{Access, Dialect, Endpoints, Provider, StreamUsage};
use flux::catalog::thinking::ThinkingSupport;
use flux::catalog::{Capabilities, Limits, Model, ModelKind, Target};
use flux::meter::{Asked, Piece, Pieces, StreamBounds, StreamMeter};
use flux::translate::convert::{self, AnswerReader, StreamWriter, WholeWriter};
use flux::translate::envelope::{Envelope, SealingKey};
use flux::translate::ir::{Event, Maker, Value};
use flux::translate::{Closing, Sink, View};
use flux::wire::head::scan;
use flux::wire::multipart::Form;
use flux::wire::splice::{UsageAsk, upstream_body};
use flux::wire::sse::{self, Framer, Start};
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

/// The formats of conversations that requests are written in.
const TALKS: [WireFormat; 4] = [
    WireFormat::AnthropicMessages,
    WireFormat::GeminiGenerate,
    WireFormat::OpenaiResponses,
    WireFormat::OpenaiChat,
];

/// A request of a client that a format takes is written as JSON, always the same, which the format's own reader takes.
pub(crate) fn request(client: WireFormat, body: &[u8]) {
    for format in TALKS {
        let target = target();
        let written = |body: &[u8], client| convert::request(body, client, &envelope(), &target, format);
        let Ok(once) = written(body, client) else { continue };
        assert!(Value::parse(&once.body).is_ok());
        assert_eq!(once.body, written(body, client).expect("it was written before").body);
        if format != WireFormat::GeminiGenerate {
            let again = written(&once.body, format);
            assert!(again.is_ok(), "{format} refuses its own request: {again:?}");
        }
    }
}

/// Words for a picture, and the form with pictures, that a target takes are written as JSON, always the same; xAI is told
/// both in its own JSON.
pub(crate) fn picture(body: &[u8]) {
    let Target { mut provider, mut model, .. } = target();
    Arc::make_mut(&mut model).kind = ModelKind::Image;
    let target = Target::new(Arc::clone(&provider), Arc::clone(&model));
    Arc::make_mut(&mut provider).dialect = Dialect::Xai;
    let xai = Target::new(provider, model);
    let form = Form::scan("multipart/form-data; boundary=b", body);
    let written = || match &form {
        Ok(form) => convert::form(body, form, WireFormat::OpenaiImageEdits, &target, WireFormat::GeminiGenerate),
        Err(_) => convert::request(body, WireFormat::OpenaiImages, &envelope(), &target, WireFormat::GeminiGenerate),
    };
    if let Ok(once) = written() {
        assert!(Value::parse(&once.body).is_ok());
        assert_eq!(once.body, written().expect("it was written before").body);
    }
    let (client, form) = match &form {
        Ok(form) => (WireFormat::OpenaiImageEdits, Some(form)),
        Err(_) => (WireFormat::OpenaiImages, None),
    };
    if let Ok(Some((once, _))) = convert::reshaped(body, form, client, &xai) {
        assert!(Value::parse(&once).is_ok());
    }
}

fn target() -> Target {
    let provider = Provider {
        id: "p".into(),
        name: "p".into(),
        headers: Vec::new(),
        dialect: Dialect::Openai,
        stream_usage: StreamUsage::Always,
        reasoning_outside_output: false,
        cached_outside_input: false,
        unusable: "".into(),
        accesses: vec![Access::only(Secret::new(""), Endpoints::default())],
        concurrent_max: 0,
        live: Kept::default(),
    };
    let capabilities = Capabilities {
        streaming: true,
        vision: true,
        pdf: true,
        audio: true,
        assistant_prefill: true,
        cache_marks: true,
        tools: true,
        forced_tool_choice: true,
        json_schema: true,
        sampling_params: true,
        reasoning: true,
        tools_with_reasoning_on_chat: true,
    };
    let model = Model {
        id: "p/m".into(),
        canonical: "m".into(),
        provider_model_id: "m".into(),
        display_name: "m".into(),
        developer: "".into(),
        kind: ModelKind::Chat,
        released: UnixMs(0),
        retires: None,
        formats: TALKS.into(),
        secondary_formats: Vec::new(),
        limits: Limits::default(),
        capabilities,
        thinking: ThinkingSupport::default(),
        tokenizer_factor_milli: 1_000,
        price: PriceCard::free(),
    };
    Target::new(provider.into(), model.into())
}

fn envelope() -> Envelope {
    Envelope::new(SealingKey([7; SealingKey::BYTES]), AccountId(1))
}

/// The stream of a provider becomes frames of JSON for every client, however it is cut.
pub(crate) fn answer(provider: WireFormat, stream: &[u8]) {
    for client in [WireFormat::OpenaiChat, WireFormat::OpenaiResponses, WireFormat::AnthropicMessages] {
        let told = Translated::of(provider, client, stream, usize::MAX);
        assert_eq!(told, Translated::of(provider, client, stream, 1));
        assert_eq!(told, Translated::of(provider, client, stream, 7));
        let frames = told.stream.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"data: "));
        for data in frames.filter(|data| *data != b"[DONE]") {
            assert!(Value::parse(data).is_ok(), "{}", String::from_utf8_lossy(data));
        }
        assert!(Value::parse(&told.whole).is_ok());
    }
}

/// What a client gets of an answer.
#[derive(Debug, PartialEq)]
struct Translated {
    stream: Vec<u8>,
    whole: Vec<u8>,
    is_complete: bool,
}

struct Writers {
    stream: StreamWriter,
    whole: WholeWriter,
    out: Vec<u8>,
}

impl Sink for Writers {
    fn take(&mut self, event: Event<'_>) {
        // Both stop at the same bound, and say so.
        let _ = self.stream.event(&event, &mut self.out);
        let _ = self.whole.event(&event);
    }
}

impl Translated {
    fn of(provider: WireFormat, client: WireFormat, stream: &[u8], chunk_bytes: usize) -> Self {
        let view = View {
            id: RequestId(1),
            model: "m".into(),
            created_s: 1,
            usage_asked: true,
            has_legacy_functions: false,
            request: Bytes::from_static(b"{}"),
            prompt_tokens: 1,
            maker: Maker { provider: "p".into(), model: "m".into() },
            envelope: envelope().into(),
            kept_bytes_max: 1 << 20,
        };
        let mut writers = Writers {
            stream: StreamWriter::new(client, view.clone()),
            whole: WholeWriter::new(client, view),
            out: Vec::new(),
        };
        let mut reader = AnswerReader::new(provider, Dialect::Plain, UsageQuirks::default());
        let mut framer = Framer::new(1 << 20);
        let mut frame = |frame: &[u8]| {
            let event = sse::Event::read(frame);
            if !event.data.is_empty() {
                reader.frame(event.name, &event.data, &mut writers);
            }
        };
        for chunk in stream.chunks(chunk_bytes) {
            let rest = match framer.start(Bytes::copy_from_slice(chunk)) {
                Start::Fresh(rest) | Start::Overlong(_, rest) => rest,
                Start::Completed(whole, rest) => {
                    frame(&whole);
                    rest
                }
                Start::Kept => continue,
            };
            let mut at = 0;
            while let Some(end) = framer.frame_end(&rest, at) {
                frame(&rest[at..end]);
                at = end;
            }
            if at < rest.len() {
                framer.keep(rest.slice(at..));
            }
        }
        frame(&framer.finish());
        let is_complete = reader.is_complete();
        let Writers { mut stream, whole, mut out } = writers;
        let _ = stream.close(&Closing { cost_usd: Some("0.1") }, &mut out);
        Self { stream: out, whole: whole.close(&Closing::default()), is_complete }
    }
}
