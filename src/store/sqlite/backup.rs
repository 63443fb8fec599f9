//! A copy of the database while others write to it.
//!
//! Must not know the journal: what is not booked yet is added by the caller.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::{Database, DatabaseError, MAIN};

/// Pages copied at once.
const STEP_PAGES: i32 = 1_024;
/// Wait when the file is locked for a moment, and how often in a row.
const LOCKED_WAIT: (Duration, u32) = (Duration::from_millis(20), 250);

impl Database {
    /// Copies the database into the file `to`, as it is seen by the snapshot that the caller holds: without one, each
    /// booking would begin the copy anew. `tell` hears how many pages of how many are done.
    ///
    /// # Errors
    /// When something cannot be read or written.
    pub(in crate::store) fn copy_into(&self, to: &Path, tell: &mut dyn FnMut(u64, u64)) -> Result<Self, DatabaseError> {
        let mut connection = Connection::open(to)?;
        let copying = Backup::new(&self.connection, &mut connection)?;
        let mut locked = 0;
        loop {
            let step = copying.step(STEP_PAGES)?;
            let done = copying.progress();
            let pages = |count: i32| u64::try_from(count).unwrap_or(0);
            tell(pages(done.pagecount - done.remaining), pages(done.pagecount));
            match step {
                StepResult::Done => break,
                StepResult::Busy | StepResult::Locked if locked == LOCKED_WAIT.1 => {
                    return Err(DatabaseError::StillLocked);
                }
                StepResult::Busy | StepResult::Locked => {
                    locked += 1;
                    std::thread::sleep(LOCKED_WAIT.0);
                }
                StepResult::More | _ => locked = 0,
            }
        }
        drop(copying);
        // One file, whole without a second one beside it; the next server makes it a WAL database again.
        connection.pragma_update_and_check(MAIN, "journal_mode", "DELETE", |_| Ok(()))?;
        connection.pragma_update(MAIN, "synchronous", "FULL")?;
        Ok(Self { connection })
    }
}
