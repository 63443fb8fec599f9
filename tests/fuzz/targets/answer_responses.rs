//! Any bytes as a stream of Responses. Begin with what is golden: `cargo fuzz run --fuzz-dir tests/fuzz answer_responses tests/golden/answers/responses`.
#![no_main]

mod properties {
    include!("../properties.rs");
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::answer(flux::base::wire_format::WireFormat::OpenaiResponses, bytes));
