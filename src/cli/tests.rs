//! The command line as a caller sees it: text, JSON, exit codes.

use std::ffi::OsString;
use std::path::Path;

use serde_json::Value;

use super::run;

/// Exit code, standard output, standard error.
fn flux(data_dir: &Path, arguments: &str) -> (u8, String, String) {
    let words = std::iter::once("flux").chain(arguments.split_whitespace()).map(OsString::from);
    let folder = [OsString::from("--data-dir"), data_dir.into()];
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run(words.chain(folder), &mut out, &mut err);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn json(data_dir: &Path, arguments: &str) -> Value {
    let (code, out, err) = flux(data_dir, arguments);
    assert_eq!((code, err.as_str()), (0, ""), "{arguments}: {out}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn a_key_is_made_listed_and_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let made = json(dir.path(), "keys create --name ci --expires-in-days 30 --account team --json");
    let raw = made["key"].as_str().unwrap();
    assert!(raw.starts_with("sk-flux-") && !raw.starts_with("sk-flux-test-"), "{raw}");
    assert_eq!(
        (&made["id"], &made["name"], &made["kind"], &made["account"]),
        (&1.into(), &"ci".into(), &"live".into(), &"team".into())
    );
    let test = json(dir.path(), "keys create --test --json");
    assert!(test["key"].as_str().unwrap().starts_with("sk-flux-test-"));
    assert_eq!(
        (&test["kind"], &test["account"], &test["expires_at"]),
        (&"test".into(), &"default".into(), &Value::Null)
    );

    let (code, listed, _) = flux(dir.path(), "keys list");
    assert_eq!(code, 0);
    assert_eq!(listed.lines().count(), 3, "{listed}");
    assert!(listed.contains(&raw[..16]) && !listed.contains(&raw[..17]), "{listed}");
    let column = listed.lines().next().unwrap().find("KIND").unwrap();
    assert!(listed.lines().nth(1).unwrap().chars().skip(column).collect::<String>().starts_with("live"), "{listed}");

    let revoked = json(dir.path(), &format!("keys revoke {} --json", &raw[..16]));
    assert_eq!((&revoked["id"], &revoked["state"], &revoked["key"]), (&1.into(), &"revoked".into(), &Value::Null));
    let (code, said, _) = flux(dir.path(), "keys revoke 2");
    assert!(code == 0 && said.starts_with("key 2 (sk-flux-test-"), "{said}");
    let states: Vec<_> =
        json(dir.path(), "keys list --json").as_array().unwrap().iter().map(|k| k["state"].clone()).collect();
    assert_eq!(states, ["revoked", "revoked"]);
}

#[test]
fn people_are_shown_the_key_first() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, err) = flux(dir.path(), "keys create --name laptop");
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.starts_with("sk-flux-") && out.contains("name     laptop"), "{out}");
    assert!(out.contains("served   by any provider"), "{out}");
    let (_, out, _) = flux(dir.path(), "keys change 1 --only-providers groq,xai");
    assert!(out.contains("served   only by groq, xai"), "{out}");
}

#[test]
fn a_key_is_chosen_for_changed_and_rotated() {
    let dir = tempfile::tempdir().unwrap();
    let made = json(
        dir.path(),
        "keys create --json --account team --format conflux --expires-in 30d --budget-usd 5 --budget-period day --rpm 10 \
         --tpm 1000 --concurrent 2 --allow flux-fast,flux-auto --scope admin --shows-balance --only-providers groq,xai,groq \
         --ignore-providers openai",
    );
    assert_eq!(made["providers"], serde_json::json!({"only": ["groq", "xai"], "ignore": ["openai"], "region": null}));
    assert!(made["key"].as_str().unwrap().starts_with("cf_live_"), "{made}");
    assert_eq!(made["budget"], serde_json::json!({"amount_usd": "5", "period": "day"}));
    assert_eq!((&made["scope"], &made["shows_balance"]), (&"admin".into(), &true.into()));
    assert_eq!((&made["limits"]["tokens_per_minute"], &made["limits"]["concurrent"]), (&1_000.into(), &2.into()));
    let changed = json(
        dir.path(),
        "keys change 1 --json --budget-usd 7.5 --rpm none --expires-in never --allow all --shows-balance=false --name bot \
         --only-providers any",
    );
    assert_eq!(changed["providers"], serde_json::json!({"only": [], "ignore": ["openai"], "region": null}));
    assert_eq!(changed["budget"], serde_json::json!({"amount_usd": "7.5", "period": "day"}), "the period stays");
    assert_eq!((&changed["limits"]["requests_per_minute"], &changed["expires_at"]), (&Value::Null, &Value::Null));
    assert_eq!((&changed["allowed_models"], &changed["name"]), (&serde_json::json!([]), &"bot".into()));
    assert_eq!(changed["limits"]["tokens_per_minute"], 1_000, "what is not named stays");
    let rotated = json(dir.path(), "keys rotate 1 --grace 1h --json");
    assert_eq!((&rotated["id"], &rotated["format"], &rotated["name"]), (&2.into(), &"conflux".into(), &"bot".into()));
    let old = json(dir.path(), "keys list --json")[0].clone();
    assert_eq!((&old["state"], old["expires_at"].is_string()), (&"active".into(), true));
    json(dir.path(), "keys rotate 1 --json");
    assert_eq!(json(dir.path(), "keys list --json")[0]["state"], "revoked");
    let names: Vec<String> = (0..33).map(|n| format!("p{n}")).collect();
    let many = format!("keys create --only-providers {}", names.join(","));
    for (arguments, expected, says) in [
        ("keys change 1 --name x", 1, "revoked or expired"),
        ("keys change 2 --budget-usd none --budget-period day", 1, "--budget-usd"),
        ("keys create --expires-in 2020-01-01", 1, "past"),
        ("keys create --rpm 0", 2, "above 0"),
        ("keys create --budget-usd 1.0000000001", 2, "decimals"),
        ("keys create --scope root", 2, "inference or admin"),
        ("keys create --only-providers groq,grok", 1, "there is no provider \"grok\" as `only` has it; there are: "),
        ("keys change 2 --ignore-providers grok", 1, "there is no provider \"grok\" as `ignore` has it"),
        ("keys change 2 --ignore-providers groq --config nowhere", 1, "providers cannot be read (--config)"),
        ("keys change 2 --region mars", 1, "there is no region \"mars\"; there are: "),
        (&many, 1, "a list of providers may hold 32 names"),
    ] {
        let (code, _, err) = flux(dir.path(), arguments);
        assert!(code == expected && err.contains(says), "{arguments}: {code} {err}");
    }
    assert_eq!(
        json(dir.path(), "keys list --json")[1]["budget"]["amount_usd"],
        "7.5",
        "what was refused changed nothing"
    );
}

#[test]
fn no_usage_is_nothing_in_every_form() {
    let dir = tempfile::tempdir().unwrap();
    json(dir.path(), "keys create --json");
    let told = json(dir.path(), "usage --by model --from 2026-11-01 --json");
    assert_eq!((&told["data"], &told["total"]["cost_usd"]), (&serde_json::json!([]), &"0".into()));
    assert_eq!(told["from"], "2026-11-01T00:00:00Z");
    let (code, out, _) = flux(dir.path(), "usage --csv --by key");
    assert!(code == 0 && out.starts_with("key,key_prefix,requests,") && out.lines().count() == 1, "{out}");
    let (code, out, _) = flux(dir.path(), "usage");
    assert!(code == 0 && out.starts_with("DAY") && out.contains("total"), "{out}");
    let (code, _, err) = flux(dir.path(), "usage --account nobody");
    assert!(code == 1 && err.contains("nobody"), "{err}");
}

#[test]
fn an_empty_ledger_adds_up_and_a_forged_balance_does_not() {
    let dir = tempfile::tempdir().unwrap();
    json(dir.path(), "keys create --json");
    let (code, out, _) = flux(dir.path(), "reconcile");
    assert!(code == 0 && out.contains("The books add up."), "{out}");
    assert_eq!(json(dir.path(), "reconcile --json")["ok"], true);
    let database = rusqlite::Connection::open(dir.path().join("flux.db")).unwrap();
    database.execute_batch("UPDATE accounts SET balance_nano = 1000000").unwrap();
    let (code, out, err) = flux(dir.path(), "reconcile");
    assert_eq!((code, err.as_str()), (1, ""));
    assert!(out.contains("0.001") && out.contains("differs") && out.contains("DO NOT"), "{out}");
    let (code, out, _) = flux(dir.path(), "reconcile --json");
    assert_eq!((code, &serde_json::from_str::<Value>(&out).unwrap()["ok"]), (1, &false.into()));
}

#[test]
fn the_systems_words_are_said_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let (code, _, err) = flux(&file, "keys create");
    assert_eq!((code, err.matches("os error").count()), (1, 1), "{err}");
}

#[test]
fn failures_are_1_and_wrong_usage_is_2() {
    let dir = tempfile::tempdir().unwrap();
    for (arguments, expected, says) in [
        ("keys list", 1, "there is no database"),
        ("keys revoke 1", 1, "there is no database"),
        ("reconcile", 1, "there is no database"),
        ("nonsense", 2, "nonsense"),
        ("keys", 2, "Usage"),
        ("keys create --expires-in-days 0", 2, "0"),
        ("keys revoke", 2, "ID|PREFIX"),
    ] {
        let (code, out, err) = flux(dir.path(), arguments);
        assert_eq!((code, out.as_str()), (expected, ""), "{arguments}: {err}");
        assert!(err.contains(says), "{arguments}: {err}");
    }
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "a mistyped folder is not filled");
    json(dir.path(), "keys create --json");
    let (code, _, err) = flux(dir.path(), "keys revoke 99");
    assert_eq!((code, err.as_str()), (1, "flux: there is no key \"99\"\n"));
}

#[test]
fn help_is_printed_and_is_no_failure() {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    assert_eq!(run(["flux", "keys", "create", "--help"].map(OsString::from), &mut out, &mut err), 0);
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("--expires-in-days") && out.contains("FLUX_SERVER__DATA_DIR"), "{out}");
    assert!(err.is_empty());
}

#[test]
fn arguments_are_well_formed() {
    use clap::CommandFactory;
    super::Arguments::command().debug_assert();
}

#[test]
fn accounts_are_opened_changed_and_closed() {
    let dir = tempfile::tempdir().unwrap();
    let made = json(dir.path(), "accounts create ada --tariff power --cap-usd 12.5 --json");
    assert_eq!(
        (&made["id"], &made["name"], &made["tariff"], &made["cap_usd"], &made["state"]),
        (&1.into(), &"ada".into(), &"power".into(), &"12.5".into(), &"open".into())
    );
    json(dir.path(), "keys create --account ada --json");
    let set = json(dir.path(), "accounts set ada --tariff pro --cap-usd none --json");
    assert_eq!((&set["tariff"], &set["cap_usd"], &set["keys"]), (&"pro".into(), &Value::Null, &1.into()));
    let pack = json(dir.path(), "accounts add-pack 1 --credits 5000 --price-usd 40 --note invoice-4 --json");
    assert_eq!((&pack["packs_bought_usd"], &pack["packs_left_usd"]), (&"50".into(), &"50".into()));

    let shown = json(dir.path(), "accounts show ada --json");
    let (period, pack) = (&shown["period"], &shown["packs"][0]);
    assert_eq!((&period["included_usd"], &period["overage_usd"]), (&"300".into(), &"0".into()), "{shown:#}");
    assert!(period["start"].as_str() <= shown["created_at"].as_str(), "{shown:#}");
    assert_eq!(
        (&pack["credits"], &pack["price_usd"], &pack["note"]),
        (&"5000".into(), &"40".into(), &"invoice-4".into())
    );
    let (code, out, _) = flux(dir.path(), "accounts show 1");
    assert!(code == 0 && out.contains("300 USD (30000 credits)") && out.contains("invoice-4"), "{out}");

    let (code, out, _) = flux(dir.path(), "accounts list");
    assert!(code == 0 && out.lines().count() == 2 && out.contains("pro"), "{out}");
    let closed = json(dir.path(), "accounts close ada --json");
    assert_eq!((&closed["state"], &closed["keys"]), (&"closed".into(), &0.into()));
    assert_eq!(json(dir.path(), "accounts list --json")[0]["state"], "closed");
    assert_eq!(json(dir.path(), "keys list --json")[0]["state"], "revoked");
    assert_eq!(json(dir.path(), "reconcile --json")["ok"], true);
}

#[test]
fn accounts_that_cannot_be_are_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    json(dir.path(), "accounts create ada --json");
    json(dir.path(), "accounts create gone --json");
    json(dir.path(), "accounts close gone --json");
    for (arguments, expected, says) in [
        ("accounts create bob --tariff gold", 1, "there is no tariff \"gold\"; there are: house, free"),
        ("accounts set ada --tariff gold", 1, "there is no tariff \"gold\""),
        ("accounts create bob --tariff free --config nowhere", 1, "tariffs cannot be read (--config)"),
        ("accounts create ada", 1, "there is an account \"ada\" already"),
        ("accounts show bob", 1, "there is no account \"bob\""),
        ("accounts set gone --cap-usd 5", 1, "the account \"gone\" is closed"),
        ("accounts add-pack gone --credits 1 --price-usd 1", 1, "is closed"),
        ("keys create --account gone", 1, "the account is closed"),
        ("accounts set ada", 2, "Usage"),
        ("accounts set ada --cap-usd -1", 2, "-1"),
        ("accounts set ada --cap-usd 0.0000000001", 2, "decimals"),
        ("accounts add-pack ada --credits 0 --price-usd 1", 2, "0"),
        ("accounts add-pack ada --credits 5", 2, "--price-usd"),
        ("accounts", 2, "Usage"),
    ] {
        let (code, out, err) = flux(dir.path(), arguments);
        assert_eq!((code, out.as_str()), (expected, ""), "{arguments}: {err}");
        assert!(err.contains(says), "{arguments}: {err}");
    }
}

#[test]
fn a_backup_is_one_new_file() {
    let dir = tempfile::tempdir().unwrap();
    json(dir.path(), "keys create --json");
    let file = dir.path().join("copy.db");
    let command = format!("backup {} --json", file.display());
    let made = json(dir.path(), &command);
    assert_eq!((&made["ok"], &made["from_journal"]), (&true.into(), &0.into()));
    assert_eq!(made["bytes"].as_u64(), Some(file.metadata().unwrap().len()));
    let (code, _, err) = flux(dir.path(), &command);
    assert!(code == 1 && err.contains("is there already"), "{err}");
    let (code, out, _) = flux(dir.path(), &format!("backup {}", dir.path().join("other.db").display()));
    assert!(code == 0 && out.contains("The books in it add up."), "{out}");
    let (code, _, err) = flux(&dir.path().join("nowhere"), &format!("backup {}", dir.path().join("x.db").display()));
    assert!(code == 1 && err.contains("there is no database"), "{err}");
}
