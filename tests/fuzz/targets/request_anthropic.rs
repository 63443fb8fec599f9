//! Any bytes as a request of Anthropic Messages. Begin with what is golden: `cargo fuzz run --fuzz-dir tests/fuzz request_anthropic tests/golden/anthropic`.
#![no_main]

mod properties {
    include!("../properties.rs");
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::request(flux::base::wire_format::WireFormat::AnthropicMessages, bytes));
