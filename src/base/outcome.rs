//! The facts of a finished request: log line, metrics and charge are all made from it, once.
//!
//! Must not hold content: no prompt, no answer, no secret.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ids::{AccountId, KeyId, RequestId};
use super::money::NanoUsd;
use super::time::UnixMs;
use super::usage::Usage;
use super::wire_format::WireFormat;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The whole answer was produced.
    Done,
    /// We answered instead of a model.
    Refused,
    /// The provider failed after content had gone out.
    Cut,
    /// The answer was ended where the account's money was.
    Capped,
    /// The client left.
    Left,
    /// The charge could not be kept, so the answer was not completed.
    Unsettled,
}

impl Ending {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Done, Self::Refused, Self::Cut, Self::Capped, Self::Left, Self::Unsettled];

    /// The name used in rows, logs and labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Cut => "cut",
            Self::Capped => "capped",
            Self::Left => "left",
            Self::Unsettled => "unsettled",
        }
    }

    /// The ending of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ending| ending.name() == name)
    }
}

/// What is counted in other units than tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pieces {
    /// Pictures that were made.
    pub images: u64,
    /// Sound that was listened to, in milliseconds.
    pub audio_ms: u64,
    /// Characters that were read aloud.
    pub characters: u64,
}

/// From where a charge was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draw {
    /// All of it.
    pub charged: NanoUsd,
    /// The part that packs paid.
    pub from_packs: NanoUsd,
    /// The part beyond what the tariff includes, packs not counted. The rest was included.
    pub overage: NanoUsd,
}

/// What `flux-auto` saw in a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routed {
    /// The likeliest kind of work.
    pub kind: Arc<str>,
    /// The estimated gain of the dearer lane in ten-thousandths, -10,000 to 10,000.
    pub score_e4: i16,
}

impl Routed {
    /// Longest name of a kind that is kept, in bytes: a record has its bound.
    const KIND_BYTES_MAX: usize = 64;

    /// From a kind and a score between -1 and 1.
    pub fn new(kind: &str, score: f32) -> Self {
        let kept = kind.get(..kind.floor_char_boundary(Self::KIND_BYTES_MAX)).unwrap_or_default();
        #[expect(clippy::cast_possible_truncation, reason = "within ±10,000")]
        let score_e4 = libm::roundf(score.clamp(-1.0, 1.0) * 10_000.0) as i16;
        Self { kind: Arc::from(kept), score_e4 }
    }
}

/// What is booked: one row of the ledger. Idempotent by `request_id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The request that is charged.
    pub request_id: RequestId,
    /// Who pays.
    pub account: AccountId,
    /// With which key.
    pub key: KeyId,
    /// When the request arrived.
    pub at: UnixMs,
    /// The name that the client asked for, as resolved against the catalogue: never free text.
    pub requested: Arc<str>,
    /// The lane, empty for a pin.
    pub lane: Arc<str>,
    /// The provider that answered.
    pub provider: Arc<str>,
    /// The model that answered, by its canonical id.
    pub model: Arc<str>,
    /// The client's wire format.
    pub wire_format: WireFormat,
    /// Whether the answer was streamed.
    pub streamed: bool,
    /// How it ended.
    pub ending: Ending,
    /// Attempts that were made.
    pub attempts: u8,
    /// What was used.
    pub usage: Usage,
    /// Whether `usage` was estimated because the provider sent none.
    pub estimated: bool,
    /// The tier that the provider served at; empty where it said none.
    pub service_tier: Box<str>,
    /// What was counted in other units than tokens.
    pub pieces: Pieces,
    /// What the account pays, and from where it was taken.
    pub draw: Draw,
    /// What the request cost beyond that: no cap had room for it.
    pub written_off: NanoUsd,
    /// What the provider asks at its list price: for margins, not for the account.
    pub provider_cost: NanoUsd,
    /// Names key, idempotency key and body, where the client sent an idempotency key and this was the first request
    /// with it.
    pub idempotency: Option<[u8; 32]>,
    /// From arrival to the last byte.
    pub latency: Duration,
    /// What `flux-auto` saw in the request; `None` where it was not asked. The journal keeps it behind the rest, so that
    /// records of before are still read.
    #[serde(skip)]
    pub routed: Option<Routed>,
}

/// What `flux-auto` chose a lane by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AutoChoice {
    /// What the dearer lane is expected to gain, in thousandths of quality.
    pub gain_milli: i16,
    /// `rule:…`, `kind:…`, `key`, … from names that the operator chose.
    pub reason: Arc<str>,
    /// The lane that the rules chose, and another that the rules beside them would have chosen.
    pub disagreement: Option<[&'static str; 2]>,
}

impl AutoChoice {
    /// The gain as a decimal of three places.
    pub fn score(&self) -> String {
        let milli = self.gain_milli.unsigned_abs();
        let sign = if self.gain_milli < 0 { "-" } else { "" };
        format!("{sign}{}.{:03}", milli / 1_000, milli % 1_000)
    }
}

/// A finished request.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its id.
    pub request_id: RequestId,
    /// Which endpoint, from a closed list.
    pub route: &'static str,
    /// Status that the client saw; 0 when it left before any.
    pub status: u16,
    /// How it ended.
    pub ending: Ending,
    /// Whose, where the key was known.
    pub key: Option<(AccountId, KeyId)>,
    /// The lane, empty where none was chosen.
    pub lane: Arc<str>,
    /// The alias asked for, empty where routing was not reached.
    pub requested: Arc<str>,
    /// The model that answered or was tried last.
    pub model: Arc<str>,
    /// The provider that answered or was tried last.
    pub provider: Arc<str>,
    /// Whether the answer was streamed.
    pub streamed: bool,
    /// Attempts that were made.
    pub attempts: u8,
    /// What became of the attempt beside another, where there was one.
    pub hedge: Option<HedgeEnd>,
    /// What attempts cost that nobody is charged for.
    pub house_cost: NanoUsd,
    /// What the router chose by, where the choice was left to it.
    pub auto: Option<AutoChoice>,
    /// What was used.
    pub usage: Usage,
    /// Whether `usage` was estimated.
    pub estimated: bool,
    /// What the account was charged.
    pub amount: NanoUsd,
    /// What the request cost beyond that.
    pub written_off: NanoUsd,
    /// From arrival to the end.
    pub latency: Duration,
    /// From arrival to the first byte of content sent to the client.
    pub first_byte: Option<Duration>,
    /// Time spent waiting for the provider.
    pub upstream: Duration,
    /// Own work before the request went upstream.
    pub overhead: Duration,
    /// Bytes of the request body.
    pub request_bytes: u64,
    /// Why it was refused or cut, for the log.
    pub detail: Option<String>,
}

/// What became of an attempt beside another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HedgeEnd {
    /// It had content first.
    Won,
    /// The other had, or the client left.
    Lost,
    /// It failed.
    Failed,
}

impl HedgeEnd {
    /// Its name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Won => "won",
            Self::Lost => "lost",
            Self::Failed => "failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_a_plain_number() {
        for (gain_milli, score) in [(0, "0.000"), (83, "0.083"), (-7, "-0.007"), (1_000, "1.000"), (-250, "-0.250")] {
            assert_eq!(AutoChoice { gain_milli, reason: Arc::from("key"), disagreement: None }.score(), score);
        }
    }
}
