//! Forms (`multipart/form-data`): where each field's value stands, and the model's name put in its place.
//!
//! Must not know what the fields mean, and copies nothing: sound and pictures are megabytes. What two readers could
//! take apart in two ways is refused, since the provider must read the request that was routed and paid: a preamble,
//! a field that we read and that is given twice, a name by another spelling, a boundary within a value.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use memchr::memmem;

use super::head::MODEL_BYTES_MAX;

/// Parts of one form, at most.
const PARTS_MAX: usize = 256;
/// The headers of one part, at most.
const HEADERS_BYTES_MAX: usize = 4 << 10;
/// RFC 2046 allows no longer boundary.
const BOUNDARY_BYTES_MAX: usize = 70;
const CRLF: &[u8] = b"\r\n";
const MODEL: &str = "model";

/// Why a body is no form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// The content type is another, or names no usable boundary.
    #[error("the content-type must be multipart/form-data with a boundary")]
    NoBoundary,
    /// The parts do not stand as they should.
    #[error("the form is broken at byte {0}")]
    Broken(usize),
    /// More parts than any request has.
    #[error("the form has more than {PARTS_MAX} parts")]
    TooManyParts,
    /// A field that is given twice; readers differ in which one they take.
    #[error("`{0}` is given twice")]
    Duplicate(String),
    /// There is no field with this name.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// The model's name is no plain word.
    #[error("`model` must be a name of at most {MODEL_BYTES_MAX} printable characters")]
    BadModel,
}

impl FormError {
    /// The field that is at fault, if one is.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::NoBoundary | Self::Broken(_) | Self::TooManyParts => None,
            Self::Duplicate(name) => Some(name),
            Self::Missing(name) => Some(name),
            Self::BadModel => Some(MODEL),
        }
    }
}

/// A form's parts, as ranges of the body they were found in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    model: Range<usize>,
    parts: Vec<Part>,
}

/// One part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The field's name.
    pub name: Box<str>,
    /// Its value.
    pub value: Range<usize>,
    /// Whether it is a file.
    pub is_file: bool,
}

impl Form {
    /// Finds the parts of `body`, whose content type is `media_type`.
    ///
    /// # Errors
    /// When it is no form that can be read in one way only, or names no model.
    pub fn scan(media_type: &str, body: &[u8]) -> Result<Self, FormError> {
        let boundary = boundary(media_type).ok_or(FormError::NoBoundary)?;
        let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
        // The first one has no line before it that would have to end.
        if !body.starts_with(delimiter.get(CRLF.len()..).unwrap_or_default()) {
            return Err(FormError::Broken(0));
        }
        let finder = memmem::Finder::new(&delimiter);
        let mut at = delimiter.len() - CRLF.len();
        let mut parts: Vec<Part> = Vec::new();
        while !is_end(body, at)? {
            if parts.len() == PARTS_MAX {
                return Err(FormError::TooManyParts);
            }
            let start = at + CRLF.len();
            let (name, is_file, value_start) = headers(body, start)?;
            let rest = body.get(value_start..).unwrap_or_default();
            let length = finder.find(rest).ok_or(FormError::Broken(start))?;
            parts.push(Part { name, value: value_start..value_start + length, is_file });
            at = value_start + length + delimiter.len();
        }
        Self::of(parts, body)
    }

    fn of(parts: Vec<Part>, body: &[u8]) -> Result<Self, FormError> {
        for (at, part) in parts.iter().enumerate() {
            // Lists of files are spelt `image[]`, or by one name again and again.
            let are_files = |other: &Part| part.is_file && other.is_file && &*part.name != MODEL;
            let is_twice = parts.iter().skip(at + 1).any(|other| other.name == part.name && !are_files(other));
            if is_twice && !part.name.ends_with("[]") {
                return Err(FormError::Duplicate(part.name.to_string()));
            }
        }
        let part = parts.iter().find(|part| &*part.name == MODEL).ok_or(FormError::Missing(MODEL))?;
        let model = part.value.clone();
        let name = body.get(model.clone()).unwrap_or_default();
        let is_name = !name.is_empty() && name.len() <= MODEL_BYTES_MAX && name.iter().all(u8::is_ascii_graphic);
        if part.is_file || !is_name {
            return Err(FormError::BadModel);
        }
        Ok(Self { model, parts })
    }

    /// The parts in their order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The name of the model. `body` must be the body of this form.
    pub fn model<'a>(&self, body: &'a [u8]) -> Cow<'a, str> {
        String::from_utf8_lossy(body.get(self.model.clone()).unwrap_or_default())
    }

    /// The value of a field that is no file; empty where there is none.
    pub fn text<'a>(&self, name: &str, body: &'a [u8]) -> &'a [u8] {
        let part = self.parts.iter().find(|part| *part.name == *name && !part.is_file);
        part.and_then(|part| body.get(part.value.clone())).unwrap_or_default()
    }

    /// The content of the first file; empty where there is none.
    pub fn file<'a>(&self, body: &'a [u8]) -> &'a [u8] {
        let part = self.parts.iter().find(|part| part.is_file);
        part.and_then(|part| body.get(part.value.clone())).unwrap_or_default()
    }

    /// The form with another model's name; the same bytes, not copied, where it is that already. A name that the
    /// delimiter could stand in is no name of a model: `config` takes printable characters only.
    pub fn upstream_body(&self, body: &Bytes, model: &str) -> Bytes {
        let Range { start, end } = self.model.clone();
        if body.get(start..end) == Some(model.as_bytes()) {
            return body.clone();
        }
        let before = body.get(..start).unwrap_or_default();
        let after = body.get(end..).unwrap_or_default();
        Bytes::from([before, model.as_bytes(), after].concat())
    }
}

/// The boundary of a content type.
fn boundary(media_type: &str) -> Option<&str> {
    let mut parameters = media_type.split(';').map(str::trim);
    if !parameters.next()?.eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let mut found = None;
    for parameter in parameters {
        let Some((name, value)) = parameter.split_once('=') else { continue };
        if name.trim().eq_ignore_ascii_case("boundary") && found.replace(value.trim()).is_some() {
            return None;
        }
    }
    let value = found?;
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&byte);
    (!value.is_empty() && value.len() <= BOUNDARY_BYTES_MAX && value.bytes().all(is_good)).then_some(value)
}

/// Whether the form ends at `at`, just after a boundary.
fn is_end(body: &[u8], at: usize) -> Result<bool, FormError> {
    match body.get(at..).unwrap_or_default() {
        b"--" | b"--\r\n" => Ok(true),
        rest if rest.starts_with(CRLF) => Ok(false),
        _ => Err(FormError::Broken(at)),
    }
}

/// The headers of the part that begins at `start`: its name, whether it is a file, and where its value begins.
fn headers(body: &[u8], start: usize) -> Result<(Box<str>, bool, usize), FormError> {
    let broken = || FormError::Broken(start);
    let room = body.get(start..).map(|rest| rest.get(..HEADERS_BYTES_MAX).unwrap_or(rest)).unwrap_or_default();
    let length = memmem::find(room, b"\r\n\r\n").ok_or_else(broken)?;
    let lines = std::str::from_utf8(room.get(..length).unwrap_or_default()).map_err(|_| broken())?;
    let mut disposition = None;
    for line in lines.split("\r\n") {
        let (name, value) = line.split_once(':').ok_or_else(broken)?;
        if name.contains([' ', '\t']) || line.contains(['\r', '\n', '\0']) {
            return Err(broken());
        }
        if name.eq_ignore_ascii_case("content-disposition") && disposition.replace(value).is_some() {
            return Err(broken());
        }
        let is_encoded = name.eq_ignore_ascii_case("content-transfer-encoding")
            && !["binary", "8bit", "7bit"].iter().any(|plain| value.trim().eq_ignore_ascii_case(plain));
        if is_encoded {
            return Err(broken());
        }
    }
    let (name, is_file) = disposition.and_then(named).ok_or_else(broken)?;
    Ok((name, is_file, start + length + 2 * CRLF.len()))
}

/// Reads `form-data; name="x"; filename="y"`.
fn named(disposition: &str) -> Option<(Box<str>, bool)> {
    let (kind, mut rest) = disposition.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return None;
    }
    let (mut name, mut is_file) = (None, false);
    loop {
        let (key, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (value, after) = if let Some(quoted) = after.strip_prefix('"') {
            quoted.split_once('"')?
        } else {
            after.find(';').map_or((after, ""), |end| after.split_at(end))
        };
        let key = key.trim();
        if key.eq_ignore_ascii_case("name") {
            let is_plain = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
            if !is_plain || value.contains('%') || name.replace(value.trim()).is_some() {
                return None;
            }
        } else if key.eq_ignore_ascii_case("filename") || key.eq_ignore_ascii_case("filename*") {
            is_file = true;
            // An escaped quote would let the value go on for another reader.
            if value.ends_with('\\') {
                return None;
            }
        } else {
            return None;
        }
        let after = after.trim();
        if after.is_empty() {
            return name.map(|name| (Box::from(name), is_file));
        }
        rest = after.strip_prefix(';')?;
    }
}

#[cfg(test)]
mod tests;
