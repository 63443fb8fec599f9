//! Configuration: one bad line is refused with its place, and a running Flux keeps the old one.
//!
//! Must not know how configuration is read: it edits copies of the files as an operator would.

use std::path::Path;
use std::process::Output;

use tempfile::TempDir;

use super::answers::{self, Answer};
use super::harness::{Setup, ask_chat, conf_dir, flux, wait_for};
use super::provider::Provider;

/// A copy of the repository's configuration.
pub(crate) fn copy_of_conf() -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(conf_dir()).expect("conf").flatten() {
        std::fs::copy(entry.path(), dir.path().join(entry.file_name())).expect("copied");
    }
    dir
}

/// Replaces a text that must be there.
#[track_caller]
pub(crate) fn edit(dir: &Path, file: &str, from: &str, to: &str) {
    let path = dir.join(file);
    let text = std::fs::read_to_string(&path).expect("a file");
    assert!(text.contains(from), "{file} holds no {from:?}");
    // Written beside and moved over, as editors do: no reader sees half a file.
    let beside = dir.join(format!(".{file}.new"));
    std::fs::write(&beside, text.replacen(from, to, 1)).expect("written");
    std::fs::rename(&beside, &path).expect("moved");
}

/// The line on which a text stands, from 1.
fn line_of(dir: &Path, file: &str, text: &str) -> usize {
    let whole = std::fs::read_to_string(dir.join(file)).expect("a file");
    whole.lines().position(|line| line.contains(text)).expect("the text") + 1
}

fn check(dir: &Path) -> Output {
    flux(&["check", "--config"]).arg(dir).output().expect("flux runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A configuration whose haiku has a second provider of Anthropic's format.
pub(crate) fn with_second_anthropic() -> TempDir {
    let dir = copy_of_conf();
    edit(
        dir.path(),
        "providers.toml",
        "[anthropic]\n",
        concat!(
            "[anthropic-two]\nname = \"Second\"\nbase_url = \"http://127.0.0.1:1/v1\"\nauth = \"x-api-key\"\napi_key_env = []\n",
            "headers = { anthropic-version = \"2023-06-01\" }\nstream_usage = \"always\"\ncached_outside_input = true\n",
            "formats.anthropic-messages = \"/messages\"\n\n[anthropic]\n"
        ),
    );
    edit(
        dir.path(),
        "models.toml",
        "[\"anthropic/claude-haiku-5-5\"]\n",
        concat!(
            "[\"anthropic-two/claude-haiku-5-5\"]\nmodel = \"haiku-two\"\ncanonical = \"claude-haiku-5-5\"\ndisplay_name = \"Haiku\"\n",
            "developer = \"Anthropic\"\nkind = \"chat\"\nstatus = \"active\"\nreleased = \"2026-10-01\"\nformats = [\"anthropic-messages\"]\n",
            "context_tokens = 1000000\noutput_tokens_max = 128000\ntokenizer_factor = \"1.00\"\ninput = [\"text\"]\noutput = [\"text\"]\n",
            "capabilities = { streaming = true, tools = true }\n[\"anthropic-two/claude-haiku-5-5\".price]\nas_of = \"2026-11-22\"\n",
            "rates = { input = \"0.1\", output = \"0.5\" }\n\n[\"anthropic/claude-haiku-5-5\"]\n"
        ),
    );
    edit(
        dir.path(),
        "lanes.toml",
        "flux-pinned-claude-haiku-5-5 = [\"anthropic/claude-haiku-5-5\"",
        "flux-pinned-claude-haiku-5-5 = [\"anthropic/claude-haiku-5-5\", \"anthropic-two/claude-haiku-5-5\"",
    );
    dir
}

/// The repository's configuration with one text replaced.
pub(crate) fn edited(file: &str, from: &str, to: &str) -> TempDir {
    let dir = copy_of_conf();
    edit(dir.path(), file, from, to);
    dir
}

/// A configuration whose luna speaks Responses only, as newer models do.
pub(crate) fn with_luna_of_responses() -> TempDir {
    let dir = copy_of_conf();
    let path = dir.path().join("models.toml");
    let text = std::fs::read_to_string(&path).expect("a file");
    let of_responses = |model: &str| {
        let is_luna = model.starts_with("[\"openai/gpt-6-luna\"]");
        let (from, to) = ("[\"openai-responses\", \"openai-chat\"]", "[\"openai-responses\"]");
        if is_luna { model.replace(from, to) } else { model.to_owned() }
    };
    let models: Vec<String> = text.split("\n\n").map(of_responses).collect();
    std::fs::write(&path, models.join("\n\n")).expect("written");
    dir
}

/// A configuration with a lane of three formats and no price of its own.
pub(crate) fn with_lane_of_formats(fallbacks: &str) -> TempDir {
    let dir = with_luna_of_responses();
    edit(
        dir.path(),
        "lanes.toml",
        "default = \"openai/gpt-6-luna\"\nfallbacks = [\"anthropic/claude-haiku-5-5\", \"cerebras/gpt-oss-120b\", \"groq/gpt-oss-120b\", \"google/gemini-3.5-flash-lite\"]\nprice = { input = \"1\", output = \"4\" }\n",
        &format!("default = \"anthropic/claude-haiku-5-5\"\nfallbacks = [{fallbacks}]\n"),
    );
    dir
}

/// A configuration whose failover pair takes prompts of any length, so that 5 MB of text fit.
pub(crate) fn with_wide_windows() -> TempDir {
    let dir = copy_of_conf();
    let path = dir.path().join("models.toml");
    let text = std::fs::read_to_string(&path).expect("a file");
    let models: Vec<String> = text.split("\n\n").map(widened).collect();
    std::fs::write(&path, models.join("\n\n")).expect("written");
    dir
}

fn widened(model: &str) -> String {
    if !model.contains("canonical = \"deepseek-v4.1-flash\"") {
        return model.to_owned();
    }
    let widen = |line: &str| match line.split_once(" = ") {
        Some(("context_tokens", _)) => "context_tokens = 100000000".to_owned(),
        Some(("input_tokens_max", _)) => "input_tokens_max = 100000000".to_owned(),
        _ => line.to_owned(),
    };
    model.lines().map(widen).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_first_start_that_fails_keeps_its_keys_for_the_next() {
    let openai = Provider::openai();
    let data = std::sync::Arc::new(tempfile::tempdir().expect("a folder"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    for setting in ["FLUX_SERVER__LISTEN", "FLUX_SERVER__PRIVATE_LISTEN"] {
        let failed = Setup::with(&[&openai]).data(&data).env(setting, &address).run(&["serve"]);
        assert_eq!(failed.status.code(), Some(1), "{setting}");
        assert!(!String::from_utf8_lossy(&failed.stdout).contains("sk-flux-"), "{setting}");
    }
    // The harness waits for the keys to be printed.
    let flux = Setup::with(&[&openai]).data(&data).start();
    flux.chat(&ask_chat("gpt-4o-mini")).expect_status(200);
}

#[test]
fn the_repositorys_own_configuration_is_right() {
    let output = check(&conf_dir());
    assert!(output.status.success(), "{}", said(&output));
    let output = check(with_second_anthropic().path());
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn keys_are_made_where_the_configuration_has_its_data() {
    let dir = copy_of_conf();
    let data = dir.path().join("elsewhere");
    edit(dir.path(), "flux.toml", "data_dir = \"data\"", &format!("data_dir = {data:?}"));
    let run = |arguments: &[&str]| flux(arguments).arg("--config").arg(dir.path()).output().expect("flux runs");
    let made = run(&["keys", "create", "--json"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let said = String::from_utf8_lossy(&made.stderr).into_owned();
    assert!(said.contains("elsewhere") && said.lines().count() == 1, "a new folder is told of: {said:?}");
    assert!(data.join("flux.db").exists());
    let listed = flux(&["keys", "list", "--json"]).env("FLUX_CONFIG", dir.path()).output().expect("flux runs");
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    assert_eq!(listed.as_array().expect("keys").len(), 1);
    let again = run(&["keys", "create", "--json"]);
    assert!(again.status.success() && again.stderr.is_empty(), "{}", String::from_utf8_lossy(&again.stderr));
    assert!(run(&["reconcile"]).status.success());
    // A folder that is named wins.
    let other = dir.path().join("other");
    let made = flux(&["keys", "create", "--json", "--data-dir"]).arg(&other).output().expect("flux runs");
    assert!(made.status.success() && other.join("flux.db").exists());
}

#[test]
fn a_file_that_is_no_toml_brings_no_complaints_about_what_refers_to_it() {
    let dir = copy_of_conf();
    edit(dir.path(), "providers.toml", "[openai]", "[openai");
    edit(dir.path(), "flux.toml", "threads = 0", "threads = -5");
    let output = check(dir.path());
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.iter().all(|line| line.contains("providers.toml") || line.contains("flux.toml")), "{said}");
    assert!(said.contains("found a negative number (hint: such as threads = 1000"), "{said}");
}

#[test]
fn a_variable_that_is_no_override_is_told_of() {
    for (name, value, says) in [
        ("FLUX_LISTEN", "127.0.0.1:1", "did you mean FLUX_SERVER__LISTEN?"),
        ("FLUX_SERVER_LISTEN", "127.0.0.1:1", "did you mean FLUX_SERVER__LISTEN?"),
        ("FLUX_SERVER__THREADS", "many", "found \"many\" (hint: set it to digits only, such as 1000)"),
        ("FLUX_TIMEOUTS__TOTAL_MS", "1", "1 ends a request before timeouts.connect_ms, 3000, can"),
    ] {
        let output = flux(&["check", "--config"]).arg(conf_dir()).env(name, value).output().expect("flux runs");
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(said(&output).contains(says), "{name}: {}", said(&output));
    }
    // Others may have variables of that beginning.
    let output = flux(&["check", "--config"]).arg(conf_dir()).env("FLUX_KEY", "x").output().expect("flux runs");
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn a_missing_file_has_no_line() {
    let dir = tempfile::tempdir().expect("a folder");
    let output = flux(&["check", "--json", "--config"]).arg(dir.path()).output().expect("flux runs");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let complaints = told["complaints"].as_array().expect("complaints");
    assert!(!complaints.is_empty() && complaints.iter().all(|complaint| complaint["line"].is_null()), "{told}");
}

#[test]
fn t65_all_faults_are_told_at_once_with_file_line_and_hint() {
    let dir = copy_of_conf();
    let faults = [
        ("flux.toml", "body_bytes_max = 33554432", "body_bytes_max = \"a lot\""),
        ("flux.toml", "threads = 0", "threads = 0\nlisten_adress = \"127.0.0.1:80\""),
        ("lanes.toml", "default = \"openai/gpt-6-luna\"", "default = \"openai/no-such-model\""),
        ("lanes.toml", "gpt-4o = \"flux-pinned-gpt-6-luna\"", "gpt-4o = \"flux-pinned-dangling\""),
        ("models.toml", "rates = { input = \"0.35\", output = \"0.75\" }", "rates = { input = \"0.35\" }"),
        ("providers.toml", "base_url = \"https://api.cerebras.ai/v1\"", "base_url = \"ftp://api.cerebras.ai/v1\""),
    ];
    for (file, from, to) in faults {
        edit(dir.path(), file, from, to);
    }
    let output = check(dir.path());
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    for (file, _, to) in faults {
        let last = to.lines().last().expect("a line");
        let place = format!("{file}:{}", line_of(dir.path(), file, last));
        let line = text.lines().find(|line| line.contains(&place));
        assert!(line.is_some(), "{place} ({last}) is not told of:\n{text}");
    }
    assert!(text.contains("hint"), "{text}");
    assert!(
        text.contains("listen_adress") && text.contains("no-such-model") && text.contains("flux-pinned-dangling"),
        "{text}"
    );

    let start = Setup::with(&[]).config(dir.path()).run(&["serve"]);
    assert_eq!(start.status.code(), Some(1), "a server does not start on it");
    assert!(said(&start).contains("listen_adress"));
}

#[test]
fn t65_a_broken_file_is_told_of_with_its_line() {
    let dir = copy_of_conf();
    edit(dir.path(), "flux.toml", "[limits]", "[limits\n");
    let output = check(dir.path());
    assert_eq!(output.status.code(), Some(1));
    let place = format!("flux.toml:{}", line_of(dir.path(), "flux.toml", "[limits"));
    assert!(said(&output).contains(&place), "{}", said(&output));
}

#[test]
fn t65_a_reload_takes_good_files_and_refuses_bad_ones() {
    let openai = Provider::openai();
    let dir = copy_of_conf();
    let flux = Setup::with(&[&openai]).config(dir.path()).start();
    openai.always(answers::chat("ok", answers::chat_usage(1_000_000, 0)));
    let cost = || flux.chat(&ask_chat("flux-fast")).expect_status(200).cost_nano();
    assert_eq!(cost(), 1_000_000_000);

    edit(
        dir.path(),
        "lanes.toml",
        "price = { input = \"1\", output = \"4\" }",
        "price = { input = \"3\", output = \"4\" }",
    );
    flux.signal("HUP");
    wait_for("the new price after SIGHUP", || cost() == 3_000_000_000);

    edit(
        dir.path(),
        "lanes.toml",
        "price = { input = \"3\", output = \"4\" }",
        "price = { input = \"minus\", output = \"4\" }",
    );
    flux.signal("HUP");
    wait_for("a word about the bad file", || flux.log().contains("lanes.toml:"));
    assert_eq!(cost(), 3_000_000_000, "the old configuration stays live");

    // Mended, and picked up without a signal.
    edit(
        dir.path(),
        "lanes.toml",
        "price = { input = \"minus\", output = \"4\" }",
        "price = { input = \"5\", output = \"4\" }",
    );
    wait_for("the new price after a file change", || cost() == 5_000_000_000);
}

#[test]
fn t65_a_running_request_ends_under_the_configuration_it_began_with() {
    let openai = Provider::openai();
    let dir = copy_of_conf();
    let flux = Setup::with(&[&openai]).config(dir.path()).start();
    let gate = answers::Gate::default();
    let body = answers::chat_body("ok", &answers::chat_usage(1_000_000, 0));
    openai.next(Answer::json(200, &body).after(&gate));
    openai.always(answers::chat("ok", answers::chat_usage(1_000_000, 0)));
    let mut conn = flux.connect();
    conn.write(&flux.chat_request(ask_chat("flux-fast").to_string().as_bytes()));
    openai.wait_for_requests(1);
    edit(
        dir.path(),
        "lanes.toml",
        "price = { input = \"1\", output = \"4\" }",
        "price = { input = \"3\", output = \"4\" }",
    );
    flux.signal("HUP");
    wait_for("the new price", || flux.chat(&ask_chat("flux-fast")).cost_nano() == 3_000_000_000);
    gate.open();
    assert_eq!(conn.reply().expect_status(200).cost_nano(), 1_000_000_000);
}

#[test]
fn t69_addresses_inside_the_machines_surroundings_are_refused_however_they_are_written() {
    let forbidden = [
        "http://169.254.169.254/v1",
        "http://2852039166/v1",
        "http://0xA9FEA9FE/v1",
        "http://0xa9.0xfe.0xa9.0xfe/v1",
        "http://0251.0376.0251.0376/v1",
        "http://169.254.43518/v1",
        "http://[::ffff:169.254.169.254]/v1",
        "http://[::ffff:a9fe:a9fe]/v1",
        "http://[fe80::1]/v1",
        "https://169.254.169.254/v1",
        "http://metadata.google.internal/v1",
        "http://api.example.com/v1",
        "http://8.8.8.8/v1",
        "http://user:secret@127.0.0.1/v1",
        "https://api.openai.com@169.254.169.254/v1",
        "ftp://127.0.0.1/v1",
        "file:///etc/passwd",
        "https://",
        "127.0.0.1:8000",
        "http://127.0.0.1:99999/v1",
        "http://0.0.0.0/v1",
    ];
    for url in forbidden {
        let output = Setup::with(&[]).provider("openai", url).run(&["check"]);
        assert_eq!(output.status.code(), Some(1), "{url} is taken: {}", said(&output));
        assert!(!said(&output).contains("sk-upstream"), "{}", said(&output));
    }
    for url in [
        "http://127.0.0.1:8000/v1",
        "http://10.1.2.3/v1",
        "http://192.168.1.9:11434/v1",
        "http://[::1]:8000/v1",
        "https://api.example.com/v1",
    ] {
        let output = Setup::with(&[]).provider("openai", url).run(&["check"]);
        assert!(output.status.success(), "{url} is refused: {}", said(&output));
    }
}

#[test]
fn t22_a_model_without_a_price_is_refused_and_a_free_one_is_free() {
    let dir = copy_of_conf();
    edit(dir.path(), "models.toml", "rates = { input = \"0.35\", output = \"0.75\" }", "");
    assert_eq!(check(dir.path()).status.code(), Some(1));
    let dir = copy_of_conf();
    let priced =
        "[\"cerebras/gpt-oss-120b\".price]\nas_of = \"2026-11-22\"\nrates = { input = \"0.35\", output = \"0.75\" }\n";
    edit(dir.path(), "models.toml", priced, "free = true\n");
    let output = check(dir.path());
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn the_environment_overrides_files_and_is_checked_as_they_are() {
    let output = Setup::with(&[]).env("FLUX_LIMITS__BODY_BYTES_MAX", "many").run(&["check"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("FLUX_LIMITS__BODY_BYTES_MAX"), "{}", said(&output));
    let output = Setup::with(&[]).env("FLUX_LIMITS__NO_SUCH_KEY", "1").run(&["check"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let output = Setup::with(&[]).env("FLUX_SERVER__PRIVATE_LISTEN", "0.0.0.0:0").run(&["check"]);
    assert_eq!(output.status.code(), Some(1), "metrics would be public: {}", said(&output));
}

#[test]
fn the_command_line_is_told_by_exit_codes() {
    for arguments in
        [&["--help"][..], &["serve", "--help"], &["keys", "--help"], &["keys", "create", "--help"], &["--version"]]
    {
        let output = flux(arguments).output().expect("flux runs");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(!output.stdout.is_empty(), "{arguments:?}");
    }
    for arguments in [&["no-such-command"][..], &["serve", "--no-such-option"], &["keys"], &["keys", "revoke"]] {
        assert_eq!(flux(arguments).output().expect("flux runs").status.code(), Some(2), "{arguments:?}");
    }
    let missing = flux(&["check", "--config", "/no/such/folder"]).output().expect("flux runs");
    assert_eq!(missing.status.code(), Some(1));
    let models = Setup::with(&[]).run(&["models", "--json"]);
    assert!(models.status.success(), "{}", said(&models));
    let listed: serde_json::Value = serde_json::from_slice(&models.stdout).expect("JSON");
    assert!(listed.to_string().contains("flux-pinned-gpt-6-luna"));
}
