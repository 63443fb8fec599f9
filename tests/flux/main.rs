//! The integration suite: a real `flux serve` process between raw clients and strict mock providers.
//!
//! Must not know Flux's own types: what is tested here is what a client, a provider and an operator can see.
//! Lessons from the field carry their number in the test's name (`t13_…`).

#[cfg(test)]
mod answers;
#[cfg(test)]
mod gemini;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod http;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod provider;
#[cfg(test)]
mod speakers;
#[cfg(test)]
mod sse;
#[cfg(test)]
mod strict;
#[cfg(test)]
mod voices;

#[cfg(test)]
mod accounts;
#[cfg(test)]
mod api;
#[cfg(test)]
mod auto;
#[cfg(test)]
mod books;
#[cfg(test)]
mod burden;
#[cfg(test)]
mod chains;
#[cfg(test)]
mod config;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod contents;
#[cfg(test)]
mod conversations;
#[cfg(test)]
mod counting;
#[cfg(test)]
mod crossing;
#[cfg(test)]
mod durability;
#[cfg(test)]
mod edits;
mod endpoints;
#[cfg(test)]
mod failover;
#[cfg(test)]
mod farm;
#[cfg(test)]
mod feedback;
#[cfg(test)]
mod framing;
#[cfg(test)]
mod h2;
#[cfg(test)]
mod health;
#[cfg(test)]
mod hedge;
#[cfg(test)]
mod import;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod leaving;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod money;
#[cfg(test)]
mod names;
#[cfg(test)]
mod passthrough;
mod pings;
#[cfg(test)]
mod prefer;
#[cfg(test)]
mod private;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod route;
#[cfg(test)]
mod soak;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod takeover;
#[cfg(test)]
mod tariffs;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod translate;
#[cfg(test)]
mod trouble;
#[cfg(test)]
mod turns;
#[cfg(test)]
mod upgrade;
