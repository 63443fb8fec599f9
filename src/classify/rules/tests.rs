//! The rules file: what is wrong with it is told, what is right decides.

use super::*;

const SHIPPED: &str = include_str!("../../../lua-free-rules/flux-auto.toml");

fn rules(text: &str) -> RuleSet {
    parse(text, "rules.toml").unwrap()
}

#[test]
fn the_shipped_file_explains_all_features_and_operators() {
    let set = parse(SHIPPED, "flux-auto.toml").unwrap();
    assert!(set.lanes().all(|lane| LANES.contains(&lane)));
    let comments: Vec<_> = SHIPPED.lines().filter_map(|line| line.strip_prefix("#   ")).collect();
    for (name, ..) in FEATURES {
        assert!(comments.iter().any(|line| line.split_whitespace().next() == Some(name)), "{name} is not explained");
    }
    for (sign, _) in OPERATORS {
        assert!(comments.iter().any(|line| line.split_whitespace().any(|word| word == sign)), "{sign}");
    }
    for (task, _) in TaskType::NAMES {
        assert!(comments.iter().any(|line| line.split([',', ' ']).any(|word| word == task)), "{task} is not explained");
    }
    for (_, effort) in Effort::NAMES {
        assert!(SHIPPED.contains(&format!("< {}", effort.name())), "{effort:?}");
    }
}

#[test]
fn the_highest_priority_decides_then_the_order() {
    let rule = |name: &str, priority: i64, when: &str, lane: &str| {
        format!("[[rule]]\nname={name:?}\npriority={priority}\nwhen={{{when}}}\nlane={lane:?}\nreason=\"r\"\n")
    };
    let text = [
        "default = \"flux-standard\"\n".to_owned(),
        rule("low", 1, r#"all=["turns >= 1"]"#, "flux-fast"),
        rule("first", 5, r#"all=["turns > 1"]"#, "flux-reasoning"),
        rule("second", 5, r#"all=["turns > 1"]"#, "flux-image"),
        rule(
            "top",
            9,
            r#"all=["turns == 7"], any=["has_tools == true", "reasoning_effort in [low, max]"]"#,
            "flux-image",
        ),
    ]
    .concat();
    let set = rules(&text);
    let check = |features: Features, rule: &str| assert_eq!(set.judge(&features).lane.unwrap().1, rule, "{features:?}");
    check(Features::default(), "default");
    check(Features { turns: 1, ..Features::default() }, "low");
    check(Features { turns: 2, ..Features::default() }, "first");
    check(Features { turns: 7, ..Features::default() }, "first");
    check(Features { turns: 7, has_tools: true, ..Features::default() }, "top");
    check(Features { turns: 7, reasoning_effort: Some(Effort::Max), ..Features::default() }, "top");
    check(Features { turns: 7, reasoning_effort: Some(Effort::High), ..Features::default() }, "first");
    assert_eq!(set.judge(&Features::default()).lane, Some(("flux-standard", "default")));
    assert_eq!(set.rule_names().collect::<Vec<_>>(), ["top", "first", "second", "low"]);
}

#[test]
fn operators_compare() {
    for (condition, value, expected) in [
        ("max_tokens == 5", 5, true),
        ("max_tokens != 5", 5, false),
        ("max_tokens < 5", 5, false),
        ("max_tokens <= 5", 5, true),
        ("max_tokens > 4", 5, true),
        ("max_tokens >= 6", 5, false),
        ("max_tokens in [1, 5]", 5, true),
        ("max_tokens in [1]", 100, false),
        ("max_tokens < 1_000", 999, true),
        ("reasoning_effort < minimal", 0, true),
        ("has_tools != true", 0, true),
    ] {
        let text = format!(
            "default='flux-fast'\n[[rule]]\nname='x'\npriority=1\nlane='flux-image'\nreason='r'\nwhen={{all=['{condition}']}}"
        );
        let features = Features { max_tokens: value, ..Features::default() };
        assert_eq!(rules(&text).judge(&features).lane.unwrap().1 == "x", expected, "{condition} with {value}");
    }
}

#[test]
fn tasks_are_compared_by_name() {
    let of = |condition: &str, task_type| {
        let text = format!(
            "default='flux-fast'\n[[rule]]\nname='x'\npriority=1\nlane='flux-image'\nreason='r'\nwhen={{all=['{condition}']}}"
        );
        rules(&text).judge(&Features { task_type, ..Features::default() }).lane.unwrap().1 == "x"
    };
    assert!(of("task_type == unset", None) && !of("task_type == unset", Some(TaskType::SimpleChat)));
    assert!(of("task_type in [summarize, extract]", Some(TaskType::Extract)));
    assert!(!of("task_type in [summarize, extract]", None));
    assert!(of("task_type != creative", Some(TaskType::AgenticComplex)));
    let faulty = |condition: &str| {
        let text = format!(
            "default='flux-fast'\n[[rule]]\nname='ü'\npriority=1\nlane='flux-image'\nreason='r'\nwhen={{all=['{condition}']}}"
        );
        parse(&text, "r.toml").unwrap_err().iter().map(ToString::to_string).collect::<String>()
    };
    assert!(faulty("task_type > extract").contains("compare with ==, != or in"));
    assert!(faulty("task_type == extrakt").contains("one of unset, simple_chat"));
    assert!(faulty("task_type == extract").contains("cannot be a rule's name"));
}

/// Each name of a client's leads to the lane that Conflux's tier of it corresponds to.
#[test]
fn the_shipped_rules_send_each_task_to_a_lane() {
    let set = parse(SHIPPED, "flux-auto.toml").unwrap();
    let lane = |features: Features| set.judge(&features).lane.unwrap().0.to_owned();
    for (name, task) in TaskType::NAMES {
        let expected = match name {
            "simple_chat" | "summarize" | "extract" | "translate" => "flux-fast",
            "deep_reasoning" | "agentic_complex" => "flux-reasoning",
            "image_gen" => "flux-image",
            _ => "flux-standard",
        };
        let features = Features { task_type: Some(task), last_user_bytes: 99, ..Features::default() };
        assert_eq!(lane(features.clone()), expected, "{name}");
        let with_tools = lane(Features { has_tools: true, ..features });
        let expected = if ["flux-fast", "flux-image"].contains(&expected) { "flux-standard" } else { expected };
        assert_eq!(with_tools, expected, "{name} with tools");
    }
}

#[test]
fn all_faults_are_told_at_once_with_line_and_hint() {
    let text = "default = \"flux-standart\"\n\
        extra = 1\n\
        [[rule]]\n\
        name = \"a\"\n\
        priority = \"high\"\n\
        lane = \"flux-speed\"\n\
        reason = \"r\"\n\
        when = { all = [\"turn > 3\", \"turns => 3\", \"turns > many\", \"turns\", \"has_tools > true\", 7] }\n\
        [[rule]]\n\
        nam = \"b\"\n";
    let complaints = parse(text, "r.toml").unwrap_err();
    let told: Vec<_> = complaints.iter().map(ToString::to_string).collect();
    for (line, part) in [
        (1, "unknown lane \"flux-standart\" (hint: did you mean \"flux-standard\"?)"),
        (2, "unknown key `extra`"),
        (5, "`priority` is no whole number"),
        (6, "unknown lane \"flux-speed\""),
        (8, "unknown feature \"turn\" (hint: did you mean \"turns\"?)"),
        (8, "unknown operator \"=>\""),
        (8, "\"many\" is no value here"),
        (8, "\"turns\" is no condition"),
        (8, "`has_tools` is true or false"),
        (8, "a condition is no text"),
        (9, "a rule has no `when`"),
        (10, "unknown key `nam` (hint: did you mean \"name\"?)"),
    ] {
        let wanted = format!("r.toml:{line}: ");
        assert!(told.iter().any(|said| said.starts_with(&wanted) && said.contains(part)), "{part}: {told:#?}");
    }
    assert!(complaints.is_sorted_by_key(|complaint| complaint.line));
    assert!(parse("", "r.toml").unwrap_err()[0].message.contains("`default` is missing"));
    assert_eq!(parse("default = \"flux-fast\"\nx = [", "r.toml").unwrap_err()[0].line, 2);
    let twice = "default='flux-fast'\n".to_owned()
        + &"[[rule]]\nname='x'\npriority=1\nlane='flux-image'\nreason='r'\nwhen={all=['turns > 1']}\n".repeat(2);
    assert!(parse(&twice, "r.toml").unwrap_err()[0].message.contains("already"));
}
