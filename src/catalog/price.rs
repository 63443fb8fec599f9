//! Price cards: what a model costs at a given time, tier and region.
//!
//! Must not know where prices are written down nor what a lane charges. Every fallback (a rate that
//! is not listed, a tier that lists only a few) is settled when a card is built, so that pricing a
//! request is a look-up and a sum.

#![deny(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::float_arithmetic)]

use crate::base::money::PicoUsd;
use crate::base::time::UnixMs;
use crate::base::usage::{CacheWrite, Usage};

/// A factor of one, in thousandths.
pub const UPLIFT_NONE_MILLI: u32 = 1_000;
const MINUTES_PER_DAY: u64 = 24 * 60;
const MS_PER_MINUTE: u64 = 60_000;
const SEARCHES_PER_PRICE: u128 = 1_000;
const MS_PER_HOUR: u128 = 3_600_000;

/// Rates as they are listed: pico-USD per token, `None` where the list says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListedRates {
    /// Prompt tokens outside the cache.
    pub input: Option<PicoUsd>,
    /// Completion tokens.
    pub output: Option<PicoUsd>,
    /// Prompt tokens read from the cache.
    pub cache_read: Option<PicoUsd>,
    /// Writes kept for five minutes.
    pub cache_write_m5: Option<PicoUsd>,
    /// Writes kept for thirty minutes.
    pub cache_write_m30: Option<PicoUsd>,
    /// Writes kept for an hour.
    pub cache_write_h1: Option<PicoUsd>,
    /// Writes kept for twelve hours.
    pub cache_write_h12: Option<PicoUsd>,
    /// Image tokens of the prompt.
    pub input_image: Option<PicoUsd>,
    /// Image tokens read from the cache.
    pub cache_read_image: Option<PicoUsd>,
    /// Image tokens produced.
    pub output_image: Option<PicoUsd>,
    /// Audio tokens of the prompt.
    pub input_audio: Option<PicoUsd>,
    /// Audio tokens produced.
    pub output_audio: Option<PicoUsd>,
}

impl ListedRates {
    /// These rates, and the other's where these say nothing.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self {
            input: self.input.or(other.input),
            output: self.output.or(other.output),
            cache_read: self.cache_read.or(other.cache_read),
            cache_write_m5: self.cache_write_m5.or(other.cache_write_m5),
            cache_write_m30: self.cache_write_m30.or(other.cache_write_m30),
            cache_write_h1: self.cache_write_h1.or(other.cache_write_h1),
            cache_write_h12: self.cache_write_h12.or(other.cache_write_h12),
            input_image: self.input_image.or(other.input_image),
            cache_read_image: self.cache_read_image.or(other.cache_read_image),
            output_image: self.output_image.or(other.output_image),
            input_audio: self.input_audio.or(other.input_audio),
            output_audio: self.output_audio.or(other.output_audio),
        }
    }

    /// Every kind with a rate. A cache kind that is not listed costs what input costs, an image or
    /// audio kind what its text kind costs; plain output without a rate costs the dearest that is
    /// listed, since nothing may be billed at zero by omission.
    fn resolved(&self) -> Rates {
        let dearest = [self.input, self.output_image, self.output_audio].into_iter().flatten().max();
        let output = self.output.or(dearest).unwrap_or_default();
        let input = self.input.unwrap_or_default();
        let cache_read = self.cache_read.unwrap_or(input);
        let shortest = self.cache_write_m5.or(self.cache_write_m30).unwrap_or(input);
        let longest = self.cache_write_h12.or(self.cache_write_h1).unwrap_or(shortest);
        Rates {
            input,
            output,
            cache_read,
            cache_write_m5: self.cache_write_m5.unwrap_or(shortest),
            cache_write_m30: self.cache_write_m30.unwrap_or(shortest),
            cache_write_h1: self.cache_write_h1.unwrap_or(longest),
            cache_write_h12: self.cache_write_h12.unwrap_or(longest),
            input_image: self.input_image.unwrap_or(input),
            cache_read_image: self.cache_read_image.or(self.cache_read).or(self.input_image).unwrap_or(input),
            output_image: self.output_image.unwrap_or(output),
            input_audio: self.input_audio.unwrap_or(input),
            output_audio: self.output_audio.unwrap_or(output),
        }
    }
}

/// Rates for every kind of token, pico-USD per token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Prompt tokens outside the cache.
    pub input: PicoUsd,
    /// Completion tokens.
    pub output: PicoUsd,
    /// Prompt tokens read from the cache.
    pub cache_read: PicoUsd,
    /// Writes kept for five minutes.
    pub cache_write_m5: PicoUsd,
    /// Writes kept for thirty minutes.
    pub cache_write_m30: PicoUsd,
    /// Writes kept for an hour.
    pub cache_write_h1: PicoUsd,
    /// Writes kept for twelve hours.
    pub cache_write_h12: PicoUsd,
    /// Image tokens of the prompt.
    pub input_image: PicoUsd,
    /// Image tokens read from the cache.
    pub cache_read_image: PicoUsd,
    /// Image tokens produced.
    pub output_image: PicoUsd,
    /// Audio tokens of the prompt.
    pub input_audio: PicoUsd,
    /// Audio tokens produced.
    pub output_audio: PicoUsd,
}

impl Rates {
    /// Every kind of token: its name in bills, how many there are, what one costs.
    pub fn lines(&self, usage: &Usage) -> [(&'static str, u64, PicoUsd); 12] {
        let Usage {
            input,
            cache_read,
            cache_write: CacheWrite { m5, m30, h1, h12 },
            output,
            reasoning: _,
            input_image,
            cache_read_image,
            output_image,
            input_audio,
            output_audio,
        } = *usage;
        [
            ("input_tokens", input, self.input),
            ("cached_tokens", cache_read, self.cache_read),
            ("cache_write_5m_tokens", m5, self.cache_write_m5),
            ("cache_write_30m_tokens", m30, self.cache_write_m30),
            ("cache_write_1h_tokens", h1, self.cache_write_h1),
            ("cache_write_12h_tokens", h12, self.cache_write_h12),
            ("output_tokens", output, self.output),
            ("input_image_tokens", input_image, self.input_image),
            ("cached_image_tokens", cache_read_image, self.cache_read_image),
            ("output_image_tokens", output_image, self.output_image),
            ("input_audio_tokens", input_audio, self.input_audio),
            ("output_audio_tokens", output_audio, self.output_audio),
        ]
    }

    fn cost(&self, usage: &Usage) -> PicoUsd {
        self.lines(usage).into_iter().fold(PicoUsd::ZERO, |sum, (_, count, rate)| sum.plus(rate.times(count)))
    }
}

/// Listed rates and the dearer ones above prompt lengths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedLadder {
    /// Up to the first threshold.
    pub rates: ListedRates,
    /// `(prompt_tokens_over, rates)`: the whole request costs these when its prompt is longer.
    pub tiers: Vec<(u64, ListedRates)>,
}

/// A dated change of a price. Parts that are `None` or missing stay as they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// From when on.
    pub from: UnixMs,
    /// New base rates; the former tiers end with the former rates.
    pub standard: Option<ListedLadder>,
    /// New prices of the tiers named.
    pub service_tiers: Vec<(String, ListedLadder)>,
}

/// The half-open stretch `[from_minute, to_minute)` of a day of the week, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// 1 is Monday, 7 is Sunday.
    pub iso_weekday: u8,
    /// First minute of the day that is inside.
    pub from_minute: u16,
    /// First minute that is outside again; 1440 is midnight.
    pub to_minute: u16,
}

impl Window {
    fn holds(self, at: UnixMs) -> bool {
        // 1970-01-01 was a Thursday, the fourth day.
        let minutes = at.0 / MS_PER_MINUTE;
        let weekday = (minutes / MINUTES_PER_DAY).saturating_add(3) % 7;
        let minute = minutes % MINUTES_PER_DAY;
        weekday.saturating_add(1) == u64::from(self.iso_weekday)
            && u64::from(self.from_minute) <= minute
            && minute < u64::from(self.to_minute)
    }
}

/// All that is known of a model's price, as listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceList {
    /// The price from the beginning of time.
    pub standard: ListedLadder,
    /// Prices of the provider's service tiers (`priority`, `batch`, …).
    pub service_tiers: Vec<(String, ListedLadder)>,
    /// Dated changes, in any order.
    pub changes: Vec<Change>,
    /// Cheaper base rates and when they hold; empty windows for none.
    pub off_peak: Option<(ListedRates, Vec<Window>)>,
    /// Factors in thousandths on token rates, by region or profile.
    pub regional_uplift_milli: Vec<(String, u32)>,
    /// Prices of one image by `quality@size`, and `default`. Used only without an image token rate.
    pub per_image: Vec<(String, PicoUsd)>,
    /// Price of a thousand calls of the built-in web search.
    pub web_search_per_1k: Option<PicoUsd>,
    /// Price of an hour of sound that is listened to.
    pub per_audio_hour: Option<PicoUsd>,
    /// Price of one character that is read aloud.
    pub per_character: Option<PicoUsd>,
}

/// What decides the price besides the tokens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Circumstances<'a> {
    /// When the request was received.
    pub at: UnixMs,
    /// The tier that the provider says it served, empty for none.
    pub service_tier: &'a str,
    /// The regional host or profile that served, empty for none.
    pub region: &'a str,
    /// Images produced, by `quality@size` (or any word, then the default price counts).
    pub images: &'a [(&'a str, u64)],
    /// Calls of the provider's built-in web search.
    pub web_searches: u64,
    /// Sound that was listened to, in milliseconds.
    pub audio_ms: u64,
    /// Characters that were read aloud.
    pub characters: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Ladder {
    rates: Rates,
    /// Ascending.
    tiers: Vec<(u64, Rates)>,
}

impl Ladder {
    fn new(listed: &ListedLadder, fallback: &ListedRates) -> Self {
        let mut tiers: Vec<_> = listed.tiers.iter().map(|(over, rates)| (*over, rates.resolved())).collect();
        tiers.sort_by_key(|(over, _)| *over);
        Self { rates: listed.rates.or(fallback).resolved(), tiers }
    }

    fn above(&self, prompt_tokens: u64) -> Option<&Rates> {
        self.tiers.iter().rev().find(|(over, _)| prompt_tokens > *over).map(|(_, rates)| rates)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Period {
    from: UnixMs,
    standard: Ladder,
    service_tiers: Vec<(Box<str>, Ladder)>,
}

/// The price of a model, ready to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceCard {
    /// Ascending by `from`; the first begins at zero.
    periods: Vec<Period>,
    off_peak: Option<(Rates, Vec<Window>)>,
    regional_uplift_milli: Vec<(Box<str>, u32)>,
    /// Empty where images are paid by token.
    per_image: Vec<(Box<str>, PicoUsd)>,
    per_image_default: PicoUsd,
    web_search_per_1k: PicoUsd,
    /// Zero where sound is paid by token.
    per_audio_hour: PicoUsd,
    per_character: PicoUsd,
}

impl PriceCard {
    /// Settles all fallbacks of a list.
    pub fn new(list: &PriceList) -> Self {
        let mut standard = list.standard.clone();
        let mut service_tiers = list.service_tiers.clone();
        let mut changes: Vec<&Change> = list.changes.iter().collect();
        changes.sort_by_key(|change| change.from);
        let mut periods = vec![period(UnixMs(0), &standard, &service_tiers)];
        for change in changes {
            if let Some(ladder) = &change.standard {
                standard = ladder.clone();
            }
            for (name, ladder) in &change.service_tiers {
                service_tiers.retain(|(old, _)| old != name);
                service_tiers.push((name.clone(), ladder.clone()));
            }
            periods.push(period(change.from, &standard, &service_tiers));
        }
        let has_image_tokens = list.standard.rates.output_image.is_some();
        let per_image: &[(String, PicoUsd)] = if has_image_tokens { &[] } else { &list.per_image };
        let stated = per_image.iter().find(|(name, _)| name == "default").map(|(_, price)| *price);
        let dearest = per_image.iter().map(|(_, price)| *price).max();
        Self {
            periods,
            off_peak: list.off_peak.as_ref().map(|(rates, windows)| (rates.resolved(), windows.clone())),
            regional_uplift_milli: boxed(&list.regional_uplift_milli),
            per_image: boxed(per_image),
            per_image_default: stated.or(dearest).unwrap_or_default(),
            web_search_per_1k: list.web_search_per_1k.unwrap_or_default(),
            per_audio_hour: list.per_audio_hour.unwrap_or_default(),
            per_character: list.per_character.unwrap_or_default(),
        }
    }

    /// Whether images are paid by the piece and not by token.
    pub fn has_image_pieces(&self) -> bool {
        !self.per_image.is_empty()
    }

    /// Whether sound is paid by its length and not by token.
    pub fn has_audio_time(&self) -> bool {
        self.per_audio_hour > PicoUsd::ZERO
    }

    /// What a piece is asked for where it is not paid by token: of an image the default, of sound an hour, of
    /// texts read aloud a million characters. `None` where tokens are paid.
    pub fn piece(&self) -> Option<(&'static str, PicoUsd)> {
        const CHARACTERS: u64 = 1_000_000;
        if self.has_image_pieces() {
            Some(("image", self.per_image_default))
        } else if self.has_audio_time() {
            Some(("hour", self.per_audio_hour))
        } else if self.per_character > PicoUsd::ZERO {
            Some(("1M characters", self.per_character.times(CHARACTERS)))
        } else {
            None
        }
    }

    /// A card on which everything is free.
    pub fn free() -> Self {
        Self::new(&PriceList::default())
    }

    /// What a request costs, not yet rounded.
    pub fn cost(&self, usage: &Usage, circumstances: &Circumstances<'_>) -> PicoUsd {
        let Circumstances { at, service_tier, region, web_searches, .. } = *circumstances;
        let tokens = self.rates(usage.prompt_total(), at, service_tier).cost(usage);
        let searches = PicoUsd(self.web_search_per_1k.times(web_searches).0.div_ceil(SEARCHES_PER_PRICE));
        self.uplifted(tokens, region).plus(self.pieces(circumstances)).plus(searches)
    }

    /// The part of [`Self::cost`] that is not counted in tokens: images, sound, characters.
    pub fn pieces(&self, circumstances: &Circumstances<'_>) -> PicoUsd {
        let Circumstances { images, audio_ms, characters, .. } = *circumstances;
        let images = images.iter().fold(PicoUsd::ZERO, |sum, (name, count)| sum.plus(self.image(name).times(*count)));
        let sound = PicoUsd(self.per_audio_hour.times(audio_ms).0.div_ceil(MS_PER_HOUR));
        images.plus(sound).plus(self.per_character.times(characters))
    }

    /// The rates that hold for a prompt of this length, at this time, on this service tier.
    pub fn rates(&self, prompt_tokens: u64, at: UnixMs, service_tier: &str) -> Rates {
        let Some(period) = self.periods.iter().rev().find(|period| period.from <= at) else {
            return Rates::default();
        };
        if let Some(ladder) = period.service_tier(service_tier) {
            return *ladder.above(prompt_tokens).unwrap_or(&ladder.rates);
        }
        if let Some(rates) = period.standard.above(prompt_tokens) {
            return *rates;
        }
        match &self.off_peak {
            Some((rates, windows)) if windows.iter().any(|window| window.holds(at)) => *rates,
            _ => period.standard.rates,
        }
    }

    /// What a token of the prompt and one of the answer cost at an address of this region.
    pub fn token_prices(&self, prompt_tokens: u64, at: UnixMs, region: &str) -> (PicoUsd, PicoUsd) {
        let Rates { input, output, .. } = self.rates(prompt_tokens, at, "");
        (self.uplifted(input, region), self.uplifted(output, region))
    }

    /// By `quality@size`, else by the one that is said, or listed, alone.
    fn image(&self, name: &str) -> PicoUsd {
        if self.per_image.is_empty() {
            return PicoUsd::ZERO;
        }
        let (quality, size) = name.split_once('@').unwrap_or((name, ""));
        let listed = [name, quality, size]
            .into_iter()
            .find_map(|wanted| self.per_image.iter().find(|(known, _)| **known == *wanted).map(|(_, price)| *price));
        listed.unwrap_or(self.per_image_default)
    }

    fn uplifted(&self, tokens: PicoUsd, region: &str) -> PicoUsd {
        let listed = self.regional_uplift_milli.iter().find(|(known, _)| **known == *region);
        listed.map_or(tokens, |(_, milli)| {
            PicoUsd(tokens.times(u64::from(*milli)).0.div_ceil(u128::from(UPLIFT_NONE_MILLI)))
        })
    }
}

impl Period {
    /// `fast` is another word for `priority`; `default`, `standard` and words that are not listed
    /// are the standard tier.
    fn service_tier(&self, name: &str) -> Option<&Ladder> {
        let name = if name == "fast" { "priority" } else { name };
        self.service_tiers.iter().find(|(known, _)| **known == *name).map(|(_, ladder)| ladder)
    }
}

fn period(from: UnixMs, standard: &ListedLadder, service_tiers: &[(String, ListedLadder)]) -> Period {
    let service_tiers = service_tiers
        .iter()
        .map(|(name, ladder)| (name.as_str().into(), Ladder::new(ladder, &standard.rates)))
        .collect();
    Period { from, standard: Ladder::new(standard, &ListedRates::default()), service_tiers }
}

fn boxed<T: Copy>(named: &[(String, T)]) -> Vec<(Box<str>, T)> {
    named.iter().map(|(name, value)| (name.as_str().into(), *value)).collect()
}
