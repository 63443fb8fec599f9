//! Any bytes as a stream of Chat Completions. Begin with what is golden: `cargo fuzz run --fuzz-dir tests/fuzz answer_chat tests/golden/answers/chat`.
#![no_main]

mod properties {
    include!("../properties.rs");
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::answer(flux::base::wire_format::WireFormat::OpenaiChat, bytes));
