//! What is said of answers: the last word, of one's own rows only, and gone with them.

use super::*;
use crate::base::quality::Quality;
use crate::store::feedback::{Feedback, FeedbackPage};

fn said(n: u64, thousandths: u16) -> Feedback {
    Feedback { request_id: charge(n).request_id, quality: Quality::of_thousandths(thousandths).unwrap() }
}

fn count(dir: &Path) -> i64 {
    let books = rusqlite::Connection::open(dir.join("flux.db")).unwrap();
    books.query_row("SELECT count(*) FROM feedback", [], |row| row.get(0)).unwrap()
}

#[test]
fn the_last_word_counts_and_is_told_beside_the_row() {
    let (dir, store) = started();
    for n in 1..=5 {
        store.append(&Charge { routed: (n != 5).then(|| Routed::new("code", -0.25)), ..charge(n) }).unwrap();
    }
    for (n, quality) in [(1, 1_000), (2, 0), (2, 250), (4, 500), (5, 1)] {
        assert!(store.give_feedback(AccountId(1), &said(n, quality)).unwrap(), "{n}");
    }
    // Neither of another account nor of nobody.
    assert!(!store.give_feedback(AccountId(2), &said(1, 0)).unwrap());
    assert!(!store.give_feedback(AccountId(1), &said(77, 0)).unwrap());
    assert_eq!(count(dir.path()), 4);
    let first = store.usage().feedback_outcomes(Some(AccountId(1)), None, 3).unwrap();
    let told =
        |page: &FeedbackPage| page.requests.iter().map(|one| (one.cost.0, one.quality_milli)).collect::<Vec<_>>();
    assert_eq!(told(&first), [(1, 1_000), (2, 250), (4, 500)]);
    let one = &first.requests[0];
    assert_eq!((&*one.kind, &*one.lane, &*one.model), ("code", "express", "gpt-9"));
    assert_eq!((one.input_tokens, one.output_tokens, one.account), (1 + 2 + 3 + 4 + 5 + 6, 7, AccountId(1)));
    let rest = store.usage().feedback_outcomes(Some(AccountId(1)), first.next, 3).unwrap();
    assert_eq!((told(&rest), rest.next, &*rest.requests[0].kind), (vec![(5, 1)], None, ""));
    assert_eq!(store.usage().feedback_outcomes(None, None, 9).unwrap().requests.len(), 4);
    assert_eq!(store.usage().feedback_outcomes(Some(AccountId(2)), None, 9).unwrap(), FeedbackPage::default());
    // What was seen comes back with the row.
    let row = store.usage().charge(AccountId(1), charge(1).request_id).unwrap().unwrap();
    assert_eq!(row.routed, Some(Routed::new("code", -0.25)));
    assert_eq!(store.usage().charge(AccountId(1), charge(5).request_id).unwrap().unwrap().routed, None);
    assert!(reconcile(dir.path()).unwrap().adds_up());
}

#[test]
fn feedback_goes_with_its_row_and_with_its_account() {
    const DAY_MS: u64 = 86_400_000;
    let dir = tempfile::tempdir().unwrap();
    // Forty days after the charges.
    let clock = Arc::new(TestClock::new(UnixMs(1_790_000_000_000 + 40 * DAY_MS)));
    let start = |retention_days| {
        let quick = Settings { chores_every: Duration::from_millis(1), retention_days, ..settings(dir.path()) };
        Store::start(quick, house(), Arc::<TestClock>::clone(&clock)).unwrap()
    };
    let store = start(0);
    store.bootstrap("default").unwrap();
    let late = RequestId::new(clock.unix_ms(), 9);
    store.append(&charge(1)).unwrap();
    store.append(&Charge { request_id: late, at: clock.unix_ms(), ..charge(2) }).unwrap();
    assert!(store.give_feedback(AccountId(1), &said(1, 10)).unwrap());
    assert!(store.give_feedback(AccountId(1), &Feedback { request_id: late, ..said(1, 20) }).unwrap());
    drop(store);
    let store = start(30);
    before_long(|| {
        clock.advance(Duration::from_millis(20));
        count(dir.path()) == 1
    });
    let mut accounts = crate::store::accounts::AccountTable::open(dir.path()).unwrap();
    accounts.close("default", clock.unix_ms()).unwrap();
    clock.advance(Duration::from_millis(31 * DAY_MS));
    before_long(|| {
        clock.advance(Duration::from_millis(20));
        count(dir.path()) == 0
    });
    drop(store);
}

/// The books of the build before get the new columns, empty, and the new table.
#[test]
fn books_of_the_build_before_are_taken_on() {
    let dir = tempfile::tempdir().unwrap();
    let books = rusqlite::Connection::open(dir.path().join("flux.db")).unwrap();
    for step in [
        include_str!("../migrations/0001_accounts_keys_ledger.sql"),
        include_str!("../migrations/0002_tariffs_budgets_rollups.sql"),
    ] {
        books.execute_batch(step).unwrap();
    }
    let id = charge(3).request_id;
    let row = "INSERT INTO ledger VALUES (?1, 1, 1, 1790000000003, 'flux-auto', 'flux-fast', 'openai', 'gpt-9',
        'openai-chat', 0, 'done', 1, 9, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, '', 0, 0, 0, NULL)";
    books.execute(row, [id.0.to_be_bytes()]).unwrap();
    books.pragma_update(Option::<&str>::None, "user_version", 2).unwrap();
    drop(books);
    let store = start(dir.path());
    store.bootstrap("default").unwrap();
    let row = store.usage().charge(AccountId(1), id).unwrap().unwrap();
    assert_eq!((row.routed, row.usage.input), (None, 9));
    assert!(store.give_feedback(AccountId(1), &said(3, 700)).unwrap());
    let told = store.usage().feedback_outcomes(None, None, 9).unwrap();
    assert_eq!((told.requests.len(), told.requests[0].quality_milli), (1, 700));
}
