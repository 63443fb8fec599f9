//! How long a provider's silence is borne.
//!
//! Must not say what follows from it. It is asked at every turn of a request, so that what it asks itself
//! is two numbers in memory; the clock and the timer only when there is a reason.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use pingora::time::fast_timeout::fast_sleep;

use super::link::{Link, Watch};
use crate::exchange::retry::Failure;

/// How long the provider may be silent. One timer a request, moved only when it fires or a new stage
/// begins, and asked only when it has woken us: a chunk that comes in costs no clock and no timer.
#[derive(Default)]
pub(super) struct Patience {
    timer: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
    /// Whom the timer wakes.
    task: Option<Waker>,
    arrivals_seen: u64,
    stage: u64,
}

impl Patience {
    /// Runs `work` until the provider has been silent for too long, or the total time is up.
    pub(super) async fn bound<T>(&mut self, link: &Arc<Link>, work: impl Future<Output = T>) -> Result<T, Failure> {
        let mut work = pin!(work);
        poll_fn(|context| match self.poll_exceeded(link, context) {
            Poll::Ready(failure) => Poll::Ready(Err(failure)),
            Poll::Pending => work.as_mut().poll(context).map(Ok),
        })
        .await
    }

    #[inline]
    fn poll_exceeded(&mut self, link: &Arc<Link>, context: &Context<'_>) -> Poll<Failure> {
        let is_quiet = self.stage == link.stage()
            && !link.has_rung()
            && self.task.as_ref().is_some_and(|task| task.will_wake(context.waker()));
        if is_quiet { Poll::Pending } else { self.poll_timer(link, context.waker()) }
    }

    #[cold]
    fn poll_timer(&mut self, link: &Arc<Link>, task: &Waker) -> Poll<Failure> {
        if !self.task.as_ref().is_some_and(|known| known.will_wake(task)) {
            self.task = Some(task.clone());
            link.set_task(task.clone());
        }
        let alarm = link.alarm();
        let stage = link.stage();
        if self.stage != stage {
            let watch = link.watch();
            self.stage = stage;
            self.arrivals_seen = watch.arrivals;
            self.set(&watch, link.now());
        }
        while let Some(timer) = &mut self.timer {
            if timer.as_mut().poll(&mut Context::from_waker(&alarm)).is_pending() {
                break;
            }
            let now = link.now();
            let watch = link.watch();
            if watch.total.is_some_and(|total| now >= total) {
                return Poll::Ready(Failure::Deadline);
            }
            match watch.first_byte {
                Some(first_byte) if now >= first_byte => return Poll::Ready(Failure::FirstByteTimeout),
                None if watch.arrivals == self.arrivals_seen => return Poll::Ready(Failure::IdleTimeout),
                _ => {}
            }
            self.arrivals_seen = watch.arrivals;
            self.set(&watch, now);
        }
        Poll::Pending
    }

    fn set(&mut self, watch: &Watch, now: Instant) {
        let idle_end = now.checked_add(watch.idle).unwrap_or(now);
        let next = watch.first_byte.unwrap_or(idle_end).min(watch.total.unwrap_or(idle_end));
        // Pingora's timers share their ticks between requests; one of tokio's would cost each a lock.
        self.timer = Some(Box::pin(fast_sleep(next.saturating_duration_since(now))));
    }
}
