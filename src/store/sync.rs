//! The thread that hands the disk what the kernel has, and that tells when the journal has no room.
//!
//! Must not be waited for by a request.

use std::time::Duration;

use super::journal::Journal;
use super::progress::Progress;

/// How the log is told that new requests are turned away.
const NO_ROOM: &str = "the journal has no room for new charges, so new requests are refused";
/// How failures are called in the log.
const SYNCING: &str = "the disk does not take the journal";

/// Works until the store stops.
pub(super) fn run(journal: &Journal, progress: &Progress, every: Duration) {
    let mut was_roomy = true;
    loop {
        let is_stopping = progress.pause(every);
        match journal.probe().and_then(|()| journal.sync()) {
            Ok(()) => progress.went_well(SYNCING),
            Err(error) => progress.failed(&progress.counters.sync_failures, SYNCING, &error),
        }
        let is_roomy = journal.has_room();
        if was_roomy && !is_roomy {
            log::error!(bytes = journal.bytes(); "{NO_ROOM}");
        } else if is_roomy && !was_roomy {
            log::info!("the journal has room again");
        }
        was_roomy = is_roomy;
        if is_stopping {
            return;
        }
    }
}
