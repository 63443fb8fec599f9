//! The golden table of answers: every recorded answer of a provider for every client of another format, as a
//! stream and whole.

use std::fmt::Write as _;

use bytes::Bytes;

use super::support::{CLIENTS, PROVIDERS, assert_golden, folder, names, pretty, unsealed, view};
use crate::base::wire_format::WireFormat;
use crate::catalog::provider::Dialect;
use crate::translate::convert::{AnswerReader, StreamWriter, WholeWriter};
use crate::translate::emulate::Undoing;
use crate::translate::ir::{Event, Value};
use crate::translate::{Closing, Emulated, Sink, View};
use crate::wire::sse::{self, Framer, Start};
use crate::wire::usage::UsageQuirks;

/// What a client asked, for formats that repeat it.
const ASKED: &str = r#"{"model":"flux-standard","input":"hi","tools":[{"type":"function","name":"wx","parameters":{},"strict":false}],"metadata":{"job":"7"}}"#;

/// The longest frame that is put together.
const FRAME_BYTES_MAX: usize = 1 << 20;

/// Takes the events for both writers, and remembers what is never written.
struct Both {
    stream: StreamWriter,
    whole: WholeWriter,
    out: Vec<u8>,
    notes: String,
}

impl Sink for Both {
    fn take(&mut self, event: Event<'_>) {
        if let Event::Fault(fault) = &event {
            writeln!(self.notes, "fault: {:?} {}", fault.kind, fault.message.spelt()).unwrap();
        }
        self.stream.event(&event, &mut self.out).unwrap();
        self.whole.event(&event).unwrap();
    }
}

/// One answer on its way to one client.
pub(super) struct Way {
    framer: Framer,
    reader: AnswerReader,
    undoing: Undoing,
    both: Both,
}

impl Way {
    pub(super) fn new(case: &str, provider: WireFormat, client: WireFormat) -> Self {
        let dialect = match case {
            "reasoning" | "usage_deepseek" => Dialect::Deepseek,
            "usage_groq" => Dialect::Groq,
            "usage_xai" => Dialect::Xai,
            "reasoning_details" | "images" => Dialect::Openrouter,
            "content_chunks" => Dialect::Mistral,
            _ if provider == WireFormat::OpenaiChat => Dialect::Openai,
            _ => Dialect::Plain,
        };
        let emulated = Emulated {
            schema_tool: (case == "schema_tool").then(|| "weather".into()),
            custom_tools: if case == "custom_as_function" { vec!["sh".into()] } else { Vec::new() },
        };
        // xAI alone counts reasoning beside the completion's tokens.
        let quirks = UsageQuirks { reasoning_outside_output: case == "usage_xai", ..UsageQuirks::default() };
        let view = View { has_legacy_functions: case == "legacy_call", ..view(ASKED) };
        Self {
            framer: Framer::new(FRAME_BYTES_MAX),
            reader: AnswerReader::new(provider, dialect, quirks),
            undoing: Undoing::new(emulated),
            both: Both {
                stream: StreamWriter::new(client, view.clone()),
                whole: WholeWriter::new(client, view),
                out: Vec::new(),
                notes: String::new(),
            },
        }
    }

    pub(super) fn push(&mut self, chunk: Bytes) {
        let rest = match self.framer.start(chunk) {
            Start::Fresh(rest) => rest,
            Start::Completed(frame, rest) => {
                self.frame(&frame);
                rest
            }
            Start::Overlong(..) => panic!("overlong"),
            Start::Kept => return,
        };
        let mut at = 0;
        while let Some(end) = self.framer.frame_end(&rest, at) {
            self.frame(&rest[at..end]);
            at = end;
        }
        if at < rest.len() {
            assert_eq!(self.framer.keep(rest.slice(at..)), None);
        }
    }

    fn frame(&mut self, frame: &[u8]) {
        let event = sse::Event::read(frame);
        if !event.data.is_empty() {
            let mut sink = self.undoing.on(&mut self.both);
            self.reader.frame(event.name, &event.data, &mut sink);
        }
    }

    pub(super) fn whole(&mut self, answer: &[u8]) {
        let mut sink = self.undoing.on(&mut self.both);
        self.reader.whole(Value::parse(answer).unwrap(), &mut sink);
    }

    /// What the client gets.
    pub(super) fn close(mut self) -> Told {
        let unfinished = self.framer.finish();
        self.frame(&unfinished);
        let Both { mut stream, whole, mut out, mut notes } = self.both;
        let is_complete = self.reader.is_complete() && notes.is_empty();
        if is_complete {
            stream.close(&Closing { cost_usd: Some("0.001234") }, &mut out).unwrap();
        } else {
            notes.push_str("the answer is not complete\n");
            stream.fail("upstream_error", "the provider failed", &mut out);
        }
        let stream = String::from_utf8(out).unwrap();
        let whole = is_complete.then(|| String::from_utf8(whole.close(&Closing::default())).unwrap());
        Told { stream, whole, notes }
    }
}

/// What a client gets of an answer, and what else there is to know.
#[derive(Debug, PartialEq)]
pub(super) struct Told {
    pub(super) stream: String,
    /// Nothing where the answer is not complete: the client gets an error then.
    pub(super) whole: Option<String>,
    notes: String,
}

impl Told {
    /// The body, spread out.
    fn body(&self) -> String {
        self.whole.as_deref().map_or("nothing".to_owned(), |whole| unsealed(&pretty(whole)))
    }

    /// The frames. Of the request that Responses repeats three times only the ends are shown.
    fn frames(&self) -> String {
        let mut shown = String::new();
        let stream = unsealed(&self.stream);
        let mut rest = &*stream;
        while let Some((before, after)) = rest.split_once(r#""instructions":null,"#) {
            let (_, after) = after.split_once(r#""user":null,"#).unwrap();
            shown.push_str(before);
            shown.push('…');
            rest = after;
        }
        shown + rest
    }
}

/// A recorded answer: streamed, whole, or both.
pub(super) struct Recorded {
    pub(super) case: String,
    pub(super) sse: Option<Bytes>,
    pub(super) whole: Option<Vec<u8>>,
}

pub(super) fn recorded(provider: &str) -> Vec<Recorded> {
    let kind = format!("answers/{provider}");
    let mut cases = [names(&kind, ".json"), names(&kind, ".sse")].concat();
    cases.sort();
    cases.dedup();
    let read = |case: &str, ending: &str| std::fs::read(folder(&kind).join(format!("{case}.{ending}"))).ok();
    cases
        .into_iter()
        .map(|case| Recorded { sse: read(&case, "sse").map(Bytes::from), whole: read(&case, "json"), case })
        .collect()
}

#[test]
fn every_answer_is_told_to_every_client() {
    let mut cells = 0;
    for (from, provider) in PROVIDERS {
        for Recorded { case, sse, whole } in recorded(from) {
            for (to, client) in CLIENTS.into_iter().filter(|(_, client)| *client != provider) {
                let way = || Way::new(&case, provider, client);
                let streamed = sse.clone().map(|sse| {
                    let mut way = way();
                    way.push(sse);
                    way.close()
                });
                let whole = whole.as_deref().map(|whole| {
                    let mut way = way();
                    way.whole(whole);
                    way.close()
                });
                let mut shown = String::new();
                if let Some(told) = &streamed {
                    write!(shown, "{}---- a stream as a stream\n{}", told.notes, told.frames()).unwrap();
                    if whole.is_none() {
                        writeln!(shown, "---- a stream as a whole\n{}", told.body()).unwrap();
                    }
                }
                if let Some(told) = &whole {
                    writeln!(shown, "{}---- a whole as a whole\n{}", told.notes, told.body()).unwrap();
                    match &streamed {
                        None => write!(shown, "---- a whole as a stream\n{}", told.frames()).unwrap(),
                        Some(streamed) if streamed.whole != told.whole => {
                            writeln!(shown, "---- a stream as a whole differs\n{}", streamed.body()).unwrap();
                        }
                        Some(_) => {}
                    }
                }
                assert_golden(&format!("answers/{from}"), &format!("{case}.{to}"), &shown);
                cells += 1;
            }
        }
    }
    assert!(cells >= 100, "{cells} cells");
}

#[test]
fn chunk_borders_do_not_matter() {
    for (from, provider) in PROVIDERS {
        for Recorded { case, sse, .. } in recorded(from) {
            let Some(sse) = sse else { continue };
            for (to, client) in CLIENTS {
                let said = |chunks: &mut dyn Iterator<Item = Bytes>| {
                    let mut way = Way::new(&case, provider, client);
                    chunks.for_each(|chunk| way.push(chunk));
                    way.close()
                };
                let at_once = said(&mut std::iter::once(sse.clone()));
                let by_byte = said(&mut (0..sse.len()).map(|at| sse.slice(at..=at)));
                assert_eq!(at_once, by_byte, "{from}/{case} for {to} byte by byte");
                for at in 0..sse.len() {
                    let in_two = said(&mut [sse.slice(..at), sse.slice(at..)].into_iter());
                    assert_eq!(at_once, in_two, "{from}/{case} for {to} cut at {at}");
                }
            }
        }
    }
}
