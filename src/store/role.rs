//! Whether this process is the one that accepts: one of those that work on a data folder, and the one that does what must
//! be done once.
//!
//! Must not know what that is.

use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::StoreError;
use super::folder::Folder;
use super::places;

/// The role of this process. By default it has none and can get none.
#[derive(Debug, Default)]
pub(super) struct Role {
    path: PathBuf,
    // Guards the lock, which is taken and given up once in a process's life.
    lock: Mutex<Option<File>>,
    is_ours: AtomicBool,
    /// Given up for good: another process has it.
    is_over: AtomicBool,
}

impl Role {
    /// Of a data folder; not taken yet.
    pub(super) fn of(folder: &Folder) -> Self {
        Self { path: folder.lock(), ..Self::default() }
    }

    /// Takes the role, for as long as the process lives or until it is given up; false while another process has it.
    ///
    /// # Errors
    /// When the lock cannot be made.
    pub(super) fn try_take(&self) -> Result<bool, StoreError> {
        let mut held = self.held();
        if held.is_some() || self.is_over.load(Ordering::Acquire) {
            return Ok(true);
        }
        let path = &self.path;
        let failed = |source| StoreError::Folder { path: path.clone(), source };
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
        let is_ours = places::try_lock(&file).map_err(failed)?;
        if is_ours {
            *held = Some(file);
            self.is_ours.store(true, Ordering::Release);
        }
        Ok(is_ours)
    }

    /// Whether this process has it.
    pub(super) fn is_ours(&self) -> bool {
        self.is_ours.load(Ordering::Acquire)
    }

    /// Gives it up for good.
    pub(super) fn give_up(&self) {
        self.is_over.store(true, Ordering::Release);
        self.is_ours.store(false, Ordering::Release);
        *self.held() = None;
    }

    fn held(&self) -> MutexGuard<'_, Option<File>> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
