//! Frames come out whole however the stream is cut.

use proptest::prelude::*;

use super::*;

/// All frames of a stream that comes in these chunks, and what is left at its end.
fn frames<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, frame_bytes_max: usize) -> (Vec<Bytes>, Bytes) {
    let mut framer = Framer::new(frame_bytes_max);
    let mut found = Vec::new();
    for chunk in chunks {
        let mut rest = match framer.start(Bytes::copy_from_slice(chunk)) {
            Start::Kept => continue,
            Start::Fresh(rest) => rest,
            Start::Completed(frame, rest) | Start::Overlong(frame, rest) => {
                found.push(frame);
                rest
            }
        };
        while let Some(end) = framer.frame_end(&rest, 0) {
            found.push(rest.split_to(end));
        }
        found.extend(framer.keep(rest));
    }
    (found, framer.finish())
}

#[test]
fn frames_end_with_a_blank_line_of_any_kind() {
    for (stream, expected, left) in [
        ("data: a\n\ndata: b\n\n", vec!["data: a\n\n", "data: b\n\n"], ""),
        ("data: a\r\n\r\ndata: b\r\n\r\n", vec!["data: a\r\n\r\n", "data: b\r\n\r\n"], ""),
        ("data: a\r\rdata: b\r\r", vec!["data: a\r\r", "data: b\r\r"], ""),
        (": note\n\nevent: x\ndata: a\ndata: b\n\n", vec![": note\n\n", "event: x\ndata: a\ndata: b\n\n"], ""),
        ("data: a\n\n\n\n", vec!["data: a\n\n", "\n", "\n"], ""),
        ("\u{feff}data: é\n\ndata: cut", vec!["\u{feff}data: é\n\n"], "data: cut"),
        ("data: a\n\r\ndata: b\r\n\n", vec!["data: a\n\r\n", "data: b\r\n\n"], ""),
        ("data: a\n\rdata: b\n\n", vec!["data: a\n\r", "data: b\n\n"], ""),
        ("data: a\r\r\ndata: b\n\n", vec!["data: a\r\r", "\n", "data: b\n\n"], ""),
    ] {
        let whole = frames([stream.as_bytes()], 1000);
        let bytewise = frames(stream.as_bytes().chunks(1), 1000);
        assert_eq!(whole, bytewise, "{stream:?}");
        assert_eq!(whole.0, expected, "{stream:?}");
        assert_eq!(whole.1, left, "{stream:?}");
    }
}

#[test]
fn a_frame_that_is_too_long_passes_in_pieces() {
    let stream = b"data: 0123456789\n\ndata: a\n\n";
    let (found, left) = frames(stream.chunks(4), 10);
    assert_eq!(found.concat(), stream);
    assert_eq!(found.last().unwrap().as_ref(), b"data: a\n\n");
    assert!(left.is_empty());
}

#[test]
fn fields_are_read() {
    for (frame, name, data, at) in [
        ("data: a\n\n", "", "a", Some(6)),
        ("data:a\r\n\r\n", "", "a", Some(5)),
        ("data:  a\r\r", "", " a", Some(6)),
        ("event: x\r\ndata: a\r\n\r\n", "x", "a", Some(16)),
        ("data: a\ndata: b\nevent:x\n\n", "x", "a\nb", None),
        ("data\ndata: b\n\n", "", "\nb", None),
        (": data: a\nid: 1\nretry: 2\ndatax: 1\n\n", "", "", None),
        ("\u{feff}data: a\n\n", "", "a", Some(9)),
        ("\n", "", "", None),
        ("", "", "", None),
    ] {
        let event = Event::read(frame.as_bytes());
        assert_eq!(event.name, name.as_bytes(), "{frame:?}");
        assert_eq!(event.data.as_ref(), data.as_bytes(), "{frame:?}");
        assert_eq!(event.data_at, at, "{frame:?}");
    }
}

proptest! {
    #[test]
    fn chunk_borders_do_not_matter(
        stream in "(data: |event: x|: c|é|\n|\r|\r\n|\n\n|\r\n\r\n){0,40}", cuts in proptest::collection::vec(1_usize..9, 1..60),
    ) {
        let stream = stream.as_bytes();
        let mut chunks = Vec::new();
        let mut rest = stream;
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, after) = rest.split_at((*cut).min(rest.len()));
            chunks.push(chunk);
            rest = after;
        }
        let whole = frames([stream], 10_000);
        prop_assert_eq!(&frames(chunks.iter().copied(), 10_000), &whole);
        prop_assert_eq!([whole.0.concat(), whole.1.to_vec()].concat(), stream);
        let (short, left) = frames(chunks.iter().copied(), 8);
        prop_assert_eq!([short.concat(), left.to_vec()].concat(), stream);
    }
}
