//! Whose certificates providers may show: the machine's authorities, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
//!
//! Must not know providers. Pingora reads the same once for all of them; here it is only found out before, in words.

use anyhow::{Result, anyhow};
use pingora::tls::{RootCertStore, load_platform_certs_incl_env_into_store};

/// Reads them and warns where there are none.
///
/// # Errors
/// When they cannot be read, which Pingora would end the process for without saying what to do.
pub(super) fn check() -> Result<()> {
    let mut found = RootCertStore::empty();
    load_platform_certs_incl_env_into_store(&mut found).map_err(|error| {
        anyhow!("the authorities for TLS cannot be read (see SSL_CERT_FILE, SSL_CERT_DIR): {error}")
    })?;
    if found.is_empty() {
        log::warn!(
            "no authority's certificate was found, so no provider can be reached over TLS: install ca-certificates, or \
             name a PEM file in SSL_CERT_FILE"
        );
    }
    Ok(())
}
