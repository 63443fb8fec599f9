//! The journal alone: whatever is torn off or broken, sound records are read and nothing is silent.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use super::read::{Reader, is_damaged};
use super::*;
use crate::store::tests::charge;

const BOUNDS: JournalBounds = JournalBounds { journal_bytes_max: 1 << 20, segment_bytes: 1 << 18 };

fn open(dir: &Path) -> Journal {
    Journal::open(dir, BOUNDS, Position::default()).unwrap()
}

/// All that can be read, and how many places of damage were met.
fn read_all(dir: &Path, end: Position) -> (Vec<Charge>, u64) {
    let mut reader = Reader::new(dir, Position::default());
    let mut charges = Vec::new();
    while reader.position() < end {
        let room = charges.len() + 3;
        reader.read(end, &mut charges, room).unwrap();
    }
    (charges, reader.damaged())
}

fn charges(count: u64) -> Vec<Charge> {
    (1..=count).map(charge).collect()
}

fn append_all(journal: &Journal, charges: &[Charge]) {
    for charge in charges {
        journal.append(charge).unwrap();
    }
}

#[test]
fn what_is_appended_is_read_in_order_over_starts_and_segments() {
    let dir = tempfile::tempdir().unwrap();
    let bounds = JournalBounds { segment_bytes: 1_000, ..BOUNDS };
    let all = charges(90);
    for part in all.chunks(30) {
        append_all(&Journal::open(dir.path(), bounds, Position::default()).unwrap(), part);
    }
    let journal = Journal::open(dir.path(), bounds, Position::default()).unwrap();
    assert!(segments(dir.path()).unwrap().len() > 5);
    assert_eq!(read_all(dir.path(), journal.end()), (all, 0));
    assert!(journal.bytes_after(Position::default()) < journal.bytes());
    journal.retire_before(journal.end().segment, &|_| false).unwrap();
    assert_eq!(journal.bytes(), HEAD_BYTES);
    assert_eq!(segments(dir.path()).unwrap(), [journal.end().segment]);
    journal.sync().unwrap();
}

#[test]
fn a_tail_torn_at_any_byte_is_dropped_and_the_rest_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let all = charges(3);
    append_all(&journal, &all[..2]);
    let whole = journal.end().offset;
    append_all(&journal, &all[2..]);
    let full = journal.end().offset;
    let path = segment_path(dir.path(), 1);
    let bytes = std::fs::read(&path).unwrap();
    drop(journal);
    for cut in whole..full {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(segment_path(dir.path(), 1), &bytes[..usize::try_from(cut).unwrap()]).unwrap();
        let journal = open(dir.path());
        assert_eq!(segment_path(dir.path(), 1).metadata().unwrap().len(), whole, "cut at {cut}");
        append_all(&journal, &all[2..]);
        assert_eq!(read_all(dir.path(), journal.end()), (all.clone(), 0), "cut at {cut}");
    }
    for zeros in [1, 7, 8, 100, 5_000] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(segment_path(dir.path(), 1), [bytes.as_slice(), &vec![0; zeros]].concat()).unwrap();
        assert_eq!(read_all(dir.path(), open(dir.path()).end()), (all.clone(), 0), "{zeros} zeros");
    }
}

#[test]
fn any_broken_byte_in_the_middle_costs_one_record_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let all = charges(3);
    append_all(&journal, &all[..1]);
    let from = journal.end().offset;
    append_all(&journal, &all[1..2]);
    let to = journal.end().offset;
    append_all(&journal, &all[2..]);
    let file = OpenOptions::new().write(true).read(true).open(segment_path(dir.path(), 1)).unwrap();
    for at in from..to {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x55], at).unwrap();
        let (read, damaged) = read_all(dir.path(), journal.end());
        assert_eq!((read, damaged), (vec![all[0].clone(), all[2].clone()], 1), "byte {at}");
        assert!(is_damaged(dir.path(), 1).unwrap());
        file.write_all_at(&byte, at).unwrap();
    }
}

#[test]
fn damage_larger_than_the_window_is_stepped_over() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let all = charges(2);
    append_all(&journal, &all[..1]);
    let path = segment_path(dir.path(), 1);
    drop(journal);
    let mut bytes = std::fs::read(&path).unwrap();
    let record = bytes[SEGMENT_HEAD.len()..].to_vec();
    bytes.extend(vec![0xff; 300_000]);
    bytes.extend(&record);
    std::fs::write(&path, bytes).unwrap();
    let journal = open(dir.path());
    assert_eq!(read_all(dir.path(), journal.end()), (vec![all[0].clone(), all[0].clone()], 1));
}

#[test]
fn a_file_of_another_form_is_not_read_but_counted_and_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(segment_path(dir.path(), 1), b"something else altogether").unwrap();
    let journal = open(dir.path());
    assert_eq!(read_all(dir.path(), journal.end()), (Vec::new(), 1));
    journal.retire_before(2, &|segment| is_damaged(dir.path(), segment).unwrap()).unwrap();
    assert_eq!(segments(dir.path()).unwrap(), [2]);
    assert!(segment_path(dir.path(), 1).with_extension("damaged").is_file());
}

/// A record that the build before has written: that of charge 7, when charges did not tell what `flux-auto` saw.
const FORMER_RECORD: &str = "\
    810000009a5cde768780808080808080808080b8c08d94e2a003020287d8c1a28c3409666c75782d6175746f07657870\
    72657373066f70656e6169056770742d390001000207020304050607010000000000000764656661756c740102030e00\
    0e020201070707070707070707070707070707070707070707070707070707070707070700c09fab03";

/// A build that stops in order leaves no journal, but one that is killed does: the next one books it.
#[test]
fn the_journal_of_the_build_before_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let digits: Vec<u8> = FORMER_RECORD.bytes().collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let record: Vec<u8> = digits.chunks(2).map(byte).collect();
    let former = [b"flux journal 2\r\n", record.as_slice(), &record, b"torn"].concat();
    std::fs::write(segment_path(dir.path(), 1), former).unwrap();
    let journal = open(dir.path());
    append_all(&journal, &charges(1));
    let seven = Charge { routed: None, ..charge(7) };
    assert_eq!(read_all(dir.path(), journal.end()), (vec![seven.clone(), seven, charge(1)], 0));
    // In the middle of the old segment it goes on in the old form.
    let middle = Position { segment: 1, offset: HEAD_BYTES + record.len() as u64 };
    let mut reader = Reader::new(dir.path(), middle);
    let mut rest = Vec::new();
    while reader.position() < journal.end() {
        reader.read(journal.end(), &mut rest, 9).unwrap();
    }
    assert_eq!(rest.iter().map(|charge| charge.routed.is_some()).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn a_full_journal_refuses_and_takes_again_when_it_was_booked() {
    let dir = tempfile::tempdir().unwrap();
    let bounds = JournalBounds { journal_bytes_max: 4_000, segment_bytes: 1 << 20 };
    let journal = Journal::open(dir.path(), bounds, Position::default()).unwrap();
    let mut kept = Vec::new();
    let refused = (1..).map(charge).find_map(|charge| match journal.append(&charge) {
        Ok(()) => {
            kept.push(charge);
            None
        }
        Err(error) => Some(error),
    });
    assert!(matches!(refused, Some(JournalError::Full { journal_bytes_max: 4_000 })), "{refused:?}");
    assert!(journal.bytes() <= 4_000);
    assert_eq!(read_all(dir.path(), journal.end()), (kept, 0));
    journal.retire_before(journal.end().segment, &|_| false).unwrap();
    journal.append(&charge(1_000)).unwrap();
}

#[test]
fn a_refused_write_leaves_nothing_and_the_next_one_lands() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let all = charges(3);
    append_all(&journal, &all[..1]);
    let before = journal.end();
    // The device refuses every write with "no space left", and being cut back as well.
    let full = Arc::new(OpenOptions::new().append(true).open("/dev/full").unwrap());
    let real = std::mem::replace(&mut journal.tail().file, full);
    assert!(matches!(journal.append(&all[1]), Err(JournalError::Io(_))));
    assert_eq!(journal.end(), before);
    journal.tail().file = real;
    append_all(&journal, &all[2..]);
    assert_eq!(journal.end().segment, before.segment + 1, "what may hold remnants is not appended to");
    assert_eq!(read_all(dir.path(), journal.end()), (vec![all[0].clone(), all[2].clone()], 0));
}

#[test]
fn a_start_never_appends_before_a_position_that_counts_as_booked() {
    let dir = tempfile::tempdir().unwrap();
    let booked = Position { segment: 7, offset: 99_999 };
    let journal = Journal::open(dir.path(), BOUNDS, booked).unwrap();
    assert!(journal.end() > booked);
}

#[test]
fn a_charge_that_fits_no_record_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let long = Charge { model: "m".repeat(FRAME_BYTES_MAX).into(), ..charge(1) };
    assert!(matches!(journal.append(&long), Err(JournalError::TooLong)));
    assert_eq!(read_all(dir.path(), journal.end()), (Vec::new(), 0));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    /// Noise between records never makes a record up, and never hides one that stands after it.
    #[test]
    fn noise_is_stepped_over(noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600), cut in 0_usize..200) {
        let dir = tempfile::tempdir().unwrap();
        append_all(&open(dir.path()), &charges(1));
        let path = segment_path(dir.path(), 1);
        let mut bytes = std::fs::read(&path).unwrap();
        let record = bytes[SEGMENT_HEAD.len()..].to_vec();
        // Half of one at most: noise may happen to be the one byte that is missing.
        bytes.extend(&record[..cut.min(record.len() / 2)]);
        bytes.extend(&noise);
        bytes.extend(&record);
        std::fs::write(&path, bytes).unwrap();
        let (read, damaged) = read_all(dir.path(), open(dir.path()).end());
        proptest::prop_assert_eq!(read, vec![charge(1), charge(1)]);
        proptest::prop_assert_eq!(damaged, u64::from(!noise.is_empty() || cut > 0));
    }
}
