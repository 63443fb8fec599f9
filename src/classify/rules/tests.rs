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
