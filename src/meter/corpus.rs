//! Replays the corpus of the fuzz targets, so that what a fuzzer found once is tested for ever, without one.

extern crate self as flux;

include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/properties.rs"));

#[test]
fn the_corpus_holds() {
    for (target, check) in [("head", head as fn(&[u8])), ("sse", stream), ("usage", usage)] {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
        let mut files = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            check(&std::fs::read(entry.unwrap().path()).unwrap());
            files += 1;
        }
        assert!(files > 2, "{target} has hardly any corpus");
    }
}
