//! `flux keys`: make, list, change, rotate, revoke.
//!
//! Must not store or log a raw key: `create` and `rotate` print it once.

use std::io::Write;

use anyhow::anyhow;
use clap::{Args, Subcommand};

use super::choices::{Choices, parse_scheme, parse_span};
use super::table::{minute, print};
use super::{DONE, DataDir, Form, print_json};
use crate::accounts::key::{KeySettings, Scheme};
use crate::api::keys::view::{KeyView, NewKeyView};
use crate::api::keys::wanted::period_name;
use crate::base::time::{Clock, SystemClock, UnixMs};
use crate::boot;
use crate::store::Settings;
use crate::store::keys::{CreatedKey, DEFAULT_ACCOUNT, KeyEntry, KeyTable, NewKey};

const MS_PER_DAY: u64 = 24 * 60 * 60 * 1_000;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key and print it, this once; a running server takes it within a second
    Create(Box<Create>),
    /// List all keys, without the keys themselves
    List(List),
    /// Change a key's settings; a running server obeys within a second
    Change(Box<Change>),
    /// Make a new key with the settings of an old one, which ends
    Rotate(Rotate),
    /// Revoke a key; a running server refuses it within a second
    Revoke(Revoke),
}

#[derive(Args, Debug)]
pub(super) struct Create {
    /// Make a test key: mock answers only, no provider, no cost
    #[arg(long)]
    test: bool,
    /// How the key begins: flux for `sk-flux-` and `sk-flux-test-`, conflux for `cf_live_` and `cf_test_`
    #[arg(long, visible_alias = "scheme", value_name = "FORMAT", value_parser = parse_scheme, default_value = "flux")]
    format: Scheme,
    /// Refuse the key after so many days
    #[arg(long, value_name = "N", conflicts_with = "expires_in", value_parser = clap::value_parser!(u64).range(1..=36_500))]
    expires_in_days: Option<u64>,
    /// Account that pays; made if there is none of that name
    #[arg(long, value_name = "NAME", default_value = DEFAULT_ACCOUNT)]
    account: String,
    #[command(flatten)]
    choices: Choices,
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    form: Form,
}

#[derive(Args, Debug)]
pub(super) struct Change {
    /// The key's id, a prefix that no other key has, or the key itself
    #[arg(value_name = "ID|PREFIX")]
    key: String,
    #[command(flatten)]
    choices: Choices,
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    form: Form,
}

#[derive(Args, Debug)]
pub(super) struct Rotate {
    /// The key's id, a prefix that no other key has, or the key itself
    #[arg(value_name = "ID|PREFIX")]
    key: String,
    /// For how long the old key still works: 1h, 7d
    #[arg(long, value_name = "SPAN", value_parser = parse_span, default_value = "0")]
    grace: u64,
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
        Command::Change(change) => run_change(&change, now, out),
        Command::Rotate(rotate) => run_rotate(&rotate, now, out),
        Command::Revoke(revoke) => run_revoke(&revoke, now, out),
    }?;
    Ok(DONE)
}

fn run_create(create: &Create, now: UnixMs, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<()> {
    let Create { test, format, expires_in_days, account, choices, data_dir, form } = create;
    let expires_at = expires_in_days.map(|days| UnixMs(now.0.saturating_add(days.saturating_mul(MS_PER_DAY))));
    let mut settings = KeySettings { expires_at, ..KeySettings::default() };
    choices.put_into(&mut settings, now).map_err(|fault| anyhow!(fault))?;
    expect_providers(choices, data_dir)?;
    let new = NewKey { account, settings: &settings, is_test: *test, scheme: *format };
    let folder = data_dir.path();
    if !folder.exists() {
        // A server that keeps its data elsewhere will not know the key.
        writeln!(err, "flux: there was no data folder {}; it is made now", folder.display())?;
    }
    let created = KeyTable::open(&Settings::new(&folder))?.create(&new, now)?;
    print_new(&created, form, now, out)
}

fn run_change(change: &Change, now: UnixMs, out: &mut dyn Write) -> anyhow::Result<()> {
    let Change { key, choices, data_dir, form } = change;
    expect_providers(choices, data_dir)?;
    let mut table = open_existing(data_dir)?;
    let changed = table.change(key.as_str().into(), |settings| choices.put_into(settings, now), now)?;
    if form.json {
        return print_json(out, &serde_json::to_value(KeyView::of(&changed, now))?);
    }
    print_entry(&changed, out)
}

fn run_rotate(rotate: &Rotate, now: UnixMs, out: &mut dyn Write) -> anyhow::Result<()> {
    let Rotate { key, grace, data_dir, form } = rotate;
    let mut table = open_existing(data_dir)?;
    print_new(&table.rotate(key.as_str().into(), *grace, now)?, form, now, out)
}

/// Prints a key that was made just now.
fn print_new(created: &CreatedKey, form: &Form, now: UnixMs, out: &mut dyn Write) -> anyhow::Result<()> {
    if form.json {
        return print_json(out, &serde_json::to_value(NewKeyView::of(created, now))?);
    }
    writeln!(out, "{}\n", created.raw.expose())?;
    print_entry(&created.entry, out)?;
    writeln!(out, "\nKeep it: the key is not stored and cannot be shown again.")?;
    Ok(())
}

fn print_entry(entry: &KeyEntry, out: &mut dyn Write) -> anyhow::Result<()> {
    let KeyEntry { id, account, kind, settings, .. } = entry;
    let KeySettings { name, expires_at, scope, providers, budget, auto, .. } = settings;
    let budget = budget.map(|budget| format!("${} a {}", budget.amount, period_name(budget.reset)));
    let rows = [
        ("id", id.0.to_string()),
        ("name", or_dash(name)),
        ("kind", (*kind).to_owned()),
        ("account", account.clone()),
        ("scope", scope.name().to_owned()),
        ("expires", expires_at.map_or_else(|| "never".to_owned(), minute)),
        ("served", providers.as_deref().cloned().unwrap_or_default().to_string()),
        ("budget", budget.unwrap_or_else(|| "as its account".to_owned())),
        ("quality", auto.quality.map_or_else(|| "as its account".to_owned(), |quality| quality.to_string())),
        ("auto", auto.lane.map_or_else(|| "as its account".to_owned(), |lane| lane.to_string())),
    ];
    for (title, value) in rows {
        writeln!(out, "{title:8} {value}")?;
    }
    Ok(())
}

fn run_list(list: &List, now: UnixMs, out: &mut dyn Write) -> anyhow::Result<()> {
    let List { data_dir, form } = list;
    let keys = open_existing(data_dir)?.list()?;
    if form.json {
        let keys: Vec<_> = keys.iter().map(|key| KeyView::of(key, now)).collect();
        return print_json(out, &serde_json::to_value(keys)?);
    }
    let titles = ["ID", "PREFIX", "NAME", "KIND", "ACCOUNT", "STATE", "CREATED", "LAST USED", "EXPIRES"];
    let rows: Vec<_> = keys.iter().map(|key| row(key, now)).collect();
    print(out, titles, &rows)?;
    Ok(())
}

fn run_revoke(revoke: &Revoke, now: UnixMs, out: &mut dyn Write) -> anyhow::Result<()> {
    let Revoke { key, data_dir, form } = revoke;
    let revoked = open_existing(data_dir)?.revoke(key.as_str(), now)?;
    if form.json {
        return print_json(out, &serde_json::to_value(KeyView::of(&revoked, now))?);
    }
    let at = revoked.revoked_at.map(minute).unwrap_or_default();
    writeln!(out, "key {} ({}…) is revoked since {at} UTC", revoked.id.0, revoked.prefix)?;
    Ok(())
}

/// Refuses names of providers that the configuration does not have. Those that a key has already may be gone.
fn expect_providers(choices: &Choices, data_dir: &DataDir) -> anyhow::Result<()> {
    let named = choices.providers_named();
    if named.is_any() { Ok(()) } else { boot::expect_providers(&data_dir.config.path, &named) }
}

fn open_existing(data_dir: &DataDir) -> anyhow::Result<KeyTable> {
    Ok(KeyTable::open_existing(&Settings::new(data_dir.path()))?)
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
