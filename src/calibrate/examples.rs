//! Requests as vectors of clues: what is fitted to.
//!
//! Must not know weights. The clues are those that `classify` sees, since the same code reads them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::base::wire_format::WireFormat;
use crate::classify::features::{self, FeatureInput};
use crate::classify::kinds::clues::{Part, Sink};
use crate::classify::kinds::root;
use crate::wire::head;

/// A request as clues.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Clues {
    /// Buckets of words and pairs, each with its share.
    pub words: Vec<(usize, f32)>,
    /// Rows of the shape.
    pub shape: Vec<usize>,
}

/// A request of which the kind of work is known.
#[derive(Clone, Debug)]
pub struct Example {
    /// The kind, by its place among all kinds.
    pub kind: usize,
    /// What is seen of it.
    pub clues: Clues,
}

/// A line of an examples file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    kind: &'a str,
    prompt: Option<String>,
    #[serde(borrow)]
    request: Option<&'a RawValue>,
}

/// Examples and the kinds that they name, sorted by name.
#[derive(Clone, Debug, Default)]
pub struct Examples {
    /// Names of kinds.
    pub kinds: Vec<String>,
    /// In the order of the files.
    pub examples: Vec<Example>,
}

impl Examples {
    /// Reads JSON lines: `{"kind": …, "prompt": …}` or `{"kind": …, "request": {…}}`, the body of a Chat request.
    ///
    /// # Errors
    /// The number of the first line that is no example, and why.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut read = Vec::new();
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let fault = |reason: String| (at + 1, reason);
            let line: Line<'_> = serde_json::from_str(line).map_err(|error| fault(error.to_string()))?;
            let body = match (&line.prompt, line.request) {
                (Some(prompt), None) => of_prompt(prompt),
                (None, Some(request)) => with_model(request.get()),
                (Some(_), Some(_)) | (None, None) => return Err(fault("give either `prompt` or `request`".to_owned())),
            };
            read.push((line.kind.to_owned(), Clues::of(body.as_bytes()).map_err(fault)?));
        }
        let mut kinds: Vec<String> = read.iter().map(|(kind, _)| kind.clone()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let place = |name: &String| kinds.binary_search(name).unwrap_or_default();
        let examples = read.iter().map(|(kind, clues)| Example { kind: place(kind), clues: clues.clone() }).collect();
        Ok(Self { kinds, examples })
    }
}

fn of_prompt(prompt: &str) -> String {
    let content = serde_json::Value::from(prompt);
    format!("{{\"model\":\"flux-auto\",\"messages\":[{{\"role\":\"user\",\"content\":{content}}}]}}")
}

/// Examples need not say a model, requests must.
fn with_model(request: &str) -> String {
    match request.trim_start().strip_prefix('{') {
        Some(rest) if !request.contains("\"model\"") => format!("{{\"model\":\"flux-auto\",{rest}"),
        Some(_) | None => request.to_owned(),
    }
}

impl Clues {
    /// The clues of the body of a Chat request.
    ///
    /// # Errors
    /// Why it is none.
    pub fn of(body: &[u8]) -> Result<Self, String> {
        let head = head::scan(body).map_err(|error| error.to_string())?;
        let (features, sample) = features::extract(&FeatureInput::of(WireFormat::OpenaiChat, &head, body));
        let mut counts = Counts::default();
        let mut shape = Vec::new();
        sample.excerpt().read(&features, &mut counts, |row| shape.push(row));
        let (user, context) = (root(counts.user_count), root(counts.context_count));
        let mut words: Vec<(usize, f32)> = counts.user.iter().map(|(bucket, count)| (*bucket, count / user)).collect();
        words.extend(counts.context.iter().map(|(bucket, count)| (*bucket, count / context)));
        Ok(Self { words, shape })
    }
}

/// How often each bucket came.
#[derive(Default)]
struct Counts {
    user: BTreeMap<usize, f32>,
    context: BTreeMap<usize, f32>,
    user_count: u32,
    context_count: u32,
}

impl Sink for Counts {
    fn word(&mut self, part: Part, bucket: usize) {
        match part {
            Part::User => {
                self.user_count += 1;
                *self.user.entry(bucket).or_default() += 1.0;
            }
            Part::Context => {
                self.context_count += 1;
                *self.context.entry(bucket).or_default() += 1.0;
            }
        }
    }
}
