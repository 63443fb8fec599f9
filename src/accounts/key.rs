//! A key: how it looks, how it is hashed, what state it is in.
//!
//! Must not keep a raw key: it exists when it is minted and in the request that carries it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use super::account::AccountState;
use super::funds::{Funds, Spent, Terms};
use super::rate::Gauges;
use crate::base::ids::KeyId;
use crate::base::money::NanoUsd;
use crate::base::period::Reset;
use crate::base::preference::ProviderBounds;
use crate::base::tariff::RateLimits;
use crate::base::time::UnixMs;
use crate::base::wish::AutoWish;

/// Characters of a raw key that may be shown again: enough to tell keys apart.
const SHOWN_CHARS: usize = 16;
/// Random characters of a key: 238 bits, and the whole key still fits one block of SHA-256.
const RANDOM_CHARS: usize = 40;
/// A use is noted when the last note is this old, so that a busy key writes no shared cache line.
const TOUCH_MS: u64 = 1_000;

/// Random bytes that one new key takes: eight a character make the remainder's bias vanish.
pub const RANDOM_BYTES: usize = RANDOM_CHARS * 8;

/// The SHA-256 of a raw key: all that is ever stored of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// Hashes a raw key.
    pub fn of(raw: &[u8]) -> Self {
        Self(Sha256::digest(raw).into())
    }
}

/// Without a length in front: the directory's hasher takes the bytes as they come.
impl Hash for KeyHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

/// Short: the whole hash is of no use in a log.
impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third, ..] = self.0;
        write!(f, "KeyHash({first:02x}{second:02x}{third:02x}…)")
    }
}

/// Whether a key buys answers or plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Reaches providers and is charged.
    Live,
    /// Gets mock answers, reaches no provider and costs nothing.
    Test,
}

impl KeyKind {
    /// What a raw key, or the shown part of it, says of itself. Everything but a test key is live.
    pub fn of(raw: &str) -> Self {
        let is_test = ["sk-flux-test-", "cf_test_"].iter().any(|scheme| raw.starts_with(scheme));
        if is_test { Self::Test } else { Self::Live }
    }

    /// The name in rows and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }

    /// Makes a raw key out of random bytes.
    pub fn mint(self, scheme: Scheme, random: &[u8; RANDOM_BYTES]) -> String {
        const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let (draws, _) = random.as_chunks();
        let digits = draws.iter().map(|draw| {
            let digit = usize::try_from(u64::from_le_bytes(*draw) % 62).unwrap_or(0);
            BASE62.get(digit).map_or('0', |byte| char::from(*byte))
        });
        scheme.beginning(self).chars().chain(digits).collect()
    }
}

/// How a raw key looks. It opens the same doors either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sk-flux-…`, `sk-flux-test-…`.
    #[default]
    Flux,
    /// `cf_live_…`, `cf_test_…`.
    Conflux,
}

impl Scheme {
    /// Both with the names used in requests and answers.
    pub const NAMES: [(&'static str, Self); 2] = [("flux", Self::Flux), ("conflux", Self::Conflux)];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flux => "flux",
            Self::Conflux => "conflux",
        }
    }

    /// The scheme of a raw key, or of the shown part of it.
    pub fn of(raw: &str) -> Self {
        if raw.starts_with("cf_") { Self::Conflux } else { Self::Flux }
    }

    /// How a new key of a kind begins.
    fn beginning(self, kind: KeyKind) -> &'static str {
        match (self, kind) {
            (Self::Flux, KeyKind::Live) => "sk-flux-",
            (Self::Flux, KeyKind::Test) => "sk-flux-test-",
            (Self::Conflux, KeyKind::Live) => "cf_live_",
            (Self::Conflux, KeyKind::Test) => "cf_test_",
        }
    }
}

/// The part of a raw key that may be shown and stored.
pub fn shown_prefix(raw: &str) -> &str {
    raw.get(..SHOWN_CHARS).unwrap_or(raw)
}

/// What a key may do beside asking models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Nothing: it sees its account's usage and credits.
    Inference,
    /// It makes, changes and revokes keys of its account.
    Admin,
}

impl Scope {
    /// Both with the names used in rows, requests and answers.
    pub const NAMES: [(&'static str, Self); 2] = [("inference", Self::Inference), ("admin", Self::Admin)];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inference => "inference",
            Self::Admin => "admin",
        }
    }

    /// The scope of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, scope)| *scope)
    }
}

/// How much one key may spend, within what its account may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// In one period.
    pub amount: NanoUsd,
    /// When a period begins: each day, each calendar month, or never again.
    pub reset: Reset,
}

impl Budget {
    /// The budget as funds, with what was spent of it.
    pub fn funds(self, spent: NanoUsd, now: UnixMs) -> Arc<Funds> {
        let spent = Spent { included: spent, ..Spent::default() };
        Arc::new(Funds::new(self.terms(), spent, NanoUsd::ZERO, now))
    }

    fn terms(self) -> Terms {
        let Self { amount, reset } = self;
        Terms { included: amount, limit: Some(amount), reset, anchor: UnixMs(0) }
    }
}

/// What the owner of a key chooses and may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySettings {
    /// What its owner calls it; may be empty.
    pub name: String,
    /// From when on it is refused; `None`: never.
    pub expires_at: Option<UnixMs>,
    /// What it may do beside asking models.
    pub scope: Scope,
    /// Names of lanes and pins that it may ask for; empty: all.
    pub allowed: Vec<String>,
    /// Who may serve it; `None`: any provider. In a box, since few keys are bound and all stand in memory.
    pub providers: Option<Box<ProviderBounds>>,
    /// Limits within its account's tariff's.
    pub limits: RateLimits,
    /// What it may spend; `None`: all that its account may.
    pub budget: Option<Budget>,
    /// Whether answers tell what its account has left and holds.
    pub shows_balance: bool,
    /// What it wishes of `flux-auto`, before its account.
    pub auto: AutoWish,
}

impl Default for KeySettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            expires_at: None,
            scope: Scope::Inference,
            allowed: Vec::new(),
            providers: None,
            limits: RateLimits::default(),
            budget: None,
            shows_balance: false,
            auto: AutoWish::default(),
        }
    }
}

/// A key as the server sees it. A change of the stored key replaces the whole state.
#[derive(Debug)]
pub struct KeyState {
    /// Its id.
    pub id: KeyId,
    /// Whose it is.
    pub account: Arc<AccountState>,
    /// Its first characters.
    pub prefix: String,
    /// Live or test.
    pub kind: KeyKind,
    /// What its owner has chosen.
    pub settings: KeySettings,
    /// What is counted of it.
    pub gauges: Arc<Gauges>,
    /// When it was made.
    pub created_at: UnixMs,
    /// When it was revoked; `None`: it was not.
    pub revoked_at: Option<UnixMs>,
    /// When it was last used.
    pub last_used: LastUsed,
}

impl KeyState {
    /// The limits that hold for it at this moment: its own, within its account's tariff's, whatever that was when they
    /// were chosen.
    pub fn rate_limits(&self) -> RateLimits {
        self.settings.limits.within(self.account.contract().tariff.limits)
    }

    /// Whether it may ask for a lane, a pin or the router by this name.
    pub fn may_ask_for(&self, name: &str) -> bool {
        let allowed = &self.settings.allowed;
        allowed.is_empty() || allowed.iter().any(|allowed| *allowed == *name)
    }

    /// The region that its requests stay in; `None` for any. Those of test keys reach no provider.
    pub fn region(&self) -> Option<&str> {
        let bounds = self.settings.providers.as_ref().filter(|_| self.kind == KeyKind::Live)?;
        bounds.region.as_deref()
    }

    /// What is left of its budget; `None` where it has none.
    pub fn budget(&self) -> Option<Arc<Funds>> {
        self.gauges.budget.load_full()
    }

    /// Goes on counting where the key's former state stopped.
    pub(super) fn take_over(&mut self, old: &Self, now: UnixMs) {
        self.last_used.keep_newest(&old.last_used);
        let fresh = self.budget();
        self.gauges = Arc::clone(&old.gauges);
        match (self.settings.budget, fresh, self.budget()) {
            (Some(budget), Some(fresh), Some(running)) => {
                let in_ledger = fresh.standing(now).spent;
                running.change_terms(budget.terms(), now, |_| in_ledger);
                if old.settings.budget.is_none() {
                    // Opened ahead of this, with nothing in it.
                    running.count(in_ledger);
                }
            }
            (_, fresh, _) => self.gauges.budget.store(fresh),
        }
    }

    /// Opens the key's first budget before the ledger is asked for what was spent of it: what requests at work cost is
    /// counted from now on. What is settled and booked between the two counts twice until the next start; the other way
    /// round it would not count at all.
    pub(super) fn open_budget(&self, budget: Budget, now: UnixMs) {
        if self.settings.budget.is_none() && self.gauges.budget.load().is_none() {
            self.gauges.budget.store(Some(budget.funds(NanoUsd::ZERO, now)));
        }
    }
}

#[cfg(test)]
impl KeyState {
    /// A key without limits, for tests of whatever needs one.
    pub(crate) fn sample(kind: KeyKind) -> Self {
        Self {
            id: KeyId(1),
            account: Arc::new(AccountState::sample()),
            prefix: Scheme::Flux.beginning(kind).to_owned(),
            kind,
            settings: KeySettings::default(),
            gauges: Arc::default(),
            created_at: UnixMs(0),
            revoked_at: None,
            last_used: LastUsed::default(),
        }
    }
}

/// When a key was last used, exact to a second, and whether that is still to be written down.
#[derive(Debug, Default)]
pub struct LastUsed {
    /// 0: never.
    at_ms: AtomicU64,
    is_pending: AtomicBool,
}

impl LastUsed {
    /// As it was stored.
    pub fn stored(at: Option<UnixMs>) -> Self {
        Self { at_ms: AtomicU64::new(at.map_or(0, |at| at.0)), is_pending: AtomicBool::default() }
    }

    /// The time, `None` if it was never used.
    pub fn at(&self) -> Option<UnixMs> {
        match self.at_ms.load(Ordering::Relaxed) {
            0 => None,
            at => Some(UnixMs(at)),
        }
    }

    /// Notes a use; true when the caller must see to it that it is written down.
    pub(super) fn touch(&self, now: UnixMs) -> bool {
        if now.0.saturating_sub(self.at_ms.load(Ordering::Relaxed)) < TOUCH_MS {
            return false;
        }
        self.at_ms.store(now.0, Ordering::Relaxed);
        !self.is_pending.swap(true, Ordering::AcqRel)
    }

    pub(super) fn forget_touch(&self) {
        self.is_pending.store(false, Ordering::Release);
    }

    fn keep_newest(&self, older: &Self) {
        self.at_ms.fetch_max(older.at_ms.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minted_keys_say_what_they_are_and_fit_one_block() {
        let random: [u8; RANDOM_BYTES] = std::array::from_fn(|i| u8::try_from(i % 251).unwrap());
        for (kind, scheme, begins) in [
            (KeyKind::Live, Scheme::Flux, "sk-flux-"),
            (KeyKind::Test, Scheme::Flux, "sk-flux-test-"),
            (KeyKind::Live, Scheme::Conflux, "cf_live_"),
            (KeyKind::Test, Scheme::Conflux, "cf_test_"),
        ] {
            let raw = kind.mint(scheme, &random);
            assert!(raw.starts_with(begins), "{raw}");
            assert_eq!(raw.len(), begins.len() + 40);
            assert!(raw.len() <= 55, "one block of SHA-256: {}", raw.len());
            assert_eq!(Scheme::of(shown_prefix(&raw)), scheme);
            assert!(raw[begins.len()..].bytes().all(|b| b.is_ascii_alphanumeric()), "{raw}");
            assert_eq!(KeyKind::of(&raw), kind);
            assert_eq!(KeyKind::of(shown_prefix(&raw)), kind);
            assert_eq!(shown_prefix(&raw).len(), 16);
        }
    }

    #[test]
    fn kinds_are_read_off_the_key() {
        for (raw, kind) in [
            ("cf_live_abc", KeyKind::Live),
            ("cf_test_abc", KeyKind::Test),
            ("sk-flux-abc", KeyKind::Live),
            ("sk-flux-test-abc", KeyKind::Test),
        ] {
            assert_eq!(KeyKind::of(raw), kind, "{raw}");
        }
    }

    #[test]
    fn a_hash_prints_short() {
        assert_eq!(format!("{:?}", KeyHash::of(b"")), "KeyHash(e3b0c4…)");
    }
}
