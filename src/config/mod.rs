//! The settings: what the operator wrote, checked and typed.
//!
//! Must not know how anything is served. `raw` is the tree of what was written, `fields` reads it,
//! `check` turns it into the types here and into a catalogue, `load` (a shell) reads the files.

mod accesses;
pub mod address;
mod chains;
pub mod check;
mod fields;
mod lanes;
#[cfg(feature = "shell")]
pub mod load;
mod models;
mod prices;
mod providers;
mod raw;
mod settings;
mod tariffs;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// All settings of `flux.toml`. What each means is said there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[limits]`
    pub limits: Limits,
    /// `[timeouts]`
    pub timeouts: Timeouts,
    /// `[money]`
    pub money: Money,
    /// `[conversations]`
    pub conversations: Conversations,
    /// `[health]`
    pub health: crate::health::Bounds,
    /// `[ledger]`
    pub ledger: Ledger,
    /// `[log]`
    pub log: Log,
    /// `[mock]`
    pub mock: Mock,
}

/// `[server]`: where Flux listens and keeps its files. Read once, at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where `/metrics`, `/healthz` and `/readyz` are.
    pub private_listen: SocketAddr,
    /// The ledger and the journal.
    pub data_dir: PathBuf,
    /// Names the process that accepts; `None` writes no such file.
    pub pid_file: Option<PathBuf>,
    /// Worker threads; 0 for as many as there are cores.
    pub threads: usize,
    /// Certificate and key; `None` serves without TLS.
    pub tls: Option<Tls>,
}

/// Files of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The chain, PEM.
    pub cert: PathBuf,
    /// The key, PEM.
    pub key: PathBuf,
}

/// `[limits]`: bounds of memory and work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of a request body; 413 above.
    pub body_bytes_max: usize,
    /// Of an answer that is held to carry its cost in a header; streamed on above.
    pub unary_held_bytes_max: usize,
    /// Of one event of a stream; passed on unread above.
    pub sse_frame_bytes_max: usize,
    /// Of text that is tokenised to estimate usage; scaled by bytes above.
    pub estimate_text_bytes_max: usize,
    /// Targets that one request tries.
    pub attempts_max: usize,
    /// Keys in memory.
    pub keys_max: usize,
    /// Keys that one account makes for itself.
    pub keys_of_account_max: usize,
    /// Questions that an account asks of itself in a second; 429 above.
    pub account_questions_per_second: u64,
    /// Such questions of all accounts at once; 503 above.
    pub account_questions_at_once_max: usize,
    /// Unknown keys that are remembered, so that they cost no look-up.
    pub unknown_keys_max: usize,
    /// Requests at once; 503 above.
    pub in_flight_max: usize,
    /// Idle connections to providers.
    pub upstream_pool_size: usize,
    /// Log lines that wait for the disk; dropped and counted above.
    pub log_queue_max: usize,
    /// Requests with an idempotency key that are remembered, the newest.
    pub idempotency_keys_max: usize,
    /// Answers to one of them beside the first, which are free.
    pub idempotent_repeats_max: u64,
    /// Wrong keys a second from one address; 429 above.
    pub unknown_keys_per_second: u64,
    /// Of a request head; refused above.
    pub header_bytes_max: usize,
}

/// `[timeouts]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the head of a request.
    pub head: Duration,
    /// For the body of a request.
    pub body: Duration,
    /// An idle connection of a client.
    pub downstream_keepalive: Duration,
    /// A client that does not read.
    pub downstream_write: Duration,
    /// A refused client that still sends its body.
    pub linger: Duration,
    /// TCP and TLS to a provider.
    pub connect: Duration,
    /// Until a provider's first byte.
    pub first_byte: Duration,
    /// Until the first content of a stream.
    pub first_token: Duration,
    /// Between two chunks of a provider.
    pub idle: Duration,
    /// A client that waits for a stream hears of us so often; zero for never.
    pub ping: Duration,
    /// A whole request with all its attempts.
    pub total: Duration,
    /// An idle connection to a provider.
    pub upstream_keepalive: Duration,
    /// Open requests at shutdown.
    pub shutdown: Duration,
    /// Open requests of a process that another has taken over from.
    pub upgrade: Duration,
}

/// `[money]`: what is held for a request of an account or a key that may not spend without bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Money {
    /// An answer that only so much could be paid for is refused below.
    pub output_tokens_min: u64,
    /// The least that is held for an answer whose length the client does not bound.
    pub output_tokens_unstated: u64,
    /// Else, at most one in so many parts of what is available is held for it.
    pub reservation_share: u64,
    /// Tokens of such an answer that are counted ahead against a key's tokens a minute.
    pub rate_tokens_unstated: u64,
}

/// `[conversations]`: how steadily `flux-auto` keeps a conversation in its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversations {
    /// Conversations that are remembered; the oldest are forgotten above. Read once, at start, like `idle`.
    pub remembered_max: usize,
    /// One without a turn for so long is forgotten.
    pub idle: Duration,
    /// Turns in a row that must want a cheaper lane before it is given.
    pub calm_turns: u32,
    /// For how long a provider's prompt cache is counted on after a turn.
    pub cache: Duration,
}

/// `[ledger]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// All segments of the journal; no answer is completed above.
    pub journal_bytes_max: u64,
    /// One file of the journal.
    pub segment_bytes: u64,
    /// Rows of one transaction.
    pub batch_rows_max: usize,
    /// Between two syncs to the disk.
    pub sync: Duration,
    /// Between two looks of the writer at the journal.
    pub poll: Duration,
    /// Between two looks at keys that other processes changed.
    pub keys_poll: Duration,
    /// Days for which the ledger keeps its rows; 0 for ever.
    pub retention_days: u64,
    /// Days after which a closed account loses what tells of a person.
    pub purge_after_days: u64,
    /// Connections that read usage at once.
    pub readers_max: usize,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Where the line of each request goes.
    pub requests: RequestLog,
    /// What else is told.
    pub level: log::LevelFilter,
}

/// Where the line of each request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestLog {
    /// Standard output.
    Stdout,
    /// Nowhere.
    Off,
    /// A file, appended to.
    File(PathBuf),
}

/// `[mock]`: the provider inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mock {
    /// Whether it stands in for the providers.
    pub mode: crate::catalog::StandIn,
    /// Before the first byte.
    pub latency: Duration,
    /// Between two chunks of a stream.
    pub chunk_latency: Duration,
    /// Characters of one chunk.
    pub chunk_chars: usize,
    /// What goes wrong on purpose.
    pub fault: MockFault,
    /// It goes wrong on each request whose number is divisible by this.
    pub fault_every: u64,
}

/// What the mock can do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MockFault {
    /// Nothing.
    None,
    /// 429 with `retry-after`.
    RateLimited,
    /// 500.
    ServerError,
    /// 529, as Anthropic says it is overloaded.
    Overloaded,
    /// 400.
    BadRequest,
    /// Closes the connection without an answer.
    Closed,
    /// Ends in the middle of the answer.
    Cut,
    /// A stream whose first event is an error.
    ErrorFirst,
    /// A stream that fails after content.
    ErrorLater,
    /// An answer without usage.
    NoUsage,
    /// No byte until the time-out.
    Silent,
}

impl MockFault {
    /// All with the names used in configuration.
    pub const NAMES: [(&'static str, Self); 11] = [
        ("none", Self::None),
        ("rate_limited", Self::RateLimited),
        ("server_error", Self::ServerError),
        ("overloaded", Self::Overloaded),
        ("bad_request", Self::BadRequest),
        ("closed", Self::Closed),
        ("cut", Self::Cut),
        ("error_first", Self::ErrorFirst),
        ("error_later", Self::ErrorLater),
        ("no_usage", Self::NoUsage),
        ("silent", Self::Silent),
    ];
}

#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod price_tests;
#[cfg(test)]
mod tests;
