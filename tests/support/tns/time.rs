//! Times: microseconds since 1970.

use std::time::{SystemTime, UNIX_EPOCH};

use super::fault::Fault;
use super::value::Value;

const DAY: i64 = 86_400;

/// The server's clock.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Days since 1970 of a date: years begin in March here, so that a leap day is the last one.
pub(super) fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 719_469
}

/// Year, month and day, and the hours, minutes and seconds of it.
pub(super) fn parts(seconds: i64) -> [i64; 6] {
    let (day, second) = (seconds.div_euclid(DAY) + 719_468, seconds.rem_euclid(DAY));
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    [year, month, day, second / 3600, second / 60 % 60, second % 60]
}

/// `2026-11-29 02:30:00.000000 +00:00`, as far as it is there.
pub(super) fn parse(text: &str) -> Result<Value, Fault> {
    let wrong = || Fault::numbered(1843);
    let text = text.trim().replace('T', " ");
    let (text, zone) = match text.strip_suffix('Z').or_else(|| text.strip_suffix("UTC")) {
        Some(text) => (text.trim_end().to_owned(), Some(0)),
        None => match text.rfind(['+', '-']).filter(|at| *at > 10) {
            Some(at) => {
                (text[..at].trim_end().to_owned(), Some(zone(&text[at..]).ok_or_else(wrong)?))
            }
            None => (text, None),
        },
    };
    let (date, clock) = text.split_once(' ').unwrap_or((&text, ""));
    let numbers = |text: &str, by: char| -> Option<Vec<i64>> {
        text.split(by).map(|part| part.parse().ok()).collect()
    };
    let date = numbers(date, '-').filter(|date| date.len() == 3).ok_or_else(wrong)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let clock = if clock.is_empty() { vec![0] } else { numbers(clock, ':').ok_or_else(wrong)? };
    let at = |place: usize| clock.get(place).copied().unwrap_or(0);
    let fraction: i64 = format!("{fraction:0<6}")[..6].parse().map_err(|_| wrong())?;
    let seconds = days(date[0], date[1], date[2]) * DAY + at(0) * 3600 + at(1) * 60 + at(2);
    let micros = seconds * 1_000_000 + fraction;
    Ok(zone.map_or(Value::Time(micros), |zone| Value::Zoned(micros - zone * 60_000_000, zone)))
}

/// A time zone's minutes.
pub(super) fn zone(text: &str) -> Option<i64> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("utc") || text.eq_ignore_ascii_case("gmt") {
        return Some(0);
    }
    let (hours, minutes) = text.split_once(':').unwrap_or((text, "0"));
    let (hours, minutes): (i64, i64) = (hours.trim().parse().ok()?, minutes.parse().ok()?);
    Some(hours * 60 + if text.starts_with('-') { -minutes } else { minutes })
}

/// In the form that [`parse`] reads.
pub(super) fn to_text(value: &Value) -> String {
    let micros = value.local().unwrap_or(0);
    let [year, month, day, hour, minute, second] = parts(micros.div_euclid(1_000_000));
    let text = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
    let fraction = micros.rem_euclid(1_000_000);
    match value {
        Value::Date(_) => text,
        Value::Zoned(_, zone) => {
            let sign = if *zone < 0 { '-' } else { '+' };
            let zone = zone.abs();
            format!("{text}.{fraction:06} {sign}{:02}:{:02}", zone / 60, zone % 60)
        }
        _ => format!("{text}.{fraction:06}"),
    }
}

/// An interval as the server says it.
pub(super) fn interval(micros: i64) -> String {
    let sign = if micros < 0 { '-' } else { '+' };
    let (seconds, fraction) = (micros.abs() / 1_000_000, micros.abs() % 1_000_000);
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!(
        "{sign}{:09} {hours:02}:{minutes:02}:{:02}.{fraction:06}000",
        seconds / DAY,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::{parse, to_text};

    #[test]
    fn there_and_back() {
        for text in [
            "1970-01-01 00:00:00.000000",
            "2024-02-29 23:59:59.123456",
            "9999-12-31 00:00:00.000000",
            "2026-11-29 02:30:00.000001 +01:00",
        ] {
            assert_eq!(to_text(&parse(text).unwrap()), text);
        }
        assert!(parse("tomorrow").is_err());
    }
}
