//! Periods of accounting: from when to when an allowance holds. All of them begin at midnight UTC.
//!
//! Must not know what is counted in a period, nor ask a clock.

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::time::UnixMs;

/// When an allowance begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reset {
    /// Each day, at midnight UTC.
    Daily,
    /// On the first of each month, at midnight UTC.
    CalendarMonth,
    /// On the day of the month on which the account began; in shorter months on their last day.
    BillingDate,
    /// Never: it holds once.
    Never,
}

impl Reset {
    /// All with the names used in configuration, requests and rows.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("day", Self::Daily),
        ("calendar-month", Self::CalendarMonth),
        ("billing-date", Self::BillingDate),
        ("never", Self::Never),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, reset)| *reset == self).map_or("", |(name, _)| name)
    }

    /// The reset of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, reset)| *reset)
    }
}

/// From `start` on, up to and without `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Period {
    /// Its first millisecond.
    pub start: UnixMs,
    /// The first millisecond after it.
    pub end: UnixMs,
}

impl Period {
    /// All time.
    pub const EVER: Self = Self { start: UnixMs(0), end: UnixMs(u64::MAX) };

    /// The period around a moment. `anchor` is when the account began; it matters to [`Reset::BillingDate`] only.
    pub fn around(at: UnixMs, reset: Reset, anchor: UnixMs) -> Self {
        let today = day(at);
        let bounds = match reset {
            Reset::Never => None,
            Reset::Daily => today.tomorrow().ok().map(|end| (today, end)),
            Reset::CalendarMonth => month_around(today, 1),
            Reset::BillingDate => month_around(today, day(anchor).day()),
        };
        bounds.map_or(Self::EVER, |(start, end)| Self { start: midnight(start), end: midnight(end) })
    }

    /// Whether a moment is in it.
    pub fn holds(&self, at: UnixMs) -> bool {
        self.start <= at && at < self.end
    }
}

/// The day of a moment in UTC; the last that can be told for moments beyond the calendar.
fn day(at: UnixMs) -> Date {
    let timestamp = i64::try_from(at.0).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    timestamp.map_or(date(9999, 12, 31), |timestamp| timestamp.to_zoned(TimeZone::UTC).date())
}

fn midnight(day: Date) -> UnixMs {
    let ms = day.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp().as_millisecond());
    UnixMs(ms.ok().and_then(|ms| u64::try_from(ms).ok()).unwrap_or(u64::MAX))
}

/// The month that begins on a day of that number, around `today`. In a month without such a day it begins on its last.
fn month_around(today: Date, begins_on: i8) -> Option<(Date, Date)> {
    let this_month = beginning(today.first_of_month(), begins_on)?;
    let other = |months: i64| beginning(today.first_of_month().checked_add(months.months()).ok()?, begins_on);
    if today >= this_month { Some((this_month, other(1)?)) } else { Some((other(-1)?, this_month)) }
}

fn beginning(first: Date, begins_on: i8) -> Option<Date> {
    Date::new(first.year(), first.month(), begins_on.min(first.days_in_month())).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> UnixMs {
        let timestamp: Timestamp = text.parse().unwrap();
        UnixMs(u64::try_from(timestamp.as_millisecond()).unwrap())
    }

    fn text(at: UnixMs) -> String {
        day(at).to_string()
    }

    #[test]
    fn months_begin_and_end_as_calendars_say() {
        for (now, reset, anchor, start, end) in [
            ("2026-11-26T21:00:00Z", Reset::CalendarMonth, "2026-01-31", "2026-11-01", "2026-12-01"),
            ("2026-12-31T23:59:59.999Z", Reset::CalendarMonth, "2026-01-31", "2026-12-01", "2027-01-01"),
            ("2027-01-01T00:00:00Z", Reset::CalendarMonth, "2026-01-31", "2027-01-01", "2027-02-01"),
            ("2026-11-26T21:00:00Z", Reset::Daily, "2026-01-31", "2026-11-26", "2026-11-27"),
            // Billing on the 31st: on the last day of shorter months.
            ("2026-02-27T00:00:00Z", Reset::BillingDate, "2026-01-31", "2026-01-31", "2026-02-28"),
            ("2026-02-28T00:00:00Z", Reset::BillingDate, "2026-01-31", "2026-02-28", "2026-03-31"),
            ("2026-04-30T12:00:00Z", Reset::BillingDate, "2026-01-31", "2026-04-30", "2026-05-31"),
            // Leap years have a 29th of February.
            ("2028-02-28T23:59:59Z", Reset::BillingDate, "2026-01-31", "2028-01-31", "2028-02-29"),
            ("2028-02-29T00:00:00Z", Reset::BillingDate, "2026-01-31", "2028-02-29", "2028-03-31"),
            ("2029-02-28T00:00:00Z", Reset::BillingDate, "2028-02-29", "2029-02-28", "2029-03-29"),
            ("2026-11-05T00:00:00Z", Reset::BillingDate, "2026-03-05", "2026-11-05", "2026-12-05"),
            ("2026-11-04T23:59:59Z", Reset::BillingDate, "2026-03-05", "2026-10-05", "2026-11-05"),
        ] {
            let anchor = at(&format!("{anchor}T15:30:00Z"));
            let period = Period::around(at(now), reset, anchor);
            assert_eq!((text(period.start), text(period.end)), (start.into(), end.into()), "{now} {reset:?}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for (name, reset) in Reset::NAMES {
            assert_eq!((reset.name(), Reset::by_name(name)), (name, Some(reset)));
        }
    }

    proptest! {
        /// Every moment is in one period, and the next begins where it ends.
        #[test]
        fn periods_tile_time(now in 0_u64..4_102_444_800_000, anchor in 0_u64..4_102_444_800_000, which in 0_usize..4) {
            let reset = Reset::NAMES[which].1;
            let period = Period::around(UnixMs(now), reset, UnixMs(anchor));
            prop_assert!(period.holds(UnixMs(now)));
            if reset != Reset::Never {
                let next = Period::around(period.end, reset, UnixMs(anchor));
                prop_assert_eq!(next.start, period.end);
                let last = Period::around(UnixMs(period.end.0 - 1), reset, UnixMs(anchor));
                prop_assert_eq!(last, period);
            }
        }
    }
}
