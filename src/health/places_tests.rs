//! Places under any order of coming, waiting, giving up and giving back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use proptest::prelude::*;

use super::places::{Place, Places, Turn};

/// What happens next; numbers choose among those that are there.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// Somebody takes a place without waiting.
    Take,
    LineUp,
    /// Somebody who was woken looks again.
    Look(usize),
    /// Somebody looks without having been woken.
    LookUnasked(usize),
    GiveUp(usize),
    GiveBack(usize),
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One who waits, by age.
struct Waiting {
    age: usize,
    turn: Turn,
    woken: Arc<Woken>,
}

impl Waiting {
    fn look(&mut self) -> Option<Place> {
        self.woken.0.store(false, Ordering::Relaxed);
        match Pin::new(&mut self.turn).poll(&mut Context::from_waker(&Waker::from(Arc::clone(&self.woken)))) {
            Poll::Ready(place) => Some(place),
            Poll::Pending => None,
        }
    }

    fn is_woken(&self) -> bool {
        self.woken.0.load(Ordering::Relaxed)
    }
}

struct World {
    places: Arc<Places>,
    most: u64,
    queue_max: usize,
    held: Vec<Place>,
    waiting: Vec<Waiting>,
    came: usize,
}

impl World {
    fn new(most: u64, queue_max: usize) -> Self {
        Self { places: Arc::default(), most, queue_max, held: Vec::new(), waiting: Vec::new(), came: 0 }
    }

    fn step(&mut self, event: Event) -> Result<(), TestCaseError> {
        let (taken, queued) = self.places.figures();
        match event {
            Event::Take => {
                let place = self.places.take(self.most);
                prop_assert_eq!(place.is_some(), taken < self.most);
                self.held.extend(place);
            }
            Event::LineUp => {
                let turn = self.places.line_up(self.most, self.queue_max);
                prop_assert_eq!(turn.is_some(), queued < self.queue_max, "the queue has a bound");
                if let Some(turn) = turn {
                    self.came += 1;
                    self.waiting.push(Waiting { age: self.came, turn, woken: Arc::default() });
                    self.look(self.waiting.len() - 1);
                }
            }
            Event::Look(number) => {
                let woken: Vec<usize> = (0..self.waiting.len()).filter(|at| self.waiting[*at].is_woken()).collect();
                if let Some(at) = chosen(number, woken.len()).map(|at| woken[at]) {
                    self.look(at);
                }
            }
            Event::LookUnasked(number) => {
                if let Some(at) = chosen(number, self.waiting.len()) {
                    self.look(at);
                }
            }
            Event::GiveUp(number) => {
                if let Some(at) = chosen(number, self.waiting.len()) {
                    drop(self.waiting.remove(at));
                }
            }
            Event::GiveBack(number) => {
                if let Some(at) = chosen(number, self.held.len()) {
                    drop(self.held.swap_remove(at));
                }
            }
        }
        self.check()
    }

    /// Lets one look; its age, if it has a place now.
    fn look(&mut self, at: usize) -> Option<usize> {
        let place = self.waiting[at].look()?;
        self.held.push(place);
        Some(self.waiting.remove(at).age)
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let (taken, queued) = self.places.figures();
        prop_assert_eq!(taken, self.held.len() as u64);
        prop_assert!(taken <= self.most);
        let woken = self.waiting.iter().filter(|one| one.is_woken()).count();
        prop_assert_eq!(queued, self.waiting.len() - woken, "whoever is not woken stands in the queue");
        let free = self.most - taken;
        prop_assert!(queued == 0 || free <= woken as u64, "{} free, and {} sleep", free, queued);
        Ok(())
    }
}

fn chosen(number: usize, of: usize) -> Option<usize> {
    number.checked_rem(of)
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Take),
        Just(Event::LineUp),
        Just(Event::LineUp),
        any::<usize>().prop_map(Event::Look),
        any::<usize>().prop_map(Event::LookUnasked),
        any::<usize>().prop_map(Event::GiveUp),
        any::<usize>().prop_map(Event::GiveBack),
        any::<usize>().prop_map(Event::GiveBack),
    ]
}

proptest! {
    /// No more are in than may be, and nobody sleeps before a place that nobody was woken for.
    #[test]
    fn no_place_is_given_twice_and_none_stays_free_while_somebody_sleeps(
        events in proptest::collection::vec(event(), 0..200), most in 1_u64..4, queue_max in 0_usize..6,
    ) {
        let mut world = World::new(most, queue_max);
        for event in events {
            world.step(event)?;
        }
        // Whatever has happened: when all give back and all who are woken look, nobody is left.
        while !world.held.is_empty() || !world.waiting.is_empty() {
            let before = (world.held.len(), world.waiting.len());
            world.held.pop();
            world.check()?;
            while let Some(at) = world.waiting.iter().position(Waiting::is_woken) {
                world.look(at);
                world.check()?;
            }
            prop_assert!((world.held.len(), world.waiting.len()) != before, "they wait for ever");
        }
        prop_assert_eq!(world.places.figures(), (0, 0));
    }

    /// Where nobody comes between, those who wait go in in their order, whoever gives up and in whatever order they look.
    #[test]
    fn those_who_wait_longest_are_woken_first(
        ends in proptest::collection::vec((any::<bool>(), any::<usize>(), any::<usize>()), 0..60), most in 1_u64..4,
        count in 0_usize..20,
    ) {
        let mut world = World::new(most, count);
        for _ in 0..most {
            world.step(Event::Take)?;
        }
        for _ in 0..count {
            world.step(Event::LineUp)?;
        }
        for (gives_back, who, next) in ends {
            world.step(if gives_back { Event::GiveBack(who) } else { Event::GiveUp(who) })?;
            let woken: Vec<usize> = world.waiting.iter().filter(|one| one.is_woken()).map(|one| one.age).collect();
            let oldest: Vec<usize> = world.waiting.iter().take(woken.len()).map(|one| one.age).collect();
            prop_assert_eq!(woken, oldest);
            if next % 2 == 0 {
                world.step(Event::Look(next))?;
            }
        }
    }
}
