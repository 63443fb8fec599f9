//! How long look-ups are waited for, how often they run, and what is believed of what they found.

use std::sync::{Condvar, Mutex};

use tokio::task::JoinSet;

use super::*;
use crate::base::time::{TestClock, UnixMs};

const WITHIN: Duration = Duration::from_secs(20);
const SHORTLY: Duration = Duration::from_millis(20);
const PORT: u16 = 443;

/// What the resolver of a test says to every question. It hangs while it has nothing to say.
#[derive(Default)]
struct Says {
    // Guards an answer that threads wait for.
    answer: Mutex<Option<Vec<SocketAddr>>>,
    changed: Condvar,
    asked: Mutex<usize>,
}

impl Says {
    fn answer(&self) -> Addresses {
        *self.asked.lock().unwrap() += 1;
        let mut answer = self.answer.lock().unwrap();
        while answer.is_none() {
            answer = self.changed.wait(answer).unwrap();
        }
        answer.iter().flatten().copied().collect()
    }
}

/// A resolver and its world. Lets go of those that hang at the end, since the runtime waits for its threads.
struct World {
    says: Arc<Says>,
    clock: Arc<TestClock>,
    resolver: Resolver,
}

impl World {
    fn saying(hosts: &[u8]) -> Self {
        let world = Self::hanging();
        world.say(hosts);
        world
    }

    fn hanging() -> Self {
        let (says, clock) = (Arc::new(Says::default()), Arc::new(TestClock::new(UnixMs(0))));
        let asked = Arc::clone(&says);
        let resolver = Resolver::asking(Arc::new(move |_, _| Ok(asked.answer())), Arc::clone(&clock) as Arc<dyn Clock>);
        Self { says, clock, resolver }
    }

    fn say(&self, hosts: &[u8]) {
        *self.says.answer.lock().unwrap() = Some(hosts.iter().map(|host| address(*host)).collect());
        self.says.changed.notify_all();
    }

    fn hang(&self) {
        *self.says.answer.lock().unwrap() = None;
    }

    fn asked(&self) -> usize {
        *self.says.asked.lock().unwrap()
    }

    async fn resolve(&self, within: Duration) -> Result<SocketAddr, ErrorType> {
        let resolved = self.resolver.resolve((&"a.test".into(), PORT), within).await;
        resolved.map(|(address, _)| address).map_err(|error| error.etype().clone())
    }

    /// The look-up that runs has ended.
    async fn settled(&self) {
        let host = self.resolver.hosts.get(&("a.test".into(), PORT)).unwrap();
        host.subscribe().wait_for(|known| known.asked.is_none()).await.unwrap();
    }

    fn fails(&self, host: u8) -> bool {
        self.resolver.pass_over(&HttpPeer::new(address(host), true, "a.test".to_owned()))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.say(&[]);
    }
}

fn address(host: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], PORT))
}

#[tokio::test]
async fn a_look_up_is_waited_for_so_long_and_is_one_however_many_wait() {
    let world = World::hanging();
    for _ in 0..3 {
        assert_eq!(world.resolve(SHORTLY).await, Err(ErrorType::ConnectTimedout));
    }
    let mut waiting = JoinSet::new();
    for _ in 0..20 {
        let resolver = world.resolver.clone();
        waiting
            .spawn(async move { resolver.resolve((&"a.test".into(), PORT), WITHIN).await.map(|found| found.0).ok() });
    }
    tokio::task::yield_now().await;
    world.say(&[1]);
    assert_eq!(waiting.join_all().await, [Some(address(1)); 20]);
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn an_address_is_believed_for_a_while_and_used_on_where_no_other_is_found() {
    let world = World::saying(&[1]);
    assert_eq!(world.resolve(WITHIN).await, Ok(address(1)));
    assert_eq!((world.resolve(WITHIN).await, world.asked()), (Ok(address(1)), 1));
    world.clock.advance(FRESH);
    world.say(&[]);
    assert_eq!((world.resolve(WITHIN).await, world.asked()), (Ok(address(1)), 2));
    // A resolver that is ill is not asked for every request.
    assert_eq!((world.resolve(WITHIN).await, world.asked()), (Ok(address(1)), 2));
    world.clock.advance(FRESH_AFTER_FAILURE);
    world.hang();
    assert_eq!(world.resolve(WITHIN).await, Ok(address(1)));
    world.clock.advance(WAIT_BESIDE_STALE);
    assert_eq!((world.resolve(WITHIN).await, world.asked()), (Ok(address(1)), 3));
    world.say(&[2]);
    world.settled().await;
    assert_eq!((world.resolve(WITHIN).await, world.asked()), (Ok(address(2)), 3));
}

#[tokio::test]
async fn a_look_up_that_never_ends_is_begun_anew_some_time() {
    let world = World::hanging();
    for looked_up in [1, 1, 2] {
        assert_eq!(world.resolve(SHORTLY).await, Err(ErrorType::ConnectTimedout));
        assert_eq!(world.asked(), looked_up);
        world.clock.advance(LOOK_UP_MAX / 2);
    }
}

#[tokio::test]
async fn a_name_without_an_address_is_asked_for_again() {
    let world = World::saying(&[]);
    assert_eq!(world.resolve(WITHIN).await, Err(ErrorType::ConnectNoRoute));
    world.say(&[1]);
    assert_eq!(world.resolve(WITHIN).await, Ok(address(1)));
}

#[tokio::test]
async fn an_address_that_fails_gives_way_to_another_and_stays_behind_it() {
    let world = World::saying(&[1, 2, 3]);
    assert!(!world.fails(1), "a name that nobody has asked for");
    assert_eq!(world.resolve(WITHIN).await, Ok(address(1)));
    assert!(world.fails(1));
    // Whoever comes with the same finding later changes nothing.
    assert!(world.fails(1));
    assert_eq!(world.resolve(WITHIN).await, Ok(address(2)));
    world.clock.advance(FRESH);
    assert_eq!((world.resolve(WITHIN).await, world.asked()), (Ok(address(2)), 2));
    world.clock.advance(FRESH);
    world.say(&[4]);
    assert_eq!(world.resolve(WITHIN).await, Ok(address(4)));
    assert!(!world.fails(4), "there is no other");
}

#[tokio::test]
async fn so_many_look_ups_run_at_once() {
    let world = World::hanging();
    let mut last = None;
    for i in 0..=LOOK_UPS_AT_ONCE_MAX {
        let name = format!("{i}.test").into();
        let resolved = world.resolver.resolve((&name, PORT), SHORTLY).await;
        last = resolved.err().map(|error| error.etype().clone());
    }
    assert_eq!(last, Some(ErrorType::ConnectNoRoute));
}
