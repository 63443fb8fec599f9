//! Whether a request is let in: its key's rate and places before its body is read, tokens and money once the plan is known.
//!
//! A request that one limit refuses consumes no other. Must not know HTTP, prices or wire formats: amounts and times
//! come in as arguments, and what is refused goes out as [`Denied`], in the words of limits.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::accounts::funds::{Funds, Reservation, Short};
use crate::accounts::idempotency::{Claim, Clash, Idempotency, Mark};
use crate::accounts::key::KeyState;
use crate::accounts::rate::{Exceeded, Left, Slot, TokenGrant};
use crate::base::money::NanoUsd;
use crate::base::outcome::Draw;
use crate::base::tariff::RateLimits;
use crate::base::time::UnixMs;

/// Who has less than a request may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purse {
    /// The account.
    Account,
    /// The key, by its own budget.
    Key,
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The key has as many requests at work as it may.
    Concurrent {
        /// That many.
        limit: u32,
    },
    /// The key has asked as often as it may.
    Requests(Exceeded),
    /// The key has used as many tokens as it may.
    Tokens(Exceeded),
    /// There is less money than the request needs at least.
    Funds {
        /// Whose.
        purse: Purse,
        /// What there is, and when more comes.
        short: Short,
        /// What the request needs at least.
        needed: NanoUsd,
    },
}

/// What a request holds while it is at work. Dropping it gives everything back.
#[derive(Debug)]
pub struct Admission {
    key: Arc<KeyState>,
    limits: RateLimits,
    /// When it came in, in milliseconds of the monotonic clock.
    entered_ms: u64,
    requests: Option<Left>,
    tokens: Option<(TokenGrant, Left)>,
    /// The key's first, where it has a budget; the account's last.
    purses: SmallVec<[Reservation; 2]>,
    /// The key's budget that pays, if one does.
    budget: Option<Arc<Funds>>,
    /// Of a request that must not be paid twice.
    claim: Option<Claim>,
    // Held, not used.
    _slot: Option<Slot>,
}

/// What became of a request's price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// What the account pays.
    pub draw: Draw,
    /// What no cap had room for, or was paid before.
    pub written_off: NanoUsd,
    /// The mark of a request that must not be paid again.
    pub idempotency: Option<[u8; 32]>,
}

/// Lets a request in by the key's places and rate.
///
/// # Errors
/// [`Denied::Concurrent`] or [`Denied::Requests`].
pub fn enter(key: Arc<KeyState>, now_ms: u64) -> Result<Admission, Denied> {
    let limits = key.rate_limits();
    let slot = match limits.concurrent {
        Some(limit) => Some(key.gauges.take_slot(limit).ok_or(Denied::Concurrent { limit })?),
        None => None,
    };
    let RateLimits { requests_per_minute, requests_per_second, .. } = limits;
    let requests = if requests_per_minute.is_some() || requests_per_second.is_some() {
        let entered = key.gauges.requests.enter(now_ms, requests_per_minute, requests_per_second);
        entered.map_err(Denied::Requests)?
    } else {
        None
    };
    let purses = SmallVec::new();
    let (tokens, budget, claim) = (None, None, None);
    Ok(Admission { key, limits, entered_ms: now_ms, requests, tokens, purses, budget, claim, _slot: slot })
}

impl Admission {
    /// Sees to it that the request is not paid twice.
    ///
    /// # Errors
    /// See [`Clash`]; the request counts for nothing then.
    pub fn claim(&mut self, all: &Arc<Idempotency>, mark: Mark) -> Result<(), Clash> {
        match all.begin(mark) {
            Ok(claim) => self.claim = Some(claim),
            Err(clash) => {
                self.withdraw();
                return Err(clash);
            }
        }
        Ok(())
    }

    /// Whether it was paid before, so that it costs nothing.
    pub fn is_repeat(&self) -> bool {
        self.claim.as_ref().is_some_and(Claim::is_repeat)
    }

    /// Whether nothing bounds what the request may cost.
    pub fn is_unbounded(&self) -> bool {
        self.key.gauges.budget.load().is_none() && self.key.account.is_unbounded()
    }

    /// Whether the key's tokens are limited.
    pub fn counts_tokens(&self) -> bool {
        self.limits.tokens_per_minute.is_some()
    }

    /// What could be held for a request at `at`; `None` is without a limit.
    pub fn available(&self, at: UnixMs) -> Option<NanoUsd> {
        let budget = self.key.gauges.budget.load().as_ref().and_then(|funds| funds.available(at));
        let account = self.key.account.funds().available(at);
        [budget, account].into_iter().flatten().min()
    }

    /// Counts the tokens of the request ahead.
    ///
    /// # Errors
    /// [`Denied::Tokens`]; the request counts for nothing then.
    pub fn reserve_tokens(&mut self, tokens: u64) -> Result<(), Denied> {
        let Some(limit) = self.limits.tokens_per_minute else { return Ok(()) };
        match self.key.gauges.tokens.reserve(self.entered_ms, tokens, limit) {
            Ok(granted) => self.tokens = Some(granted),
            Err(exceeded) => {
                self.withdraw();
                return Err(Denied::Tokens(exceeded));
            }
        }
        Ok(())
    }

    /// Holds `bound`, or what there is if that is at least `least`. Returns what is held.
    ///
    /// # Errors
    /// [`Denied::Funds`]; the request counts for nothing then.
    pub fn reserve_funds(&mut self, bound: NanoUsd, least: NanoUsd, at: UnixMs) -> Result<NanoUsd, Denied> {
        self.budget = self.key.budget();
        let budget = self.budget.clone().map(|funds| (Purse::Key, funds));
        let account = (Purse::Account, Arc::clone(self.key.account.funds()));
        let mut amount = bound;
        for (purse, funds) in budget.into_iter().chain([account]) {
            match funds.reserve(amount, least.min(amount), at) {
                Ok(reservation) => {
                    amount = reservation.amount();
                    self.purses.push(reservation);
                }
                Err(short) => {
                    self.withdraw();
                    return Err(Denied::Funds { purse, short, needed: least });
                }
            }
        }
        Ok(amount)
    }

    /// Holds up to `amount` in all, or as much of it as there is. Returns what is held.
    pub fn raise_to(&mut self, amount: NanoUsd) -> NanoUsd {
        self.purses.iter_mut().map(|purse| purse.raise_to(amount)).min().unwrap_or(amount)
    }

    /// What will be paid of `price`: nothing for a repeat, else as much as there is room for.
    pub fn payable(&mut self, price: NanoUsd) -> NanoUsd {
        if self.is_repeat() { NanoUsd::ZERO } else { self.raise_to(price).min(price) }
    }

    /// Pays `price` of a request that came in at `at`, as far as the caps let it, and gives the rest back. `tokens` is
    /// what it used.
    pub fn settle(&mut self, price: NanoUsd, tokens: u64, at: UnixMs) -> Settled {
        if let Some((grant, _)) = self.tokens.take() {
            self.key.gauges.tokens.settle(grant, tokens);
        }
        let charged = self.payable(price);
        let written_off = NanoUsd(price.0.saturating_sub(charged.0));
        // The account's purse is the last.
        let draw = self.purses.drain(..).map(|purse| purse.settle(charged)).fold(None, |_, draw| Some(draw));
        let draw = draw.unwrap_or_default();
        if self.budget.is_none() {
            // One that the key was given while this request was at work held nothing for it.
            self.budget = self.key.budget();
            if let Some(budget) = &self.budget {
                budget.charge(draw.charged, at);
            }
        }
        let idempotency = self.claim.as_ref().filter(|_| charged > NanoUsd::ZERO).map(|claim| {
            claim.pay();
            claim.mark().0
        });
        Settled { draw, written_off, idempotency }
    }

    /// Takes a payment back whose charge could not be kept.
    pub fn undo(&self, draw: &Draw, at: UnixMs) {
        self.key.account.funds().undo(draw, at);
        if let Some(claim) = &self.claim {
            claim.undo();
        }
        if let Some(budget) = &self.budget {
            budget.undo(&Draw { charged: draw.charged, ..Draw::default() }, at);
        }
    }

    /// What is left of the key's requests and tokens, where they are limited.
    pub fn left(&self) -> (Option<Left>, Option<Left>) {
        (self.requests, self.tokens.map(|(_, left)| left))
    }

    fn withdraw(&mut self) {
        if self.limits.requests_per_minute.is_some() || self.limits.requests_per_second.is_some() {
            self.key.gauges.requests.take_back(self.entered_ms);
        }
        self.requests = None;
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some((grant, _)) = self.tokens.take() {
            self.key.gauges.tokens.settle(grant, 0);
        }
    }
}

#[cfg(test)]
mod tests;
