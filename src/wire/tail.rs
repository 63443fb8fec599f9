//! Usage at the end of an answer that was too large to be kept whole.
//!
//! Must not be used on a whole answer: this looks for a name in the last bytes, where the text of the
//! answer could hold the same name. The last one wins, since usage follows the text in both formats.

use memchr::memmem;

use super::usage::{self, UsageQuirks};
use crate::base::usage::Usage;
use crate::base::wire_format::WireFormat;

const NAME: &[u8] = b"\"usage\"";

/// The usage object that stands last in `tail`; `None` where there is none.
pub fn usage(format: WireFormat, tail: &[u8], quirks: UsageQuirks) -> Option<Usage> {
    let after_name = memmem::rfind(tail, NAME)?.checked_add(NAME.len())?;
    let rest = tail.get(after_name..)?;
    let colon = rest.iter().position(|b| !b.is_ascii_whitespace())?;
    let value = rest.get(colon..)?.strip_prefix(b":")?;
    let object = first_value(value)?;
    match format {
        WireFormat::AnthropicMessages => usage::anthropic(object),
        WireFormat::OpenaiChat
        | WireFormat::OpenaiResponses
        | WireFormat::OpenaiImages
        | WireFormat::GeminiGenerate
        | WireFormat::BedrockConverse => usage::openai_chat(object, quirks),
    }
}

/// The first whole JSON value of `bytes`, whatever follows it.
fn first_value(bytes: &[u8]) -> Option<&[u8]> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<serde::de::IgnoredAny>();
    values.next()?.ok()?;
    bytes.get(..values.byte_offset())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_usage_is_found() {
        let tail = br#"lots of text \"usage\": {"no"} ","usage" : {"prompt_tokens":3,"completion_tokens":4,"total_tokens":7},"x":1}"#;
        let found = usage(WireFormat::OpenaiChat, tail, UsageQuirks::default()).unwrap();
        assert_eq!((found.input, found.output), (3, 4));
        assert_eq!(usage(WireFormat::OpenaiChat, b"no usage here", UsageQuirks::default()), None);
        assert_eq!(usage(WireFormat::OpenaiChat, br#""usage":{"prompt_tokens":"#, UsageQuirks::default()), None);
    }
}
