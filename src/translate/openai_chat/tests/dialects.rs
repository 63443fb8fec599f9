//! Each host in its dialect: what is renamed, refused, left out.

use serde_json::{Value as Json, json};

use super::support::{ALL, asking, of, target, through};
use crate::base::effort::Effort;
use crate::catalog::Target;
use crate::catalog::provider::Dialect;
use crate::catalog::thinking::{ThinkingControl, ThinkingSupport};
use crate::translate::InvalidFault;

use Dialect::{
    Azure, Cerebras, Deepseek, Fireworks, Groq, Mistral, Ollama, Openai, Openrouter, Plain, Together, Vllm, Xai,
};

const PNG: &str = "data:image/png;base64,iVBORw0KGgo=";

#[test]
fn fields_go_by_the_hosts_own_names() {
    let asked = asking(&json!({
        "max_tokens": 50_000, "seed": 1, "user": "u", "top_k": 5, "tools": [{ "type": "function", "function": { "name": "f" } }],
        "tool_choice": "required", "stream": true,
    }));
    let tools = |host: &Json| host["tool_choice"].clone();
    for (dialect, limit, seed, user, ignored) in [
        (Plain, "max_tokens", "seed", "user", &["top_k"][..]),
        (Openai, "max_completion_tokens", "seed", "safety_identifier", &["top_k"]),
        (Azure, "max_completion_tokens", "seed", "user", &["top_k"]),
        (Groq, "max_completion_tokens", "seed", "user", &["top_k"]),
        (Cerebras, "max_completion_tokens", "seed", "user", &["top_k"]),
        (Deepseek, "max_tokens", "", "", &["top_k", "seed", "user"]),
        (Mistral, "max_tokens", "random_seed", "", &["top_k", "user"]),
        (Xai, "max_completion_tokens", "seed", "user", &["top_k"]),
        (Together, "max_tokens", "seed", "", &["user"]),
        (Fireworks, "max_tokens", "seed", "user", &[]),
        (Openrouter, "max_tokens", "seed", "user", &[]),
        (Vllm, "max_tokens", "seed", "user", &[]),
    ] {
        let (out, written) = through(&asked, &of(dialect)).unwrap();
        assert_eq!(out[limit], 32_000, "{dialect:?}");
        assert_eq!(out.get(seed), (!seed.is_empty()).then_some(&json!(1)), "{dialect:?}");
        assert_eq!(out.get(user), (!user.is_empty()).then_some(&json!("u")), "{dialect:?}");
        assert_eq!(written.ignored, ignored, "{dialect:?}");
        assert_eq!(tools(&out), if dialect == Mistral { "any" } else { "required" });
        assert_eq!(out.get("stream_options").is_some(), dialect != Mistral);
        let is_exact = matches!(dialect, Openai | Azure);
        assert_eq!(out["tools"][0]["function"].get("parameters").is_none(), is_exact, "{dialect:?}");
        let cut = out.get("context_length_exceeded_behavior") == Some(&json!("error"));
        assert_eq!(cut, matches!(dialect, Together | Fireworks), "{dialect:?}");
    }
    let error = through(&asked, &of(Ollama)).unwrap_err();
    assert_eq!((&*error.param, error.fault), ("tool_choice", InvalidFault::Target));
}

#[test]
fn what_would_change_the_answer_is_refused_for_the_target_only() {
    let thinks = |dialect| target(dialect, |model| model.capabilities.reasoning = true);
    let lacks = |change: fn(&mut crate::catalog::Capabilities)| {
        target(Openai, move |model| {
            let mut capabilities = ALL;
            change(&mut capabilities);
            model.capabilities = capabilities;
        })
    };
    let tool = json!([{ "type": "function", "function": { "name": "f" } }]);
    let picture = |url: &str| json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": url } }] }] });
    let pdf = json!({ "messages": [{ "role": "user", "content": [{ "type": "file", "file": { "file_data": "data:application/pdf;base64,AA==" } }] }] });
    let cases: Vec<(Json, Target, &str)> = vec![
        (json!({ "logprobs": true }), of(Groq), "logprobs"),
        (json!({ "logit_bias": { "1": 1 } }), of(Groq), "logit_bias"),
        (json!({ "n": 2 }), of(Groq), "n"),
        (json!({ "stop": "x" }), thinks(Xai), "stop"),
        (json!({ "stop": ["1", "2", "3", "4", "5"] }), of(Openai), "stop"),
        (json!({ "modalities": ["text", "image"] }), of(Openai), "modalities"),
        (picture("https://a.example/x"), of(Ollama), "messages[0].content[0].image_url"),
        (picture(PNG), lacks(|has| has.vision = false), "messages[0].content[0].image_url"),
        (pdf.clone(), of(Groq), "messages[0].content[0].file"),
        (pdf, lacks(|has| has.pdf = false), "messages[0].content[0].file"),
        (json!({ "tools": tool.clone() }), lacks(|has| has.tools = false), "tools"),
        (
            json!({ "tools": tool.clone(), "tool_choice": "required" }),
            lacks(|has| has.forced_tool_choice = false),
            "tool_choice",
        ),
        (
            json!({ "tools": [{ "type": "function", "function": { "name": "x".repeat(65) } }] }),
            of(Openai),
            "tools[0].name",
        ),
    ];
    for (asked, target, param) in cases {
        let error = through(&asking(&asked), &target).map(|(out, _)| out).expect_err(param);
        assert_eq!(error.fault, InvalidFault::Target, "{asked}");
        assert_eq!(error.param, param, "{asked}");
    }
}

#[test]
fn hints_are_left_out_and_named() {
    let thinks = |dialect| {
        target(dialect, |model| {
            model.capabilities.reasoning = true;
            model.capabilities.sampling_params = false;
        })
    };
    for (asked, target, ignored) in [
        (json!({ "temperature": 1, "top_p": 0.5 }), thinks(Openai), vec!["temperature", "top_p"]),
        (json!({ "frequency_penalty": 0.0, "presence_penalty": 1 }), thinks(Xai), vec!["presence_penalty"]),
        (json!({ "frequency_penalty": 1 }), of(Cerebras), vec!["frequency_penalty"]),
        (json!({ "verbosity": "low", "metadata": { "a": "b" } }), of(Groq), vec!["metadata", "verbosity"]),
        (json!({ "service_tier": "priority" }), of(Groq), vec!["service_tier"]),
        (json!({ "service_tier": "default" }), of(Groq), vec![]),
        (json!({ "prompt_cache_key": "k" }), of(Mistral), vec!["prompt_cache_key"]),
        (
            json!({ "messages": [{ "role": "user", "name": "a", "content": "b" }] }),
            of(Mistral),
            vec!["messages[0].name"],
        ),
        (json!({ "reasoning_effort": "high" }), of(Openai), vec!["reasoning_effort"]),
        (json!({ "reasoning_effort": "none" }), of(Openai), vec![]),
    ] {
        let (_, written) = through(&asking(&asked), &target).unwrap();
        assert_eq!(written.ignored, ignored, "{asked}");
    }
}

/// A model that thinks.
fn thinking(dialect: Dialect, control: ThinkingControl, efforts: &[Effort]) -> Target {
    target(dialect, |model| {
        model.capabilities.reasoning = true;
        model.thinking = ThinkingSupport { control, efforts: efforts.to_vec(), can_disable: true };
    })
}

#[test]
fn thinking_is_switched_in_each_hosts_way() {
    use Effort::{High, Max};
    use ThinkingControl::{Always, ChatTemplate, Effort as ByEffort, SwitchAndEffort};
    let three = &[Effort::Low, Effort::Medium, High];
    for (asked, target, out) in [
        (json!({ "reasoning_effort": "max" }), thinking(Groq, ByEffort, three), json!({ "reasoning_effort": "high" })),
        (json!({ "reasoning_effort": "none" }), thinking(Groq, ByEffort, three), json!({ "reasoning_effort": "low" })),
        (
            json!({ "reasoning_effort": "none" }),
            thinking(Mistral, ByEffort, &[Effort::None, High]),
            json!({ "reasoning_effort": "none" }),
        ),
        (
            json!({ "thinking": { "type": "enabled", "budget_tokens": 9000 } }),
            thinking(Groq, ByEffort, three),
            json!({ "reasoning_effort": "medium" }),
        ),
        (
            json!({ "include_reasoning": false }),
            thinking(Groq, ByEffort, three),
            json!({ "reasoning_format": "hidden" }),
        ),
        (
            json!({ "reasoning_effort": "medium" }),
            thinking(Deepseek, SwitchAndEffort, &[High, Max]),
            json!({ "thinking": { "type": "enabled" }, "reasoning_effort": "high" }),
        ),
        (
            json!({ "reasoning_effort": "none" }),
            thinking(Deepseek, SwitchAndEffort, &[High, Max]),
            json!({ "thinking": { "type": "disabled" } }),
        ),
        (
            json!({ "reasoning_effort": "low" }),
            thinking(Vllm, ChatTemplate, &[]),
            json!({ "chat_template_kwargs": { "enable_thinking": true } }),
        ),
        (
            json!({ "thinking": { "type": "disabled" } }),
            thinking(Vllm, ChatTemplate, &[]),
            json!({ "chat_template_kwargs": { "enable_thinking": false } }),
        ),
        (
            json!({ "reasoning": { "effort": "low", "exclude": true } }),
            thinking(Openrouter, ByEffort, three),
            json!({ "reasoning": { "effort": "low", "exclude": true } }),
        ),
        (
            json!({ "reasoning": { "max_tokens": 2000 } }),
            thinking(Openrouter, ByEffort, three),
            json!({ "reasoning": { "max_tokens": 2000 } }),
        ),
        (
            json!({ "reasoning_effort": "none" }),
            thinking(Openrouter, ByEffort, three),
            json!({ "reasoning": { "enabled": false } }),
        ),
        (json!({ "reasoning_effort": "low" }), thinking(Xai, Always, &[]), json!({})),
    ] {
        let (mut body, _) = through(&asking(&asked), &target).unwrap();
        let rest = body.as_object_mut().unwrap();
        rest.remove("model");
        rest.remove("messages");
        assert_eq!(body, out, "{asked}");
    }
}

#[test]
fn effort_with_tools_stays_at_home_where_chat_refuses_it() {
    let target = target(Openai, |model| {
        model.capabilities.tools_with_reasoning_on_chat = false;
        model.thinking.control = ThinkingControl::Effort;
    });
    let tools = json!([{ "type": "function", "function": { "name": "f" } }]);
    let (out, written) = through(&asking(&json!({ "reasoning_effort": "high", "tools": tools })), &target).unwrap();
    assert!(out.get("reasoning_effort").is_none());
    assert_eq!(written.ignored, ["reasoning_effort"]);
    let (out, _) = through(&asking(&json!({ "reasoning_effort": "high" })), &target).unwrap();
    assert_eq!(out["reasoning_effort"], "high");
}

#[test]
fn limits_are_cut_and_set_where_a_host_needs_one() {
    let (out, _) = through(&asking(&json!({})), &of(Cerebras)).unwrap();
    assert_eq!(out["max_completion_tokens"], 16_384);
    let small = target(Cerebras, |model| model.limits.output_tokens_max = Some(100));
    assert_eq!(through(&asking(&json!({})), &small).unwrap().0["max_completion_tokens"], 100);
    assert!(through(&asking(&json!({})), &of(Openai)).unwrap().0.get("max_completion_tokens").is_none());
}

#[test]
fn instructions_and_lists_of_text_are_said_as_the_host_takes_them() {
    let body = json!({ "model": "x", "messages": [
        { "role": "developer", "content": "be kind" },
        { "role": "user", "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }] },
        { "role": "assistant", "content": [{ "type": "text", "text": "c" }, { "type": "refusal", "refusal": "d" }] },
    ] });
    let (out, _) = through(&body, &of(Deepseek)).unwrap();
    assert_eq!(
        out["messages"],
        json!([
            { "role": "system", "content": "be kind" },
            { "role": "user", "content": "a\n\nb" },
            { "role": "assistant", "content": "cd" },
        ])
    );
    let (out, _) = through(&body, &of(Mistral)).unwrap();
    assert_eq!(out["messages"][2]["prefix"], true);
}

#[test]
fn marks_for_the_cache_are_the_last_four_and_only_where_they_are_known() {
    let part = |mark: Json| json!({ "type": "text", "text": "a", "cache_control": mark });
    let short = json!({ "type": "ephemeral" });
    let parts: Vec<_> =
        (0..4).map(|_| part(short.clone())).chain([part(json!({ "type": "ephemeral", "ttl": "1h" }))]).collect();
    let body = json!({ "model": "x", "messages": [{ "role": "user", "content": parts }] });
    for (dialect, name, long) in [
        (Openai, "prompt_cache_breakpoint", json!({ "mode": "explicit", "ttl": "30m" })),
        (Openrouter, "cache_control", json!({ "type": "ephemeral", "ttl": "1h" })),
    ] {
        let (out, written) = through(&body, &of(dialect)).unwrap();
        let content = out["messages"][0]["content"].as_array().unwrap();
        let marked: Vec<_> = content.iter().map(|part| part.get(name).is_some()).collect();
        assert_eq!(marked, [false, true, true, true, true]);
        assert_eq!(content[4][name], long);
        assert!(written.ignored.is_empty());
    }
    let (out, _) = through(&body, &of(Deepseek)).unwrap();
    assert_eq!(out["messages"][0]["content"], "a\n\na\n\na\n\na\n\na");
}
