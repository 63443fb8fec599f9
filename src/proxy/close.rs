//! The last phase: the real session back, what is open settled, the facts of the request gathered.
//!
//! Must not report anything: `logging` hands the outcome to metrics and log.

use std::sync::Arc;
use std::time::Duration;

use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;

use super::{Ctx, Flux};
use crate::base::ids::RequestId;
use crate::base::money::NanoUsd;
use crate::base::outcome::{Ending, Outcome};
use crate::base::usage::Usage;
use crate::exchange::{Refused, Routing};

/// Puts the real session in the place of the held one: keep-alive asks it for its connection. Where Pingora would
/// close that, the session stays in the link.
pub(super) fn give_back(session: &mut Session, ctx: &Ctx) {
    let Some(link) = &ctx.link else { return };
    let nobody = Box::new(ServerSession::new_custom(Box::new(())));
    drop(std::mem::replace(&mut session.downstream_session, nobody));
    if link.keeps_connection() {
        return;
    }
    if let Some(real) = link.take_session() {
        session.downstream_session = real;
    }
}

impl Flux {
    /// Settles what is open, and gathers the facts. `status` is what the client saw, 0 for nothing.
    pub(super) async fn close(&self, ctx: &mut Ctx, status: u16) -> Outcome {
        let refused = ctx.refused.take();
        let open = ctx.link.as_ref().and_then(|link| link.take_exchange());
        let Some((mut exchange, keep)) = open else {
            return self.outcome_without_exchange(ctx, refused, status);
        };
        let now = self.clock.now();
        exchange.drop_beside(now);
        let is_refused = refused.is_some();
        if !is_refused && exchange.needs_estimate() {
            // Counting tokens may load a vocabulary and take milliseconds: not on a thread that serves.
            let clock = Arc::clone(&self.clock);
            let settled = tokio::task::spawn_blocking(move || {
                exchange.left(clock.now(), &*keep);
                exchange
            });
            match settled.await {
                Ok(settled) => exchange = settled,
                Err(error) => {
                    log::error!("settling panicked: {error}");
                    return self.outcome_without_exchange(ctx, refused, status);
                }
            }
        } else if !is_refused {
            exchange.left(now, &*keep);
        }
        let detail = refused.map(|refused| detail_of(*refused));
        let mut outcome = exchange.outcome(status, now, detail);
        if !is_refused && outcome.ending == Ending::Refused {
            // Before anybody was asked, so that there was nothing to settle.
            outcome.ending = Ending::Left;
        }
        outcome
    }

    fn outcome_without_exchange(&self, ctx: &Ctx, refused: Option<Box<Refused>>, status: u16) -> Outcome {
        let is_refused = refused.is_some();
        let (routing, detail) = match refused {
            Some(mut refused) => (refused.routing.take(), Some(detail_of(*refused))),
            None => (None, None),
        };
        let routing = routing.unwrap_or_else(Routing::none);
        let latency = ctx.arrived.map_or(Duration::ZERO, |arrived| self.clock.now().saturating_duration_since(arrived));
        Outcome {
            request_id: ctx.caller.map_or(RequestId(0), |caller| caller.id),
            route: ctx.route,
            status,
            ending: if is_refused { Ending::Refused } else { Ending::Done },
            key: ctx.key,
            lane: routing.lane,
            requested: routing.requested,
            model: routing.model,
            provider: routing.provider,
            streamed: false,
            attempts: routing.attempts,
            hedge: None,
            house_cost: NanoUsd::ZERO,
            auto: routing.auto,
            usage: Usage::default(),
            estimated: false,
            amount: NanoUsd::ZERO,
            written_off: NanoUsd::ZERO,
            latency,
            first_byte: None,
            upstream: Duration::ZERO,
            overhead: latency,
            request_bytes: 0,
            detail,
        }
    }
}

fn detail_of(refused: Refused) -> String {
    let refusal = refused.refusal;
    refusal.detail.map_or_else(|| refusal.message.into_owned(), String::from)
}
