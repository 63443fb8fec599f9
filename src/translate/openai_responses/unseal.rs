//! Where a client of Responses carries seals: `encrypted_content` of reasoning items.
//!
//! Must not know what is in them. The service takes no reasoning item without its own encrypted content, nor one
//! with an id that is not its own: ours goes where the content is opened.

use crate::translate::ir::BlobKind;
use crate::translate::unseal::{Edits, Fate, Found};
use crate::wire::head::Head;
use crate::wire::leap::Malformed;

/// Opens or cuts out all seals.
///
/// # Errors
/// When the text cannot be followed.
pub(in crate::translate) fn unseal(edits: &mut Edits<'_>, head: &Head) -> Result<(), Malformed> {
    let Some(input) = head.input.as_ref().filter(|input| edits.opens_with(input, b'[')) else { return Ok(()) };
    edits.sieve(input, &mut |edits, item| {
        let [kind, content] = edits.members(&item.value, ["type", "encrypted_content"])?;
        let content = content.filter(|_| edits.says(kind.as_ref(), "reasoning"));
        match (edits.look_for(BlobKind::ResponsesEncrypted, content.as_ref()), content) {
            (Found::Foreign, _) => return Ok(Fate::Goes),
            (Found::Own(blob), Some(content)) => {
                edits.put_text(&content, &blob.token);
                edits.sieve(&item.value, &mut |_, member| {
                    Ok(if member.name == b"id" { Fate::Goes } else { Fate::Stays })
                })?;
            }
            (Found::Own(_) | Found::Bare, _) => {}
        }
        Ok(Fate::Stays)
    })?;
    Ok(())
}
