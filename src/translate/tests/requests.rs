//! The golden table of requests: every case of a client's format at every target of another one.

use std::fmt::Write as _;

use super::support::{CLIENTS, PROVIDERS, assert_golden, envelope, folder, names, pretty, sealed, target};
use crate::base::wire_format::WireFormat;
use crate::translate::{InvalidFault, convert};

/// Cases that are also written for targets beside one a format: what a model cannot do, or a host spells in its
/// own way.
const MORE: &[(&str, &str, &[&str])] = &[
    ("chat", "choice_required", &["anthropic-unforced", "anthropic-budget", "gemini-2.5"]),
    ("chat", "choice_named", &["anthropic-unforced"]),
    ("responses", "choice_required", &["anthropic-unforced"]),
    ("chat", "schema", &["anthropic-schemaless", "gemini-2.5"]),
    ("chat", "schema_with_tools", &["anthropic-schemaless", "gemini-2.5"]),
    ("chat", "temperature", &["anthropic-unforced"]),
    ("chat", "effort_high", &["anthropic-budget", "gemini-2.5"]),
    ("chat", "effort_none", &["anthropic-budget", "gemini-2.5"]),
    ("chat", "thoughts", &["anthropic-budget", "gemini-2.5"]),
    ("chat", "trailing_assistant", &["anthropic-budget"]),
    ("chat", "image_url", &["gemini-2.5"]),
    ("anthropic", "thinking_budget", &["deepseek", "openrouter", "gemini-2.5", "ollama"]),
    ("anthropic", "parallel_calls", &["mistral", "deepseek"]),
    ("anthropic", "result_image", &["mistral", "gemini-2.5"]),
    ("anthropic", "choice_any", &["mistral", "ollama"]),
    ("anthropic", "schema", &["vllm"]),
    ("anthropic", "cache_marks", &["openrouter"]),
    ("anthropic", "prefill", &["mistral"]),
    ("anthropic", "image_url", &["ollama"]),
    ("anthropic", "sampling", &["vllm", "mistral"]),
    ("responses", "custom_tool", &["vllm"]),
    ("responses", "schema", &["vllm", "anthropic-schemaless"]),
    ("responses", "effort", &["openrouter", "deepseek", "anthropic-budget"]),
    ("responses", "identity", &["mistral"]),
];

/// Cells that are left out, and why. `*` stands for all cases of the format.
const MISSING: &[(&str, &str, &str, &str)] = &[
    ("chat", "*", "chat", "the same format passes as it is"),
    ("responses", "*", "responses", "the same format passes as it is"),
    ("anthropic", "*", "anthropic", "the same format passes as it is"),
];

fn is_missing(from: &str, case: &str, to: &str) -> bool {
    MISSING.iter().any(|(f, c, t, _)| *f == from && (*c == "*" || *c == case) && *t == to)
}

/// What becomes of a request: the body for the target, or why there is none.
fn written(body: &str, client: WireFormat, to: &str) -> String {
    let (target, format) = target(to);
    match convert::request(sealed(body).as_bytes(), client, &envelope(), &target, format) {
        Ok(written) => {
            let mut shown = pretty(std::str::from_utf8(&written.body).unwrap());
            for (what, is_there, said) in [
                ("ignored", !written.ignored.is_empty(), format!("{:?}", written.ignored)),
                ("emulated", !written.emulated.is_nothing(), format!("{:?}", written.emulated)),
                ("legacy functions", written.has_legacy_functions, "yes".to_owned()),
            ] {
                if is_there {
                    write!(shown, "\n\n{what}: {said}").unwrap();
                }
            }
            shown
        }
        Err(invalid) => {
            let fault = match invalid.fault {
                InvalidFault::Request => "the request",
                InvalidFault::Target => "this target",
            };
            format!("400 for {fault}\nparam: {}\n{}", invalid.param, invalid.message)
        }
    }
}

#[test]
fn every_case_is_said_to_every_target() {
    let mut cells = 0;
    for (from, client) in CLIENTS {
        for case in names(from, ".json") {
            let body = std::fs::read_to_string(folder(from).join(format!("{case}.json"))).unwrap();
            let more = MORE.iter().filter(|(f, c, _)| *f == from && *c == case).flat_map(|(_, _, more)| *more);
            let targets = PROVIDERS.iter().map(|(name, _)| name).chain(more);
            for to in targets.filter(|to| !is_missing(from, &case, to)) {
                assert_golden(from, &format!("{case}.{to}"), &written(&body, client, to));
                cells += 1;
            }
        }
    }
    assert!(cells >= 150, "{cells} cells");
    for (from, case, _) in MORE {
        assert!(folder(from).join(format!("{case}.json")).exists(), "{from}/{case} is no case");
    }
}

#[test]
fn no_golden_file_is_left_over() {
    for (from, _) in CLIENTS {
        let cases = names(from, ".json");
        for name in names(from, ".snap").iter().filter(|name| name.contains('.')) {
            let (case, to) = name.split_once('.').unwrap();
            let is_more = MORE.iter().any(|(f, c, more)| *f == from && *c == case && more.contains(&to));
            let is_cell = PROVIDERS.iter().any(|(name, _)| *name == to) && !is_missing(from, case, to);
            assert!(cases.iter().any(|c| c == case) && (is_cell || is_more), "{from}/{name}.snap belongs to no cell");
        }
    }
}
