//! What lies where in the data folder.
//!
//! Must not know what the files hold.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::StoreError;

const SEALING_KEY_BYTES: usize = 32;

/// The data folder.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Names a folder; touches nothing.
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Makes what is missing, for the owner's eyes only.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn create(&self) -> Result<(), StoreError> {
        let path = self.journal();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|source| StoreError::Folder { path, source })
    }

    /// The database.
    pub(super) fn database(&self) -> PathBuf {
        self.root.join("flux.db")
    }

    /// The folder of the journals.
    pub(super) fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// Refuses a folder without a database, so that a mistyped one is not filled with a new one.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn expect_database(&self) -> Result<(), StoreError> {
        let path = self.database();
        if path.is_file() { Ok(()) } else { Err(StoreError::NoDatabase { path }) }
    }

    /// The key under which answers carry what only their model may get back. Made once, random, for the owner's eyes
    /// only; as long as it stays, conversations outlive a restart.
    ///
    /// # Errors
    /// When it cannot be read or written, or is not of its length.
    pub(super) fn sealing_key(&self) -> Result<[u8; SEALING_KEY_BYTES], StoreError> {
        let path = self.root.join("sealing.key");
        let failed = |source| StoreError::Folder { path: path.clone(), source };
        match std::fs::read(&path) {
            Ok(bytes) => <[u8; SEALING_KEY_BYTES]>::try_from(bytes).map_err(|_| failed(ErrorKind::InvalidData.into())),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let mut key = [0; SEALING_KEY_BYTES];
                getrandom::fill(&mut key).map_err(|_| StoreError::NoRandomness)?;
                let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
                file.and_then(|mut file| file.write_all(&key)).map_err(failed)?;
                Ok(key)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// The file that the process has locked that accepts.
    pub(super) fn lock(&self) -> PathBuf {
        self.root.join("flux.lock")
    }
}
