//! Damage, locks, full journals and copies: nothing acknowledged is lost, and who looks is told.

use std::io::{Seek, SeekFrom, Write};

use super::super::backup::backup;
use super::*;

/// Writes noise over the page that a table or an index begins with.
fn spoil(dir: &Path, name: &str) {
    let path = dir.join("flux.db");
    let database = rusqlite::Connection::open(&path).unwrap();
    database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let page: i64 =
        database.query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?1", [name], |row| row.get(0)).unwrap();
    let page_bytes: i64 = database.query_row("PRAGMA page_size", [], |row| row.get(0)).unwrap();
    drop(database);
    let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(((page - 1) * page_bytes).cast_unsigned())).unwrap();
    file.write_all(&[0xA5; 512]).unwrap();
}

fn says_what_to_do(error: &StoreError) -> bool {
    let text = error.to_string();
    text.contains("the database is damaged") && text.contains("backup")
}

#[test]
fn a_damaged_database_is_not_started_and_not_proved() {
    for name in ["keys", "accounts", "meta"] {
        let (dir, store) = started();
        store.append(&charge(1)).unwrap();
        drop(store);
        spoil(dir.path(), name);
        let refused = Store::start(settings(dir.path()), house(), Arc::new(SystemClock)).unwrap_err();
        assert!(says_what_to_do(&refused), "{name}: {refused}");
    }
    for name in ["ledger", "ledger_by_key", "usage_hourly", "usage_daily", "packs"] {
        let (dir, store) = started();
        store.append(&charge(1)).unwrap();
        drop(store);
        spoil(dir.path(), name);
        let refused = reconcile(dir.path()).unwrap_err();
        assert!(says_what_to_do(&refused), "{name}: {refused}");
        let refused = backup(dir.path(), &dir.path().join("copy.db"), &mut |_, _| ()).unwrap_err();
        assert!(says_what_to_do(&refused), "{name}: {refused}");
        assert!(!dir.path().join("copy.db").exists(), "a copy of damage is no backup");
    }
    let (dir, store) = started();
    drop(store);
    std::fs::write(dir.path().join("flux.db"), b"no database at all, but long enough to be looked at").unwrap();
    let refused = Store::start(settings(dir.path()), house(), Arc::new(SystemClock)).unwrap_err();
    assert!(says_what_to_do(&refused), "{refused}");
}

/// The ledger breaks under a running server: charges go on into the journal, and the next server books them.
#[test]
fn a_ledger_that_breaks_loses_no_charge() {
    let (dir, store) = started();
    for n in 1..=5 {
        store.append(&charge(n)).unwrap();
    }
    store.flush().unwrap();
    let copy = dir.path().join("copy.db");
    backup(dir.path(), &copy, &mut |_, _| ()).unwrap();
    let other = rusqlite::Connection::open(dir.path().join("flux.db")).unwrap();
    other.execute_batch("ALTER TABLE ledger RENAME TO broken").unwrap();
    for n in 6..=9 {
        store.append(&charge(n)).unwrap();
    }
    before_long(|| store.health().book_failures > 0);
    assert!(store.health().last_error.unwrap().contains("cannot be booked"));
    drop((store, other));
    for file in ["flux.db", "flux.db-wal", "flux.db-shm"] {
        let _ = std::fs::remove_file(dir.path().join(file));
    }
    std::fs::rename(copy, dir.path().join("flux.db")).unwrap();
    drop(start(dir.path()));
    expect_books(dir.path(), 9, 45);
}

#[test]
fn before_the_journal_is_full_new_requests_are_refused_and_those_at_work_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let small = Settings { journal_bytes_max: 8_000, ..settings(dir.path()) };
    let store = Store::start(small, house(), Arc::new(SystemClock)).unwrap();
    store.bootstrap("default").unwrap();
    let other = rusqlite::Connection::open(dir.path().join("flux.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut kept = 0;
    while store.has_room() {
        kept += 1;
        store.append(&charge(kept)).unwrap();
    }
    assert!(!store.health().has_room && store.health().append_failures == 0);
    // Requests that were let in before.
    for _ in 0..3 {
        kept += 1;
        store.append(&charge(kept)).unwrap();
    }
    other.execute_batch("ROLLBACK").unwrap();
    store.flush().unwrap();
    before_long(|| store.has_room());
    let rows = kept.cast_signed();
    expect_books(dir.path(), rows, rows * (rows + 1) / 2);
}

#[test]
fn a_disk_that_refused_is_asked_again() {
    let (dir, store) = started();
    let journal = dir.path().join("journal");
    store.append(&charge(1)).unwrap();
    // The folder is taken away: a record that needs a new file has no place.
    let aside = dir.path().join("aside");
    std::fs::rename(&journal, &aside).unwrap();
    let refused = (2..10_000).find(|n| store.append(&charge(*n)).is_err()).unwrap();
    assert!(!store.has_room());
    before_long(|| store.health().sync_failures > 0);
    std::fs::rename(&aside, &journal).unwrap();
    before_long(|| store.has_room());
    for n in refused..refused + 5 {
        store.append(&charge(n)).unwrap();
    }
    store.flush().unwrap();
    let rows = refused.cast_signed() + 4;
    expect_books(dir.path(), rows, rows * (rows + 1) / 2);
}

#[test]
fn a_backup_holds_all_that_was_acknowledged_while_others_write() {
    const ROWS: u64 = 3_000;
    let (dir, store) = started();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (1..=ROWS).for_each(|n| store.append(&charge(n)).unwrap()));
        for round in 0..ROWS {
            let copy = dir.path().join(format!("copy-{round}.db"));
            let sure = store.health().rows_added;
            let mut told = Vec::new();
            let made = backup(dir.path(), &copy, &mut |done, all| told.push((done, all))).unwrap();
            let [account] = made.report.accounts.as_slice() else { panic!("{made:?}") };
            assert!(made.report.adds_up(), "{made:?}");
            assert!(account.rows >= sure.cast_signed(), "{} < {sure}", account.rows);
            assert_eq!(account.balance.0, account.rows * (account.rows + 1) / 2, "the first rows without a gap");
            assert_eq!(told.last().map(|(done, all)| done == all), Some(true));
            std::fs::remove_file(copy).unwrap();
            if writer.is_finished() {
                break;
            }
        }
    });
    // What stands in the journal only is in the copy as well.
    let other = rusqlite::Connection::open(dir.path().join("flux.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    store.append(&charge(ROWS + 1)).unwrap();
    let copy = dir.path().join("copy.db");
    let made = backup(dir.path(), &copy, &mut |_, _| ()).unwrap();
    assert!(made.from_journal >= 1 && made.report.adds_up(), "{made:?}");
    assert!(matches!(backup(dir.path(), &copy, &mut |_, _| ()), Err(StoreError::BackupExists { .. })));
    other.execute_batch("ROLLBACK").unwrap();
    drop(store);

    // Restored into an empty folder it is a server's, with the same keys and all charges.
    let restored = tempfile::tempdir().unwrap();
    std::fs::copy(&copy, restored.path().join("flux.db")).unwrap();
    let store = start(restored.path());
    assert_eq!(store.health().keys, 2);
    store.append(&charge(ROWS + 2)).unwrap();
    store.flush().unwrap();
    let rows = ROWS.cast_signed() + 2;
    expect_books(restored.path(), rows, rows * (rows + 1) / 2);
    drop(store);
    // Put back where it was made, it books nothing twice.
    for file in ["flux.db", "flux.db-wal", "flux.db-shm"] {
        let _ = std::fs::remove_file(dir.path().join(file));
    }
    std::fs::copy(&copy, dir.path().join("flux.db")).unwrap();
    drop(start(dir.path()));
    expect_books(dir.path(), rows - 1, (rows - 1) * rows / 2);
}
