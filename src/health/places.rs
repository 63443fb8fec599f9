//! Places at a provider: so many requests at once, and a queue with a bound for those that wait.
//!
//! Must not know how long anyone waits: whoever waits drops its turn when it has waited enough.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The places of one provider.
#[derive(Debug, Default)]
pub struct Places(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    taken: u64,
    /// Who waits, the longest first.
    queue: VecDeque<(u64, Waker)>,
    tickets: u64,
}

/// One place, until it is dropped.
#[derive(Debug)]
pub struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.taken = state.taken.saturating_sub(1);
        state.wake_next();
    }
}

impl State {
    fn wake_next(&mut self) {
        if let Some((_, waker)) = self.queue.pop_front() {
            waker.wake();
        }
    }
}

impl Places {
    /// Takes a place of `most`; `None` where all are taken.
    pub fn take(self: &Arc<Self>, most: u64) -> Option<Place> {
        let mut state = self.state();
        if state.taken >= most {
            return None;
        }
        state.taken += 1;
        Some(Place(Arc::clone(self)))
    }

    /// Waits for a place of `most`; `None` where `queue_max` wait already.
    pub fn line_up(self: &Arc<Self>, most: u64, queue_max: usize) -> Option<Turn> {
        let mut state = self.state();
        if state.queue.len() >= queue_max {
            return None;
        }
        state.tickets += 1;
        Some(Turn { places: Arc::clone(self), ticket: state.tickets, most, is_over: false })
    }

    /// Requests that have a place, and those that wait for one.
    pub fn figures(&self) -> (u64, usize) {
        let state = self.state();
        (state.taken, state.queue.len())
    }

    // Guards a count and the queue behind it, which change together. Only providers with a bound have it locked.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue; becomes a place at the provider.
#[derive(Debug)]
pub struct Turn {
    places: Arc<Places>,
    ticket: u64,
    most: u64,
    is_over: bool,
}

impl Future for Turn {
    type Output = Place;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Place> {
        let ticket = self.ticket;
        let mut state = self.places.state();
        state.queue.retain(|(waiting, _)| *waiting != ticket);
        if state.taken < self.most {
            state.taken += 1;
            drop(state);
            self.is_over = true;
            return Poll::Ready(Place(Arc::clone(&self.places)));
        }
        // By the age of tickets, so that whoever was woken for nothing keeps its rank.
        let rank = state.queue.iter().position(|(waiting, _)| *waiting > ticket).unwrap_or(state.queue.len());
        state.queue.insert(rank, (ticket, context.waker().clone()));
        Poll::Pending
    }
}

/// A turn that is given up must not take another's wake-up with it.
impl Drop for Turn {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut state = self.places.state();
        let waiting = state.queue.len();
        state.queue.retain(|(waiting, _)| *waiting != self.ticket);
        let was_woken = state.queue.len() == waiting;
        if was_woken && state.taken < self.most {
            state.wake_next();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn poll(turn: &mut Turn, count: &Arc<Count>) -> Poll<Place> {
        Pin::new(turn).poll(&mut Context::from_waker(&Waker::from(Arc::clone(count))))
    }

    #[test]
    fn those_who_wait_go_in_in_their_order_and_the_queue_has_a_bound() {
        let places = Arc::new(Places::default());
        let held = places.take(1).unwrap();
        assert!(places.take(1).is_none());
        let wakes = [(); 2].map(|()| Arc::new(Count::default()));
        let mut first = places.line_up(1, 2).unwrap();
        assert!(poll(&mut first, &wakes[0]).is_pending());
        let mut second = places.line_up(1, 2).unwrap();
        assert!(poll(&mut second, &wakes[1]).is_pending());
        assert!(places.line_up(1, 2).is_none(), "two wait already");
        drop(held);
        assert_eq!([&wakes[0], &wakes[1]].map(|count| count.0.load(Ordering::Relaxed)), [1, 0]);
        let Poll::Ready(place) = poll(&mut first, &wakes[0]) else { panic!("the place is free") };
        assert_eq!(places.figures(), (1, 1));
        drop(place);
        assert!(poll(&mut second, &wakes[1]).is_ready());
        assert_eq!(places.figures(), (0, 0));
    }

    #[test]
    fn a_turn_that_is_given_up_wakes_the_next() {
        let places = Arc::new(Places::default());
        let held = places.take(1).unwrap();
        let wakes = [(); 2].map(|()| Arc::new(Count::default()));
        let mut turns = [(); 2].map(|()| places.line_up(1, 9).unwrap());
        for (turn, wakes) in turns.iter_mut().zip(&wakes) {
            assert!(poll(turn, wakes).is_pending());
        }
        let [first, mut second] = turns;
        drop(held);
        drop(first);
        assert_eq!(wakes[1].0.load(Ordering::Relaxed), 1);
        assert!(poll(&mut second, &wakes[1]).is_ready());
    }
}
