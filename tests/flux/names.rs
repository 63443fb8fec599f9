//! Names that never resolve, and names with several addresses: who answers then, and what a client hears until then.
//!
//! Must not know how names are looked up, only that it is the C library that is asked: a library in front of it answers
//! as the test says, in this one process.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::answers::{Answer, chat_stream, chat_usage};
use super::harness::{Setup, ask_chat_stream, wait_for};
use super::pings::{COMMENT, PING, WORDS};
use super::provider::Provider;
use super::sse;

/// What ends so is looked up for ever. `localhost` is at two addresses, at the first of which nobody is.
const HANGS: &str = "hangs.invalid";

const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

typedef int LookUp(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **found) {
    LookUp *look_up = (LookUp *)dlsym(RTLD_NEXT, "getaddrinfo");
    if (host && strstr(host, "hangs.invalid"))
        for (;;)
            pause();
    if (host && strcmp(host, "localhost") == 0) {
        int failed = look_up("127.0.0.2", port, hints, found);
        return failed ? failed : look_up("127.0.0.1", port, hints, &(*found)->ai_next);
    }
    return look_up(host, port, hints, found);
}
"#;

/// The library in front, for as long as the test runs.
pub(super) struct Names(TempDir);

impl Names {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let source = dir.path().join("names.c");
        std::fs::write(&source, LIBRARY).expect("a source");
        let names = Self(dir);
        let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([names.library(), source]).status();
        assert!(made.expect("a C compiler").success());
        names
    }

    fn library(&self) -> PathBuf {
        self.0.path().join("names.so")
    }

    /// Has Flux ask it.
    pub(super) fn asked_by(&self, setup: Setup) -> Setup {
        setup.env("LD_PRELOAD", &self.library().to_string_lossy())
    }
}

/// Where a provider is whose name is looked up for ever.
pub(super) fn hanging_url(name: &str) -> String {
    format!("https://{name}.{HANGS}/v1")
}

#[test]
fn a_stream_hears_of_us_while_a_name_is_looked_up_and_the_next_target_goes_on_in_it() {
    let (names, groq) = (Names::new(), Provider::groq());
    let setup = Setup::with(&[&groq]).provider("cerebras", &hanging_url("cerebras"));
    let flux = names.asked_by(setup).env(PING.0, PING.1).start();
    groq.next(Answer::sse(&chat_stream(&WORDS, &chat_usage(10, 5))));
    let mut client = flux.connect();
    client.write(&flux.chat_request(ask_chat_stream("flux-pinned-gpt-oss-120b").to_string().as_bytes()));
    assert_eq!(client.head(), 200);
    assert!(client.read_until(&COMMENT.repeat(2)));
    assert_eq!(groq.count(), 0);
    let reply = client.rest();
    assert!(reply.is_complete);
    assert_eq!(sse::chat_text(&reply.body), WORDS.concat());
    let row = flux.only_row();
    assert_eq!((row.text("provider"), row.number("attempts")), ("groq", 2));
}

#[test]
fn a_client_that_leaves_while_a_name_is_looked_up_is_noticed() {
    let (names, groq) = (Names::new(), Provider::groq());
    let setup = Setup::with(&[&groq]).provider("cerebras", &hanging_url("cerebras"));
    let flux = names.asked_by(setup).env("FLUX_TIMEOUTS__CONNECT_MS", "600000").start();
    let mut client = flux.connect();
    client.write(&flux.chat_request(ask_chat_stream("flux-pinned-gpt-oss-120b").to_string().as_bytes()));
    let in_flight = || flux.metric("flux_requests_in_flight", &[]);
    wait_for("a running request", || in_flight() > 0.5);
    drop(client);
    wait_for("no running request", || in_flight() < 0.5);
    assert_eq!((flux.only_row().text("ending"), groq.count()), ("left", 0));
}
