//! The weights of the recogniser, as a file: kinds by name, bytes in base64, a hash, and the report of who fitted them.
//!
//! Must not know what the weights are multiplied with. A file of another version, or one that was cut or changed, is refused.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Scales;
use super::clues::BUCKETS;
use super::shape::SHAPES;

/// Kinds that a model can tell apart.
pub const KINDS_MAX: usize = 16;
/// Raised whenever a bucket or a row of the shape comes to mean something else.
pub const VERSION: u32 = 1;
/// Largest file that is read.
pub const FILE_BYTES_MAX: u64 = 4 << 20;

/// Gains between neighbouring lanes: standard over fast, reasoning over standard.
pub const GAINS: usize = 2;

/// The weights of one clue, one for each kind.
pub type Row = [i8; KINDS_MAX];
/// What one clue adds to each gain.
pub type GainRow = [i8; GAINS];

/// Weights in memory. Immutable.
#[derive(Clone, Debug)]
pub struct Weights {
    kinds: Box<[String]>,
    words: Box<[Row]>,
    shapes: Box<[Row]>,
    bias: [f32; KINDS_MAX],
    word_scale: f32,
    shape_scale: f32,
    gains: Option<Gains>,
    hash: String,
    report: serde_json::Value,
}

/// What words add to the gains of their kind, fitted to an operator's own outcomes.
#[derive(Clone, Debug)]
pub struct Gains {
    words: Box<[GainRow]>,
    shapes: Box<[GainRow]>,
    pub(super) bias: [f32; GAINS],
    pub(super) scales: Scales,
}

/// Gains as they were fitted, before they become bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct FittedGains {
    /// [`BUCKETS`] rows.
    pub words: Vec<[f32; GAINS]>,
    /// [`SHAPES`] rows.
    pub shapes: Vec<[f32; GAINS]>,
    /// One for each gain.
    pub bias: [f32; GAINS],
}

impl Gains {
    fn of(fitted: &FittedGains) -> Self {
        let (words, word_scale) = quantised(&fitted.words);
        let (shapes, shape_scale) = quantised(&fitted.shapes);
        Self { words, shapes, bias: fitted.bias, scales: Scales { words: word_scale, shapes: shape_scale } }
    }

    pub(super) fn word(&self, bucket: usize) -> &GainRow {
        self.words.get(bucket).unwrap_or(&[0; GAINS])
    }

    pub(super) fn shape(&self, row: usize) -> &GainRow {
        self.shapes.get(row).unwrap_or(&[0; GAINS])
    }
}

/// Weights as they were fitted, before they become bytes.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// Names of kinds, at most [`KINDS_MAX`].
    pub kinds: Vec<String>,
    /// [`BUCKETS`] rows.
    pub words: Vec<[f32; KINDS_MAX]>,
    /// [`SHAPES`] rows.
    pub shapes: Vec<[f32; KINDS_MAX]>,
    /// One for each kind.
    pub bias: [f32; KINDS_MAX],
}

/// Why a file is no weights.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// Not this format.
    #[error("not a weights file: {0}")]
    Malformed(String),
    /// Written by a Flux whose clues mean something else.
    #[error("version {0} of the weights, this Flux reads version {VERSION}")]
    Version(u32),
    /// Its hash does not match.
    #[error("the weights do not match their hash: the file was changed or cut")]
    Damaged,
}

/// The file, a JSON object.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    hash: String,
    report: serde_json::Value,
    kinds: Vec<String>,
    bias: Vec<f32>,
    word_scale: f32,
    shape_scale: f32,
    shapes: String,
    words: String,
    gains: Option<GainFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GainFile {
    bias: [f32; GAINS],
    word_scale: f32,
    shape_scale: f32,
    shapes: String,
    words: String,
}

impl Weights {
    /// Makes bytes of fitted weights.
    pub fn of(fitted: &Fitted, report: serde_json::Value) -> Self {
        let (words, word_scale) = quantised(&fitted.words);
        let (shapes, shape_scale) = quantised(&fitted.shapes);
        let kinds: Box<[String]> = fitted.kinds.iter().take(KINDS_MAX).cloned().collect();
        let mut weights = Self {
            kinds,
            words,
            shapes,
            bias: fitted.bias,
            word_scale,
            shape_scale,
            gains: None,
            hash: String::new(),
            report,
        };
        weights.hash = hash(&weights.file());
        weights
    }

    /// The same recogniser with other gains and another report.
    #[must_use]
    pub fn with_gains(&self, fitted: Option<&FittedGains>, report: serde_json::Value) -> Self {
        let mut weights = Self { gains: fitted.map(Gains::of), report, ..self.clone() };
        weights.hash = hash(&weights.file());
        weights
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it is none, of another version, or damaged.
    pub fn parse(text: &str) -> Result<Self, WeightsError> {
        let file: File = serde_json::from_str(text).map_err(|error| WeightsError::Malformed(error.to_string()))?;
        if file.version != VERSION {
            return Err(WeightsError::Version(file.version));
        }
        if file.hash != hash(&file) {
            return Err(WeightsError::Damaged);
        }
        let malformed = |what: &str| WeightsError::Malformed(what.to_owned());
        if !(2..=KINDS_MAX).contains(&file.kinds.len()) || file.bias.len() != file.kinds.len() {
            return Err(malformed("2 to 16 kinds are needed, each with a bias"));
        }
        let count = file.kinds.len();
        let words = rows(&file.words, count, BUCKETS).ok_or_else(|| malformed("`words` has another size"))?;
        let shapes = rows(&file.shapes, count, SHAPES).ok_or_else(|| malformed("`shapes` has another size"))?;
        let gains = file.gains.map(|gains| {
            let words =
                rows(&gains.words, GAINS, BUCKETS).ok_or_else(|| malformed("`gains.words` has another size"))?;
            let shapes =
                rows(&gains.shapes, GAINS, SHAPES).ok_or_else(|| malformed("`gains.shapes` has another size"))?;
            let scales = Scales { words: gains.word_scale, shapes: gains.shape_scale };
            Ok(Gains { words, shapes, bias: gains.bias, scales })
        });
        let gains = gains.transpose()?;
        let mut bias = [0.0; KINDS_MAX];
        bias.iter_mut().zip(&file.bias).for_each(|(to, from)| *to = *from);
        Ok(Self {
            kinds: file.kinds.into(),
            words,
            shapes,
            bias,
            word_scale: file.word_scale,
            shape_scale: file.shape_scale,
            gains,
            hash: file.hash,
            report: file.report,
        })
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(&self.file()).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Names of the kinds, in their order.
    pub fn kinds(&self) -> &[String] {
        &self.kinds
    }

    /// SHA-256 of what decides, as `sha256:` and 64 hexadecimal digits.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// What words add to gains, where that was fitted.
    pub fn gains(&self) -> Option<&Gains> {
        self.gains.as_ref()
    }

    /// How it was fitted, and what that gained.
    pub fn report(&self) -> &serde_json::Value {
        &self.report
    }

    /// The weights of a word or a pair.
    pub fn word(&self, bucket: usize) -> &Row {
        self.words.get(bucket).unwrap_or(&[0; KINDS_MAX])
    }

    /// The weights of a row of the shape.
    pub fn shape(&self, row: usize) -> &Row {
        self.shapes.get(row).unwrap_or(&[0; KINDS_MAX])
    }

    pub(in crate::classify) fn bias(&self) -> &[f32; KINDS_MAX] {
        &self.bias
    }

    /// What one step of a word's weight is worth.
    pub fn word_scale(&self) -> f32 {
        self.word_scale
    }

    /// What one step of a shape's weight is worth.
    pub fn shape_scale(&self) -> f32 {
        self.shape_scale
    }

    fn file(&self) -> File {
        let count = self.kinds.len();
        File {
            version: VERSION,
            hash: self.hash.clone(),
            report: self.report.clone(),
            kinds: self.kinds.to_vec(),
            bias: self.bias.iter().take(count).copied().collect(),
            word_scale: self.word_scale,
            shape_scale: self.shape_scale,
            shapes: encoded(&self.shapes, count),
            words: encoded(&self.words, count),
            gains: self.gains.as_ref().map(|gains| GainFile {
                bias: gains.bias,
                word_scale: gains.scales.words,
                shape_scale: gains.scales.shapes,
                shapes: encoded(&gains.shapes, GAINS),
                words: encoded(&gains.words, GAINS),
            }),
        }
    }
}

/// Over everything that a decision depends on.
fn hash(file: &File) -> String {
    let recogniser = (&file.kinds, &file.bias, file.word_scale, file.shape_scale, &file.shapes, &file.words);
    let digest = Sha256::digest(serde_json::to_vec(&(file.version, recogniser, &file.gains)).unwrap_or_default());
    let mut hash = "sha256:".to_owned();
    for byte in digest {
        let _ = write!(hash, "{byte:02x}");
    }
    hash
}

/// Weights as bytes, and what one step is worth.
fn quantised<const N: usize>(rows: &[[f32; N]]) -> (Box<[[i8; N]]>, f32) {
    let largest = rows.iter().flatten().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
    let scale = if largest > 0.0 { largest / f32::from(i8::MAX) } else { 1.0 };
    #[expect(clippy::cast_possible_truncation, reason = "within ±127 by the choice of the scale")]
    let step = |weight: f32| libm::roundf(weight / scale) as i8;
    (rows.iter().map(|row| row.map(step)).collect(), scale)
}

fn encoded<const N: usize>(rows: &[[i8; N]], count: usize) -> String {
    let bytes: Vec<u8> =
        rows.iter().flat_map(|row| row.iter().take(count)).map(|weight| weight.cast_unsigned()).collect();
    STANDARD.encode(bytes)
}

fn rows<const N: usize>(text: &str, count: usize, expected: usize) -> Option<Box<[[i8; N]]>> {
    let bytes = STANDARD.decode(text).ok().filter(|bytes| bytes.len() == count * expected)?;
    let row = |bytes: &[u8]| {
        let mut row = [0; N];
        row.iter_mut().zip(bytes).for_each(|(to, from)| *to = from.cast_signed());
        row
    };
    Some(bytes.chunks(count).map(row).collect())
}
