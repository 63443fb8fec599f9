//! Requests as vectors of clues: what is fitted to.
//!
//! Must not know weights. The clues are those that `classify` sees, since the same code reads them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::augment::{Frames, variants};
use super::shuffle::Shuffle;
use crate::base::wire_format::WireFormat;
use crate::classify::features::{self, FeatureInput, Features, Sample};
use crate::classify::kinds::clues::{Part, Sink};
use crate::classify::kinds::root;
use crate::wire::head;

/// Fixes which frame goes with which example.
const VARIANTS_SEED: u64 = 0x0f4a_3e5e;

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
    /// What is seen of it and of its variants.
    pub variants: Vec<Clues>,
}

/// A line of an examples file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    kind: String,
    prompt: Option<String>,
    request: Option<Value>,
}

/// Examples and the kinds that they name, sorted by name.
#[derive(Clone, Debug, Default)]
pub struct Examples {
    /// Names of kinds.
    pub kinds: Vec<String>,
    /// In the order of the files.
    pub examples: Vec<Example>,
}

/// Why a line is no example.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct BadExample {
    /// From 1.
    pub line: usize,
    /// In words.
    pub reason: String,
}

impl Examples {
    /// Reads JSON lines: `{"kind": …, "prompt": …}` or `{"kind": …, "request": {…}}`, the body of a Chat request. Each
    /// example is learnt with variants made of `frames`.
    ///
    /// # Errors
    /// The first line that is no example, and why.
    pub fn parse(text: &str, frames: &Frames) -> Result<Self, BadExample> {
        let mut choice = Shuffle::new(VARIANTS_SEED);
        let mut read = Vec::new();
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let fault = |reason: String| BadExample { line: at + 1, reason };
            let line: Line = serde_json::from_str(line).map_err(|error| fault(error.to_string()))?;
            let mut body = match (line.prompt, line.request) {
                (Some(prompt), None) => json!({"messages": [{"role": "user", "content": prompt}]}),
                (None, Some(request)) if request.is_object() => request,
                _ => return Err(fault("give either `prompt` or `request`, the body of a Chat request".to_owned())),
            };
            if let Some(fields) = body.as_object_mut() {
                fields.entry("model").or_insert_with(|| json!("flux-auto"));
            }
            let variants = variants(&body, frames, &mut choice);
            let clues: Result<Vec<Clues>, String> =
                variants.iter().map(|body| Clues::of(body.to_string().as_bytes())).collect();
            read.push((line.kind, clues.map_err(fault)?));
        }
        let mut kinds: Vec<String> = read.iter().map(|(kind, _)| kind.clone()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let place = |name: &String| kinds.binary_search(name).unwrap_or_default();
        let examples = read.into_iter().map(|(kind, variants)| Example { kind: place(&kind), variants }).collect();
        Ok(Self { kinds, examples })
    }
}

impl Clues {
    /// The clues of the body of a Chat request.
    ///
    /// # Errors
    /// Why it is none.
    pub fn of(body: &[u8]) -> Result<Self, String> {
        let (features, sample) = look(body)?;
        Ok(Self::of_sample(&features, &sample))
    }

    /// The clues of what was seen of a request.
    pub fn of_sample(features: &Features, sample: &Sample) -> Self {
        let mut counts = Counts::default();
        let mut shape = Vec::new();
        sample.excerpt().read(features, &mut counts, |row| shape.push(row));
        let (user, context) = (root(counts.user_count), root(counts.context_count));
        let mut words: Vec<(usize, f32)> = counts.user.iter().map(|(bucket, count)| (*bucket, count / user)).collect();
        words.extend(counts.context.iter().map(|(bucket, count)| (*bucket, count / context)));
        Self { words, shape }
    }
}

/// What the router sees of the body of a Chat request.
///
/// # Errors
/// Why it is none.
pub fn look(body: &[u8]) -> Result<(Features, Sample), String> {
    let head = head::scan(body).map_err(|error| error.to_string())?;
    Ok(features::extract(&FeatureInput::of(WireFormat::OpenaiChat, &head, body)))
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
