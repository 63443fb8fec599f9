//! Replays the corpus of the fuzz targets, so that what a fuzzer found once is tested for ever, without one.

extern crate self as flux;

include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/properties.rs"));

#[test]
fn the_corpus_holds() {
    let targets = [("head", head as fn(&[u8])), ("sse", stream), ("usage", usage), ("request_images", picture)];
    for (target, check) in targets {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
        let mut files = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            check(&std::fs::read(entry.unwrap().path()).unwrap());
            files += 1;
        }
        assert!(files > 2, "{target} has hardly any corpus");
    }
}

/// The corpus of the targets for translation is what is golden anyway.
#[test]
fn what_is_golden_holds() {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let formats = [
        ("chat", WireFormat::OpenaiChat),
        ("responses", WireFormat::OpenaiResponses),
        ("anthropic", WireFormat::AnthropicMessages),
        ("gemini", WireFormat::GeminiGenerate),
    ];
    let files = |folder: std::path::PathBuf, ending: &'static str| {
        let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        paths.filter(move |path| path.extension().is_some_and(|e| e == ending)).map(|path| std::fs::read(path).unwrap())
    };
    for (name, format) in formats {
        files(golden.join("answers").join(name), "sse").for_each(|stream| answer(format, &stream));
        if format != WireFormat::GeminiGenerate {
            files(golden.join(name), "json").for_each(|body| request(format, &body));
        }
    }
}
