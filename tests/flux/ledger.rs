//! The ledger as an auditor reads it: rows of the SQLite file, by column name.
//!
//! Must not know Flux's types or its statements.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

/// One row, by column name.
#[derive(Clone, Debug)]
pub(crate) struct Row(pub(crate) BTreeMap<String, Value>);

impl Row {
    /// A column by its name, or by its name with a unit behind it (`amount` finds `amount_nano_usd`).
    pub(crate) fn get(&self, name: &str) -> &Value {
        let with_unit = format!("{name}_");
        let found = self.0.get(name).or_else(|| self.0.iter().find(|(n, _)| n.starts_with(&with_unit)).map(|(_, v)| v));
        found.unwrap_or_else(|| panic!("the ledger has no column {name}: {:?}", self.0.keys()))
    }

    pub(crate) fn number(&self, name: &str) -> i64 {
        let value = self.get(name);
        value.as_i64().unwrap_or_else(|| panic!("{name} is no whole number: {value}"))
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        let value = self.get(name);
        value.as_str().unwrap_or_else(|| panic!("{name} is no text: {value}"))
    }

    pub(crate) fn amount_nano(&self) -> i64 {
        self.number("amount")
    }

    pub(crate) fn is_estimated(&self) -> bool {
        self.number("estimated") == 1
    }

    /// The request id as clients see it.
    pub(crate) fn request_id(&self) -> String {
        format!("req_{:0>32}", self.text("request_id").trim_start_matches("req_"))
    }
}

/// Of each request the charge and how it ended, where the rows are too many to be taken in whole.
pub(crate) fn charges(data_dir: &Path) -> BTreeMap<String, (i64, String)> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(data_dir.join("flux.db"), flags).expect("a ledger");
    db.busy_timeout(std::time::Duration::from_secs(5)).expect("a busy time-out");
    let mut statement = db.prepare("SELECT request_id, amount_nano, ending FROM ledger").expect("a ledger");
    let row = |row: &rusqlite::Row<'_>| {
        let id: Vec<u8> = row.get(0)?;
        Ok((format!("req_{}", hex(&id)), (row.get(1)?, row.get(2)?)))
    };
    statement.query_map([], row).expect("rows").collect::<rusqlite::Result<_>>().expect("rows")
}

/// All rows, oldest first. Empty while there is no file or no table yet.
pub(crate) fn rows(data_dir: &Path) -> Vec<Row> {
    let path = data_dir.join("flux.db");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let Ok(db) = Connection::open_with_flags(&path, flags) else {
        return Vec::new();
    };
    db.busy_timeout(std::time::Duration::from_secs(5)).expect("a busy time-out");
    let Ok(mut statement) = db.prepare("SELECT * FROM ledger ORDER BY at, request_id") else {
        return Vec::new();
    };
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let rows = statement.query_map([], |row| {
        let column = |(i, name): (usize, &String)| Ok((name.clone(), json_of(row.get_ref(i)?)));
        Ok(Row(names.iter().enumerate().map(column).collect::<rusqlite::Result<_>>()?))
    });
    rows.expect("rows").collect::<rusqlite::Result<_>>().expect("rows")
}

fn json_of(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned().into(),
        ValueRef::Blob(bytes) => hex(bytes).into(),
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
