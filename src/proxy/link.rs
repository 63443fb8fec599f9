//! What the held session and the phases of one request share: the exchange above all.
//!
//! Must not decide anything. One task drives the phases and the session by turns, so its locks are never
//! waited for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;

use super::deadline::Timer;
use super::hedge::{self, Hedger, Won};
use super::upstream;
use crate::base::outcome::Charge;
use crate::base::time::Clock;
use crate::config::Timeouts;
use crate::exchange::Exchange;
use crate::exchange::answer::ProviderHead;

/// What the held session and the phases of its request share.
pub(crate) struct Link {
    state: Mutex<State>,
    /// From the moment on that there is an exchange, the session is held.
    is_held: AtomicBool,
    /// Counts attempts and heads: at each the waiting begins anew.
    stage: AtomicU64,
    /// Where the wrapper leaves the real session as it is dropped. A boxed trait object cannot be
    /// taken apart, and keep-alive needs the real one back.
    returned: Mutex<Option<Box<ServerSession>>>,
    /// And the timer, for the next request of the connection.
    timer: Mutex<Option<Timer>>,
    /// The answer went out whole although Pingora counts the request as failed.
    keeps_connection: AtomicBool,
    /// Whether the timer has woken the task since it was last asked.
    has_rung: AtomicBool,
    /// Whether there is an attempt beside the current one.
    has_hedge: AtomicBool,
    // Guards that attempt, which only the request's task drives.
    hedge: Mutex<Hedge>,
    // Guards the waker of the request's task, which the timer's thread uses and the task replaces.
    task: Mutex<Option<Waker>>,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct State {
    exchange: Option<Box<Exchange>>,
    /// The body of the current attempt, until no other can follow.
    outgoing: Option<Bytes>,
    keep: Option<KeepCharge>,
    watch: Watch,
}

/// The attempt beside the current one.
#[derive(Default)]
struct Hedge {
    /// Who would begin it.
    hedger: Option<Arc<Hedger>>,
    running: Option<hedge::Running>,
    /// As soon as it has won. Boxed, since every request has room for it.
    won: Option<Box<Won>>,
}

/// Keeps a charge durably; `false` when it could not be.
pub(crate) type KeepCharge = Arc<dyn Fn(&Charge) -> bool + Send + Sync>;

/// What the silence of a provider is measured against.
#[derive(Clone, Copy, Default)]
pub(super) struct Watch {
    /// Until when the head must have come.
    pub(super) first_byte: Option<Instant>,
    /// Until when a stream must have content; `None` where it has some, and for whole answers.
    pub(super) first_token: Option<Instant>,
    /// When another target is to be asked beside this one, if no content has come by then.
    pub(super) hedge: Option<Instant>,
    /// Until when the answer must be complete.
    pub(super) total: Option<Instant>,
    pub(super) idle: Duration,
    /// How often a client that waits should hear of us; `None` where it cannot.
    pub(super) ping: Option<Duration>,
    /// Counts what came in, so that a timer that fires can tell silence from work.
    pub(super) arrivals: u64,
}

impl Link {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            is_held: AtomicBool::default(),
            stage: AtomicU64::default(),
            returned: Mutex::default(),
            timer: Mutex::default(),
            keeps_connection: AtomicBool::default(),
            has_rung: AtomicBool::default(),
            has_hedge: AtomicBool::default(),
            hedge: Mutex::default(),
            task: Mutex::default(),
            clock,
        })
    }

    /// From here on Pingora proxies this exchange; the session is held.
    pub(crate) fn hold(&self, exchange: Box<Exchange>, keep: KeepCharge) {
        let mut state = self.state();
        state.keep = Some(keep);
        state.exchange = Some(exchange);
        self.is_held.store(true, Ordering::Release);
    }

    /// Sets what is replayed to the next target, and until when it must have answered.
    pub(crate) fn start_attempt(&self, outgoing: Bytes, now: Instant, timeouts: &Timeouts, hedger: &Arc<Hedger>) {
        let mut state = self.state();
        let exchange = state.exchange.as_ref();
        let total = exchange.map(|exchange| exchange.deadline());
        let hedge = exchange.and_then(|exchange| now.checked_add(exchange.hedge_after()?));
        let is_stream = exchange.is_some_and(|exchange| exchange.is_streamed());
        let can_ping = is_stream && !timeouts.ping.is_zero();
        state.watch = Watch {
            first_byte: now.checked_add(timeouts.first_byte),
            first_token: if is_stream { now.checked_add(timeouts.first_token) } else { None },
            hedge,
            total,
            idle: timeouts.idle,
            ping: can_ping.then_some(timeouts.ping),
            arrivals: 0,
        };
        state.outgoing = Some(outgoing);
        self.stage.fetch_add(1, Ordering::Release);
        drop(state);
        if hedge.is_some() {
            self.hedge().hedger = Some(Arc::clone(hedger));
        }
    }

    /// What is waited for is ours and no provider's: only the request's own time is watched, and the client hears of us.
    pub(super) fn start_waiting(&self) {
        let mut state = self.state();
        let Some(exchange) = state.exchange.as_ref() else { return };
        let (total, ping) = (exchange.deadline(), exchange.snapshot().config.timeouts.ping);
        let can_ping = exchange.is_streamed() && !ping.is_zero();
        let (total, ping) = (Some(total), can_ping.then_some(ping));
        state.watch = Watch { first_byte: total, total, ping, ..Watch::default() };
        self.stage.fetch_add(1, Ordering::Release);
    }

    /// The time for an attempt beside the current one has come: begins it.
    pub(super) fn begin_hedge(self: &Arc<Self>, client: &RequestHeader) {
        self.state().watch.hedge = None;
        let hedger = self.hedge().hedger.take();
        if let Some(running) = hedger.and_then(|hedger| hedger.begin(self, client)) {
            self.hedge().running = Some(running);
            self.has_hedge.store(true, Ordering::Release);
        }
    }

    /// Whether there is an attempt beside the current one.
    #[inline]
    pub(super) fn has_hedge(&self) -> bool {
        self.has_hedge.load(Ordering::Acquire)
    }

    /// Drives the attempt beside the current one. Ready when it has won (`true`) or come to nothing.
    pub(super) fn poll_hedge(&self, context: &mut Context<'_>) -> Poll<bool> {
        let mut hedge = self.hedge();
        let Some(running) = &mut hedge.running else { return Poll::Ready(hedge.won.is_some()) };
        let Poll::Ready(won) = running.as_mut().poll(context) else { return Poll::Pending };
        // Whoever else waits for it in the same task was asked before.
        context.waker().wake_by_ref();
        (hedge.running, hedge.won) = (None, won);
        self.has_hedge.store(false, Ordering::Release);
        Poll::Ready(hedge.won.is_some())
    }

    /// Takes the attempt that has won.
    pub(super) fn take_won(&self) -> Option<Box<Won>> {
        self.hedge().won.take()
    }

    /// What the exchange is told of a provider's head.
    pub(super) fn provider_head(&self, head: &ResponseHeader) -> ProviderHead {
        upstream::provider_head(head, self.clock.unix_ms())
    }

    fn hedge(&self) -> MutexGuard<'_, Hedge> {
        self.hedge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `ask` on the exchange; `None` before there is one.
    pub(crate) fn with_exchange<T>(&self, ask: impl FnOnce(&mut Exchange) -> T) -> Option<T> {
        self.state().exchange.as_deref_mut().map(ask)
    }

    /// Runs a step of the exchange that may settle.
    pub(crate) fn with_keep<T>(&self, step: impl FnOnce(&mut Exchange, &dyn Fn(&Charge) -> bool) -> T) -> Option<T> {
        let mut state = self.state();
        let State { exchange, keep, watch, .. } = &mut *state;
        watch.arrivals = watch.arrivals.wrapping_add(1);
        Some(step(exchange.as_deref_mut()?, keep.as_deref()?))
    }

    /// The same for the attempt beside the current one: what comes in there is no news of the current one.
    pub(super) fn with_keep_beside<T>(
        &self,
        step: impl FnOnce(&mut Exchange, &dyn Fn(&Charge) -> bool) -> T,
    ) -> Option<T> {
        let mut state = self.state();
        let State { exchange, keep, .. } = &mut *state;
        Some(step(exchange.as_deref_mut()?, keep.as_deref()?))
    }

    /// Whether a chunk in the middle of a body goes on as it is. It is metered then.
    #[inline]
    pub(crate) fn passes(&self, chunk: &[u8]) -> bool {
        let mut state = self.state();
        let passes = state.exchange.as_deref_mut().is_some_and(|exchange| exchange.passes(chunk));
        if passes {
            state.watch.arrivals = state.watch.arrivals.wrapping_add(1);
        }
        passes
    }

    /// Takes the exchange out, at the end of the request.
    pub(crate) fn take_exchange(&self) -> Option<(Box<Exchange>, KeepCharge)> {
        let mut state = self.state();
        Some((state.exchange.take()?, state.keep.take()?))
    }

    /// The head has come: from here on only silence and the total time are watched.
    pub(crate) fn note_head(&self) {
        self.state().watch.first_byte = None;
        self.stage.fetch_add(1, Ordering::Release);
    }

    /// Whether the session is held.
    #[inline]
    pub(super) fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Acquire)
    }

    /// Changes whenever the waiting for the provider begins anew.
    #[inline]
    pub(super) fn stage(&self) -> u64 {
        self.stage.load(Ordering::Acquire)
    }

    /// Whether the timer is to be asked.
    #[inline]
    pub(super) fn has_rung(&self) -> bool {
        self.has_rung.load(Ordering::Acquire)
    }

    /// From here on the timer wakes this task.
    pub(super) fn set_task(&self, task: Waker) {
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    /// Has the timer asked again.
    pub(super) fn ring(&self) {
        self.has_rung.store(true, Ordering::Release);
    }

    /// What the timer is to wake. To be taken before it is asked, so that it cannot ring unheard in between.
    pub(super) fn alarm(self: &Arc<Self>) -> Waker {
        self.has_rung.store(false, Ordering::Release);
        Waker::from(Arc::clone(self))
    }

    pub(super) fn watch(&self) -> Watch {
        self.state().watch
    }

    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// What is to be sent in the current attempt.
    pub(super) fn outgoing(&self) -> Option<Bytes> {
        self.state().outgoing.clone()
    }

    /// Content goes out: no other attempt can follow, and none runs beside.
    pub(super) fn forget_outgoing(&self) {
        let mut state = self.state();
        (state.outgoing, state.watch.first_token, state.watch.hedge) = (None, None, None);
        drop(state);
        if self.has_hedge.swap(false, Ordering::AcqRel) {
            self.hedge().running = None;
        }
    }

    /// Leaves the real session for [`Self::take_session`].
    pub(super) fn leave_session(&self, real: Box<ServerSession>) {
        *self.returned.lock().unwrap_or_else(PoisonError::into_inner) = Some(real);
    }

    /// Leaves the timer for [`Self::take_timer`].
    pub(super) fn leave_timer(&self, timer: Option<Timer>) {
        *self.timer.lock().unwrap_or_else(PoisonError::into_inner) = timer;
    }

    /// Takes the timer, once the wrapper has been dropped.
    pub(super) fn take_timer(&self) -> Option<Timer> {
        self.timer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Takes the real session back, once the wrapper has been dropped.
    pub(crate) fn take_session(&self) -> Option<Box<ServerSession>> {
        self.returned.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The answer is whole: the connection may carry the next request, whatever Pingora makes of this one.
    pub(super) fn keep_connection(&self) {
        self.keeps_connection.store(true, Ordering::Release);
    }

    /// Whether the session stays here at the end, for [`super::app`] to take.
    pub(super) fn keeps_connection(&self) -> bool {
        self.keeps_connection.load(Ordering::Acquire)
    }

    // Guards the exchange, which the phases and the session touch by turns, never at once: one task
    // drives both. An atomic cannot hold it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the request's task for its timer, and remembers that it did.
impl Wake for Link {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, Ordering::Release);
        if let Some(task) = &*self.task.lock().unwrap_or_else(PoisonError::into_inner) {
            task.wake_by_ref();
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}
