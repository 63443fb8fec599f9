//! The same request in other words: what must not change the lane.
//!
//! Must not know lanes. Only the words of the user change, and only in ways that leave the task what it is.

use serde_json::Value;

use super::augment::reword;

/// The ways, by name.
pub const WAYS: [&str; 7] =
    ["lower case", "upper case", "blanks", "politeness", "order", "synonyms", "another frame language"];

/// Words that mean the same.
const SYNONYMS: [(&str, &str); 24] = [
    ("write", "compose"),
    ("find", "determine"),
    ("calculate", "compute"),
    ("how many", "what number of"),
    ("explain", "describe"),
    ("big", "large"),
    ("help", "assist"),
    ("show", "display"),
    ("make", "create"),
    ("buy", "purchase"),
    ("need", "require"),
    ("start", "begin"),
    ("end", "finish"),
    ("following", "below"),
    ("correct", "right"),
    ("function", "routine"),
    ("list", "collection"),
    ("total", "sum"),
    ("person", "individual"),
    ("children", "kids"),
    ("each", "every"),
    ("answer", "reply"),
    ("question", "query"),
    ("if", "in case"),
];

/// The body with the user's last words said in one of the [`WAYS`]; `None` where they are no plain text.
pub fn said_otherwise(body: &Value, way: usize) -> Option<Value> {
    let change: fn(&str) -> String = match way {
        0 => |text| text.to_lowercase(),
        1 => |text| text.to_uppercase(),
        2 => |text| format!("  {}\n\n", text.replace(' ', "  ").replace('\n', "\n\n")),
        3 => |text| {
            format!("Hello, I hope you are well. Could you please help me with this? {text}\n\nThank you very much!")
        },
        4 => last_sentence_first,
        5 => in_synonyms,
        6 => |text| format!("Guten Tag, ich habe eine Bitte an Sie:\n\n{text}\n\nVielen Dank im Voraus."),
        _ => return None,
    };
    let mut other = body.clone();
    reword(&mut other, change).then_some(other)
}

/// Moves the last sentence to the front; options and few words stay where they are.
fn last_sentence_first(text: &str) -> String {
    match text.trim_end().rsplit_once(". ") {
        Some((before, last)) if !before.contains('\n') && !last.contains('\n') => format!("{last} {before}."),
        Some(_) | None => text.to_owned(),
    }
}

fn in_synonyms(text: &str) -> String {
    let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    for word in &mut words {
        let bare = word.trim_end_matches([',', '.', '?', ':']);
        let plain = bare.to_lowercase();
        if let Some((_, other)) = SYNONYMS.iter().find(|(known, _)| *known == plain) {
            let is_capital = bare.starts_with(char::is_uppercase);
            let end = word.get(bare.len()..).unwrap_or_default();
            let mut other = (*other).to_owned();
            if is_capital && let Some(first) = other.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            *word = format!("{other}{end}");
        }
    }
    words.join(" ")
}
