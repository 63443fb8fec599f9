//! How a conversation begins: its system prompt and the first words of its user, by which it is known again.
//!
//! Must not keep any of it: the bytes go into a hasher, and only so many of each text.

use std::hash::Hasher;

use super::features::{FeatureInput, Speaker, speaker_of};
use super::walk;

/// Bytes of each text that are hashed, from its beginning; its length is hashed too.
const HEAD_BYTES_MAX: usize = 1_024;
/// Bytes from its end: templates begin alike.
const TAIL_BYTES_MAX: usize = 256;
/// Texts that are looked at.
const TEXTS_MAX: usize = 16;

/// Hashes what stays the same in all turns of a conversation.
pub fn write(input: &FeatureInput<'_>, into: &mut impl Hasher) {
    let mut opening = Opening { into, texts_left: TEXTS_MAX };
    opening.content(input.system.unwrap_or_default());
    if let Some(prompt) = walk::string(input.messages) {
        return opening.text(prompt);
    }
    walk::elements_while(input.messages, |message| {
        let (mut speaker, mut content) = (Speaker::Other, &b""[..]);
        walk::members(message, |name, value| match name {
            b"role" => speaker = speaker_of(value),
            b"content" => content = value,
            _ => {}
        });
        if matches!(speaker, Speaker::User | Speaker::System) {
            opening.content(content);
        }
        speaker != Speaker::User
    });
}

struct Opening<'h, H> {
    into: &'h mut H,
    texts_left: usize,
}

impl<H: Hasher> Opening<'_, H> {
    fn content(&mut self, content: &[u8]) {
        match walk::string(content) {
            Some(text) => self.text(text),
            None => walk::elements_while(content, |part| {
                if let Some(text) = walk::member(part, b"text").and_then(walk::string) {
                    self.text(text);
                }
                self.texts_left > 0
            }),
        }
    }

    fn text(&mut self, text: &[u8]) {
        if self.texts_left == 0 {
            return;
        }
        self.texts_left -= 1;
        self.into.write_usize(text.len());
        self.into.write(text.get(..HEAD_BYTES_MAX).unwrap_or(text));
        if text.len() > HEAD_BYTES_MAX {
            self.into.write(text.get(text.len().saturating_sub(TAIL_BYTES_MAX)..).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::DefaultHasher;

    use super::*;
    use crate::base::wire_format::WireFormat;
    use crate::wire::head;

    fn hash(format: WireFormat, body: &str) -> u64 {
        let head = head::scan(body.as_bytes()).unwrap();
        let mut hasher = DefaultHasher::new();
        write(&FeatureInput::of(format, &head, body.as_bytes()), &mut hasher);
        hasher.finish()
    }

    #[test]
    fn later_turns_have_the_same_opening() {
        let chat = |rest: &str| {
            hash(
                WireFormat::OpenaiChat,
                &format!(
                    r#"{{"model":"m","messages":[{{"role":"system","content":"s"}},{{"role":"user","content":"a"}}{rest}]}}"#
                ),
            )
        };
        let first = chat("");
        assert_eq!(first, chat(r#",{"role":"assistant","content":"b"},{"role":"user","content":"c"}"#));
        assert_eq!(first, chat(r#",{"role":"assistant","tool_calls":[]},{"role":"tool","content":"x"}"#));
        let messages = |rest: &str| {
            let body = format!(
                r#"{{"model":"m","system":[{{"type":"text","text":"s"}}],"messages":[{{"role":"user","content":[{{"type":"text","text":"a"}}]}}{rest}]}}"#
            );
            hash(WireFormat::AnthropicMessages, &body)
        };
        assert_eq!(messages(""), messages(r#",{"role":"assistant","content":"b"},{"role":"user","content":"c"}"#));
        let responses = |input: &str| {
            hash(WireFormat::OpenaiResponses, &format!(r#"{{"model":"m","instructions":"s","input":{input}}}"#))
        };
        assert_eq!(
            responses(r#""a""#),
            responses(
                r#"[{"role":"user","content":[{"type":"input_text","text":"a"}]},{"type":"function_call_output"}]"#
            )
        );
    }

    #[test]
    fn other_conversations_have_others() {
        let long = "x".repeat(5_000);
        let of = |system: &str, user: &str| {
            let body = serde_json::json!({"model": "m", "messages": [
                {"role": "system", "content": system}, {"role": "user", "content": user}]});
            hash(WireFormat::OpenaiChat, &body.to_string())
        };
        let mut hashes = vec![
            of("s", "a"),
            of("s", "b"),
            of("t", "a"),
            of("sa", ""),
            of("", "sa"),
            of(&long, "a"),
            of(&format!("{long}y"), "a"),
            of(&format!("{}y", &long[1..]), "a"),
        ];
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 8);
    }
}
