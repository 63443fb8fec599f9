//! What it costs to translate, beside the same format's bytes passed on: `cargo bench --bench translate
//! --no-default-features`.
//!
//! Microseconds of one call, for each client's format and each provider's: a request of three sizes, parsed, read and
//! written; a chunk of a stream, from its frame to the client's frames. Beside each figure stands how many times the
//! cost of the same format it is: there the head is scanned and the model's name put in, and chunks are metered. The
//! best of many short runs counts, so that other work on the machine disturbs little. `--quick` for a smoke; the names of
//! a client's and a provider's format, and `request` or `stream`, for that alone, a thousand times: for a profiler.

#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a bench prints, and reads the clock")]

mod samples;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flux::base::effort::Effort;
use flux::base::ids::{AccountId, RequestId};
use flux::base::secret::Secret;
use flux::base::time::UnixMs;
use flux::base::wire_format::WireFormat;
use flux::catalog::kept::Kept;
use flux::catalog::price::{PriceCard, PriceList};
use flux::catalog::provider::{Access, Dialect, Endpoints, Provider, StreamUsage};
use flux::catalog::thinking::{ThinkingControl, ThinkingSupport};
use flux::catalog::{Capabilities, Limits, Model, ModelKind, Target};
use flux::meter::{Asked, Pieces, StreamBounds, StreamMeter};
use flux::translate::convert::{self, AnswerReader, StreamWriter};
use flux::translate::emulate::Undoing;
use flux::translate::envelope::{Envelope, SealingKey};
use flux::translate::ir::{Event, Maker};
use flux::translate::{Emulated, Sink, View};
use flux::wire::head::scan;
use flux::wire::splice::{UsageAsk, upstream_body};
use flux::wire::sse;
use flux::wire::usage::UsageQuirks;

const CLIENTS: [(WireFormat, &str); 3] = [
    (WireFormat::OpenaiChat, "chat"),
    (WireFormat::OpenaiResponses, "responses"),
    (WireFormat::AnthropicMessages, "anthropic"),
];
const PROVIDERS: [(WireFormat, &str); 4] = [
    (WireFormat::OpenaiChat, "chat"),
    (WireFormat::OpenaiResponses, "responses"),
    (WireFormat::AnthropicMessages, "anthropic"),
    (WireFormat::GeminiGenerate, "gemini"),
];
const SIZES: [usize; 3] = [1 << 10, 20 << 10, 200 << 10];

/// Chunks of one stream: the set-up of its reader and writer is shared by so many.
const STREAM_CHUNKS: u32 = 500;

/// Rounds of one pair alone.
const ROUNDS: usize = 1_000;

/// How long each figure is measured, and in how many runs.
#[derive(Clone, Copy)]
struct Pace {
    run: Duration,
    runs: u32,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_quick = arguments.iter().any(|argument| argument == "--quick");
    // Cargo's tests run a bench too, without `--bench`.
    let is_bench = arguments.iter().any(|argument| argument == "--bench");
    let effort = if is_quick || !is_bench {
        Pace { run: Duration::from_millis(1), runs: 2 }
    } else {
        Pace { run: Duration::from_millis(2), runs: 100 }
    };
    if let [client, provider, what, ..] = arguments.as_slice()
        && let (Some(client), Some(provider)) = (named(client), named(provider))
    {
        return repeat(client, provider, what == "stream");
    }
    println!("translation, µs a call (× the same format's)");
    println!("{:<24}{:>18}{:>18}{:>18}{:>18}", "client → provider", "1 KB", "20 KB", "200 KB", "chunk");
    for (client, client_name) in CLIENTS {
        let same = same_format(client, effort);
        print_row(&format!("{client_name} = same"), &same.map(|us| (us, None)));
        for (provider, provider_name) in PROVIDERS.into_iter().filter(|(provider, _)| *provider != client) {
            let cost = translated(client, provider, effort);
            let beside = |at: usize| cost.get(at).copied().zip(same.get(at).copied());
            let cells = [0, 1, 2, 3].map(|at| beside(at).map_or((0.0, None), |(cost, same)| (cost, Some(cost / same))));
            print_row(&format!("{client_name} → {provider_name}"), &cells);
        }
    }
}

fn named(name: &str) -> Option<WireFormat> {
    PROVIDERS.into_iter().find(|(_, known)| *known == name).map(|(format, _)| format)
}

fn repeat(client: WireFormat, provider: WireFormat, is_stream: bool) {
    let body = Bytes::from(samples::request(client, SIZES[1]));
    let (target, envelope) = (target(provider), envelope());
    for _ in 0..ROUNDS {
        if is_stream {
            translate_stream(client, provider, &body);
        } else {
            drop(black_box(convert::request(black_box(&body), client, &envelope, &target, provider)));
        }
    }
}

fn print_row(name: &str, cells: &[(f64, Option<f64>)]) {
    print!("{name:<24}");
    for (us, ratio) in cells {
        let ratio = ratio.map_or_else(String::new, |ratio| format!("({ratio:4.1})"));
        print!("{us:>11.2} {ratio:>6}");
    }
    println!();
}

/// The three sizes, and the chunk.
fn same_format(format: WireFormat, effort: Pace) -> [f64; 4] {
    let [small, middle, large] = SIZES.map(|bytes| {
        let body = Bytes::from(samples::request(format, bytes));
        measure(effort, 1, || {
            let head = scan(black_box(&body));
            drop(black_box(head.map(|head| upstream_body(&body, &head, "gpt-4o-2026-01-01", UsageAsk::Include))));
        })
    });
    [small, middle, large, measure(effort, STREAM_CHUNKS, || meter(format))]
}

fn translated(client: WireFormat, provider: WireFormat, effort: Pace) -> [f64; 4] {
    let target = target(provider);
    let envelope = envelope();
    let [small, middle, large] = SIZES.map(|bytes| {
        let body = samples::request(client, bytes);
        if let Err(invalid) = convert::request(&body, client, &envelope, &target, provider) {
            println!("refused: {invalid} ({})", invalid.param);
        }
        measure(effort, 1, || {
            drop(black_box(convert::request(black_box(&body), client, &envelope, &target, provider)));
        })
    });
    let request = Bytes::from(samples::request(client, 1 << 10));
    [small, middle, large, measure(effort, STREAM_CHUNKS, || translate_stream(client, provider, &request))]
}

/// The fewest microseconds that a call took on average in any of the runs, for each of `parts` that it does.
fn measure(effort: Pace, parts: u32, mut call: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..effort.runs {
        let start = Instant::now();
        let mut calls: u32 = 0;
        while calls == 0 || start.elapsed() < effort.run {
            call();
            calls += 1;
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e6 / f64::from(calls) / f64::from(parts));
    }
    best
}

fn meter(format: WireFormat) {
    let stream = samples::stream(format);
    let bounds = StreamBounds { frame_bytes_max: 1 << 20, text_bytes_max: 1 << 16 };
    let mut meter = StreamMeter::new(format, UsageQuirks::default(), Asked { usage: true }, bounds);
    let mut out = Pieces::new();
    for frame in frames(&stream) {
        out.clear();
        meter.push(Bytes::from_static(black_box(frame.as_bytes())), &mut out);
        black_box(&out);
    }
}

/// As an exchange does it: frame, event, what is undone of emulations, the client's frames.
fn translate_stream(client: WireFormat, provider: WireFormat, request: &Bytes) {
    let stream = samples::stream(provider);
    let mut reader = AnswerReader::new(provider, Dialect::Openai, UsageQuirks::default());
    let mut undoing = Undoing::new(Emulated::default());
    let mut through = Through { writer: StreamWriter::new(client, view(request)), out: Vec::new() };
    for frame in frames(&stream) {
        through.out.clear();
        let event = sse::Event::read(black_box(frame.as_bytes()));
        reader.frame(event.name, &event.data, &mut undoing.on(&mut through));
        black_box(&through.out);
    }
}

fn frames(stream: &samples::Stream) -> impl Iterator<Item = &'static str> {
    stream.opening.iter().copied().chain((0..STREAM_CHUNKS / 2).flat_map(|_| stream.texts))
}

struct Through {
    writer: StreamWriter,
    out: Vec<u8>,
}

impl Sink for Through {
    fn take(&mut self, event: Event<'_>) {
        if self.writer.event(&event, &mut self.out).is_err() {
            println!("the answer is longer than may be kept");
        }
    }
}

fn envelope() -> Envelope {
    Envelope::new(SealingKey([7; 32]), AccountId(1))
}

fn view(request: &Bytes) -> View {
    View {
        id: RequestId(0xf1),
        model: Arc::from("flux-auto"),
        created_s: 1_795_000_000,
        usage_asked: true,
        has_legacy_functions: false,
        request: request.clone(),
        prompt_tokens: 10,
        maker: Maker { provider: "google".into(), model: "gemini-x".into() },
        envelope: Arc::new(envelope()),
        kept_bytes_max: 1 << 20,
    }
}

fn target(format: WireFormat) -> Target {
    let provider = Provider {
        id: "host".into(),
        name: "Host".into(),
        headers: Vec::new(),
        dialect: if format == WireFormat::OpenaiChat { Dialect::Openai } else { Dialect::Plain },
        stream_usage: StreamUsage::Always,
        reasoning_outside_output: false,
        cached_outside_input: false,
        unusable: "".into(),
        accesses: vec![Access::only(Secret::new(""), Endpoints::default())],
        concurrent_max: 0,
        live: Kept::default(),
    };
    let model = Model {
        id: "host/model-x".into(),
        canonical: "model-x".into(),
        provider_model_id: "model-x".into(),
        display_name: "Model X".into(),
        developer: "Host".into(),
        kind: ModelKind::Chat,
        released: UnixMs(0),
        retires: None,
        formats: vec![format],
        secondary_formats: Vec::new(),
        limits: Limits { output_tokens_max: Some(128_000), ..Limits::default() },
        capabilities: Capabilities {
            streaming: true,
            vision: true,
            pdf: true,
            audio: false,
            assistant_prefill: false,
            cache_marks: true,
            tools: true,
            forced_tool_choice: true,
            json_schema: true,
            sampling_params: true,
            reasoning: true,
            tools_with_reasoning_on_chat: true,
        },
        thinking: ThinkingSupport {
            control: ThinkingControl::Effort,
            efforts: vec![Effort::Low, Effort::Medium, Effort::High],
            can_disable: false,
        },
        tokenizer_factor_milli: 1000,
        price: PriceCard::new(&PriceList::default()),
    };
    Target::new(Arc::new(provider), Arc::new(model))
}
