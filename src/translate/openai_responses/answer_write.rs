//! Writers of answers: as a stream, or whole.
//!
//! Must not know more than whom the frames are for: what an answer is made of is put together in one place.

use crate::translate::ir::Event;
use crate::translate::{Closing, Overflow, View};
use crate::wire::json::Writer;

use super::compose::Composer;
use super::frames::Mode;

/// Writes an answer as a stream of named events.
#[derive(Debug)]
pub struct StreamWriter(Composer);

impl StreamWriter {
    /// A writer at the beginning of an answer.
    pub fn new(view: View) -> Self {
        Self(Composer::new(view, Mode::Stream))
    }

    /// Appends the frames that tell of an event.
    ///
    /// # Errors
    /// When the answer is longer than may be kept. What came so far may still be closed with [`Self::fail`].
    pub fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) -> Result<(), Overflow> {
        self.0.event(event, out)
    }

    /// Appends everything after the last event.
    ///
    /// # Errors
    /// When the answer is longer than may be kept.
    pub fn close(&mut self, closing: &Closing<'_>, out: &mut Vec<u8>) -> Result<(), Overflow> {
        self.0.close(closing, out)
    }

    /// Appends the end of a stream that failed: `response.failed` with the items that are done, or `error` where
    /// nothing has been written yet. After [`Self::close`] nothing.
    pub fn fail(&mut self, code: &str, message: &str, out: &mut Vec<u8>) {
        self.0.fail(code, message, out);
    }
}

/// Writes a whole answer.
#[derive(Debug)]
pub struct WholeWriter {
    composer: Composer,
    /// Stays empty: there are no frames.
    frames: Vec<u8>,
}

impl WholeWriter {
    /// A writer at the beginning of an answer.
    pub fn new(view: View) -> Self {
        Self { composer: Composer::new(view, Mode::Whole), frames: Vec::new() }
    }

    /// Takes an event.
    ///
    /// # Errors
    /// When the answer is longer than may be kept.
    pub fn event(&mut self, event: &Event<'_>) -> Result<(), Overflow> {
        self.composer.event(event, &mut self.frames)
    }

    /// The body. What it cost stands in a header.
    pub fn close(self, closing: &Closing<'_>) -> Vec<u8> {
        let Self { mut composer, mut frames } = self;
        let Closing { cost_usd: _ } = closing;
        // The end adds at most an empty object or the words of a refusal, which may go beyond the bound by that.
        let _ = composer.close(&Closing::default(), &mut frames);
        let mut writer = Writer::default();
        composer.write_response(&mut writer);
        writer.into_bytes()
    }
}
