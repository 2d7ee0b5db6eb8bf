//! Values as they go over the wire.

use super::fault::Fault;
use super::time;
use super::value::{Type, Value};

pub(super) const TEXT: u8 = 1;
pub(super) const NUMBER: u8 = 2;
pub(super) const DATE: u8 = 12;
pub(super) const BYTES: u8 = 23;
pub(super) const TIME: u8 = 180;
pub(super) const ZONED: u8 = 181;
pub(super) const INTERVAL: u8 = 183;
pub(super) const BOOL: u8 = 252;

/// The type that a value has of itself.
pub(super) fn type_of(value: &Value) -> Option<u8> {
    Some(match value {
        Value::Null => return None,
        Value::Int(_) | Value::Float(_) => NUMBER,
        Value::Text(_) => TEXT,
        Value::Bytes(_) => BYTES,
        Value::Bool(_) => BOOL,
        Value::Date(_) => DATE,
        Value::Time(_) => TIME,
        Value::Zoned(..) => ZONED,
        Value::Interval(_) => INTERVAL,
    })
}

pub(super) fn decode(of: u8, bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    match of {
        NUMBER | 3 => number(bytes),
        BYTES | 24 => Value::Bytes(bytes.to_vec()),
        BOOL => Value::Bool(bytes.last() == Some(&1)),
        101 => double(bytes),
        DATE | TIME | ZONED | 231 if bytes.len() >= 7 => {
            let at = |place: usize| i64::from(bytes[place]);
            let days = time::days((at(0) - 100) * 100 + at(1) - 100, at(2), at(3));
            let seconds = days * 86_400 + (at(4) - 1) * 3600 + (at(5) - 1) * 60 + at(6) - 1;
            let nanos = bytes
                .get(7..11)
                .map_or(0, |nanos| nanos.iter().fold(0, |sum, byte| sum << 8 | i64::from(*byte)));
            let micros = seconds * 1_000_000 + nanos / 1000;
            if bytes.len() == 13 { Value::Zoned(micros, 0) } else { Value::Time(micros) }
        }
        _ => Value::text(String::from_utf8_lossy(bytes)),
    }
}

/// The bytes of a value for a client that takes it as this type.
pub(super) fn encode(value: &Value, of: u8) -> Result<Vec<u8>, Fault> {
    let to = match of {
        NUMBER | 3 | 101 => Type::Number,
        BYTES | 24 => Type::Bytes(32_767),
        BOOL => Type::Bool,
        DATE => Type::Date,
        TIME | 231 => Type::Time,
        ZONED => Type::Zoned,
        INTERVAL => Type::Interval,
        _ => Type::Text(32_767),
    };
    Ok(match value.clone().into_type(to)? {
        Value::Null => Vec::new(),
        Value::Int(int) => from_number(&int.to_string()),
        Value::Float(float) => from_number(&format!("{float:.15}")),
        Value::Text(text) => text.into_bytes(),
        Value::Bytes(bytes) => bytes,
        Value::Bool(bool) => {
            if bool {
                vec![1, 1]
            } else {
                vec![0]
            }
        }
        Value::Date(seconds) => clock(seconds).to_vec(),
        Value::Time(micros) | Value::Zoned(micros, _) => {
            let mut bytes = clock(micros.div_euclid(1_000_000)).to_vec();
            bytes.extend((micros.rem_euclid(1_000_000) as u32 * 1000).to_be_bytes());
            if of == ZONED {
                bytes.extend([20, 60]);
            }
            bytes
        }
        Value::Interval(micros) => {
            let sign = micros.signum();
            let (seconds, nanos) = (micros.abs() / 1_000_000, micros.abs() % 1_000_000 * 1000);
            let mut bytes =
                ((0x8000_0000_i64 + sign * (seconds / 86_400)) as u32).to_be_bytes().to_vec();
            bytes.extend(
                [seconds / 3600 % 24, seconds / 60 % 60, seconds % 60]
                    .map(|part| (60 + sign * part) as u8),
            );
            bytes.extend(((0x8000_0000_i64 + sign * nanos) as u32).to_be_bytes());
            bytes
        }
    })
}

fn clock(seconds: i64) -> [u8; 7] {
    let [year, month, day, hour, minute, second] = time::parts(seconds);
    [year / 100 + 100, year % 100 + 100, month, day, hour + 1, minute + 1, second + 1]
        .map(|part| part as u8)
}

/// Digits to the base of 100, after an exponent.
fn number(bytes: &[u8]) -> Value {
    let is_positive = bytes[0] & 0x80 != 0;
    let exponent = if is_positive { i32::from(bytes[0]) - 193 } else { 62 - i32::from(bytes[0]) };
    let digits = bytes[1..].iter().filter(|byte| is_positive || **byte != 102);
    let digits: Vec<i64> = digits
        .map(|byte| if is_positive { i64::from(*byte) - 1 } else { 101 - i64::from(*byte) })
        .collect();
    let sign = if is_positive { 1 } else { -1 };
    // A float would not have all digits of a large one.
    if exponent + 1 >= digits.len() as i32 && exponent < 10 {
        let whole = digits.iter().fold(0, |sum: i128, digit| sum * 100 + i128::from(*digit));
        let zeros = 100_i128.pow((exponent + 1) as u32 - digits.len() as u32);
        if let Ok(whole) = i64::try_from(i128::from(sign) * whole * zeros) {
            return Value::Int(whole);
        }
    }
    let places =
        digits.iter().zip(0..).map(|(digit, place)| *digit as f64 * 100f64.powi(exponent - place));
    Value::float(sign as f64 * places.sum::<f64>())
}

fn from_number(text: &str) -> Vec<u8> {
    let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole = if whole.len() % 2 == 1 { format!("0{whole}") } else { whole.to_owned() };
    let fraction =
        if fraction.len() % 2 == 1 { format!("{fraction}0") } else { fraction.to_owned() };
    let all = whole.clone() + &fraction;
    let mut digits: Vec<u8> =
        all.as_bytes().chunks(2).map(|pair| (pair[0] - b'0') * 10 + pair[1] - b'0').collect();
    let mut exponent = whole.len() as i32 / 2 - 1;
    while digits.last() == Some(&0) {
        digits.pop();
    }
    let zeros = digits.iter().take_while(|digit| **digit == 0).count();
    digits.drain(..zeros);
    exponent -= zeros as i32;
    if digits.is_empty() {
        return vec![0x80];
    }
    let mut bytes = vec![(exponent + 193) as u8];
    bytes.extend(digits.iter().map(|digit| digit + 1));
    if is_negative {
        bytes[0] = !bytes[0];
        bytes[1..].iter_mut().for_each(|byte| *byte = 102 - *byte);
        bytes.push(102);
    }
    bytes
}

fn double(bytes: &[u8]) -> Value {
    let Ok(mut raw) = <[u8; 8]>::try_from(bytes) else { return Value::Null };
    if raw[0] & 0x80 != 0 {
        raw[0] &= 0x7f;
    } else {
        raw = raw.map(|byte| !byte);
    }
    Value::float(f64::from_be_bytes(raw))
}

#[cfg(test)]
mod tests {
    use super::super::value::Value;
    use super::{NUMBER, decode, encode};

    #[test]
    fn numbers_come_back() {
        for int in [0, 1, -1, 99, 100, 101, -12_345, 1_073_741_824, i64::MAX, i64::MIN, 1_000_000] {
            let value = Value::Int(int);
            assert_eq!(decode(NUMBER, &encode(&value, NUMBER).unwrap()), value);
            // As text too.
            assert_eq!(Value::text(int.to_string()).int(), Ok(Some(int)));
        }
        for float in [0.5, -0.25, 123.456, 0.0078125] {
            match decode(NUMBER, &encode(&Value::Float(float), NUMBER).unwrap()) {
                Value::Float(back) => assert!((back - float).abs() < 1e-9, "{back} {float}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
