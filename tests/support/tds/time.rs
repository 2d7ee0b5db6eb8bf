//! datetime2(7): units of 100 ns since the year 1.

use std::time::{SystemTime, UNIX_EPOCH};

use super::error::Fault;

const SECOND: i64 = 10_000_000;
const DAY: i64 = 86_400 * SECOND;
/// From the year 1 to 1970.
const UNIX: i64 = 719_162 * DAY;
/// The end of the year 9999.
const END: i64 = 3_652_059 * DAY;

/// `SYSUTCDATETIME()`.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX + i64::try_from(since.as_nanos() / 100).unwrap_or(0)
}

/// The units of a DATEPART, if it is one of the same length always.
fn part(name: &str) -> Result<i64, Fault> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "day" | "dd" | "d" => DAY,
        "hour" | "hh" => 3600 * SECOND,
        "minute" | "mi" | "n" => 60 * SECOND,
        "second" | "ss" | "s" => SECOND,
        "millisecond" | "ms" => SECOND / 1000,
        "microsecond" | "mcs" => SECOND / 1_000_000,
        // Of 100 ns.
        "nanosecond" | "ns" => 1,
        _ => return Err(Fault::syntax(&format!("'{name}' is not a recognized datepart option"))),
    })
}

/// `DATEADD`: its number is an int.
pub(super) fn add(name: &str, number: i64, ticks: i64) -> Result<i64, Fault> {
    if i32::try_from(number).is_err() {
        return Err(Fault::new(
            8115,
            "Arithmetic overflow error converting expression to data type int.",
        ));
    }
    let units = part(name)?;
    let number = if units == 1 { number / 100 } else { number };
    let sum = number.checked_mul(units).and_then(|added| ticks.checked_add(added));
    sum.filter(|sum| (0..END).contains(sum)).ok_or_else(|| {
        Fault::new(517, "Adding a value to a 'datetime2' column caused an overflow.")
    })
}

/// `DATEDIFF_BIG`: how many borders of that part are between them.
pub(super) fn between(name: &str, from: i64, to: i64) -> Result<i64, Fault> {
    let units = part(name)?;
    let factor = if units == 1 { 100 } else { 1 };
    Ok((to.div_euclid(units) - from.div_euclid(units)) * factor)
}

/// Days since the year 1, and what is left of the day.
pub(super) fn split(ticks: i64) -> (i64, i64) {
    (ticks.div_euclid(DAY), ticks.rem_euclid(DAY))
}

/// The other way round.
pub(super) fn join(days: i64, rest: i64) -> i64 {
    days * DAY + rest
}

/// `2026-11-28 22:48:21.1234567`
pub(super) fn to_text(ticks: i64) -> String {
    let (days, rest) = split(ticks);
    let (year, month, day) = date(days);
    let seconds = rest / SECOND;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{:07}", rest % SECOND)
}

/// `2026-11-28`, `2026-11-28T22:48:21.123`
pub(super) fn parse(text: &str) -> Result<i64, Fault> {
    read(text).ok_or_else(|| {
        Fault::new(241, "Conversion failed when converting date and/or time from character string.")
    })
}

fn read(text: &str) -> Option<i64> {
    let text = text.trim().trim_end_matches('Z');
    let (day, clock) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
    let mut parts = day.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let mut ticks = days(year, month, day) * DAY;
    for (number, unit) in clock.split(':').zip([3600 * SECOND, 60 * SECOND, SECOND]) {
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        ticks += whole.parse::<i64>().ok()? * unit;
        if !fraction.is_empty() {
            ticks += format!("{fraction:0<7}")[..7].parse::<i64>().ok()?;
        }
    }
    Some(ticks)
}

/// Days from the first day of the year 1 to that one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 306
}

fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 306;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::{add, between, now, parse, to_text};

    #[test]
    fn text_and_back() {
        for text in [
            "0001-01-01 00:00:00.0000000",
            "1970-01-01 00:00:00.5000000",
            "2024-02-29 23:59:59.9999999",
            "9999-12-31 23:59:59.9999999",
        ] {
            assert_eq!(to_text(parse(text).unwrap()), text);
        }
        assert_eq!(to_text(parse("2026-11-28").unwrap()), "2026-11-28 00:00:00.0000000");
        assert!(parse(&to_text(now())).unwrap() <= now());
    }

    #[test]
    fn sums_have_ends() {
        let start = parse("9999-12-31").unwrap();
        assert_eq!(between("ms", start, add("second", 2, start).unwrap()).unwrap(), 2000);
        assert!(add("day", 1, start).is_err());
        assert!(add("ms", 1 << 40, 0).is_err());
    }
}
