//! The frames of a stream, and the response object that stands in its first and last ones.
//!
//! Must not know what an answer's items are: they come as JSON.

use memchr::memchr2;

use crate::base::usage::Usage;
use crate::translate::View;
use crate::translate::ir::Text;
use crate::wire::json::Writer;
use crate::wire::leap::Items;

/// What of the request stands in the response object, with what stands there if the client said nothing.
const ECHOED: [(&str, &str); 19] = [
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("previous_response_id", "null"),
    ("prompt_cache_key", "null"),
    ("prompt_cache_retention", "null"),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("safety_identifier", "null"),
    ("service_tier", r#""auto""#),
    ("temperature", "null"),
    ("text", r#"{"format":{"type":"text"}}"#),
    ("tool_choice", r#""auto""#),
    ("tools", "[]"),
    ("top_logprobs", "0"),
    ("top_p", "null"),
    ("truncation", r#""disabled""#),
    ("user", "null"),
];
/// Left out of the echo where the answer says its own.
const TIER: &str = "service_tier";
/// The tiers that the format knows. Any other word is the standard one to its clients.
const TIERS: [&str; 7] = ["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"];

/// Whether frames are written at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// A stream.
    Stream,
    /// One body at the end.
    Whole,
}

/// Numbers and writes frames.
#[derive(Debug)]
pub(super) struct Frames {
    mode: Mode,
    sequence: u64,
}

impl Frames {
    pub(super) fn new(mode: Mode) -> Self {
        Self { mode, sequence: 0 }
    }

    /// Appends an event with the members that `fill` writes. Nothing where no stream is wanted.
    pub(super) fn send(&mut self, name: &str, out: &mut Vec<u8>, fill: impl FnOnce(&mut Writer)) {
        if self.mode == Mode::Whole {
            return;
        }
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\ndata: ");
        let mut writer = Writer::onto(std::mem::take(out));
        writer.object(|w| {
            w.name("type").text(&Text::spelt_as(name));
            w.name("sequence_number").number(self.sequence);
            fill(w);
        });
        *out = writer.into_bytes();
        out.extend_from_slice(b"\n\n");
        self.sequence += 1;
    }
}

/// How far an answer or an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    InProgress,
    Completed,
    Incomplete,
    Failed,
}

impl Status {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
        }
    }

    /// Writes the member `status`.
    pub(super) fn write(self, w: &mut Writer) {
        w.name("status").text(&Text::spelt_as(self.name()));
    }
}

/// What is known of the response object from the start.
#[derive(Debug)]
pub(super) struct Head {
    id: String,
    created_s: u64,
    model: Text<'static>,
    /// Members from the request, but for the tier.
    echo: String,
    /// The tier that was asked for, as JSON.
    tier_asked: String,
}

/// What the response object says beside its head.
#[derive(Debug)]
pub(super) struct Body<'a> {
    pub(super) status: Status,
    /// `max_output_tokens` or `content_filter`, if that is why it is incomplete.
    pub(super) incomplete: Option<&'static str>,
    /// Code and message.
    pub(super) error: Option<(&'a str, &'a str)>,
    pub(super) usage: Option<Usage>,
    pub(super) tier: Option<Text<'static>>,
    pub(super) cost_usd: Option<&'a str>,
}

impl Head {
    pub(super) fn new(view: &View) -> Self {
        let Echo { members, tier } = Echo::of(&view.request);
        Self {
            id: format!("resp_{:032x}", view.id.0),
            created_s: view.created_s,
            model: Text::plain(view.model.to_string()),
            echo: members,
            tier_asked: tier,
        }
    }

    /// Writes the response object; `output` writes the items.
    pub(super) fn write(&self, w: &mut Writer, body: &Body<'_>, output: impl FnOnce(&mut Writer)) {
        let Body { status, incomplete, error, usage, tier, cost_usd } = body;
        w.object(|w| {
            w.name("id").text(&Text::spelt_as(&*self.id));
            w.name("object").raw(r#""response""#);
            w.name("created_at").number(self.created_s);
            status.write(w);
            w.name("background").raw("false");
            match error {
                Some((code, message)) => w.name("error").object(|w| {
                    w.name("code").plain(code);
                    w.name("message").plain(message);
                }),
                None => w.name("error").null(),
            }
            match incomplete {
                Some(reason) => {
                    w.name("incomplete_details").object(|w| w.name("reason").text(&Text::spelt_as(*reason)));
                }
                None => w.name("incomplete_details").null(),
            }
            w.name("model").text(&self.model);
            w.name("output").array(output);
            w.raw(&self.echo);
            match tier {
                Some(tier) if TIERS.contains(&tier.spelt()) => w.name(TIER).text(tier),
                Some(_) => w.name(TIER).raw(r#""default""#),
                None => w.name(TIER).raw(&self.tier_asked),
            }
            w.name("store").raw("false");
            match usage {
                Some(usage) => write_usage(w.name("usage"), usage, *cost_usd),
                None => w.name("usage").null(),
            }
        });
    }
}

/// The members that a request gives to the response object.
struct Echo {
    members: String,
    tier: String,
}

impl Echo {
    /// Reads them from a request that has been read before, so that it is JSON.
    fn of(request: &[u8]) -> Self {
        let mut found: [&str; ECHOED.len()] = ECHOED.map(|(_, default)| default);
        let mut members = Items::open(request, memchr::memchr(b'{', request).unwrap_or(0)).filter(Items::is_object);
        while let Some(Ok(Some(member))) = members.as_mut().map(Items::next_member) {
            let name = request.get(member.name).unwrap_or_default();
            let value = request.get(member.value).and_then(|value| std::str::from_utf8(value).ok());
            let place = ECHOED.iter().position(|(echoed, _)| echoed.as_bytes() == name);
            if let (Some(value), Some(place)) = (value.filter(|value| *value != "null"), place)
                && let Some(slot) = found.get_mut(place)
            {
                *slot = value;
            }
        }
        let mut writer = Writer::with_capacity(found.iter().map(|value| value.len() + 24).sum());
        let mut tier = String::new();
        for ((name, _), value) in ECHOED.iter().zip(found) {
            let value = one_line(value);
            if *name == TIER { tier.push_str(&value) } else { writer.name(name).raw(&value) }
        }
        Self { members: String::from_utf8(writer.into_bytes()).unwrap_or_default(), tier }
    }
}

/// JSON without line ends, which would end a line of the stream. Inside strings there are none.
pub(super) fn one_line(json: &str) -> std::borrow::Cow<'_, str> {
    if memchr2(b'\n', b'\r', json.as_bytes()).is_none() {
        return json.into();
    }
    json.replace(['\n', '\r'], " ").into()
}

/// Usage with totals that contain cache reads and writes, as this format counts.
fn write_usage(w: &mut Writer, usage: &Usage, cost_usd: Option<&str>) {
    let (input, output) = (usage.prompt_total(), usage.completion_total());
    w.object(|w| {
        if let Some(cost) = cost_usd {
            w.name("cost_usd").raw(cost);
            w.name("currency").raw(r#""USD""#);
        }
        w.name("input_tokens").number(input);
        w.name("input_tokens_details").object(|w| {
            w.name("cached_tokens").number(usage.cache_read.saturating_add(usage.cache_read_image));
            w.name("cache_write_tokens").number(usage.cache_write.total());
            if usage.cache_write.h12 > 0 {
                w.name("cache_write_tokens_details").object(|w| {
                    w.name("ttl_12h_tokens").number(usage.cache_write.h12);
                    w.name("ttl_30m_tokens").number(usage.cache_write.m30);
                });
            }
        });
        w.name("output_tokens").number(output);
        w.name("output_tokens_details").object(|w| w.name("reasoning_tokens").number(usage.reasoning));
        w.name("total_tokens").number(input.saturating_add(output));
    });
}
