//! Moving in from another gateway: its configuration becomes a folder that serves the same names.
//!
//! Must not know how settings are converted: it runs the command and then the server on what was written.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::answers::Answer;
use super::harness::{Setup, ask_chat, conf_dir, flux};
use super::provider::Provider;

/// Runs `flux import litellm` on a file of this folder; writes to `out` in it.
fn import(dir: &Path, yaml: &str, more: &[&str]) -> Output {
    std::fs::write(dir.join("config.yaml"), yaml).expect("written");
    flux(&["import", "litellm"])
        .arg(dir.join("config.yaml"))
        .arg("--config")
        .arg(conf_dir())
        .arg("--out")
        .arg(dir.join("out"))
        .args(more)
        .output()
        .expect("flux runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A proxy with two deployments of one model, a fallback, an alias, and things that Flux has not.
fn config(first: &Provider, second: &Provider) -> String {
    format!(
        "model_list:
  - model_name: team-chat
    litellm_params:
      model: openai/our-model
      api_base: {first}
      api_key: os.environ/TEAM_KEY
      rpm: 100
    model_info: {{input_cost_per_token: 2e-06, output_cost_per_token: 8e-06}}
  - model_name: spare
    litellm_params:
      model: hosted_vllm/spare-model
      api_base: {second}
      api_key: os.environ/SPARE_KEY
    model_info: {{input_cost_per_token: 1e-06, output_cost_per_token: 1e-06}}
router_settings:
  fallbacks: [{{team-chat: [spare]}}]
  model_group_alias: {{gpt-4o: team-chat}}
litellm_settings: {{request_timeout: 120, drop_params: true}}
general_settings: {{master_key: sk-master-secret-word}}
",
        first = first.base_url(),
        second = second.base_url(),
    )
}

#[test]
fn t66_a_config_of_litellm_is_imported_and_answers_under_its_names() {
    let (first, second) = (Provider::openai(), Provider::bearer("together"));
    let dir = tempfile::tempdir().expect("a folder");
    let output = import(dir.path(), &config(&first, &second), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = said(&output);
    for part in ["team-chat", "rpm", "drop_params", "master_key", "TEAM_KEY", "SPARE_KEY", "openai-2/our-model"] {
        assert!(text.contains(part), "{part} is not told of:\n{text}");
    }
    assert!(!text.contains("secret-word"), "{text}");

    let out = dir.path().join("out");
    let check = flux(&["check", "--config"]).arg(&out).output().expect("flux runs");
    assert!(check.status.success(), "{}", said(&check));
    let flux = Setup::with(&[]).config(&out).env("TEAM_KEY", first.key()).env("SPARE_KEY", second.key()).start();
    let reply = flux.chat(&ask_chat("team-chat")).expect_status(200);
    // 1000 tokens in at $2 and 500 out at $8 a million.
    assert_eq!(reply.cost_nano(), 6_000_000);
    assert_eq!(first.only().json()["model"], "our-model");
    flux.chat(&ask_chat("gpt-4o")).expect_status(200);
    assert_eq!(first.count(), 2, "an alias leads to the same deployment");
    flux.chat(&ask_chat("spare")).expect_status(200);
    assert_eq!(second.only().json()["model"], "spare-model");
    first.always(|_| Answer::failure(500));
    flux.chat(&ask_chat("team-chat")).expect_status(200);
    assert_eq!(second.count(), 2, "the fallback stands in");
}

#[test]
fn t66_nothing_is_written_over() {
    let (first, second) = (Provider::openai(), Provider::bearer("together"));
    let dir = tempfile::tempdir().expect("a folder");
    let yaml = config(&first, &second);
    let output = import(dir.path(), &yaml, &["--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((output.status.code(), &report["ok"]), (Some(0), &true.into()), "{}", said(&output));
    assert_eq!(report["names"][0]["name"], "team-chat");
    let before = std::fs::read(dir.path().join("out/lanes.toml")).expect("written");
    let again = import(dir.path(), &yaml, &[]);
    assert_eq!(again.status.code(), Some(1));
    assert!(said(&again).contains("is not empty"), "{}", said(&again));
    assert_eq!(std::fs::read(dir.path().join("out/lanes.toml")).expect("still there"), before);
}

#[test]
fn t66_what_cannot_be_right_is_told_with_its_line() {
    let dir = tempfile::tempdir().expect("a folder");
    let broken = import(dir.path(), "model_list:\n  - model_name: a\n   litellm_params: x\n", &[]);
    assert_eq!(broken.status.code(), Some(1));
    let text = said(&broken);
    assert!(text.contains("config.yaml:3: ") && text.contains("(hint: "), "{text}");
    assert!(!dir.path().join("out").exists(), "nothing is written");

    // A model whose price nobody knows is not free.
    let unpriced = import(
        dir.path(),
        "include: [more.yaml]\nmodel_list:\n  - {model_name: a, litellm_params: {model: openai/unheard-of}}\n",
        &[],
    );
    assert!(said(&unpriced).contains("more.yaml: cannot be read"), "{}", said(&unpriced));
    std::fs::write(dir.path().join("more.yaml"), "litellm_settings: {drop_params: true}\n").expect("written");
    let unpriced = import(
        dir.path(),
        "include: [more.yaml]\nmodel_list:\n  - {model_name: a, litellm_params: {model: openai/unheard-of}}\n",
        &[],
    );
    assert_eq!(unpriced.status.code(), Some(1));
    let text = said(&unpriced);
    assert!(
        text.contains("models.toml:") && text.contains("price: is missing") && text.contains("drop_params"),
        "{text}"
    );
}
