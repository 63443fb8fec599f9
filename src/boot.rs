//! Config → running server: builds, joins and starts everything, and stops it in order.
//!
//! The only place that knows all parts. Must not know what happens to a request.

mod authorities;
pub(crate) mod control;
mod gate;
pub(crate) mod handover;
mod reload;
pub(crate) mod rules;
mod signals;
mod welcome;

use std::net::{SocketAddr, TcpListener};
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::listeners::tls::TlsSettings;
use pingora::listeners::{ListenerConfig, TcpSocketOptions};
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server, ShutdownWatch};
use pingora::services::background::{BackgroundService, background_service};
use pingora::services::listening::Service;

use crate::api;
use crate::api::private::Private;
use crate::api::route::RouteView;
use crate::base::complaint::Complaint;
use crate::base::preference::ProviderBounds;
use crate::base::quality::Quality;
use crate::base::secret::Secret;
use crate::base::time::{Clock, SystemClock};
use crate::base::wire_format::WireFormat;
use crate::classify::{self, Router};
use crate::config::{self, Config, MockFault};
use crate::exchange::Asked;
use crate::exchange::conversations::Conversations;
use crate::exchange::prefer;
use crate::exchange::preview::{self, Question};
use crate::exchange::route::Endpoint;
use crate::exchange::snapshot::Snapshot;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::mock::serve::MockService;
use crate::mock::{Fault, MockOptions};
use crate::plan::Via;
use crate::proxy::{App, Dialer, Flux, Front, Parts, Prober};
use crate::request_log;
use crate::store::{self, Store};
use crate::translate::envelope::SealingKey;

use self::gate::Gate;
use self::handover::{Inherited, Successor};
use self::signals::Drain;

/// The most that `health.retries_max` can be; a reload may raise it.
const RETRIES_MAX: usize = 5;
/// Bytes gathered before they are written to a client.
const WRITE_BUFFER_BYTES: usize = 4096;

/// How a server begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// As the only one of its data folder.
    Alone,
    /// Beside the one that accepts, whose sockets it takes.
    TakingOver,
}

/// Everything that a file says, checked.
pub(crate) struct World {
    pub(crate) snapshot: Snapshot,
    pub(crate) fingerprint: config::load::Fingerprint,
    /// The folder of the rules that decide beside the first.
    pub(crate) shadow: Option<PathBuf>,
}

/// Reads config, catalogue and rules.
///
/// # Errors
/// All complaints about all files at once.
pub(crate) fn read_world(config_dir: &Path) -> Result<World, Vec<Complaint>> {
    let environment: Vec<(String, String)> = std::env::vars().collect();
    let loaded = config::load::load(config_dir, &environment);
    let router = rules::read(&rules::folder(config_dir));
    match (loaded, router) {
        (Ok(loaded), Ok(router)) => {
            let config::load::Loaded { config, catalog, tariffs, shadow, fingerprint } = loaded;
            let beside = shadow.as_deref().map(rules::read_shadow).transpose()?;
            let snapshot = Snapshot::new(config, catalog, tariffs, router, SystemClock.unix_ms()).with_shadow(beside);
            Ok(World { snapshot, fingerprint, shadow })
        }
        (loaded, router) => Err([loaded.err(), router.err()].into_iter().flatten().flatten().collect()),
    }
}

/// What `GET /v1/models` would answer with this configuration.
///
/// # Errors
/// When the configuration is refused.
pub(crate) fn list_models(config_dir: &Path) -> Result<serde_json::Value> {
    let snapshot = offline(config_dir)?;
    let body = api::models::answer(
        &Endpoint::Models,
        &snapshot,
        (WireFormat::OpenaiChat, api::models::Audience::Live),
        SystemClock.unix_ms(),
    );
    let body = body.map_err(|refusal| anyhow!("{}", refusal.message))?;
    serde_json::from_slice(&body).context("the list is no JSON")
}

/// What a server of this configuration would do with a request.
///
/// # Errors
/// When the configuration is refused, or the request would be.
pub(crate) fn preview(
    config_dir: &Path,
    body: &[u8],
    format: Option<WireFormat>,
    quality: Option<Quality>,
) -> Result<RouteView> {
    let snapshot = offline(config_dir)?;
    let at = SystemClock.unix_ms();
    let asked = Asked { quality, ..Asked::default() };
    let question = Question { body, format, asked: &asked, key: None, via: Via::Providers, at };
    let preview = preview::preview(&snapshot, &question).map_err(|refusal| anyhow!("{}", refusal.message))?;
    Ok(RouteView::of(&preview, at))
}

/// Refuses names that no provider of this configuration has, and a region that none serves in.
///
/// # Errors
/// When there is such a name, or the configuration is refused.
pub(crate) fn expect_providers(config_dir: &Path, named: &ProviderBounds) -> Result<()> {
    let environment: Vec<(String, String)> = std::env::vars().collect();
    let loaded = config::load::load(config_dir, &environment);
    let loaded = loaded.map_err(|complaints| refused(&complaints).context("providers cannot be read (--config)"))?;
    prefer::check(named.names(), named.region.as_deref(), &loaded.catalog).map_err(|fault| anyhow!(fault))
}

/// What decides for `flux-auto`, and on which terms.
///
/// # Errors
/// When the configuration is refused.
pub(crate) fn router(config_dir: &Path, quality: Option<Quality>) -> Result<(Router, classify::Terms)> {
    let World { snapshot, .. } = read_world(config_dir).map_err(|complaints| refused(&complaints))?;
    let quality = quality.unwrap_or_else(|| snapshot.catalog.quality());
    let terms = classify::Terms { quality: quality.share(), prices: snapshot.lane_prices };
    Ok((snapshot.router, terms))
}

/// What a server would start with, for those who only look.
fn offline(config_dir: &Path) -> Result<Snapshot> {
    let World { snapshot, .. } = read_world(config_dir).map_err(|complaints| refused(&complaints))?;
    // The mock has no address here, and needs none to be looked at.
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    Ok(reload::MockAddress { stand_in: nowhere, for_tests: nowhere, secret: Secret::new("") }.put_into(snapshot))
}

/// Runs the server until a signal ends it.
///
/// # Errors
/// When the configuration is refused, the data folder cannot be used, or an address is taken.
pub fn serve(config_dir: &Path, start: Start) -> Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let World { snapshot, fingerprint, shadow } = read_world(config_dir).map_err(|complaints| refused(&complaints))?;
    let config = snapshot.config.clone();
    start_log(config.log.level);
    log::info!("rules: {}", rules::in_use(config_dir));
    authorities::check()?;
    let store = Store::start(store_settings(&config, start), Arc::clone(&snapshot.tariffs), Arc::clone(&clock))
        .context("the data folder cannot be used")?;
    let store = Arc::new(store);

    let [stand_in, for_tests] = [mock_listener()?, mock_listener()?];
    let mock = reload::MockAddress {
        stand_in: stand_in.local_addr()?,
        for_tests: for_tests.local_addr()?,
        secret: random_secret()?,
    };
    let snapshot = Arc::new(ArcSwap::from_pointee(mock.put_into(snapshot)));
    let metrics = Arc::new(Metrics::new().context("metrics cannot be registered")?);
    let (log, log_writer) = request_log::start(&config.log.requests, config.limits.log_queue_max)
        .context("the request log cannot be opened")?;

    let health = Arc::new(Health::new(clock.now(), clock.unix_ms()));

    let mut server = Server::new_with_opt_and_conf(None, server_conf(&config));
    server.bootstrap();
    let dialer = Dialer::new(Arc::clone(&clock));
    let flux = Flux::new(Parts {
        snapshot: Arc::clone(&snapshot),
        store: Arc::clone(&store),
        metrics: Arc::clone(&metrics),
        log: log.clone(),
        clock: Arc::clone(&clock),
        seed: random_seed()?,
        conversations: Conversations::new(config.conversations.remembered_max, config.conversations.idle),
        sealing_key: SealingKey(store.sealing_key().context("the sealing key cannot be read")?),
        health: Arc::clone(&health),
        dialer: Arc::clone(&dialer),
    });
    let proxy = pingora::proxy::http_proxy(&server.configuration, flux);
    let app = App::new(proxy, Arc::clone(&snapshot), Arc::clone(&clock));

    let (gate, fresh) = (Gate::new(), app.fresh());
    let fed = (Arc::clone(&metrics), Arc::clone(&store), log);
    let answers = Private::new(fed, Arc::clone(&clock), Arc::clone(&health), Arc::clone(&snapshot));
    let listeners = listen(&mut server, &gate, (app, answers), &config, start)?;
    add_mocks(&mut server, &config.mock, &mock.secret, [stand_in, for_tests]);
    let reloader = reload::Reloader::new(
        (config_dir, shadow),
        fingerprint,
        Arc::clone(&snapshot),
        mock,
        (Arc::clone(&store), Arc::clone(&metrics), Arc::clone(&clock)),
        Arc::clone(&health),
    );
    add_background(&mut server, "reload", reloader);
    let seed = u64::try_from(random_seed()? >> 64).unwrap_or_default();
    let prober = Prober::new(Arc::clone(&snapshot), health, (Arc::clone(&clock), dialer), seed);
    add_background(&mut server, "probes", gate.task(prober));

    // Only now: a start that fails before must not use up the one occasion on which the keys are shown.
    let first_keys = store.bootstrap("default").context("the first account cannot be made")?;
    let (up, is_up) = sync_channel(1);
    let is_mock = snapshot.load().catalog.has_stand_in();
    let welcome = welcome::start(listeners.addresses(), &config, first_keys, is_mock, is_up)?;
    let data_dir = config.server.data_dir;
    let successor = Successor::new(&data_dir)?;
    let drain = Drain { metrics, store: Arc::clone(&store), snapshot, gate, successor, data_dir, fresh, up };
    server.run(RunArgs { shutdown_signal: Box::new(drain) });

    welcome.end();
    drop(listeners);
    log_writer.stop();
    store.stop();
    Ok(())
}

fn refused(complaints: &[Complaint]) -> anyhow::Error {
    let lines: Vec<String> = complaints.iter().map(ToString::to_string).collect();
    anyhow!("the configuration is refused, {} complaint(s):\n  {}", lines.len(), lines.join("\n  "))
}

fn start_log(level: log::LevelFilter) {
    // A second start in one process (tests) keeps the first logger.
    let _ = env_logger::Builder::new()
        .filter_level(level)
        // Pingora tells each failed attempt; the request log has it already.
        .filter_module("pingora", level.min(log::LevelFilter::Warn))
        // It calls an error what is the end of an idle connection that two requests reached for.
        .filter_module("pingora_core::connectors", log::LevelFilter::Off)
        // It calls an error what is a second of waiting; what fails comes back as an error of ours.
        .filter_module("pingora_core::server::transfer_fd", log::LevelFilter::Off)
        .parse_default_env()
        .try_init();
}

fn store_settings(config: &Config, start: Start) -> store::Settings {
    let config::Ledger {
        journal_bytes_max,
        segment_bytes,
        batch_rows_max,
        sync,
        poll,
        keys_poll,
        retention_days,
        purge_after_days,
        readers_max,
    } = config.ledger.clone();
    store::Settings {
        journal_bytes_max,
        segment_bytes,
        batch_rows_max,
        sync_every: sync,
        poll,
        idle_poll: poll,
        keys_poll,
        idempotency_keys_max: u64::try_from(config.limits.idempotency_keys_max).unwrap_or(u64::MAX),
        idempotent_repeats_max: u32::try_from(config.limits.idempotent_repeats_max).unwrap_or(u32::MAX),
        retention_days,
        purge_after_days,
        readers_max,
        keys_max: config.limits.keys_max,
        keys_of_account_max: config.limits.keys_of_account_max,
        unknown_keys_max: config.limits.unknown_keys_max,
        takes_over: start == Start::TakingOver,
        ..store::Settings::new(&config.server.data_dir)
    }
}

fn server_conf(config: &Config) -> ServerConf {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    ServerConf {
        threads: if config.server.threads == 0 { cores } else { config.server.threads },
        upstream_keepalive_pool_size: config.limits.upstream_pool_size,
        // Each attempt, retries too, may be repeated once on a fresh connection.
        max_retries: config.limits.attempts_max.saturating_add(RETRIES_MAX).saturating_mul(2),
        // Draining is over when the signal is handed to Pingora: see `signals`.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    }
}

/// What is listened on, for as long as it is held.
struct Listeners {
    public: Reserved,
    private: Reserved,
}

impl Listeners {
    fn addresses(&self) -> welcome::Addresses {
        welcome::Addresses { listen: self.public.address, private_listen: self.private.address }
    }
}

fn listen(
    server: &mut Server,
    gate: &Gate,
    (app, answers): (App, Private),
    config: &Config,
    start: Start,
) -> Result<Listeners> {
    let config::Server { listen, private_listen, data_dir, .. } = &config.server;
    let inherited = match start {
        Start::Alone => {
            welcome::forget(data_dir);
            None
        }
        // The last that takes time: until here nobody has noticed.
        Start::TakingOver => Some(Inherited::take(data_dir)?),
    };
    let from_before = inherited.as_ref();
    let public = Reserved::new(*listen, from_before.and_then(|before| before.listen(*listen)))?;
    let private =
        Reserved::new(*private_listen, from_before.and_then(|before| before.private_listen(*private_listen)))?;
    add_public(server, gate, app, (&public, config))?;
    add_private(server, gate, answers, &private);
    if let Some(inherited) = inherited {
        inherited.close_others([public.address, private.address]);
    }
    Ok(Listeners { public, private })
}

fn add_public(server: &mut Server, gate: &Gate, app: App, (at, config): (&Reserved, &Config)) -> Result<()> {
    let mut service = Service::new("flux".to_owned(), Front::new(app));
    // The head of an answer and a short body leave in one packet; Pingora's own buffer is too small for both.
    let buffers = L4BufferSettings::default().write(WRITE_BUFFER_BYTES);
    let mut listener = ListenerConfig::tcp(at.address.to_string()).tcp_socket_options(at.options()).l4_buffer(buffers);
    if let Some(tls) = &config.server.tls {
        let (cert, key) = (tls.cert.to_string_lossy(), tls.key.to_string_lossy());
        let mut settings = TlsSettings::intermediate(&cert, &key).context("the TLS certificate cannot be used")?;
        settings.enable_h2();
        listener = listener.tls(settings);
    }
    service.add_listener(listener);
    server.add_service(gate.listening(service, at.inherited()));
    Ok(())
}

fn add_private(server: &mut Server, gate: &Gate, private: Private, at: &Reserved) {
    let mut service = Service::new("flux private".to_owned(), private);
    service.threads = Some(1);
    service.add_tcp_with_settings(&at.address.to_string(), at.options());
    server.add_service(gate.listening(service, at.inherited()));
}

fn add_background<T: BackgroundService + Send + Sync + 'static>(server: &mut Server, name: &str, task: T) {
    let mut service = background_service(name, task);
    service.threads = Some(1);
    server.add_service(service);
}

/// An address that is ours. For port 0 the kernel chooses a port, which stays reserved by a socket that
/// never listens, until Pingora binds the same. A socket of the process before is bound already.
struct Reserved {
    address: SocketAddr,
    placeholder: Option<socket2::Socket>,
    socket: Option<RawFd>,
}

impl Reserved {
    fn new(wanted: SocketAddr, from_before: Option<(SocketAddr, RawFd)>) -> Result<Self> {
        if let Some((address, socket)) = from_before {
            return Ok(Self { address, placeholder: None, socket: Some(socket) });
        }
        if wanted.port() != 0 {
            // Found out now, with words, and not by a panic of the service's thread.
            drop(TcpListener::bind(wanted).with_context(|| format!("{wanted} cannot be listened on"))?);
            return Ok(Self { address: wanted, placeholder: None, socket: None });
        }
        let socket = socket2::Socket::new(socket2::Domain::for_address(wanted), socket2::Type::STREAM, None)?;
        socket.set_reuse_port(true)?;
        socket.bind(&wanted.into())?;
        let Some(address) = socket.local_addr()?.as_socket() else { bail!("{wanted} has no port") };
        Ok(Self { address, placeholder: Some(socket), socket: None })
    }

    fn inherited(&self) -> Option<(String, RawFd)> {
        self.socket.map(|socket| (self.address.to_string(), socket))
    }

    fn options(&self) -> TcpSocketOptions {
        let mut options = TcpSocketOptions::default();
        options.so_reuseport = self.placeholder.is_some().then_some(true);
        options
    }
}

fn add_mocks(server: &mut Server, config: &config::Mock, secret: &Secret, [stand_in, for_tests]: [TcpListener; 2]) {
    let options = mock_options(config);
    // Faults are for trying out failover; whoever tries out a client with a test key is to see answers.
    let faultless = MockOptions { fault: Fault::None, ..options.clone() };
    add_background(server, "mock provider", MockTask::new(options, secret.clone(), stand_in));
    add_background(server, "mock for test keys", MockTask::new(faultless, secret.clone(), for_tests));
}

/// The mock provider as a task of the server.
struct MockTask {
    service: Arc<MockService>,
    listener: std::sync::Mutex<Option<TcpListener>>,
}

impl MockTask {
    fn new(options: MockOptions, secret: Secret, listener: TcpListener) -> Self {
        let service = Arc::new(MockService::new(options, secret));
        Self { service, listener: std::sync::Mutex::new(Some(listener)) }
    }
}

#[async_trait]
impl BackgroundService for MockTask {
    async fn start(&self, shutdown: ShutdownWatch) {
        let listener = self.listener.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let Some(listener) = listener else { return };
        if let Err(error) = Arc::clone(&self.service).accept(listener, shutdown).await {
            log::error!("the mock provider ended: {error}");
        }
    }
}

fn mock_listener() -> Result<TcpListener> {
    TcpListener::bind("127.0.0.1:0").context("no port for the built-in mock provider")
}

fn mock_options(mock: &config::Mock) -> MockOptions {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    MockOptions {
        latency_ms: ms(mock.latency),
        delay_ms: ms(mock.chunk_latency),
        chunk_chars: mock.chunk_chars,
        fault: mock_fault(mock.fault),
        fault_every: mock.fault_every,
        ..MockOptions::default()
    }
}

fn mock_fault(fault: MockFault) -> Fault {
    match fault {
        MockFault::None => Fault::None,
        MockFault::RateLimited => Fault::Status(429),
        MockFault::ServerError => Fault::Status(500),
        MockFault::Overloaded => Fault::Status(529),
        MockFault::BadRequest => Fault::Status(400),
        MockFault::Closed => Fault::Reset,
        MockFault::Cut => Fault::CutBody,
        MockFault::ErrorFirst => Fault::ErrorFirstEvent,
        MockFault::ErrorLater => Fault::ErrorMidStream,
        MockFault::NoUsage => Fault::NoUsage,
        MockFault::Silent => Fault::Hang,
    }
}

fn random_secret() -> Result<Secret> {
    Ok(Secret::new(format!("mock-{:032x}", random_seed()?)))
}

fn random_seed() -> Result<u128> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("no randomness: {error}"))?;
    Ok(u128::from_le_bytes(bytes))
}
