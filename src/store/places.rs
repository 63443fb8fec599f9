//! Which journals a data folder has, and which process has which.
//!
//! Must not read a record. A process appends to a journal of its own, so that two can work while one hands over to the
//! next; the kernel tells by a lock whether the process of a journal lives.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use super::StoreError;
use super::folder::Folder;

/// Processes that can work on a data folder at once: one accepts, the others end what is open.
const PROCESSES_MAX: u32 = 8;

/// One journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Its number; the ledger keeps a position for each.
    pub(super) number: u32,
    /// The folder of its segments.
    pub(super) dir: PathBuf,
}

impl Place {
    fn of(folder: &Folder, number: u32) -> Self {
        let root = folder.journal();
        // The first lies where the only one of earlier builds does.
        let dir = if number == 0 { root } else { root.join(number.to_string()) };
        Self { number, dir }
    }

    /// Takes the journal for as long as the file is held; `None` while another process has it.
    ///
    /// # Errors
    /// When the lock cannot be made.
    pub(super) fn try_lock(&self) -> Result<Option<File>, StoreError> {
        let path = self.dir.join("lock");
        let locked = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|file| try_lock(&file).map(|is_ours| is_ours.then_some(file)));
        locked.map_err(|source| StoreError::Folder { path, source })
    }
}

/// Whether a file's lock is ours now.
pub(super) fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The journals that are there.
///
/// # Errors
/// When the folder cannot be looked at.
pub(super) fn present(folder: &Folder) -> Result<Vec<Place>, StoreError> {
    let mut found = Vec::new();
    for place in (0..PROCESSES_MAX).map(|number| Place::of(folder, number)) {
        match std::fs::metadata(&place.dir) {
            Ok(_) => found.push(place),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => return Err(StoreError::Folder { path: place.dir, source }),
        }
    }
    Ok(found)
}

/// Takes the first journal that no process has.
///
/// # Errors
/// When all are taken, or a folder cannot be made.
pub(super) fn claim(folder: &Folder) -> Result<(Place, File), StoreError> {
    for place in (0..PROCESSES_MAX).map(|number| Place::of(folder, number)) {
        let failed = |source| StoreError::Folder { path: place.dir.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&place.dir).map_err(failed)?;
        if let Some(lock) = place.try_lock()? {
            return Ok((place, lock));
        }
    }
    Err(StoreError::TooManyProcesses { processes_max: PROCESSES_MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_has_the_first_journal_that_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path());
        let (first, lock) = claim(&folder).unwrap();
        let (second, _second_lock) = claim(&folder).unwrap();
        assert_eq!((first.number, second.number), (0, 1));
        assert_eq!(first.dir, folder.journal());
        assert_eq!(present(&folder).unwrap(), [first.clone(), second]);
        assert!(first.try_lock().unwrap().is_none());
        drop(lock);
        assert_eq!(claim(&folder).unwrap().0, first);
    }

    #[test]
    fn there_are_only_so_many() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path());
        let taken: Vec<_> = (0..PROCESSES_MAX).map(|_| claim(&folder).unwrap()).collect();
        assert!(matches!(claim(&folder), Err(StoreError::TooManyProcesses { .. })));
        drop(taken);
    }
}
