//! An answer for a client of the images endpoint, whole.
//!
//! Must not know where the events come from. Words beside the images have no place here.

use crate::base::usage::Usage;
use crate::translate::ir::Event;
use crate::translate::{Closing, Overflow, View};
use crate::wire::json::Writer;

/// Gathers an answer.
#[derive(Debug)]
pub struct WholeWriter {
    view: View,
    /// In base64, as it is spelt.
    images: Vec<String>,
    kept: usize,
    usage: Usage,
}

impl WholeWriter {
    /// A writer for this client.
    pub fn new(view: View) -> Self {
        Self { view, images: Vec::new(), kept: 0, usage: Usage::default() }
    }

    /// Keeps what an event says.
    ///
    /// # Errors
    /// When the images are larger than [`View::kept_bytes_max`].
    pub fn event(&mut self, event: &Event<'_>) -> Result<(), Overflow> {
        match event {
            Event::Image { media_type: _, base64 } => {
                self.kept = self.kept.saturating_add(base64.spelt().len());
                if self.kept > self.view.kept_bytes_max {
                    return Err(Overflow);
                }
                self.images.push(base64.spelt().to_owned());
            }
            Event::Usage { usage, service_tier: _ } => self.usage = *usage,
            Event::Start { .. }
            | Event::Text(_)
            | Event::Refusal(_)
            | Event::Thought(_)
            | Event::Sealed(_)
            | Event::CallStart { .. }
            | Event::CallArguments { .. }
            | Event::PartEnd
            | Event::Citation(_)
            | Event::Logprobs(_)
            | Event::Finish { .. }
            | Event::Fault(_) => {}
        }
        Ok(())
    }

    /// The whole body. What it cost is told in a header.
    pub fn close(self, _: &Closing<'_>) -> Vec<u8> {
        let Self { view, images, kept, usage } = self;
        let (prompt, completion) = (usage.prompt_total(), usage.completion_total());
        let pictures = usage.input_image.saturating_add(usage.cache_read_image);
        let mut out = Writer::with_capacity(kept + 512);
        out.object(|out| {
            out.name("created").number(view.created_s);
            out.name("data").array(|out| {
                for image in images {
                    out.object(|out| out.name("b64_json").raw(&["\"", &*image, "\""].concat()));
                }
            });
            out.name("usage").object(|out| {
                out.name("total_tokens").number(prompt.saturating_add(completion));
                out.name("input_tokens").number(prompt);
                out.name("output_tokens").number(completion);
                out.name("input_tokens_details").object(|out| {
                    out.name("text_tokens").number(prompt.saturating_sub(pictures));
                    out.name("image_tokens").number(pictures);
                });
            });
        });
        out.into_bytes()
    }
}
