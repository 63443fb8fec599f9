//! The attempt beside another: connected, asked and read here, since Pingora drives one upstream a request.
//!
//! Must not decide who wins: the exchange is told of head and chunks, and says whose content came first. As long as it
//! runs it is driven by the request's own task, so that it ends with the request; the winner's answer is read to its end
//! here as well.

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::client::HttpSession;
use pingora::proxy::{ProxyHttp, Session};
use pingora::time::timeout;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use super::dialer::Dialer;
use super::link::Link;
use super::trouble::Trouble;
use super::{Ctx, Flux, attempt, held, lost_session, reply, upstream};
use crate::catalog::provider::Endpoint;
use crate::config::Timeouts;
use crate::exchange::Exchange;
use crate::exchange::answer::{Flow, Stop};
use crate::exchange::retry::Failure;

/// One while it runs; ends when it has won or come to nothing.
pub(super) type Running = Pin<Box<dyn Future<Output = Option<Box<Won>>> + Send>>;

/// What such attempts share.
pub(crate) struct Hedger {
    dialer: Arc<Dialer>,
    trouble: Arc<Trouble>,
}

/// An attempt whose content came first.
pub(super) struct Won {
    upstream: HttpSession,
    peer: Box<HttpPeer>,
    keepalive: Duration,
    /// For the client.
    head: Box<ResponseHeader>,
    /// What the exchange lets out first, or why it does not go on.
    first: std::result::Result<Bytes, Stop>,
    is_end: bool,
}

/// Why an attempt came to nothing.
enum Lost {
    Failed(Failure),
    /// By no fault of the provider.
    Nobody,
}

impl From<Stop> for Lost {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Failed(failure) => Self::Failed(failure),
            // What the client did wrong the other attempt will say too.
            Stop::Refused(_) | Stop::Unsettled => Self::Nobody,
        }
    }
}

/// What is asked of whom.
struct Question {
    provider: Arc<str>,
    endpoint: Endpoint,
    head: RequestHeader,
    body: Bytes,
    timeouts: Timeouts,
    time_left: Duration,
}

impl Hedger {
    pub(super) fn new(dialer: Arc<Dialer>, trouble: Arc<Trouble>) -> Self {
        Self { dialer, trouble }
    }

    /// Begins an attempt beside the current one, if the exchange has one to make.
    pub(super) fn begin(self: Arc<Self>, link: &Arc<Link>, client: &RequestHeader) -> Option<Running> {
        let now = link.now();
        let question = link.with_exchange(|exchange| {
            if !exchange.begin_hedge(now) {
                return None;
            }
            let time_left = exchange.deadline().saturating_duration_since(now);
            let (asked, _) = exchange.beside(|exchange| question(exchange, client, time_left))?;
            if asked.is_err() {
                exchange.end_hedge(None, now);
            }
            asked.ok()
        });
        let (question, link) = (question.flatten()?, Arc::downgrade(link));
        Some(Box::pin(async move { self.run(question, &link).await }))
    }

    async fn run(&self, question: Question, link: &Weak<Link>) -> Option<Box<Won>> {
        let failure = match self.ask(&question, link).await {
            Ok(won) => return Some(Box::new(won)),
            Err(Lost::Failed(failure)) => Some(failure),
            Err(Lost::Nobody) => None,
        };
        if let Some(failure) = failure {
            self.trouble.count(&question.provider, failure);
            self.trouble.warn_of_key(&question.provider, failure);
        }
        let link = link.upgrade()?;
        let now = link.now();
        link.with_exchange(|exchange| exchange.end_hedge(failure, now));
        None
    }

    async fn ask(&self, question: &Question, link: &Weak<Link>) -> std::result::Result<Won, Lost> {
        let Question { endpoint, timeouts, time_left, .. } = question;
        let failed = Lost::Failed;
        let peer = upstream::peer(&self.dialer.resolver, endpoint, timeouts, *time_left).await;
        let peer = peer.map_err(|_| failed(Failure::Connect))?;
        let upstream = timeout(timeouts.first_byte, self.send(&peer, question)).await;
        let upstream = upstream.map_err(|_| failed(Failure::FirstByteTimeout))?.map_err(failed)?;
        let won = timeout(timeouts.first_token, first_content(upstream, peer, timeouts, link)).await;
        won.map_err(|_| failed(Failure::FirstTokenTimeout))?
    }

    /// Sends the request and reads the head. A connection that was kept and has gone stale is replaced once.
    async fn send(&self, peer: &HttpPeer, question: &Question) -> std::result::Result<HttpSession, Failure> {
        let mut is_first = true;
        loop {
            let connected = self.dialer.connector.get_http_session(peer).await;
            let connected = connected.inspect_err(|_| _ = self.dialer.resolver.pass_over(peer));
            let (mut session, was_kept) = connected.map_err(|_| Failure::Connect)?;
            match exchange_heads(&mut session, question).await {
                Ok(()) => return Ok(session),
                Err(_) if was_kept && is_first => is_first = false,
                Err(_) => return Err(Failure::Broken),
            }
        }
    }
}

/// Reads an answer until the exchange has content of it.
async fn first_content(
    mut upstream: HttpSession,
    peer: Box<HttpPeer>,
    timeouts: &Timeouts,
    link: &Weak<Link>,
) -> std::result::Result<Won, Lost> {
    let failed = Lost::Failed;
    let head = upstream.response_header().cloned().ok_or(failed(Failure::Broken))?;
    // Compressed although that was not asked for: only Pingora's own way has a decoder.
    if head.headers.contains_key(CONTENT_ENCODING) {
        return Err(Lost::Nobody);
    }
    beside(link, |exchange, link| exchange.on_head(link.provider_head(&head), link.now()))??;
    // Now, since it tells by the answer's state whether a stream begins.
    let head = beside(link, |exchange, _| reply::answer_head(&head, exchange))?.map_err(|_| Lost::Nobody)?;
    loop {
        let chunk = timeout(timeouts.idle, upstream.read_response_body()).await;
        let chunk = chunk.map_err(|_| failed(Failure::IdleTimeout))?.map_err(|_| failed(Failure::Broken))?;
        let is_end = chunk.is_none();
        let link = link.upgrade().ok_or(Lost::Nobody)?;
        let now = link.now();
        let taken = link.with_keep_beside(|exchange, keep| {
            exchange.beside(|exchange| exchange.on_chunk(chunk.unwrap_or_default(), is_end, now, keep))
        });
        let (flow, has_won) = taken.flatten().ok_or(Lost::Nobody)?;
        let first = match (flow, has_won) {
            (Ok(Flow::Send(first)), true) => Ok(first),
            (Ok(Flow::Hold), true) => Ok(Bytes::new()),
            (Err(stop), true) => Err(stop),
            (Ok(_), false) if is_end => return Err(failed(Failure::CutStream)),
            (Ok(_), false) => continue,
            (Err(stop), false) => return Err(stop.into()),
        };
        let (head, keepalive) = (Box::new(head), timeouts.upstream_keepalive);
        return Ok(Won { upstream, peer, keepalive, head, first, is_end });
    }
}

/// What the attempt beside the current one asks, where the exchange stands at it.
fn question(exchange: &Exchange, client: &RequestHeader, time_left: Duration) -> Result<Question> {
    let target = exchange.target().ok_or_else(lost_session)?;
    let access = attempt::access(target, exchange.access_place())?;
    let endpoint = access.endpoints.get(exchange.upstream_format()).ok_or_else(lost_session)?.clone();
    let body = exchange.outgoing_body();
    let head = attempt::head(exchange, client, body.len())?;
    let (provider, timeouts) = (Arc::clone(&target.provider.id), exchange.snapshot().config.timeouts.clone());
    Ok(Question { provider, endpoint, head, body, timeouts, time_left })
}

async fn exchange_heads(session: &mut HttpSession, question: &Question) -> Result<()> {
    session.write_request_header(Box::new(question.head.clone())).await?;
    session.write_request_body(question.body.clone(), true).await?;
    session.finish_request_body().await?;
    loop {
        session.read_response_header().await?;
        if !session.response_header().is_some_and(|head| head.status.is_informational()) {
            return Ok(());
        }
    }
}

/// A step of the exchange for the attempt beside the current one, unless that is over.
fn beside<T>(link: &Weak<Link>, step: impl FnOnce(&mut Exchange, &Link) -> T) -> std::result::Result<T, Lost> {
    let link = link.upgrade().ok_or(Lost::Nobody)?;
    let done = link.with_exchange(|exchange| exchange.beside(|exchange| step(exchange, &link)));
    done.flatten().map(|(done, _)| done).ok_or(Lost::Nobody)
}

/// Waits until the attempt beside the current one has won; for ever where it does not.
pub(super) async fn won(link: &Link) {
    if !poll_fn(|context| link.poll_hedge(context)).await {
        pending::<()>().await;
    }
}

/// The error with which the overtaken attempt ends, and which brings the request to [`Flux::go_on`].
#[expect(clippy::unnecessary_box_returns, reason = "Pingora's phases return boxed errors")]
pub(super) fn overtaken() -> Box<Error> {
    Error::explain(ErrorType::Custom("Overtaken"), "another attempt had content first")
}

impl Flux {
    /// Reads the answer of the attempt that has won to its end, through the same filters as any other.
    pub(super) async fn go_on(&self, session: &mut Session, ctx: &mut Ctx, won: Box<Won>) -> Result<()> {
        let Won { mut upstream, peer, keepalive, head, first, is_end } = *won;
        let link = ctx.link.clone().ok_or_else(lost_session)?;
        ctx.target = link.with_exchange(|exchange| exchange.target().cloned()).flatten();
        link.note_head();
        let first = first.map_err(|stop| held::stop_error(&link, stop))?;
        let downstream = &mut session.downstream_session;
        downstream.response_duplex_vec(vec![HttpTask::Header(head, false)]).await?;
        downstream.response_duplex_vec(vec![HttpTask::Body(Some(first), is_end)]).await?;
        let mut is_over = is_end;
        while !is_over {
            let read = tokio::select! {
                biased;
                read = upstream.read_response_body() => read,
                idle = session.downstream_session.read_body_or_idle(true) => {
                    idle?;
                    return Err(attempt::client_left());
                }
            };
            let task = match read {
                Ok(chunk) => {
                    is_over = chunk.is_none();
                    let mut body = chunk;
                    self.response_body_filter(session, &mut body, is_over, ctx)?;
                    HttpTask::Body(body, is_over)
                }
                Err(error) => {
                    is_over = true;
                    HttpTask::Failed(error)
                }
            };
            session.downstream_session.response_duplex_vec(vec![task]).await?;
        }
        self.hedger.dialer.connector.release_http_session(upstream, &*peer, Some(keepalive)).await;
        Ok(())
    }
}
