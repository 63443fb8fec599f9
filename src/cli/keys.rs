//! `flux keys`: make, list, revoke.
//!
//! Must not store or log a raw key: `create` prints it once.

use std::io::Write;
use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::table::{minute, print, rfc3339};
use super::{DONE, DataDir, Form, print_json};
use crate::accounts::key::KeySettings;
use crate::base::time::{Clock, SystemClock, UnixMs};
use crate::store::Settings;
use crate::store::keys::{DEFAULT_ACCOUNT, KeyEntry, KeyTable, NewKey, Scheme};

const MS_PER_DAY: u64 = 24 * 60 * 60 * 1_000;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key and print it, this once; a running server takes it within a second
    Create(Create),
    /// List all keys, without the keys themselves
    List(List),
    /// Revoke a key; a running server refuses it within a second
    Revoke(Revoke),
}

#[derive(Args, Debug)]
pub(super) struct Create {
    /// What to call the key
    #[arg(long, default_value = "", hide_default_value = true)]
    name: String,
    /// Make a test key: mock answers only, no provider, no cost
    #[arg(long)]
    test: bool,
    /// How the key begins: flux for `sk-flux-` and `sk-flux-test-`, conflux for `cf_live_` and `cf_test_`
    #[arg(long, value_name = "SCHEME", value_parser = ["flux", "conflux"], default_value = "flux")]
    scheme: String,
    /// Refuse the key after so many days [default: never]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=36_500))]
    expires_in_days: Option<u64>,
    /// Account that pays; made if there is none of that name
    #[arg(long, value_name = "NAME", default_value = DEFAULT_ACCOUNT)]
    account: String,
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    form: Form,
}

#[derive(Args, Debug)]
pub(super) struct List {
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    form: Form,
}

#[derive(Args, Debug)]
pub(super) struct Revoke {
    /// The key's id, a prefix that no other key has, or the key itself
    #[arg(value_name = "ID|PREFIX")]
    key: String,
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    form: Form,
}

/// Runs one of them.
pub(super) fn run(command: Command, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<u8> {
    let now = SystemClock.unix_ms();
    match command {
        Command::Create(create) => run_create(&create, now, out, err),
        Command::List(list) => run_list(&list, now, out),
        Command::Revoke(revoke) => run_revoke(&revoke, now, out),
    }?;
    Ok(DONE)
}

fn run_create(create: &Create, now: UnixMs, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<()> {
    let Create { name, test, scheme, expires_in_days, account, data_dir, form } = create;
    let expires_at = expires_in_days.map(|days| UnixMs(now.0.saturating_add(days.saturating_mul(MS_PER_DAY))));
    let settings = KeySettings { name: name.clone(), expires_at, ..KeySettings::default() };
    let scheme = if scheme == "conflux" { Scheme::Conflux } else { Scheme::Flux };
    let new = NewKey { account, settings: &settings, is_test: *test, scheme };
    let folder = data_dir.path();
    if !folder.exists() {
        // A server that keeps its data elsewhere will not know the key.
        writeln!(err, "flux: there was no data folder {}; it is made now", folder.display())?;
    }
    let created = KeyTable::open(&folder, keys_max(&folder))?.create(&new, now)?;
    if form.json {
        let mut value = entry_json(&created.entry, now);
        if let Value::Object(fields) = &mut value {
            fields.insert("key".to_owned(), json!(created.raw.expose()));
        }
        return print_json(out, &value);
    }
    let KeyEntry { id, account, kind, settings: KeySettings { name, expires_at, .. }, .. } = &created.entry;
    writeln!(out, "{}\n", created.raw.expose())?;
    let rows = [
        ("id", id.0.to_string()),
        ("name", or_dash(name)),
        ("kind", (*kind).to_owned()),
        ("account", account.clone()),
        ("expires", expires_at.map_or_else(|| "never".to_owned(), minute)),
    ];
    for (title, value) in rows {
        writeln!(out, "{title:8} {value}")?;
    }
    writeln!(out, "\nKeep it: the key is not stored and cannot be shown again.")?;
    Ok(())
}

fn run_list(list: &List, now: UnixMs, out: &mut dyn Write) -> anyhow::Result<()> {
    let List { data_dir, form } = list;
    let keys = KeyTable::open_existing(&data_dir.path(), keys_max(&data_dir.path()))?.list()?;
    if form.json {
        let keys: Vec<_> = keys.iter().map(|key| entry_json(key, now)).collect();
        return print_json(out, &Value::Array(keys));
    }
    let titles = ["ID", "PREFIX", "NAME", "KIND", "ACCOUNT", "STATE", "CREATED", "LAST USED", "EXPIRES"];
    let rows: Vec<_> = keys.iter().map(|key| row(key, now)).collect();
    print(out, titles, &rows)?;
    Ok(())
}

fn run_revoke(revoke: &Revoke, now: UnixMs, out: &mut dyn Write) -> anyhow::Result<()> {
    let Revoke { key, data_dir, form } = revoke;
    let revoked = KeyTable::open_existing(&data_dir.path(), keys_max(&data_dir.path()))?.revoke(key, now)?;
    if form.json {
        return print_json(out, &entry_json(&revoked, now));
    }
    let at = revoked.revoked_at.map(minute).unwrap_or_default();
    writeln!(out, "key {} ({}…) is revoked since {at} UTC", revoked.id.0, revoked.prefix)?;
    Ok(())
}

fn keys_max(folder: &Path) -> usize {
    Settings::new(folder).keys_max
}

fn row(key: &KeyEntry, now: UnixMs) -> [String; 9] {
    let time = |at: Option<UnixMs>| at.map_or_else(|| "-".to_owned(), minute);
    [
        key.id.0.to_string(),
        format!("{}…", key.prefix),
        or_dash(&key.settings.name),
        key.kind.to_owned(),
        key.account.clone(),
        key.standing(now).to_owned(),
        minute(key.created_at),
        time(key.last_used_at),
        time(key.settings.expires_at),
    ]
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

fn entry_json(key: &KeyEntry, now: UnixMs) -> Value {
    let KeyEntry { id, account_id, account, prefix, kind, settings, created_at, last_used_at, revoked_at } = key;
    let KeySettings { name, expires_at, .. } = settings;
    json!({
        "id": id.0,
        "prefix": prefix,
        "name": name,
        "kind": kind,
        "account": account,
        "account_id": account_id.0,
        "state": key.standing(now),
        "created_at": rfc3339(*created_at),
        "last_used_at": last_used_at.map(rfc3339),
        "expires_at": expires_at.map(rfc3339),
        "revoked_at": revoked_at.map(rfc3339),
    })
}
