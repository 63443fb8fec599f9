//! Two stores on one data folder: one hands over to the other, or dies.

use super::*;

/// In the month of the charges, so that they count in the period that runs.
fn begin(dir: &Path, takes_over: bool) -> Result<Store, StoreError> {
    // The smallest segments that the configuration allows: of smaller ones a whole file may come and go between two looks.
    let settings = Settings { takes_over, segment_bytes: 64 << 10, ..settings(dir) };
    Store::start(settings, house(), Arc::new(TestClock::new(UnixMs(1_790_000_100_000))))
}

fn alone() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = begin(dir.path(), false).unwrap();
    store.bootstrap("default").unwrap().unwrap();
    (dir, store)
}

fn spent(store: &Store) -> i64 {
    let account = store.accounts().get(AccountId(1)).unwrap();
    account.funds().standing(UnixMs(1_790_000_100_000)).spent.total().0
}

/// Ends the threads, as if the process were gone: nothing is booked any more.
fn stun(store: &Store) {
    store.progress.stop();
    for thread in std::mem::take(&mut *store.threads()) {
        thread.join().unwrap();
    }
}

fn sum(last: u64) -> i64 {
    (last * (last + 1) / 2).cast_signed()
}

#[test]
fn the_next_process_knows_all_that_the_one_before_charges() {
    let (dir, old) = alone();
    for n in 1..=30 {
        old.append(&charge(n)).unwrap();
    }
    assert!(matches!(begin(dir.path(), false), Err(StoreError::InUse { .. })));
    let new = begin(dir.path(), true).unwrap();
    assert_eq!(spent(&new), sum(30), "what was booked and what was not, each once");
    for n in 31..=300 {
        old.append(&charge(n)).unwrap();
        new.append(&charge(1_000 + n)).unwrap();
    }
    before_long(|| spent(&new) == sum(300));
    old.give_way();
    old.append(&charge(301)).unwrap();
    before_long(|| spent(&new) == sum(301));
    drop(old);
    new.flush().unwrap();
    let others = (31..=300).map(|n| 1_000 + n).sum::<i64>();
    expect_books(dir.path(), 301 + 270, sum(301) + others);
    before_long(|| new.role.is_ours());
    assert_eq!(spent(&new), sum(301), "nothing is counted again when the other has ended");
}

#[test]
fn what_a_dead_process_leaves_is_booked_by_the_next() {
    let (dir, old) = alone();
    let new = begin(dir.path(), true).unwrap();
    stun(&old);
    for n in 1..=40 {
        old.append(&charge(n)).unwrap();
    }
    assert_eq!(reconcile(dir.path()).unwrap().pending_records, 40);
    let backup = dir.path().join("backup.db");
    assert_eq!(backup::backup(dir.path(), &backup, &mut |_, _| ()).unwrap().from_journal, 40);
    before_long(|| spent(&new) == sum(40));
    drop(old);
    before_long(|| reconcile(dir.path()).unwrap().pending_records == 0);
    expect_books(dir.path(), 40, sum(40));
    drop(new);
    // The second journal's position is kept: nothing is looked for twice, and the first is free again.
    drop(begin(dir.path(), false).unwrap());
    expect_books(dir.path(), 40, sum(40));
}

#[test]
fn a_start_books_all_journals_of_dead_processes() {
    let (dir, old) = alone();
    let new = begin(dir.path(), true).unwrap();
    stun(&old);
    stun(&new);
    for n in 1..=20 {
        old.append(&charge(n)).unwrap();
        new.append(&charge(20 + n)).unwrap();
    }
    // A store that is dropped stops once more, and finds nothing to stop.
    drop((old, new));
    let store = begin(dir.path(), false).unwrap();
    expect_books(dir.path(), 40, sum(40));
    assert_eq!(spent(&store), sum(40));
}
