//! `flux accounts`: open, list, show, change, sell packs to, close.
//!
//! Must not invent tariffs: names are those of the configuration.

use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::choices::{Stated, parse_lane, parse_quality};
use super::server::ConfigDir;
use super::table::{minute, print};
use super::{DONE, DataDir, Form, print_json};
use crate::base::money::{NanoUsd, PicoUsd};
use crate::base::period::Period;
use crate::base::quality::Quality;
use crate::base::tariff::{CREDIT, Credits, Tariff, Tariffs};
use crate::base::time::{Clock, SystemClock, UnixMs};
use crate::base::wish::{AutoWish, LaneWish};
use crate::config;
use crate::store::accounts::{AccountEntry, AccountTable, Change, NewAccount, NewPack, PackEntry, Setting};

const PICO_PER_NANO: u128 = 1_000;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Open an account
    Create(Create),
    /// List all accounts
    List(List),
    /// Show an account: its tariff, its period, what it used, its packs
    Show(Show),
    /// Change tariff or cap; a running server takes it within a second
    Set(Set),
    /// Add a credit pack: usage that is paid ahead, spent after what the tariff includes
    AddPack(AddPack),
    /// Close an account for good: its keys are revoked at once
    Close(Close),
}

#[derive(Args, Debug)]
pub(super) struct Create {
    /// What to call it
    #[arg(value_name = "NAME")]
    name: String,
    /// Its tariff, by the name in tariffs.toml [default: the one with `default = true`]
    #[arg(long, value_name = "TARIFF")]
    tariff: Option<String>,
    /// The most usage of a period, in the place of the tariff's ceiling
    #[arg(long, value_name = "USD", value_parser = usd)]
    cap_usd: Option<NanoUsd>,
    #[command(flatten)]
    wishes: Wishes,
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
pub(super) struct Show {
    /// The account's id or name
    #[arg(value_name = "ACCOUNT")]
    account: String,
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    form: Form,
}

#[derive(Args, Debug)]
#[group(id = "change", required = true, multiple = true, args = ["tariff", "cap_usd", "quality", "auto_lane"])]
pub(super) struct Set {
    /// The account's id or name
    #[arg(value_name = "ACCOUNT")]
    account: String,
    /// Its tariff, by the name in tariffs.toml
    #[arg(long, value_name = "TARIFF")]
    tariff: Option<String>,
    /// The most usage of a period; "none" for the tariff's ceiling
    #[arg(long, value_name = "USD|none", value_parser = cap)]
    cap_usd: Option<Setting<NanoUsd>>,
    #[command(flatten)]
    wishes: Wishes,
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    form: Form,
}

/// What an account wishes of flux-auto; what is left out stays as it is.
#[derive(Args, Clone, Copy, Debug)]
struct Wishes {
    /// How much quality flux-auto seeks, from 0 (the cheapest) to 1 (the best); "none" for the file's
    #[arg(long, value_name = "0.0-1.0", value_parser = parse_quality)]
    quality: Option<Stated<Quality>>,
    /// Where flux-auto goes: flux-fast, … for always that lane, `at_least:LANE`, `at_most:LANE`; "none" for any
    #[arg(long, value_name = "LANE", value_parser = parse_lane)]
    auto_lane: Option<Stated<LaneWish>>,
}

#[derive(Args, Debug)]
pub(super) struct AddPack {
    /// The account's id or name
    #[arg(value_name = "ACCOUNT")]
    account: String,
    /// How much usage: a credit is a cent of it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    credits: u32,
    /// What was paid
    #[arg(long, value_name = "USD", value_parser = usd)]
    price_usd: NanoUsd,
    /// For people, such as the number of an invoice
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    note: String,
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    form: Form,
}

#[derive(Args, Debug)]
pub(super) struct Close {
    /// The account's id or name
    #[arg(value_name = "ACCOUNT")]
    account: String,
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    form: Form,
}

/// Runs one of them.
pub(super) fn run(command: Command, out: &mut dyn Write) -> anyhow::Result<u8> {
    let now = SystemClock.unix_ms();
    match command {
        Command::Create(create) => run_create(&create, now, out),
        Command::List(list) => run_list(&list, out),
        Command::Show(show) => run_show(&show, now, out),
        Command::Set(set) => run_set(&set, out),
        Command::AddPack(add_pack) => run_add_pack(&add_pack, now, out),
        Command::Close(close) => run_close(&close, now, out),
    }?;
    Ok(DONE)
}

fn run_create(create: &Create, now: UnixMs, out: &mut dyn Write) -> anyhow::Result<()> {
    let Create { name, tariff, cap_usd, wishes, data_dir, form } = create;
    if let Some(id) = tariff {
        expect_tariff(&data_dir.config, id)?;
    }
    let auto = AutoWish {
        quality: wishes.quality.and_then(|Stated(quality)| quality),
        lane: wishes.auto_lane.and_then(|Stated(lane)| lane),
    };
    let new = NewAccount { name, tariff: tariff.as_deref().unwrap_or_default(), cap: *cap_usd, auto };
    let account = AccountTable::open(&data_dir.path())?.create(&new, now)?;
    print_entry(&account, form, out)
}

fn run_list(list: &List, out: &mut dyn Write) -> anyhow::Result<()> {
    let List { data_dir, form } = list;
    let accounts = AccountTable::open_existing(&data_dir.path())?.list()?;
    if form.json {
        return print_json(out, &accounts.iter().map(entry_json).collect());
    }
    let titles = ["ID", "NAME", "TARIFF", "CAP USD", "CHARGED USD", "PACKS LEFT USD", "KEYS", "STATE", "CREATED"];
    let rows: Vec<_> = accounts.iter().map(row).collect();
    print(out, titles, &rows)?;
    Ok(())
}

fn run_show(show: &Show, now: UnixMs, out: &mut dyn Write) -> anyhow::Result<()> {
    let Show { account, data_dir, form } = show;
    let tariffs = read_tariffs(&data_dir.config)?;
    let table = AccountTable::open_existing(&data_dir.path())?;
    let account = table.find(account)?;
    let tariff = match account.tariff.as_str() {
        "" => Some(tariffs.default_tariff()),
        id => tariffs.by_id(id),
    };
    let packs = table.packs(account.id)?;
    let standing = tariff.map(|tariff| standing(&table, &account, tariff, now)).transpose()?;
    if form.json {
        let mut value = entry_json(&account);
        if let Value::Object(fields) = &mut value {
            fields.insert("period".to_owned(), standing.as_ref().map_or(Value::Null, standing_json));
            fields.insert("packs".to_owned(), packs.iter().map(pack_json).collect());
        }
        return print_json(out, &value);
    }
    print_fields(&account, out)?;
    match &standing {
        Some(standing) => print_standing(standing, out)?,
        None => writeln!(out, "the tariff is not configured: the account's requests are refused")?,
    }
    if !packs.is_empty() {
        writeln!(out)?;
        let rows: Vec<_> = packs.iter().map(pack_row).collect();
        print(out, ["PACK", "CREDITS", "PRICE USD", "BOUGHT", "NOTE"], &rows)?;
    }
    Ok(())
}

fn run_set(set: &Set, out: &mut dyn Write) -> anyhow::Result<()> {
    let Set { account, tariff, cap_usd, wishes, data_dir, form } = set;
    if let Some(id) = tariff {
        expect_tariff(&data_dir.config, id)?;
    }
    let change = Change {
        tariff: tariff.as_deref(),
        cap: cap_usd.unwrap_or_default(),
        quality: setting(wishes.quality),
        lane: setting(wishes.auto_lane),
    };
    let account = AccountTable::open_existing(&data_dir.path())?.change(account, change)?;
    print_entry(&account, form, out)
}

fn run_add_pack(add: &AddPack, now: UnixMs, out: &mut dyn Write) -> anyhow::Result<()> {
    let AddPack { account, credits, price_usd, note, data_dir, form } = add;
    let amount = CREDIT.0.checked_mul(i64::from(*credits)).map(NanoUsd).context("so many credits do not fit")?;
    let pack = NewPack { amount, price: *price_usd, note };
    let account = AccountTable::open_existing(&data_dir.path())?.add_pack(account, &pack, now)?;
    print_entry(&account, form, out)
}

fn run_close(close: &Close, now: UnixMs, out: &mut dyn Write) -> anyhow::Result<()> {
    let Close { account, data_dir, form } = close;
    let account = AccountTable::open_existing(&data_dir.path())?.close(account, now)?;
    print_entry(&account, form, out)
}

fn usd(text: &str) -> Result<NanoUsd, String> {
    let PicoUsd(pico) = PicoUsd::per_piece(text).map_err(|error| error.to_string())?;
    if pico % PICO_PER_NANO != 0 {
        return Err(format!("\"{text}\" has more than nine decimals"));
    }
    i64::try_from(pico / PICO_PER_NANO).map(NanoUsd).map_err(|_| format!("\"{text}\" is too much"))
}

fn cap(text: &str) -> Result<Setting<NanoUsd>, String> {
    if text == "none" { Ok(Setting::Remove) } else { usd(text).map(Setting::Set) }
}

fn setting<T>(stated: Option<Stated<T>>) -> Setting<T> {
    match stated {
        None => Setting::Keep,
        Some(Stated(None)) => Setting::Remove,
        Some(Stated(Some(value))) => Setting::Set(value),
    }
}

fn read_tariffs(config: &ConfigDir) -> anyhow::Result<Arc<Tariffs>> {
    let environment: Vec<(String, String)> = std::env::vars().collect();
    let loaded = config::load::load(&config.path, &environment).map_err(|complaints| {
        let lines: Vec<String> = complaints.iter().map(ToString::to_string).collect();
        anyhow!("tariffs cannot be read (--config):\n  {}", lines.join("\n  "))
    })?;
    Ok(loaded.tariffs)
}

fn expect_tariff(config: &ConfigDir, id: &str) -> anyhow::Result<()> {
    let tariffs = read_tariffs(config)?;
    if tariffs.by_id(id).is_none() {
        let known: Vec<&str> = tariffs.iter().map(|tariff| &*tariff.id).collect();
        bail!("there is no tariff \"{id}\"; there are: {}", known.join(", "));
    }
    Ok(())
}

/// An account in its period, as far as its charges are booked.
struct Standing<'a> {
    tariff: &'a Tariff,
    period: Period,
    limit: Option<NanoUsd>,
    included_used: NanoUsd,
    overage: NanoUsd,
}

fn standing<'a>(
    table: &AccountTable,
    account: &AccountEntry,
    tariff: &'a Tariff,
    now: UnixMs,
) -> anyhow::Result<Standing<'a>> {
    let period = Period::around(now, tariff.reset, account.created_at);
    let spent = table.spent(account.id, period)?;
    let limit = tariff.limit(account.cap);
    Ok(Standing { tariff, period, limit, included_used: spent.included, overage: spent.overage })
}

fn print_standing(standing: &Standing<'_>, out: &mut dyn Write) -> std::io::Result<()> {
    let Standing { tariff, period, limit, included_used, overage } = standing;
    let usd = |amount: &NanoUsd| format!("{amount} USD ({} credits)", Credits(*amount));
    let rows = [
        ("period", format!("{} to {} UTC", minute(period.start), minute(period.end))),
        ("included", usd(&tariff.included)),
        ("  used", usd(included_used)),
        ("beyond", usd(overage)),
        ("  price", format!("{} USD", tariff.overage_price(*overage))),
        ("limit", limit.as_ref().map_or_else(|| "none".to_owned(), usd)),
    ];
    rows.iter().try_for_each(|(title, value)| writeln!(out, "{title:11} {value}"))
}

fn standing_json(standing: &Standing<'_>) -> Value {
    let Standing { tariff, period, limit, included_used, overage } = standing;
    json!({
        "start": period.start.rfc3339(),
        "end": period.end.rfc3339(),
        "included_usd": tariff.included.to_string(),
        "included_used_usd": included_used.to_string(),
        "overage_usd": overage.to_string(),
        "overage_price_usd": tariff.overage_price(*overage).to_string(),
        "limit_usd": limit.map(|limit| limit.to_string()),
    })
}

fn print_entry(account: &AccountEntry, form: &Form, out: &mut dyn Write) -> anyhow::Result<()> {
    if form.json {
        return print_json(out, &entry_json(account));
    }
    print_fields(account, out)?;
    Ok(())
}

fn print_fields(account: &AccountEntry, out: &mut dyn Write) -> std::io::Result<()> {
    let [id, name, tariff, cap, charged, packs, keys, state, created] = row(account);
    let rows = [
        ("id", id),
        ("name", name),
        ("state", state),
        ("tariff", tariff),
        ("cap", cap),
        ("charged", format!("{charged} USD")),
        ("packs left", format!("{packs} USD ({} credits)", Credits(account.packs_left()))),
        ("keys", keys),
        ("quality", account.auto.quality.map_or_else(|| "as lanes.toml".to_owned(), |quality| quality.to_string())),
        ("auto lane", account.auto.lane.map_or_else(|| "any".to_owned(), |lane| lane.to_string())),
        ("created", format!("{created} UTC")),
    ];
    rows.iter().try_for_each(|(title, value)| writeln!(out, "{title:11} {value}"))
}

fn row(account: &AccountEntry) -> [String; 9] {
    let dash = || "-".to_owned();
    [
        account.id.0.to_string(),
        account.name.clone(),
        if account.tariff.is_empty() { "(default)".to_owned() } else { account.tariff.clone() },
        account.cap.map_or_else(dash, |cap| cap.to_string()),
        account.charged.to_string(),
        account.packs_left().to_string(),
        account.keys.to_string(),
        account.standing().to_owned(),
        minute(account.created_at),
    ]
}

fn entry_json(account: &AccountEntry) -> Value {
    let AccountEntry {
        id,
        name,
        tariff,
        cap,
        auto,
        created_at,
        closed_at,
        purged_at,
        charged,
        packs_bought,
        packs_used,
        keys,
    } = account;
    json!({
        "id": id.0,
        "name": name,
        "state": account.standing(),
        "tariff": if tariff.is_empty() { Value::Null } else { json!(tariff) },
        "cap_usd": cap.map(|cap| cap.to_string()),
        "quality": auto.quality.map(|quality| quality.to_string()),
        "auto_lane": auto.lane.map(|lane| lane.to_string()),
        "charged_usd": charged.to_string(),
        "packs_bought_usd": packs_bought.to_string(),
        "packs_used_usd": packs_used.to_string(),
        "packs_left_usd": account.packs_left().to_string(),
        "keys": keys,
        "created_at": created_at.rfc3339(),
        "closed_at": closed_at.map(UnixMs::rfc3339),
        "purged_at": purged_at.map(UnixMs::rfc3339),
    })
}

fn pack_row(pack: &PackEntry) -> [String; 5] {
    let PackEntry { id, bought_at, amount, price, note } = pack;
    [id.to_string(), Credits(*amount).to_string(), price.to_string(), minute(*bought_at), note.clone()]
}

fn pack_json(pack: &PackEntry) -> Value {
    let PackEntry { id, bought_at, amount, price, note } = pack;
    json!({
        "id": id,
        "credits": Credits(*amount).to_string(),
        "amount_usd": amount.to_string(),
        "price_usd": price.to_string(),
        "bought_at": bought_at.rfc3339(),
        "note": note,
    })
}
