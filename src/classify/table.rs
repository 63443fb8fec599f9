//! The lane table: for each kind of work, what each lane's answer is worth.
//!
//! Must not know texts or models. The table is a TOML file that people may read and edit; `flux calibrate` writes it.

use std::fmt::Write as _;

use serde::Deserialize;

use crate::base::complaint::Complaint;

/// Largest file that is read.
pub const FILE_BYTES_MAX: u64 = 256 << 10;

/// One kind of work.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindRow {
    /// Quality of the fast lane's answers, 0 to 1.
    pub fast: f32,
    /// Of the standard lane's.
    pub standard: f32,
    /// Of the reasoning lane's.
    pub reasoning: f32,
    /// Whether the fast lane was measured to be good enough: only then it is chosen.
    pub fast_is_safe: bool,
    /// What the figures rest on, for people.
    pub basis: String,
}

impl KindRow {
    /// The three qualities, from the cheapest lane.
    pub fn qualities(&self) -> [f32; 3] {
        [self.fast, self.standard, self.reasoning]
    }
}

/// Rows in the order of the recogniser's kinds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LaneTable {
    rows: Box<[KindRow]>,
}

impl LaneTable {
    /// A table of rows in the order of the recogniser's kinds.
    pub fn of(rows: Vec<KindRow>) -> Self {
        Self { rows: rows.into() }
    }

    /// Checks a table against the kinds of the recogniser. `file` is its name for complaints.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str, file: &str, kinds: &[String]) -> Result<Self, Vec<Complaint>> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            kinds: std::collections::BTreeMap<String, toml::Spanned<KindRow>>,
        }
        let line_of = |at: usize| text.get(..at).unwrap_or(text).matches('\n').count() + 1;
        let complaint = |line: usize, message: String, hint: &str| Complaint {
            file: file.to_owned(),
            line,
            message,
            hint: hint.to_owned(),
        };
        let mut read: File = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(0, |span| line_of(span.start));
            let hint = "a kind has fast, standard, reasoning, fast_is_safe and basis";
            vec![complaint(line, error.message().trim().to_owned(), hint)]
        })?;
        let mut faults = Vec::new();
        for (name, row) in &read.kinds {
            let line = line_of(row.span().start);
            if !kinds.contains(name) {
                let hint = format!("the recogniser knows {}", kinds.join(", "));
                faults.push(complaint(line, format!("unknown kind \"{name}\""), &hint));
            }
            if row.get_ref().qualities().iter().any(|quality| !(0.0..=1.0).contains(quality)) {
                faults.push(complaint(line, format!("a quality of \"{name}\" is not between 0 and 1"), "write 0.85"));
            }
        }
        let mut rows = Vec::new();
        for name in kinds {
            match read.kinds.remove(name) {
                Some(row) => rows.push(row.into_inner()),
                None => faults.push(complaint(0, format!("no row for the kind \"{name}\""), "run flux calibrate anew")),
            }
        }
        faults.sort_by_key(|fault| fault.line);
        if faults.is_empty() { Ok(Self { rows: rows.into() }) } else { Err(faults) }
    }

    /// The rows, in the order of the recogniser's kinds.
    pub fn rows(&self) -> &[KindRow] {
        &self.rows
    }

    /// The file's text: `head` as comments, then the rows.
    pub fn to_text(&self, head: &str, kinds: &[String]) -> String {
        let mut text = String::new();
        for line in head.lines() {
            let _ = writeln!(text, "{}", format!("# {line}").trim_end());
        }
        for (name, row) in kinds.iter().zip(&self.rows) {
            let KindRow { fast, standard, reasoning, fast_is_safe, basis } = row;
            let basis = toml::Value::from(basis.as_str());
            let _ = write!(
                text,
                "\n[kinds.{name}]\nfast = {fast:.3}\nstandard = {standard:.3}\nreasoning = {reasoning:.3}\n\
                 fast_is_safe = {fast_is_safe}\nbasis = {basis}\n"
            );
        }
        text
    }
}
