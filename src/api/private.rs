//! `/metrics`, `/healthz`, `/readyz`: for the operator, on a listener of its own.
//!
//! Must not say anything that may not be said to everyone on the machine: no key, no account.

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;

use super::status;
use crate::base::time::Clock;
use crate::exchange::snapshot::Snapshot;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::request_log::RequestLog;
use crate::store::Store;

/// The private service.
#[derive(Debug)]
pub struct Private {
    metrics: Arc<Metrics>,
    store: Arc<Store>,
    log: RequestLog,
    clock: Arc<dyn Clock>,
    health: Arc<Health>,
    snapshot: Arc<ArcSwap<Snapshot>>,
}

impl Private {
    /// Serves these.
    pub fn new(
        (metrics, store, log): (Arc<Metrics>, Arc<Store>, RequestLog),
        clock: Arc<dyn Clock>,
        health: Arc<Health>,
        snapshot: Arc<ArcSwap<Snapshot>>,
    ) -> Self {
        Self { metrics, store, log, clock, health, snapshot }
    }

    fn metrics(&self) -> Vec<u8> {
        self.metrics.observe_store(&self.store.health());
        self.metrics.observe_log(self.log.queued(), self.log.dropped());
        self.observe_health();
        self.metrics.render()
    }

    fn observe_health(&self) {
        let snapshot = self.snapshot.load();
        let status = status::view(&self.health, &snapshot, self.clock.now(), self.clock.unix_ms());
        self.metrics.forget_states();
        for provider in &status.providers {
            self.metrics.observe_provider(&provider.id, provider.state, &self.health.provider(&provider.id));
            for access in &provider.accesses {
                self.metrics.observe_access(&provider.id, &access.name, access.state);
            }
            for model in &provider.models {
                self.metrics.observe_breaker(&provider.id, &model.id, model.state, model.trips);
            }
        }
        self.metrics.observe_budget(&self.health.budget, &snapshot.config.health);
    }

    fn readiness(&self) -> (StatusCode, String) {
        let health = self.store.health();
        let mut faults = Vec::new();
        if self.metrics.is_draining() {
            faults.push("draining".to_owned());
        }
        if self.store.keys_are_stale(self.clock.now()) {
            faults.push("keys cannot be read".to_owned());
        }
        if let Some(error) = health.last_error {
            faults.push(format!("the ledger cannot be written: {error}"));
        }
        if faults.is_empty() {
            (StatusCode::OK, "ready\n".to_owned())
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", faults.join("; ")))
        }
    }
}

#[async_trait]
impl ServeHttp for Private {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";
        const TEXT: &str = "text/plain; charset=utf-8";
        let request = session.req_header();
        let is_read = matches!(request.method.as_str(), "GET" | "HEAD");
        let (status, content_type, body) = match request.uri.path() {
            "/metrics" | "/healthz" | "/readyz" if !is_read => {
                (StatusCode::METHOD_NOT_ALLOWED, TEXT, b"use GET\n".to_vec())
            }
            "/metrics" => (StatusCode::OK, EXPOSITION, self.metrics()),
            "/healthz" => (StatusCode::OK, TEXT, b"ok\n".to_vec()),
            "/readyz" => {
                let (status, text) = self.readiness();
                (status, TEXT, text.into_bytes())
            }
            _ => (StatusCode::NOT_FOUND, TEXT, b"here are /metrics, /healthz and /readyz\n".to_vec()),
        };
        let length = HeaderValue::from(body.len());
        let mut response = Response::new(body);
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        response.headers_mut().insert(CONTENT_LENGTH, length);
        response
    }
}
