//! Any bytes as a stream of Anthropic Messages. Begin with what is golden: `cargo fuzz run --fuzz-dir tests/fuzz answer_anthropic tests/golden/answers/anthropic`.
#![no_main]

mod properties {
    include!("../properties.rs");
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::answer(flux::base::wire_format::WireFormat::AnthropicMessages, bytes));
