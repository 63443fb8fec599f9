//! The limit: Pingora with nothing in it. It forwards every request to one upstream and looks at no body.
//!
//! Must not know anything else; whatever is added here makes Flux look better than it is.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use async_trait::async_trait;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;

/// Above the connections that any work opens.
const POOL_SIZE: usize = 8_192;

struct Bare {
    upstream: SocketAddr,
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> pingora::Result<Box<HttpPeer>> {
        let without_tls = false;
        Ok(Box::new(HttpPeer::new(self.upstream, without_tls, String::new())))
    }
}

pub(crate) fn run(port: &str, upstream: &str) -> anyhow::Result<()> {
    let local = |port: &str| port.parse().map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let (listen, upstream) = (local(port).context("PORT")?, local(upstream).context("UPSTREAM_PORT")?);
    let conf = ServerConf {
        threads: 1,
        upstream_keepalive_pool_size: POOL_SIZE,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Bare { upstream });
    service.add_tcp(&listen.to_string());
    server.add_service(service);
    server.run_forever()
}
