//! The lines of a request's price: what was counted, at which rate, and what that makes.
//!
//! Must not price anything in another way than its parent: the lines sum up to what the account pays.

use crate::base::money::PicoUsd;
use crate::base::usage::Usage;
use crate::catalog::LaneRates;
use crate::catalog::price::{Circumstances, PriceCard};

/// One kind of what was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// What was counted.
    pub kind: &'static str,
    /// How much of it.
    pub quantity: u64,
    /// What one of it costs; `None` where it is not paid by the piece.
    pub rate: Option<PicoUsd>,
    /// What all of it costs, not rounded.
    pub amount: PicoUsd,
}

/// A price by its lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bill {
    /// The lines, those of nothing left out.
    pub lines: Vec<Line>,
    /// Their sum, not rounded.
    pub sum: PicoUsd,
}

impl Bill {
    fn add(&mut self, kind: &'static str, quantity: u64, rate: PicoUsd) {
        if quantity > 0 {
            self.push(Line { kind, quantity, rate: Some(rate), amount: rate.times(quantity) });
        }
    }

    fn push(&mut self, line: Line) {
        self.sum = self.sum.plus(line.amount);
        self.lines.push(line);
    }
}

/// The lines of what the account pays.
pub fn bill(lane: Option<&LaneRates>, card: &PriceCard, usage: &Usage, circumstances: &Circumstances<'_>) -> Bill {
    let mut bill = Bill::default();
    match lane {
        Some(rates) => add_lane(&mut bill, rates, usage),
        None => add_model(&mut bill, card, usage, circumstances),
    }
    let Circumstances { images, audio_ms, characters, .. } = *circumstances;
    let pictures = images.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
    let nothing = Circumstances { images: &[], audio_ms: 0, characters: 0, ..*circumstances };
    for (kind, quantity, only) in [
        ("images", pictures, Circumstances { images, ..nothing }),
        ("audio_ms", audio_ms, Circumstances { audio_ms, ..nothing }),
        ("characters", characters, Circumstances { characters, ..nothing }),
    ] {
        let amount = card.pieces(&only);
        if amount > PicoUsd::ZERO {
            bill.push(Line { kind, quantity, rate: None, amount });
        }
    }
    bill
}

fn add_lane(bill: &mut Bill, rates: &LaneRates, usage: &Usage) {
    let fresh = usage.input.saturating_add(usage.input_image).saturating_add(usage.input_audio);
    bill.add("input_tokens", fresh, rates.input);
    bill.add("cached_tokens", usage.cache_read.saturating_add(usage.cache_read_image), rates.cache_read);
    bill.add("cache_write_tokens", usage.cache_write.total(), rates.cache_write);
    bill.add("output_tokens", usage.completion_total(), rates.output);
}

fn add_model(bill: &mut Bill, card: &PriceCard, usage: &Usage, circumstances: &Circumstances<'_>) {
    let rates = card.rates(usage.prompt_total(), circumstances.at, circumstances.service_tier);
    for (kind, quantity, rate) in rates.lines(usage) {
        bill.add(kind, quantity, rate);
    }
    let pieces = card.pieces(circumstances);
    let whole = card.cost(usage, circumstances);
    let uplift = whole.0.saturating_sub(pieces.0).saturating_sub(bill.sum.0);
    if uplift > 0 {
        bill.push(Line { kind: "regional_uplift", quantity: 1, rate: None, amount: PicoUsd(uplift) });
    }
}
