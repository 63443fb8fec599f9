//! Sealed thoughts on their way through clients of another format.
//!
//! A signature or an encrypted thought must come back to the very model that made it, and a client of another
//! format has only a string field to carry it in. So it travels in an envelope that names its maker, under a
//! key of this deployment and bound to the account: what was not sealed here for this account is not opened.
//! Must not know where a format carries it.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::ir::{Blob, BlobKind, Maker, Text};
use crate::base::ids::AccountId;

/// What every envelope begins with. No provider's token does.
pub const MARK: &str = "flux1.";
/// Stands where a client's format wants a token and the maker gave none. It opens as [`Opened::Foreign`], and holds
/// the mark: a thought without a token must not reach a provider that would look for its own.
pub const NOTHING: &str = MARK;
/// Half of SHA-256: no guess hits 128 bits, and every turn of a conversation repeats these bytes.
const TAG_BYTES: usize = 16;
/// Between the fields. None of them holds it: ids are printable, tokens are spelt as in JSON.
const FIELD_END: char = '\n';

/// The key of a deployment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SealingKey(pub [u8; SealingKey::BYTES]);

impl SealingKey {
    /// Its length.
    pub const BYTES: usize = 32;
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(***)")
    }
}

/// Seals and opens. One account, one deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    key: SealingKey,
    account: AccountId,
}

/// What a token in a client's request turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened<'a> {
    /// Ours: what was sealed.
    Sealed(Blob<'static>),
    /// Not in an envelope: the token of a client's own format, as it is.
    Bare(Text<'a>),
    /// In an envelope that is not ours, or not for this account, or damaged.
    Foreign,
}

impl Envelope {
    /// Seals with this key, for this account.
    pub fn new(key: SealingKey, account: AccountId) -> Self {
        Self { key, account }
    }

    /// The envelope with a token and its maker inside: printable, no escapes in JSON.
    pub fn seal(&self, kind: BlobKind, token: &Text<'_>, maker: &Maker<'_>) -> Text<'static> {
        let fields = [kind.name(), &maker.provider, &maker.model, token.spelt()];
        let content = fields.join(&FIELD_END.to_string());
        let mut sealed = Vec::with_capacity(TAG_BYTES + content.len());
        sealed.extend_from_slice(&self.tag(content.as_bytes()));
        sealed.extend_from_slice(content.as_bytes());
        Text::plain(format!("{MARK}{}", URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// Opens what a client sent back.
    pub fn open<'a>(&self, token: Text<'a>) -> Opened<'a> {
        let Some(encoded) = token.spelt().strip_prefix(MARK) else { return Opened::Bare(token) };
        self.open_sealed(encoded).map_or(Opened::Foreign, Opened::Sealed)
    }

    fn open_sealed(&self, encoded: &str) -> Option<Blob<'static>> {
        let sealed = URL_SAFE_NO_PAD.decode(encoded).ok()?;
        let (tag, content) = sealed.split_at_checked(TAG_BYTES)?;
        self.mac(content).verify_truncated_left(tag).ok()?;
        let mut fields = std::str::from_utf8(content).ok()?.splitn(4, FIELD_END);
        let name = fields.next()?;
        let kind = BlobKind::NAMES.iter().find(|(known, _)| *known == name)?.1;
        let maker = Maker { provider: Cow::Owned(fields.next()?.into()), model: Cow::Owned(fields.next()?.into()) };
        // Authenticated: it is spelt as it was when it was sealed.
        let token = Text::spelt_as(fields.next()?.to_owned());
        Some(Blob { kind, token, maker: Some(maker) })
    }

    fn tag(&self, content: &[u8]) -> [u8; TAG_BYTES] {
        let mut tag = [0; TAG_BYTES];
        let whole = self.mac(content).finalize().into_bytes();
        tag.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
        tag
    }

    fn mac(&self, content: &[u8]) -> Hmac<Sha256> {
        // A key of the hash's own block size needs no preparation and cannot be of a wrong length.
        let mut block = [0; 64];
        block.iter_mut().zip(self.key.0).for_each(|(to, from)| *to = from);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(&self.account.0.to_le_bytes());
        mac.update(content);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maker() -> Maker<'static> {
        Maker { provider: "google".into(), model: "gemini-x".into() }
    }

    #[test]
    fn what_was_sealed_is_opened_by_the_same_account_only() {
        let envelope = Envelope::new(SealingKey([7; 32]), AccountId(1));
        let token = Text::plain("sig\"n\n/+=");
        let sealed = envelope.seal(BlobKind::GeminiSignature, &token, &maker());
        assert!(sealed.spelt().starts_with(MARK) && !sealed.spelt().contains('\\'));
        let blob = Blob { kind: BlobKind::GeminiSignature, token, maker: Some(maker()) };
        assert_eq!(envelope.open(sealed.clone()), Opened::Sealed(blob));
        for other in
            [Envelope::new(SealingKey([7; 32]), AccountId(2)), Envelope::new(SealingKey([8; 32]), AccountId(1))]
        {
            assert_eq!(other.open(sealed.clone()), Opened::Foreign);
        }
    }

    #[test]
    fn what_is_no_envelope_stays_and_what_is_damaged_is_dropped() {
        let envelope = Envelope::new(SealingKey([7; 32]), AccountId(1));
        assert_eq!(envelope.open(Text::plain("EqRs==")), Opened::Bare(Text::plain("EqRs==")));
        let sealed = envelope.seal(BlobKind::AnthropicSignature, &Text::plain("abc"), &maker());
        for damaged in ["flux1.", "flux1.AAAA", "flux1.###", &sealed.spelt()[..sealed.spelt().len() - 2]] {
            assert_eq!(envelope.open(Text::plain(damaged.to_owned())), Opened::Foreign, "{damaged}");
        }
    }
}
