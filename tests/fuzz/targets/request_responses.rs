//! Any bytes as a request of Responses. Begin with what is golden: `cargo fuzz run --fuzz-dir tests/fuzz request_responses tests/golden/responses`.
#![no_main]

mod properties {
    include!("../properties.rs");
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::request(flux::base::wire_format::WireFormat::OpenaiResponses, bytes));
