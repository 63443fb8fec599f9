//! The next attempt of a request: what the exchange chooses, waited for, and where it is.
//!
//! Must not choose. Waits only as long as the exchange says.

use pingora::http::RequestHeader;
use pingora::proxy::Session;
use pingora::time::timeout;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use super::{Ctx, Flux, lost_session, reply, upstream};
use crate::catalog::Target;
use crate::catalog::provider::Access;
use crate::exchange::Exchange;
use crate::exchange::attempts::Next;
use crate::exchange::retry::Failure;
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

impl Flux {
    /// Begins the next attempt.
    pub(super) async fn begin_attempt(&self, session: &mut Session, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
        let link = ctx.link.clone().ok_or_else(lost_session)?;
        let made = |made_before: Option<u8>| made_before.unwrap_or_default();
        let made_before = made(link.with_exchange(|exchange| exchange.attempts_made()));
        let now = self.clock.now();
        let mut next = link.with_exchange(|exchange| exchange.next_attempt(now)).unwrap_or(Next::Nothing);
        if matches!(next, Next::Beside) {
            Box::pin(self.await_hedge(&mut session.downstream_session, &link)).await?;
            let now = self.clock.now();
            next = link.with_exchange(|exchange| exchange.next_attempt(now)).unwrap_or(Next::Nothing);
        }
        if let Next::Wait(turn, wait) = next {
            let place = timeout(wait, turn).await.ok();
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
            tokio::time::sleep(delay).await;
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
        link.start_attempt(body, now, timeouts, &self.hedger);
        if follows {
            self.note_failover(ctx, &target);
        }
        ctx.target = Some(target.clone());
        let endpoint = access(&target, place)?.endpoints.get(format).ok_or_else(lost_session)?;
        let peer = upstream::peer(&self.resolver, endpoint, timeouts, time_left).await;
        peer.map_err(|mut error| {
            self.after_failure(ctx, Failure::Connect, &mut error);
            error
        })
    }
}
