//! Any bytes as a stream.
#![no_main]

mod properties {
    include!("../properties.rs");
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::stream(bytes));
