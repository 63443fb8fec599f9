//! Until when the next head on a connection must be in.
//!
//! Must not know what is read. Its timer is set once and moved only when it rings: nearly every head is in long
//! before, and a timer for each would cost more than half of what reading it costs.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pingora::time::fast_timeout::fast_sleep;

use crate::base::time::Clock;

/// The timer of one connection.
#[derive(Default)]
pub(super) struct Deadline {
    timer: Option<Timer>,
}

/// One that may ring earlier than it is needed, never later: then it serves whoever comes next as well.
pub(super) struct Timer {
    pub(super) rings_at: Instant,
    pub(super) bell: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
}

impl Timer {
    /// Rings after what is left from `now` to then. Pingora's timers share their ticks between requests; one of tokio's
    /// would cost each a lock.
    pub(super) fn set(rings_at: Instant, now: Instant) -> Self {
        Self { rings_at, bell: Box::pin(fast_sleep(rings_at.saturating_duration_since(now))) }
    }
}

/// The time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLate;

impl Deadline {
    /// Runs `work`, for so long at most.
    pub(super) async fn bound<T>(
        &mut self,
        within: Duration,
        clock: &dyn Clock,
        work: impl Future<Output = T>,
    ) -> Result<T, TooLate> {
        let mut work = pin!(work);
        let mut end = None;
        poll_fn(|context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Ok(done));
            }
            let now = || clock.now();
            let end = *end.get_or_insert_with(|| now().checked_add(within).unwrap_or_else(now));
            self.poll_end(end, clock, context).map(|()| Err(TooLate))
        })
        .await
    }

    fn poll_end(&mut self, end: Instant, clock: &dyn Clock, context: &mut Context<'_>) -> Poll<()> {
        loop {
            // One that rings later than it should is of no use.
            if let Some(timer) = self.timer.as_mut().filter(|timer| timer.rings_at <= end)
                && timer.bell.as_mut().poll(context).is_pending()
            {
                return Poll::Pending;
            }
            let now = clock.now();
            if now >= end {
                self.timer = None;
                return Poll::Ready(());
            }
            self.timer = Some(Timer::set(end, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;
    use crate::base::time::SystemClock;

    #[tokio::test]
    async fn a_timer_serves_many_and_is_never_late() {
        let (long, short) = (Duration::from_mins(1), Duration::from_millis(30));
        let mut deadline = Deadline::default();
        let mut bound = async |within| deadline.bound(within, &SystemClock, pending::<()>()).await;
        assert_eq!(bound(short).await, Err(TooLate));
        assert_eq!(tokio::time::timeout(short, bound(long)).await.ok(), None);
        // The timer that is set would ring in a minute.
        assert_eq!(bound(short).await, Err(TooLate));
        assert_eq!(deadline.bound(long, &SystemClock, ready(7)).await, Ok(7));
    }

    #[tokio::test]
    async fn a_timer_that_rings_early_is_moved() {
        let mut deadline = Deadline::default();
        let mut bound = async |within| deadline.bound(within, &SystemClock, pending::<()>()).await;
        let (first, second) = (Duration::from_millis(30), Duration::from_millis(120));
        assert_eq!(tokio::time::timeout(Duration::from_millis(5), bound(first)).await.ok(), None);
        let began = SystemClock.now();
        assert_eq!(bound(second).await, Err(TooLate));
        assert!(SystemClock.now() - began >= second);
    }
}
