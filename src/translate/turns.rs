//! Conversations for formats that know two speakers in turn, and instructions only at the front.
//!
//! Anthropic and Gemini want a user first, then one and the other, all results of a step in the message after it,
//! and nothing empty. Must not know how they spell it.

use std::borrow::Cow;

use super::ir::{Part, PartKind, Role, Text, Turn};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// The user, and the tools.
    User,
    /// The model.
    Assistant,
}

/// What one speaker says before the other does.
#[derive(Clone, Debug)]
pub struct Message<'r, 'a> {
    /// Who.
    pub speaker: Speaker,
    /// What: results first, then the rest in its order. Never empty.
    pub parts: Vec<Cow<'r, Part<'a>>>,
    /// The index of its first turn in the client's list.
    pub at: usize,
}

/// A conversation of two speakers.
#[derive(Clone, Debug, Default)]
pub struct Alternating<'r, 'a> {
    /// The instructions before the conversation, without empty ones.
    pub instructions: Vec<&'r Part<'a>>,
    /// One and the other, the user first.
    pub messages: Vec<Message<'r, 'a>>,
    /// What had to be said in another way, for `x-flux-ignored`.
    pub ignored: Vec<Cow<'static, str>>,
}

/// The conversation with neighbours of one speaker joined.
///
/// Instructions within the conversation become a part of the user's next message between `<system>` tags: moved
/// to the front they would mean something else, and spoil the prompt cache. Empty texts are left out. A
/// conversation that the assistant begins gets a user's message of one full stop before it.
pub fn alternating<'r, 'a>(turns: &'r [Turn<'a>]) -> Alternating<'r, 'a> {
    let mut made = Alternating::default();
    let leading = turns.iter().take_while(|turn| is_instruction(turn)).count();
    let (instructions, conversation) = turns.split_at(leading);
    made.instructions = instructions.iter().flat_map(|turn| &turn.parts).filter(|part| !is_empty(part)).collect();
    let names_matter = names_matter(conversation);
    for turn in conversation {
        made.push(turn, names_matter);
    }
    made.ignored.extend(instructions.iter().filter(|turn| turn.name.is_some()).map(name_of));
    made.messages.iter_mut().for_each(put_results_first);
    made.begin_with_user();
    made
}

fn name_of(turn: &Turn<'_>) -> Cow<'static, str> {
    Cow::Owned(format!("messages[{}].name", turn.at))
}

impl<'r, 'a> Alternating<'r, 'a> {
    /// Leaves out what has no part that `is_said`, and joins what then meets.
    pub fn keep(&mut self, is_said: impl Fn(&Part<'a>) -> bool) {
        let is_kept = |message: &Message<'r, 'a>| message.parts.iter().any(|part| is_said(part));
        if self.messages.iter().all(&is_kept) && self.messages.is_sorted_by(|a, b| a.speaker != b.speaker) {
            return;
        }
        let mut joined: Vec<Message<'r, 'a>> = Vec::with_capacity(self.messages.len());
        for message in self.messages.drain(..).filter(is_kept) {
            match joined.last_mut() {
                Some(last) if last.speaker == message.speaker => last.parts.extend(message.parts),
                _ => joined.push(message),
            }
        }
        joined.iter_mut().for_each(put_results_first);
        self.messages = joined;
        self.begin_with_user();
    }

    /// What is put before the assistant's first words is told.
    fn begin_with_user(&mut self) {
        let Some(first) = self.messages.first().filter(|message| message.speaker == Speaker::Assistant) else { return };
        let told = Cow::Owned(format!("messages[{}].role", first.at));
        if !self.ignored.contains(&told) {
            self.ignored.push(told);
        }
        let stop = Part::from(PartKind::Text(Text::plain(".")));
        self.messages.insert(0, Message { speaker: Speaker::User, parts: vec![Cow::Owned(stop)], at: 0 });
    }

    fn push(&mut self, turn: &'r Turn<'a>, names_matter: bool) {
        let speaker = if turn.role == Role::Assistant { Speaker::Assistant } else { Speaker::User };
        let is_instruction = is_instruction(turn);
        if is_instruction {
            self.ignored.push(Cow::Owned(format!("messages[{}].role", turn.at)));
        }
        let is_told = names_matter && turn.role == Role::User;
        if turn.name.is_some() && !is_told {
            self.ignored.push(name_of(turn));
        }
        let mut name = turn.name.as_ref().filter(|_| is_told);
        for part in turn.parts.iter().filter(|part| !is_empty(part)) {
            let part = match (&part.kind, is_instruction) {
                (PartKind::Text(text), true) => Cow::Owned(with_text(part, tagged(text))),
                (PartKind::Text(text), false) => match name.take() {
                    Some(name) => Cow::Owned(with_text(part, named(name, text))),
                    None => Cow::Borrowed(part),
                },
                _ => Cow::Borrowed(part),
            };
            match self.messages.last_mut() {
                Some(last) if last.speaker == speaker => last.parts.push(part),
                _ => self.messages.push(Message { speaker, parts: vec![part], at: turn.at }),
            }
        }
    }
}

/// Whether a turn instructs rather than speaks.
pub fn is_instruction(turn: &Turn<'_>) -> bool {
    matches!(turn.role, Role::System | Role::Developer)
}

/// An empty text may still carry what its maker wants back.
fn is_empty(part: &Part<'_>) -> bool {
    part.blob.is_none() && part.kind.as_text().is_some_and(Text::is_blank)
}

/// Names only help where two users are to be told apart.
fn names_matter(turns: &[Turn<'_>]) -> bool {
    let mut names = turns.iter().filter(|turn| turn.role == Role::User).filter_map(|turn| turn.name.as_ref());
    let first = names.next();
    names.any(|name| Some(name) != first)
}

fn with_text<'a>(part: &Part<'a>, text: Text<'static>) -> Part<'a> {
    Part { kind: PartKind::Text(text), ..part.clone() }
}

fn tagged(text: &Text<'_>) -> Text<'static> {
    Text::spelt_as(format!("<system>{}</system>", text.spelt()))
}

fn named(name: &Text<'_>, text: &Text<'_>) -> Text<'static> {
    Text::spelt_as(format!("{}: {}", name.spelt(), text.spelt()))
}

fn put_results_first(message: &mut Message<'_, '_>) {
    let is_result = |part: &Cow<'_, Part<'_>>| part.kind.as_result().is_some();
    let is_sorted = message.parts.is_sorted_by_key(|part| !is_result(part));
    if !is_sorted {
        message.parts.sort_by_key(|part| !is_result(part));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translate::ir::{Blob, BlobKind, CallKind, ToolResult};

    fn turn(role: Role, text: &'static str, at: usize) -> Turn<'static> {
        Turn { role, parts: vec![PartKind::Text(Text::plain(text)).into()], name: None, at }
    }

    fn result(id: &'static str, at: usize) -> Turn<'static> {
        let result = ToolResult { id: Text::plain(id), parts: Vec::new(), is_error: false, kind: CallKind::Function };
        Turn { role: Role::Tool, parts: vec![PartKind::Result(result).into()], name: None, at }
    }

    fn shown(turns: &[Turn<'_>]) -> Vec<String> {
        let made = alternating(turns);
        let show = |part: &Part<'_>| match (part.kind.as_text(), part.kind.as_result()) {
            (Some(text), _) => text.to_plain().into_owned(),
            (None, result) => format!("={}", result.unwrap().id.spelt()),
        };
        let instructions: Vec<_> = made.instructions.iter().map(|part| show(part)).collect();
        let messages = made.messages.iter().map(|message| {
            let parts: Vec<_> = message.parts.iter().map(|part| show(part)).collect();
            format!("{:?} {}", message.speaker, parts.join("|"))
        });
        std::iter::once(instructions.join("|")).chain(messages).collect()
    }

    #[test]
    fn neighbours_are_joined_and_instructions_stay_where_they_are() {
        let turns = [
            turn(Role::System, "be kind", 0),
            turn(Role::Developer, "be brief", 1),
            turn(Role::User, "a", 2),
            turn(Role::User, "b", 3),
            turn(Role::Assistant, "c", 4),
            turn(Role::Assistant, " ", 5),
            turn(Role::System, "stop", 6),
            turn(Role::User, "d", 7),
        ];
        assert_eq!(shown(&turns), ["be kind|be brief", "User a|b", "Assistant c", "User <system>stop</system>|d"]);
        assert_eq!(alternating(&turns).ignored, ["messages[6].role"]);
    }

    #[test]
    fn results_come_first_and_a_user_begins() {
        let turns = [turn(Role::Assistant, "hello", 0), turn(Role::User, "more", 1), result("1", 2), result("2", 3)];
        assert_eq!(shown(&turns), ["", "User .", "Assistant hello", "User =1|=2|more"]);
    }

    #[test]
    fn what_meets_when_something_is_left_out_is_joined() {
        let turns = [
            turn(Role::User, "a", 0),
            turn(Role::Assistant, "x", 1),
            turn(Role::User, "b", 2),
            result("1", 3),
            turn(Role::Assistant, "c", 4),
        ];
        let mut made = alternating(&turns);
        made.keep(|part| part.kind.as_text().is_none_or(|text| !text.is("x")));
        let told: Vec<_> = made.messages.iter().map(|message| (message.speaker, message.parts.len())).collect();
        assert_eq!(told, [(Speaker::User, 3), (Speaker::Assistant, 1)]);
        assert!(made.messages[0].parts[0].kind.as_result().is_some());
        made.keep(|part| part.kind.as_text().is_some_and(|text| text.is("c")));
        let told: Vec<_> = made.messages.iter().map(|message| message.speaker).collect();
        assert_eq!(told, [Speaker::User, Speaker::Assistant]);
    }

    #[test]
    fn an_empty_text_stays_for_what_it_carries() {
        let blob = Blob { kind: BlobKind::GeminiSignature, token: Text::plain("s"), maker: None };
        let mut said = turn(Role::Assistant, "", 1);
        said.parts[0].blob = Some(blob);
        let turns = [turn(Role::User, "a", 0), said, turn(Role::Assistant, "", 2)];
        assert_eq!(shown(&turns), ["", "User a", "Assistant "]);
    }

    #[test]
    fn names_are_told_where_there_are_two() {
        let named = |name: &'static str, at| Turn { name: Some(Text::plain(name)), ..turn(Role::User, "hi", at) };
        assert_eq!(shown(&[named("Ann", 0), named("Bob", 1)]), ["", "User Ann: hi|Bob: hi"]);
        assert_eq!(shown(&[named("Ann", 0), named("Ann", 1)]), ["", "User hi|hi"]);
    }
}
