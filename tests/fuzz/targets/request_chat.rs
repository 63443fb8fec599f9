//! Any bytes as a request of Chat Completions. Begin with what is golden: `cargo fuzz run --fuzz-dir tests/fuzz request_chat tests/golden/chat`.
#![no_main]

mod properties {
    include!("../properties.rs");
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::request(flux::base::wire_format::WireFormat::OpenaiChat, bytes));
