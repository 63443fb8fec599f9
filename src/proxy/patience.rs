//! How long a provider's silence is borne.
//!
//! Must not say what follows from it. It is asked at every turn of a request, so that what it asks itself
//! is two numbers in memory; the clock and the timer only when there is a reason.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::deadline::Timer;
use super::link::{Link, Watch};
use crate::exchange::retry::Failure;

/// How long the provider may be silent. One timer a connection, moved only when it fires or would ring too late, and
/// asked only when it has woken us: a chunk that comes in costs no clock and no timer. So silence is
/// only known to the length of a tick, by which it may be taken for shorter than it was.
#[derive(Default)]
pub(super) struct Patience {
    timer: Option<Timer>,
    /// Whom the timer wakes.
    task: Option<Waker>,
    arrivals_seen: u64,
    stage: u64,
    /// Since when nothing has come, as far as is known.
    quiet_since: Option<Instant>,
    /// When the client last got something to show that we are there.
    pinged: Option<Instant>,
}

/// What a silence has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// The client should hear that we are there. The waiting goes on.
    Ping,
    /// The first token is late: another target should be asked as well. The waiting goes on.
    Late,
    /// It was too long.
    TooLong(Failure),
}

impl Patience {
    /// With the timer of the request before on the same connection.
    pub(super) fn with(timer: Option<Timer>) -> Self {
        Self { timer, ..Self::default() }
    }

    /// The timer, for the next request.
    pub(super) fn take_timer(&mut self) -> Option<Timer> {
        self.timer.take()
    }

    /// Runs `work` until a silence of the provider comes to something.
    pub(super) async fn bound<T>(&mut self, link: &Arc<Link>, work: impl Future<Output = T>) -> Result<T, Silence> {
        let mut work = pin!(work);
        poll_fn(|context| match self.poll_silence(link, context) {
            Poll::Ready(silence) => Poll::Ready(Err(silence)),
            Poll::Pending => work.as_mut().poll(context).map(Ok),
        })
        .await
    }

    #[inline]
    fn poll_silence(&mut self, link: &Arc<Link>, context: &Context<'_>) -> Poll<Silence> {
        let is_quiet = self.stage == link.stage()
            && !link.has_rung()
            && self.task.as_ref().is_some_and(|task| task.will_wake(context.waker()));
        if is_quiet { Poll::Pending } else { self.poll_timer(link, context.waker()) }
    }

    #[cold]
    fn poll_timer(&mut self, link: &Arc<Link>, task: &Waker) -> Poll<Silence> {
        if !self.task.as_ref().is_some_and(|known| known.will_wake(task)) {
            self.task = Some(task.clone());
            link.set_task(task.clone());
        }
        let alarm = link.alarm();
        let stage = link.stage();
        if self.stage != stage {
            let (watch, now) = (link.watch(), link.now());
            self.stage = stage;
            self.arrivals_seen = watch.arrivals;
            self.quiet_since = Some(now);
            self.set(&watch, now);
        }
        while let Some(timer) = &mut self.timer {
            if timer.bell.as_mut().poll(&mut Context::from_waker(&alarm)).is_pending() {
                break;
            }
            self.timer = None;
            let (watch, now) = (link.watch(), link.now());
            if let Some(silence) = self.judge(&watch, now) {
                self.set(&watch, now);
                // The next timer has not been asked yet.
                link.ring();
                return Poll::Ready(silence);
            }
            self.set(&watch, now);
        }
        Poll::Pending
    }

    fn judge(&mut self, watch: &Watch, now: Instant) -> Option<Silence> {
        if watch.total.is_some_and(|total| now >= total) {
            return Some(Silence::TooLong(Failure::Deadline));
        }
        if watch.first_token.is_some_and(|first_token| now >= first_token) {
            return Some(Silence::TooLong(Failure::FirstTokenTimeout));
        }
        if watch.hedge.is_some_and(|hedge| now >= hedge) {
            return Some(Silence::Late);
        }
        if watch.arrivals != self.arrivals_seen {
            self.arrivals_seen = watch.arrivals;
            self.quiet_since = Some(now);
            return None;
        }
        match watch.first_byte {
            Some(first_byte) if now >= first_byte => return Some(Silence::TooLong(Failure::FirstByteTimeout)),
            None if now >= self.idle_end(watch, now) => return Some(Silence::TooLong(Failure::IdleTimeout)),
            Some(_) | None => {}
        }
        (now >= self.ping_due(watch)?).then(|| {
            self.pinged = Some(now);
            Silence::Ping
        })
    }

    fn idle_end(&self, watch: &Watch, now: Instant) -> Instant {
        self.quiet_since.and_then(|since| since.checked_add(watch.idle)).unwrap_or(now)
    }

    /// When the client should next hear of us; `None` where it is not to.
    fn ping_due(&self, watch: &Watch) -> Option<Instant> {
        let since = self.quiet_since.max(self.pinged)?;
        // A whole interval after the last ping; half of one after the last arrival, which may have been a tick
        // earlier than we know.
        let wait = if self.pinged >= self.quiet_since { watch.ping? } else { watch.ping? / 2 };
        since.checked_add(wait)
    }

    fn set(&mut self, watch: &Watch, now: Instant) {
        let patience_end = watch.first_byte.unwrap_or_else(|| self.idle_end(watch, now));
        // One that is due is begun before the timer is asked again.
        let hedge = watch.hedge.filter(|hedge| *hedge > now);
        let next = [watch.total, watch.first_token, hedge, self.ping_due(watch)]
            .into_iter()
            .flatten()
            .fold(patience_end, Instant::min);
        if self.timer.as_ref().is_none_or(|timer| timer.rings_at > next) {
            self.timer = Some(Timer::set(next, now));
        }
    }
}
