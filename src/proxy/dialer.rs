//! Connections beside those that Pingora's proxy makes: of probes and of second attempts.
//!
//! Must not know what is asked on them. There is one for all: each holds every authority's certificate, megabytes of them.

use std::sync::Arc;

use pingora::connectors::http::Connector;

use super::resolver::Resolver;
use crate::base::time::Clock;

/// Finds and connects.
pub(crate) struct Dialer {
    pub(super) resolver: Resolver,
    pub(super) connector: Connector,
}

impl Dialer {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { resolver: Resolver::new(clock), connector: Connector::new(None) })
    }
}
