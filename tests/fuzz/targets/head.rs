//! Any bytes as a request body.
#![no_main]

mod properties {
    include!("../properties.rs");
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::head(bytes));
