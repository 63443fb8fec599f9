//! Lane rates, rounding, and that more use never costs less.

use proptest::prelude::*;

use super::*;
use crate::base::time::UnixMs;
use crate::base::usage::CacheWrite;
use crate::catalog::price::{Change, ListedLadder, ListedRates, PriceList, Window};

fn rates(input: u128, output: u128) -> ListedRates {
    ListedRates { input: Some(PicoUsd(input)), output: Some(PicoUsd(output)), ..ListedRates::default() }
}

/// A card with every kind of rule on it.
fn card() -> PriceCard {
    let cached = ListedRates { cache_read: Some(PicoUsd(100_000)), ..rates(1_000_000, 5_000_000) };
    PriceCard::new(&PriceList {
        standard: ListedLadder { rates: cached, tiers: vec![(1_000, rates(2_000_000, 10_000_000))] },
        service_tiers: vec![("priority".into(), ListedLadder { rates: rates(3_000_000, 15_000_000), tiers: vec![] })],
        changes: vec![Change {
            from: UnixMs(1_000_000),
            standard: Some(ListedLadder { rates: rates(4_000_000, 20_000_000), tiers: vec![] }),
            service_tiers: vec![],
        }],
        off_peak: Some((rates(500_000, 2_500_000), vec![Window { iso_weekday: 4, from_minute: 0, to_minute: 1 }])),
        regional_uplift_milli: vec![("eu".into(), 1_100)],
        ..PriceList::default()
    })
}

/// One figure for each priced kind of token.
type Figures = [u64; 12];

fn usage([input, cache_read, m5, m30, h1, h12, output, images @ .., input_audio, output_audio]: Figures) -> Usage {
    let [input_image, cache_read_image, output_image] = images;
    Usage {
        input,
        cache_read,
        cache_write: CacheWrite { m5, m30, h1, h12 },
        output,
        reasoning: 0,
        input_image,
        cache_read_image,
        output_image,
        input_audio,
        output_audio,
    }
}

fn figures() -> impl Strategy<Value = Figures> {
    proptest::array::uniform12(0_u64..5_000)
}

proptest! {
    #[test]
    fn cost_is_monotone_in_usage(
        less in figures(), more in figures(), at in 0_u64..2_000_000, tier in "|priority", region in "|eu",
    ) {
        let more = usage(std::array::from_fn(|at| less[at].saturating_add(more[at])));
        let less = usage(less);
        let circumstances =
            Circumstances { at: UnixMs(at), service_tier: &tier, region: &region, ..Circumstances::default() };
        let lane = LaneRates {
            input: PicoUsd(1), output: PicoUsd(4), cache_read: PicoUsd(1), cache_write: PicoUsd(2),
        };
        for lane in [None, Some(&lane)] {
            let small = amounts(lane, &card(), &less, &circumstances);
            let large = amounts(lane, &card(), &more, &circumstances);
            prop_assert!(small.amount <= large.amount);
            prop_assert!(small.provider_cost <= large.provider_cost);
        }
    }
}

#[test]
fn a_lane_charges_its_own_rates() {
    let lane = LaneRates {
        input: PicoUsd(1_000_000),
        output: PicoUsd(4_000_000),
        cache_read: PicoUsd(1_000_000),
        cache_write: PicoUsd(1_000_000),
    };
    let usage = Usage {
        input: 100,
        cache_read: 200,
        cache_write: CacheWrite { m5: 300, ..CacheWrite::default() },
        output: 50,
        ..Usage::default()
    };
    let at_peak = Circumstances { at: UnixMs(100_000), ..Circumstances::default() };
    let Amounts { amount, provider_cost } = amounts(Some(&lane), &card(), &usage, &at_peak);
    assert_eq!(amount, NanoUsd(800_000));
    // 100 input, 300 writes at the input rate, 200 cached at a tenth, 50 output.
    assert_eq!(provider_cost, NanoUsd(670_000));
    assert_eq!(amounts(None, &card(), &usage, &at_peak).amount, provider_cost);
    assert_eq!(amounts(None, &card(), &Usage::default(), &at_peak), Amounts::default());
}

#[test]
fn a_fraction_is_rounded_up_once() {
    let cheap = PriceCard::new(&PriceList {
        standard: ListedLadder { rates: rates(1, 1), tiers: vec![] },
        ..PriceList::default()
    });
    let usage = Usage { input: 1, output: 1, ..Usage::default() };
    assert_eq!(amounts(None, &cheap, &usage, &Circumstances::default()).amount, NanoUsd(1));
}

/// T-19: a cache read without a price of its own costs what fresh input costs, never nothing.
#[test]
fn rates_that_are_not_listed_are_never_zero() {
    let images_only =
        ListedRates { input: Some(PicoUsd(5)), output_image: Some(PicoUsd(30)), ..ListedRates::default() };
    let card = PriceCard::new(&PriceList {
        standard: ListedLadder { rates: images_only, tiers: vec![] },
        ..PriceList::default()
    });
    let found = card.rates(0, UnixMs(0), "");
    assert_eq!((found.output, found.output_audio), (PicoUsd(30), PicoUsd(30)));
    for rate in [found.cache_read, found.cache_write_h12, found.cache_read_image, found.input_audio] {
        assert_eq!(rate, PicoUsd(5));
    }
}

#[test]
fn figures_out_of_range_saturate() {
    let usage = Usage { input: u64::MAX, output: u64::MAX, cache_read: u64::MAX, ..Usage::default() };
    let cost = amounts(None, &card(), &usage, &Circumstances { region: "eu", ..Circumstances::default() });
    assert_eq!(cost.amount, NanoUsd(i64::MAX));
}

#[test]
fn what_is_no_token_is_paid_beside_a_lanes_rates() {
    const USD: u128 = 1_000_000_000_000;
    let card = PriceCard::new(&PriceList {
        per_audio_hour: Some(PicoUsd(36 * USD / 100)),
        per_character: Some(PicoUsd(15_000_000)),
        per_image: vec![("low@1k".into(), PicoUsd(4)), ("2k".into(), PicoUsd(8)), ("default".into(), PicoUsd(6))],
        ..PriceList::default()
    });
    let lane = LaneRates { input: PicoUsd(1_000), output: PicoUsd(0), cache_read: PicoUsd(0), cache_write: PicoUsd(0) };
    let usage = Usage { input: 7, ..Usage::default() };
    let sound = Circumstances { audio_ms: 90_001, ..Circumstances::default() };
    // A minute and a half at 0.006 USD a minute, and one millisecond that is rounded up.
    assert_eq!(amounts(None, &card, &Usage::default(), &sound).amount, NanoUsd(9_000_100));
    assert_eq!(amounts(Some(&lane), &card, &usage, &sound).amount, NanoUsd(9_000_107));
    let spoken = Circumstances { characters: 2, ..Circumstances::default() };
    assert_eq!(amounts(None, &card, &usage, &spoken).amount, NanoUsd(30_000));
    for (name, pico) in [("low@1k", 4), ("high@2k", 8), ("@2k", 8), ("low@", 6), ("@", 6)] {
        let drawn = Circumstances { images: &[(name, 3)], ..Circumstances::default() };
        assert_eq!(card.pieces(&drawn), PicoUsd(3 * pico), "{name}");
    }
    assert_eq!(PriceCard::free().pieces(&sound), PicoUsd::ZERO);
}

proptest! {
    #[test]
    fn a_bill_sums_up_to_what_is_paid(
        figures in figures(), at in 0_u64..2_000_000, tier in "|priority", region in "|eu",
        audio_ms in 0_u64..10_000, by_lane in proptest::bool::ANY,
    ) {
        let lane = LaneRates {
            input: PicoUsd(1_000_001),
            output: PicoUsd(4_000_003),
            cache_read: PicoUsd(100_007),
            cache_write: PicoUsd(1_250_009),
        };
        let circumstances = Circumstances {
            at: UnixMs(at),
            service_tier: &tier,
            region: &region,
            images: &[("", 2)],
            web_searches: 0,
            audio_ms,
            characters: 3,
        };
        let (lane, usage) = (by_lane.then_some(&lane), usage(figures));
        let bill = bill::bill(lane, &card(), &usage, &circumstances);
        prop_assert_eq!(bill.sum.round_up(), amounts(lane, &card(), &usage, &circumstances).amount);
        let sum = bill.lines.iter().fold(PicoUsd::ZERO, |sum, line| sum.plus(line.amount));
        prop_assert_eq!(sum, bill.sum);
    }
}
