//! Any bytes as an answer.
#![no_main]

mod properties {
    include!("../properties.rs");
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::usage(bytes));
