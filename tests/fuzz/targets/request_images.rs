//! Any bytes as a request of the images endpoint, and as the form of its edits.
#![no_main]

mod properties {
    include!("../properties.rs");
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::picture(bytes));
