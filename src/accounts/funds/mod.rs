//! What may still be spent: an allowance by the period, packs beside it, and what is held for requests at work.
//!
//! The law: what is settled and what is held never pass the limit, whatever happens at once. Must not know tariffs,
//! prices or requests; amounts and times come in as arguments, nothing waits and nothing is stored.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::money::NanoUsd;
use crate::base::outcome::Draw;
use crate::base::period::{Period, Reset};
use crate::base::time::UnixMs;

/// The rules of an allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Usage of a period that is paid already; spent first.
    pub included: NanoUsd,
    /// The most usage of a period, packs not counted. `None` is without a limit.
    pub limit: Option<NanoUsd>,
    /// When a period begins.
    pub reset: Reset,
    /// When the account began; for [`Reset::BillingDate`].
    pub anchor: UnixMs,
}

/// What was spent in the period around a moment, as the ledger has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Of the included usage.
    pub included: NanoUsd,
    /// Of packs, after it.
    pub packs: NanoUsd,
    /// Beyond both.
    pub overage: NanoUsd,
}

impl Spent {
    /// All of it.
    pub fn total(self) -> NanoUsd {
        let Self { included, packs, overage } = self;
        plus(plus(included, packs), overage)
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            included: plus(self.included, other.included),
            packs: plus(self.packs, other.packs),
            overage: plus(self.overage, other.overage),
        }
    }
}

/// Figures of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The period.
    pub period: Period,
    /// What was spent in it.
    pub spent: Spent,
    /// What is left of packs.
    pub packs: NanoUsd,
    /// What is held for requests at work.
    pub held: NanoUsd,
    /// What could be held at once; `None` is without a limit.
    pub available: Option<NanoUsd>,
}

/// There is less than is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    /// What there is.
    pub available: NanoUsd,
    /// When more comes by itself; `None` where it never does.
    pub resets_at: Option<UnixMs>,
}

/// The funds of an account, or the budget of a key. Shared by all that spend from it.
#[derive(Debug)]
pub struct Funds {
    // Guards sums that have to change together; each hold lasts a few additions, so that nobody waits for long.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    terms: Terms,
    packs: NanoUsd,
    current: Book,
    /// The period before: requests that began in it are settled in it.
    last: Book,
}

/// One period.
#[derive(Clone, Copy, Debug)]
struct Book {
    /// The period it was opened for: its identity, by which reservations find it also when other terms have given it
    /// another period since.
    opened: Period,
    period: Period,
    spent: Spent,
    held: NanoUsd,
}

impl Book {
    fn new(period: Period) -> Self {
        Self { opened: period, period, spent: Spent::default(), held: NanoUsd::ZERO }
    }
}

impl Funds {
    /// Funds in the state in which the ledger has them at `now`.
    pub fn new(terms: Terms, spent: Spent, packs: NanoUsd, now: UnixMs) -> Self {
        let period = Period::around(now, terms.reset, terms.anchor);
        let current = Book { spent, ..Book::new(period) };
        let last = Book::new(Period { start: UnixMs(0), end: UnixMs(0) });
        Self { state: Mutex::new(State { terms, packs, current, last }) }
    }

    /// Holds `bound` for a request; where there is less, all there is, if that is at least `least`. A request that
    /// costs nothing is never refused.
    ///
    /// # Errors
    /// When there is less than `least`.
    pub fn reserve(self: &Arc<Self>, bound: NanoUsd, least: NanoUsd, at: UnixMs) -> Result<Reservation, Short> {
        let mut state = self.state();
        state.turn_to(at);
        let book = state.book(at);
        let amount = match state.available(&book) {
            None => bound,
            Some(available) if available >= bound => bound,
            Some(available) if available >= least && available > NanoUsd::ZERO => available,
            Some(available) => {
                let resets_at = (state.current.period.end != Period::EVER.end).then_some(state.current.period.end);
                return Err(Short { available: available.max(NanoUsd::ZERO), resets_at });
            }
        };
        state.hold(book.opened, amount);
        Ok(Reservation { funds: Arc::clone(self), opened: book.opened, amount })
    }

    /// What could be held at `at`; `None` is without a limit.
    pub fn available(&self, at: UnixMs) -> Option<NanoUsd> {
        let mut state = self.state();
        state.turn_to(at);
        let book = state.book(at);
        state.available(&book)
    }

    /// All figures at `at`.
    pub fn standing(&self, at: UnixMs) -> Standing {
        let mut state = self.state();
        state.turn_to(at);
        let State { packs, current, last, terms: _ } = *state;
        Standing {
            period: current.period,
            spent: current.spent,
            packs,
            held: plus(current.held, last.held),
            available: state.available(&current).map(|available| available.max(NanoUsd::ZERO)),
        }
    }

    /// Changes the rules: another tariff, another cap. What was spent stays as it was booked, so that memory and ledger
    /// tell the same; if the period changed, it is what the ledger has of the new one.
    pub fn change_terms(&self, terms: Terms, at: UnixMs, spent_in: impl FnOnce(Period) -> Spent) {
        let mut state = self.state();
        state.turn_to(at);
        let period = Period::around(at, terms.reset, terms.anchor);
        if period != state.current.period {
            state.current.spent = spent_in(period);
            state.current.period = period;
        }
        state.terms = terms;
    }

    /// Adds a pack, or takes one away.
    pub fn add_pack(&self, amount: NanoUsd) {
        let mut state = self.state();
        state.packs = plus(state.packs, amount);
    }

    /// Counts what the ledger has of the period that runs, beside what is counted here. What it has of packs was taken
    /// from them before.
    pub fn count(&self, in_ledger: Spent) {
        let mut state = self.state();
        state.current.spent = state.current.spent.plus(in_ledger);
    }

    /// Counts what was spent without being held here, whatever the limit says.
    pub fn charge(&self, charged: NanoUsd, at: UnixMs) {
        let mut state = self.state();
        state.turn_to(at);
        let opened = state.book(at).opened;
        state.spend(opened, charged);
    }

    /// Undoes a settlement whose charge could not be kept.
    pub fn undo(&self, draw: &Draw, at: UnixMs) {
        let mut state = self.state();
        state.turn_to(at);
        let Draw { charged, from_packs, overage } = *draw;
        state.packs = plus(state.packs, from_packs);
        let spent = &mut state.book_mut(at).spent;
        spent.packs = minus(spent.packs, from_packs);
        spent.overage = minus(spent.overage, overage);
        spent.included = minus(spent.included, minus(minus(charged, from_packs), overage));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Opens the period around `at` if it has begun. A clock that goes back opens nothing.
    fn turn_to(&mut self, at: UnixMs) {
        if at < self.current.period.end {
            return;
        }
        let next = Period::around(at, self.terms.reset, self.terms.anchor);
        self.last = std::mem::replace(&mut self.current, Book::new(next));
    }

    /// The book in which a request that arrived at `at` is settled.
    fn book(&self, at: UnixMs) -> Book {
        if self.last.period.holds(at) { self.last } else { self.current }
    }

    fn book_mut(&mut self, at: UnixMs) -> &mut Book {
        if self.last.period.holds(at) { &mut self.last } else { &mut self.current }
    }

    /// The book opened for a period; `None` when it is long over, as after a jump of the clock.
    fn book_of(&mut self, opened: Period) -> Option<&mut Book> {
        [&mut self.current, &mut self.last].into_iter().find(|book| book.opened == opened)
    }

    fn hold(&mut self, opened: Period, amount: NanoUsd) {
        if let Some(book) = self.book_of(opened) {
            book.held = plus(book.held, amount);
        }
    }

    fn release(&mut self, opened: Period, amount: NanoUsd) {
        if let Some(book) = self.book_of(opened) {
            book.held = minus(book.held, amount);
        }
    }

    /// What a book has left for new requests: of its limit, and of the packs. `None` is without a limit.
    fn available(&self, book: &Book) -> Option<NanoUsd> {
        let own = self.room(book)?;
        Some(minus(plus(own, self.packs_for(book)), book.held))
    }

    /// What a book may still spend without packs, what it holds not counted.
    fn room(&self, book: &Book) -> Option<NanoUsd> {
        let limit = self.terms.limit?;
        Some(minus(limit, plus(book.spent.included, book.spent.overage)).max(NanoUsd::ZERO))
    }

    /// The packs without what the other book needs of them for what it holds.
    fn packs_for(&self, book: &Book) -> NanoUsd {
        let other = if book.opened == self.current.opened { &self.last } else { &self.current };
        let needed = self.room(other).map_or(NanoUsd::ZERO, |room| minus(other.held, room).max(NanoUsd::ZERO));
        minus(self.packs, needed).max(NanoUsd::ZERO)
    }

    /// Spends from a book: what is included first, then packs, then beyond.
    fn spend(&mut self, opened: Period, charged: NanoUsd) -> Draw {
        let Terms { included, limit, .. } = self.terms;
        let included = limit.map_or(included, |limit| limit.min(included));
        let (book, charged) = if let Some(book) = self.book_of(opened) {
            (*book, charged)
        } else {
            // What was held for it is forgotten with its period.
            let book = self.current;
            let bound = self.available(&book).unwrap_or(charged).max(NanoUsd::ZERO);
            (book, charged.min(bound))
        };
        let packs = self.packs_for(&book);
        let from_included = minus(included, book.spent.included).clamp(NanoUsd::ZERO, charged);
        let rest = minus(charged, from_included);
        let from_packs = packs.min(rest);
        let overage = minus(rest, from_packs);
        self.packs = minus(self.packs, from_packs);
        if let Some(book) = self.book_of(book.opened) {
            book.spent.included = plus(book.spent.included, from_included);
            book.spent.packs = plus(book.spent.packs, from_packs);
            book.spent.overage = plus(book.spent.overage, overage);
        }
        Draw { charged, from_packs, overage }
    }
}

/// An amount that is held for one request. Dropping it gives the amount back.
#[derive(Debug)]
pub struct Reservation {
    funds: Arc<Funds>,
    opened: Period,
    amount: NanoUsd,
}

impl Reservation {
    /// What is held.
    pub fn amount(&self) -> NanoUsd {
        self.amount
    }

    /// Whose it is.
    pub fn funds(&self) -> &Arc<Funds> {
        &self.funds
    }

    /// Holds up to `amount` in all, or as much of that as there is. Returns what is held now.
    pub fn raise_to(&mut self, amount: NanoUsd) -> NanoUsd {
        let more = minus(amount, self.amount);
        if more <= NanoUsd::ZERO {
            return self.amount;
        }
        let mut state = self.funds.state();
        let Some(book) = state.book_of(self.opened).copied() else { return self.amount };
        let more = state.available(&book).map_or(more, |available| more.min(available)).max(NanoUsd::ZERO);
        state.hold(self.opened, more);
        drop(state);
        self.amount = plus(self.amount, more);
        self.amount
    }

    /// Spends `charged` and gives the rest back. More than is held cannot be spent.
    pub fn settle(mut self, charged: NanoUsd) -> Draw {
        let charged = charged.clamp(NanoUsd::ZERO, self.amount);
        let mut state = self.funds.state();
        state.release(self.opened, self.amount);
        let draw = state.spend(self.opened, charged);
        drop(state);
        self.amount = NanoUsd::ZERO;
        draw
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.amount > NanoUsd::ZERO {
            self.funds.state().release(self.opened, self.amount);
        }
    }
}

// Sums of money that fits the world fit 63 bits of nano-USD; what does not stops at the end and stays refused.
fn plus(one: NanoUsd, other: NanoUsd) -> NanoUsd {
    NanoUsd(one.0.saturating_add(other.0))
}

fn minus(one: NanoUsd, other: NanoUsd) -> NanoUsd {
    NanoUsd(one.0.saturating_sub(other.0))
}

#[cfg(test)]
mod tests;
