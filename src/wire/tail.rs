//! Usage of an answer that was too large to be kept whole: at its end, or among its first members.
//!
//! Must not be used on a whole answer: this looks for a name in the last bytes, where the text of the
//! answer could hold the same name. The last one wins, since usage follows the text in both formats.

use memchr::memmem;

use super::leap;
use super::usage::{self, UsageQuirks};
use crate::base::usage::Usage;
use crate::base::wire_format::WireFormat;

const NAME: &[u8] = b"\"usage\"";

/// The usage object that stands last in `tail`; `None` where there is none.
pub fn usage(format: WireFormat, tail: &[u8], quirks: UsageQuirks) -> Option<Usage> {
    let after_name = memmem::rfind(tail, NAME)?.checked_add(NAME.len())?;
    let colon = leap::skip_space(tail, after_name);
    if tail.get(colon) != Some(&b':') {
        return None;
    }
    let start = leap::skip_space(tail, colon.checked_add(1)?);
    let object = tail.get(start..leap::value_end(tail, start).ok()?)?;
    read(format, object, quirks)
}

/// The usage object among the members that stand whole at the start of an answer, for a provider that
/// reports it before the text.
pub fn leading_usage(format: WireFormat, start: &[u8], quirks: UsageQuirks) -> Option<Usage> {
    let mut members = leap::Items::open(start, leap::skip_space(start, 0))?;
    let mut found = None;
    while let Ok(Some(member)) = members.next_member() {
        if start.get(member.name.clone()) == Some(&b"usage"[..]) {
            found = read(format, start.get(member.value)?, quirks);
        }
    }
    found
}

fn read(format: WireFormat, object: &[u8], quirks: UsageQuirks) -> Option<Usage> {
    match format {
        WireFormat::AnthropicMessages => usage::anthropic(object),
        WireFormat::OpenaiChat
        | WireFormat::OpenaiResponses
        | WireFormat::GeminiGenerate
        | WireFormat::BedrockConverse
        | WireFormat::OpenaiEmbeddings
        | WireFormat::OpenaiTranscriptions
        | WireFormat::OpenaiSpeech => usage::openai_chat(object, quirks),
        WireFormat::OpenaiImages | WireFormat::OpenaiImageEdits => usage::openai_images(object),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_usage_is_found() {
        let tail = br#"lots of text \"usage\": {"no"} ","usage" : {"prompt_tokens":3,"completion_tokens":4,"total_tokens":7},"x":1}"#;
        let found = usage(WireFormat::OpenaiChat, tail, UsageQuirks::default()).unwrap();
        assert_eq!((found.input, found.output), (3, 4));
        let start =
            br#"{"id":"x","usage":{"prompt_tokens":3,"completion_tokens":4},"choices":[{"message":{"content":"cut he"#;
        let found = leading_usage(WireFormat::OpenaiChat, start, UsageQuirks::default()).unwrap();
        assert_eq!((found.input, found.output), (3, 4));
        assert_eq!(usage(WireFormat::OpenaiChat, b"no usage here", UsageQuirks::default()), None);
        assert_eq!(usage(WireFormat::OpenaiChat, br#""usage":{"prompt_tokens":"#, UsageQuirks::default()), None);
    }
}
