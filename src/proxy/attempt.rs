//! The next attempt of a request: what the exchange chooses, waited for, and where it is.
//!
//! Must not choose. Waits only as long as the exchange says, and while the client does.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;
use pingora::time::timeout;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use super::hedge;
use super::link::Link;
use super::{Ctx, Flux, lost_session, reply, upstream};
use crate::catalog::Target;
use crate::catalog::provider::Access;
use crate::exchange::Exchange;
use crate::exchange::attempts::Next;
use crate::exchange::route;

/// The access of a target by its place.
pub(super) fn access(target: &Target, place: usize) -> Result<&Access> {
    target.provider.accesses.get(place).ok_or_else(lost_session)
}

/// The head of what the current attempt of an exchange sends.
///
/// # Errors
/// When there is no such attempt, or its head cannot be written.
pub(super) fn head(exchange: &Exchange, client: &RequestHeader, body_bytes: usize) -> Result<RequestHeader> {
    let target = exchange.target().ok_or_else(lost_session)?;
    let access = access(target, exchange.access_place())?;
    let format = exchange.upstream_format();
    upstream::request_head(&upstream::Outgoing {
        target,
        access,
        endpoint: access.endpoints.get(format).ok_or_else(lost_session)?,
        format,
        is_native: format == exchange.arrival().format,
        is_form: exchange.is_form_sent(),
        client_headers: &client.headers,
        query: std::str::from_utf8(client.raw_path()).ok().and_then(route::forwarded_query),
        is_stream: exchange.is_streamed(),
        purpose: exchange.purpose(),
        body_bytes,
    })
}

/// Waits for something of our own beside the client, which hears meanwhile that we are there where it streams.
///
/// # Errors
/// That the client has left, or that the time of the request is over.
async fn beside_client<T>(downstream: &mut ServerSession, link: &Link, work: impl Future<Output = T>) -> Result<T> {
    let mut work = pin!(work);
    // Mostly it is at hand, and to watch the client costs a timer.
    match poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => Box::pin(watch_client(downstream, link, work)).await,
    }
}

async fn watch_client<T>(
    downstream: &mut ServerSession,
    link: &Link,
    work: Pin<&mut impl Future<Output = T>>,
) -> Result<T> {
    link.start_waiting();
    tokio::select! {
        biased;
        done = work => Ok(done),
        idle = downstream.read_body_or_idle(true) => match idle {
            Ok(_) => Err(client_left()),
            Err(error) => Err(error.into_down()),
        },
    }
}

/// The client has left while it was to be answered.
#[expect(clippy::unnecessary_box_returns, reason = "Pingora's phases return boxed errors")]
pub(super) fn client_left() -> Box<Error> {
    Error::explain(ErrorType::ConnectionClosed, "the client has left").into_down()
}

impl Flux {
    /// Begins the next attempt.
    pub(super) async fn begin_attempt(&self, session: &mut Session, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
        let link = ctx.link.clone().ok_or_else(lost_session)?;
        let made = |made_before: Option<u8>| made_before.unwrap_or_default();
        let made_before = made(link.with_exchange(|exchange| exchange.attempts_made()));
        let downstream = &mut session.downstream_session;
        let now = self.clock.now();
        let mut next = link.with_exchange(|exchange| exchange.next_attempt(now)).unwrap_or(Next::Nothing);
        if matches!(next, Next::Beside) {
            if beside_client(downstream, &link, poll_fn(|context| link.poll_hedge(context))).await? {
                return Err(hedge::overtaken());
            }
            let now = self.clock.now();
            next = link.with_exchange(|exchange| exchange.next_attempt(now)).unwrap_or(Next::Nothing);
        }
        if let Next::Wait(turn, wait) = next {
            let place = beside_client(downstream, &link, timeout(wait, turn)).await?.ok();
            let now = self.clock.now();
            next = link.with_exchange(|exchange| exchange.take_place(place, now)).unwrap_or(Next::Nothing);
        }
        let (target, format, delay) = match next {
            Next::Ask(target, format, delay) => (target, format, delay),
            Next::Refuse(refusal) => return Err(reply::refusal_error(*refusal)),
            Next::Nothing | Next::Wait(..) | Next::Beside => {
                return Err(Error::explain(ErrorType::Custom("PlanUsedUp"), "no attempt is left"));
            }
        };
        if !delay.is_zero() {
            beside_client(downstream, &link, tokio::time::sleep(delay)).await?;
        }
        let now = self.clock.now();
        let begun = link.with_exchange(|exchange| {
            // Not one that only repeats the last on a fresh connection.
            let follows = made_before > 0 && exchange.attempts_made() != made_before;
            let time_left = exchange.deadline().saturating_duration_since(now);
            (exchange.outgoing_body(), exchange.access_place(), follows, time_left, exchange.snapshot().clone())
        });
        let (body, place, follows, time_left, snapshot) = begun.ok_or_else(lost_session)?;
        let timeouts = &snapshot.config.timeouts;
        ctx.body_bytes = body.len();
        if follows {
            self.note_failover(ctx, &target);
        }
        ctx.target = Some(target.clone());
        let endpoint = access(&target, place)?.endpoints.get(format).ok_or_else(lost_session)?;
        let peer = upstream::peer(&self.resolver, endpoint, timeouts, time_left);
        let peer = beside_client(downstream, &link, peer).await?.map_err(|mut error| {
            self.after_connecting(ctx, &mut error);
            error
        })?;
        // The provider has its time from here on, whatever went before.
        link.start_attempt(body, self.clock.now(), timeouts, &self.hedger);
        Ok(peer)
    }
}
