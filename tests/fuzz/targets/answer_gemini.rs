//! Any bytes as a stream of Gemini. Begin with what is golden: `cargo fuzz run --fuzz-dir tests/fuzz answer_gemini tests/golden/answers/gemini`.
#![no_main]

mod properties {
    include!("../properties.rs");
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::answer(flux::base::wire_format::WireFormat::GeminiGenerate, bytes));
