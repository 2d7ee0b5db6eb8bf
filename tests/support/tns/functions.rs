//! Functions of SQL's, which know nothing but their arguments.

use super::fault::Fault;
use super::time;
use super::value::{Type, Value, hex, unhex};

type Answer = Result<Value, Fault>;

/// Calls one; none: there is none of that name.
pub(super) fn call(name: &str, values: &[Value]) -> Option<Answer> {
    let at = |place: usize| values.get(place).cloned().unwrap_or(Value::Null);
    let first = at(0);
    // Those to which NULL is a value like others.
    match name {
        "NVL" => return Some(Ok(if first.is_null() { at(1) } else { first })),
        "NVL2" => return Some(Ok(if first.is_null() { at(2) } else { at(1) })),
        "COALESCE" => {
            return Some(Ok(values
                .iter()
                .find(|value| !value.is_null())
                .cloned()
                .unwrap_or(Value::Null)));
        }
        "DECODE" => return Some(decode(values)),
        _ => {}
    }
    let answer = match name {
        "INSTR" => instr(values),
        "SUBSTR" | "SUBSTRB" => substr(values),
        "LENGTH" => text(&first, |text| Value::Int(text.chars().count() as i64)),
        "LENGTHB" => text(&first, |text| Value::Int(text.len() as i64)),
        "UPPER" => text(&first, |text| Value::text(text.to_uppercase())),
        "LOWER" => text(&first, |text| Value::text(text.to_lowercase())),
        "TRIM" => text(&first, |text| Value::text(text.trim_matches(' '))),
        "LTRIM" => text(&first, |text| Value::text(text.trim_start_matches(' '))),
        "RTRIM" => text(&first, |text| Value::text(text.trim_end_matches(' '))),
        "REPLACE" => replace(values),
        "LPAD" | "RPAD" => pad(name, values),
        "CHR" => number(&first, |code| Value::text(char::from(code as u8))),
        "ASCII" => text(&first, |text| Value::Int(text.bytes().next().unwrap_or(0).into())),
        "CONCAT" => super::eval::binary("||", first, at(1)),
        "REGEXP_SUBSTR" => regexp_substr(values),
        "TO_NUMBER" => first.into_type(Type::Number),
        "TO_CHAR" => to_char(values),
        "TO_TIMESTAMP" | "TO_DATE" | "TO_TIMESTAMP_TZ" => first.into_type(match name {
            "TO_DATE" => Type::Date,
            "TO_TIMESTAMP" => Type::Time,
            _ => Type::Zoned,
        }),
        "FROM_TZ" => match (first.into_type(Type::Time), at(1).into_text()) {
            (Ok(Value::Time(micros)), Ok(zone)) => {
                let zone = zone.and_then(|zone| time::zone(&zone)).unwrap_or(0);
                Ok(Value::Zoned(micros - zone * 60_000_000, zone))
            }
            (other, _) => other,
        },
        "SYS_EXTRACT_UTC" => first.into_type(Type::Zoned).map(|value| match value {
            Value::Zoned(micros, _) => Value::Time(micros),
            other => other,
        }),
        "NUMTODSINTERVAL" => interval(&first, at(1)),
        "HEXTORAW" => bytes(first.into_text().and_then(|text| unhex(&text.unwrap_or_default()))),
        "RAWTOHEX" => first.into_bytes().map(|bytes| Value::text(hex(&bytes.unwrap_or_default()))),
        "CAST_TO_RAW" => bytes(first.into_text().map(|text| text.unwrap_or_default().into_bytes())),
        "CAST_TO_VARCHAR2" => first
            .into_bytes()
            .map(|bytes| Value::text(String::from_utf8_lossy(&bytes.unwrap_or_default()))),
        "FLOOR" => number(&first, |float| Value::float(float.floor())),
        "CEIL" => number(&first, |float| Value::float(float.ceil())),
        "ABS" => number(&first, |float| Value::float(float.abs())),
        "SIGN" => {
            number(&first, |float| Value::Int(if float == 0.0 { 0 } else { float.signum() as i64 }))
        }
        "ROUND" | "TRUNC" => round(name, &first, &at(1)),
        "MOD" => super::eval::binary("MOD", first, at(1)),
        "POWER" => match (first.number(), at(1).number()) {
            (Ok(Some(base)), Ok(Some(by))) => Ok(Value::float(base.powf(by))),
            _ => Ok(Value::Null),
        },
        "GREATEST" | "LEAST" => extreme(name, values),
        "ORA_HASH" => text(&first, |text| {
            Value::Int(
                text.bytes().fold(7, |sum: i64, byte| (sum * 31 + i64::from(byte)) % 4_294_967_291),
            )
        }),
        _ => return None,
    };
    Some(answer)
}

fn text(of: &Value, with: impl Fn(&str) -> Value) -> Answer {
    Ok(of.clone().into_text()?.map_or(Value::Null, |text| with(&text)))
}

fn number(of: &Value, with: impl Fn(f64) -> Value) -> Answer {
    Ok(of.number()?.map_or(Value::Null, with))
}

fn bytes(of: Result<Vec<u8>, Fault>) -> Answer {
    of.map(Value::bytes)
}

fn decode(values: &[Value]) -> Answer {
    let Some((of, rest)) = values.split_first() else { return Ok(Value::Null) };
    let mut pairs = rest.chunks(2);
    for pair in &mut pairs {
        match pair {
            [when, then]
                if when.is_null() && of.is_null()
                    || of.compare(when)?.is_some_and(|order| order.is_eq()) =>
            {
                return Ok(then.clone());
            }
            [otherwise] => return Ok(otherwise.clone()),
            _ => {}
        }
    }
    Ok(Value::Null)
}

/// From which place, counted from 1, or from the end.
fn place(value: Option<&Value>, length: usize, default: i64) -> Result<Option<usize>, Fault> {
    let Some(from) = value.map_or(Ok(Some(default)), Value::int)? else { return Ok(None) };
    let from = match from {
        0 => 0,
        1.. => from - 1,
        _ => length as i64 + from,
    };
    Ok(usize::try_from(from).ok())
}

fn instr(values: &[Value]) -> Answer {
    let [of, what, ..] = values else { return Ok(Value::Null) };
    let (Some(of), Some(what)) = (of.clone().into_text()?, what.clone().into_text()?) else {
        return Ok(Value::Null);
    };
    let Some(from) = place(values.get(2), of.len(), 1)? else { return Ok(Value::Null) };
    let nth = values.get(3).map_or(Ok(Some(1)), Value::int)?.unwrap_or(1).max(1);
    // Places are those of bytes here: what is searched is ASCII.
    let mut found =
        of.get(from..).unwrap_or_default().match_indices(&what).map(|(at, _)| at + from);
    Ok(Value::Int(found.nth(nth as usize - 1).map_or(0, |at| at as i64 + 1)))
}

fn substr(values: &[Value]) -> Answer {
    let Some(of) = values.first().cloned().unwrap_or(Value::Null).into_text()? else {
        return Ok(Value::Null);
    };
    let count = if of.is_ascii() { of.len() } else { of.chars().count() };
    let Some(from) = place(values.get(1), count, 1)? else { return Ok(Value::Null) };
    let length = match values.get(2) {
        Some(length) => match length.int()? {
            Some(length) => usize::try_from(length).unwrap_or(0),
            None => return Ok(Value::Null),
        },
        None => usize::MAX,
    };
    if of.is_ascii() {
        let from = from.min(count);
        return Ok(Value::text(&of[from..from.saturating_add(length).min(count)]));
    }
    Ok(Value::text(of.chars().skip(from).take(length).collect::<String>()))
}

fn replace(values: &[Value]) -> Answer {
    let text = |place: usize| values.get(place).cloned().unwrap_or(Value::Null).into_text();
    match (text(0)?, text(1)?) {
        (Some(of), Some(what)) => Ok(Value::text(of.replace(&what, &text(2)?.unwrap_or_default()))),
        (of, _) => Ok(of.map_or(Value::Null, Value::Text)),
    }
}

fn pad(name: &str, values: &[Value]) -> Answer {
    let text = |place: usize| values.get(place).cloned().unwrap_or(Value::Null).into_text();
    let (Some(of), Some(length)) = (text(0)?, values.get(1).map_or(Ok(None), Value::int)?) else {
        return Ok(Value::Null);
    };
    let (length, with) =
        (usize::try_from(length).unwrap_or(0), text(2)?.unwrap_or_else(|| " ".into()));
    let padding: String =
        with.chars().cycle().take(length.saturating_sub(of.chars().count())).collect();
    let all = if name == "LPAD" { padding + &of } else { of + &padding };
    Ok(Value::text(all.chars().take(length).collect::<String>()))
}

/// Of patterns only `[^…]+`: the parts between these characters.
fn regexp_substr(values: &[Value]) -> Answer {
    let text = |place: usize| values.get(place).cloned().unwrap_or(Value::Null).into_text();
    let (Some(of), Some(pattern)) = (text(0)?, text(1)?) else { return Ok(Value::Null) };
    let between = pattern.strip_prefix("[^").and_then(|rest| rest.strip_suffix("]+"));
    let between =
        between.ok_or_else(|| Fault::syntax(format!("this double knows no pattern {pattern}")))?;
    let nth = values.get(3).map_or(Ok(Some(1)), Value::int)?.unwrap_or(1).max(1);
    let mut parts = of.split(|c| between.contains(c)).filter(|part| !part.is_empty());
    Ok(parts.nth(nth as usize - 1).map_or(Value::Null, Value::text))
}

/// Of formats those of times, by their parts.
fn to_char(values: &[Value]) -> Answer {
    let Some(of) = values.first() else { return Ok(Value::Null) };
    let Some(format) = values.get(1).cloned().unwrap_or(Value::Null).into_text()? else {
        return of.clone().into_type(Type::Text(32_767));
    };
    let Some(micros) = of.local() else {
        return text(of, |text| {
            // `FM0000` and the like fill up with zeros.
            let width = format.chars().filter(|c| "09".contains(*c)).count();
            Value::text(if format.contains('0') {
                format!("{text:0>width$}")
            } else {
                text.to_owned()
            })
        });
    };
    let [year, month, day, hour, minute, second] = time::parts(micros.div_euclid(1_000_000));
    let mut answer = format.to_uppercase().replace('"', "");
    for (part, value) in [
        ("YYYY", format!("{year:04}")),
        ("MM", format!("{month:02}")),
        ("DD", format!("{day:02}")),
        ("HH24", format!("{hour:02}")),
        ("MI", format!("{minute:02}")),
        ("SSSSS", (hour * 3600 + minute * 60 + second).to_string()),
        ("SS", format!("{second:02}")),
        ("FF6", format!("{:06}", micros.rem_euclid(1_000_000))),
        ("FF3", format!("{:03}", micros.rem_euclid(1_000_000) / 1000)),
        ("J", (time::days(year, month, day) + 2_440_588).to_string()),
    ] {
        answer = answer.replace(part, &value);
    }
    Ok(Value::text(answer))
}

fn interval(of: &Value, unit: Value) -> Answer {
    let factor = match unit.into_text()?.unwrap_or_default().to_uppercase().as_str() {
        "DAY" => 86_400e6,
        "HOUR" => 3600e6,
        "MINUTE" => 60e6,
        _ => 1e6,
    };
    number(of, |number| Value::Interval((number * factor).round() as i64))
}

fn round(name: &str, of: &Value, places: &Value) -> Answer {
    if let Some(micros) = of.local() {
        return Ok(Value::Date(micros.div_euclid(86_400_000_000) * 86_400));
    }
    if matches!(of, Value::Int(_)) {
        return Ok(of.clone());
    }
    let factor = 10f64.powi(places.int()?.unwrap_or(0) as i32);
    number(of, |number| {
        let scaled = number * factor;
        Value::float(if name == "ROUND" { scaled.round() } else { scaled.trunc() } / factor)
    })
}

fn extreme(name: &str, values: &[Value]) -> Answer {
    let mut all = values.iter().cloned();
    let mut result = all.next().unwrap_or(Value::Null);
    for value in all {
        match result.compare(&value)? {
            None => return Ok(Value::Null),
            Some(order) if order.is_lt() == (name == "GREATEST") && order.is_ne() => result = value,
            _ => {}
        }
    }
    Ok(result)
}
