//! Values of SQL and PL/SQL.

use std::cmp::Ordering;

use super::fault::Fault;
use super::time;

/// A value. Text of no characters, and bytes of none, are NULL.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    Bool(bool),
    /// DATE: seconds since 1970.
    Date(i64),
    /// TIMESTAMP: microseconds since 1970.
    Time(i64),
    /// TIMESTAMP WITH TIME ZONE: the same in UTC, and the zone's minutes.
    Zoned(i64, i64),
    /// INTERVAL DAY TO SECOND, in microseconds.
    Interval(i64),
}

/// A type. `Any` takes a value as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Any,
    Number,
    /// A number without a fraction.
    Integer,
    Text(usize),
    Bytes(usize),
    Bool,
    Date,
    Time,
    Zoned,
    Interval,
}

impl Value {
    pub(super) fn text(of: impl Into<String>) -> Self {
        let text = of.into();
        if text.is_empty() { Value::Null } else { Value::Text(text) }
    }

    pub(super) fn bytes(of: Vec<u8>) -> Self {
        if of.is_empty() { Value::Null } else { Value::Bytes(of) }
    }

    pub(super) fn float(of: f64) -> Self {
        if of.fract() == 0.0 && of.abs() < 9e15 { Value::Int(of as i64) } else { Value::Float(of) }
    }

    pub(super) fn is_null(&self) -> bool {
        *self == Value::Null
    }

    /// As a whole number, rounded; NULL is none.
    pub(super) fn int(&self) -> Result<Option<i64>, Fault> {
        Ok(match self.clone().into_type(Type::Integer)? {
            Value::Int(int) => Some(int),
            _ => None,
        })
    }

    pub(super) fn number(&self) -> Result<Option<f64>, Fault> {
        Ok(match self.clone().into_type(Type::Number)? {
            Value::Int(int) => Some(int as f64),
            Value::Float(float) => Some(float),
            _ => None,
        })
    }

    /// As text; NULL is none.
    pub(super) fn into_text(self) -> Result<Option<String>, Fault> {
        Ok(match self.into_type(Type::Text(32_767))? {
            Value::Text(text) => Some(text),
            _ => None,
        })
    }

    /// As bytes; text is hexadecimal.
    pub(super) fn into_bytes(self) -> Result<Option<Vec<u8>>, Fault> {
        Ok(match self.into_type(Type::Bytes(32_767))? {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        })
    }

    /// Converted, as by an assignment.
    pub(super) fn into_type(self, to: Type) -> Result<Value, Fault> {
        let value = match (self, to) {
            (value, Type::Any) | (value @ Value::Null, _) => value,
            (Value::Text(text), Type::Number | Type::Integer) => {
                let text = text.trim();
                let number =
                    text.parse().map(Value::Int).or_else(|_| text.parse().map(Value::float));
                return number.map_err(|_| Fault::numbered(1722))?.into_type(to);
            }
            (Value::Float(float), Type::Integer) => Value::Int(float.round() as i64),
            (value @ Value::Int(_), Type::Integer) => value,
            (value @ (Value::Int(_) | Value::Float(_)), Type::Number) => value,
            (Value::Bytes(bytes), Type::Text(_)) => Value::Text(hex(&bytes)),
            (Value::Text(text), Type::Bytes(_)) => Value::Bytes(unhex(&text)?),
            (value @ Value::Bool(_), Type::Bool) => value,
            (value @ Value::Interval(_), Type::Interval) => value,
            (value @ Value::Bytes(_), Type::Bytes(_)) => value,
            (value, Type::Text(_)) => Value::Text(value.to_string()),
            (Value::Text(text), Type::Date | Type::Time | Type::Zoned) => {
                return time::parse(&text)?.into_type(to);
            }
            (value, Type::Date | Type::Time | Type::Zoned) => {
                let zone = if let Value::Zoned(_, zone) = value { zone } else { 0 };
                let micros = value.local().ok_or_else(|| Fault::numbered(932))?;
                match to {
                    Type::Date => Value::Date(micros.div_euclid(1_000_000)),
                    Type::Time => Value::Time(micros),
                    _ => Value::Zoned(micros - zone * 60_000_000, zone),
                }
            }
            _ => return Err(Fault::numbered(932)),
        };
        let fits = match (&value, to) {
            (Value::Text(text), Type::Text(length)) => text.len() <= length,
            (Value::Bytes(bytes), Type::Bytes(length)) => bytes.len() <= length,
            _ => true,
        };
        if fits { Ok(value) } else { Err(Fault::numbered(6502)) }
    }

    /// Microseconds of a clock on the wall of its own zone.
    pub(super) fn local(&self) -> Option<i64> {
        Some(match self {
            Value::Date(seconds) => seconds * 1_000_000,
            Value::Time(micros) => *micros,
            Value::Zoned(micros, zone) => micros + zone * 60_000_000,
            _ => return None,
        })
    }

    /// How two values compare; NULL with nothing.
    pub(super) fn compare(&self, other: &Value) -> Result<Option<Ordering>, Fault> {
        Ok(match (self, other) {
            (Value::Null, _) | (_, Value::Null) => None,
            (Value::Int(a), Value::Int(b)) | (Value::Interval(a), Value::Interval(b)) => {
                Some(a.cmp(b))
            }
            (Value::Zoned(a, _), Value::Zoned(b, _)) => Some(a.cmp(b)),
            (Value::Text(a), Value::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::Bytes(_), _) | (_, Value::Bytes(_)) => {
                Some(self.clone().into_bytes()?.cmp(&other.clone().into_bytes()?))
            }
            (a, b) if a.local().is_some() || b.local().is_some() => {
                let local = |value: &Value| Ok(value.clone().into_type(Type::Time)?.local());
                Some(local(a)?.cmp(&local(b)?))
            }
            (a, b) => {
                match (a.clone().into_type(Type::Number)?, b.clone().into_type(Type::Number)?) {
                    (Value::Int(a), Value::Int(b)) => Some(a.cmp(&b)),
                    _ => a.number()?.partial_cmp(&b.number()?),
                }
            }
        })
    }

    /// The same for all values that are equal, to look them up by.
    pub(super) fn key(&self) -> String {
        match self {
            Value::Bytes(bytes) => hex(bytes),
            other => other.to_string(),
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Null => Ok(()),
            Value::Int(int) => write!(f, "{int}"),
            // As the server has it: no zero before the point.
            Value::Float(float) => {
                let text = float.to_string();
                f.write_str(text.strip_prefix('0').unwrap_or(&text))
            }
            Value::Text(text) => f.write_str(text),
            Value::Bytes(bytes) => f.write_str(&hex(bytes)),
            Value::Bool(bool) => f.write_str(if *bool { "TRUE" } else { "FALSE" }),
            Value::Interval(micros) => f.write_str(&time::interval(*micros)),
            time => f.write_str(&time::to_text(time)),
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

pub(super) fn unhex(text: &str) -> Result<Vec<u8>, Fault> {
    let text = if text.len() % 2 == 1 { format!("0{text}") } else { text.to_owned() };
    let pair = |at| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes = (0..text.len()).step_by(2).map(pair).collect::<Option<_>>();
    bytes.ok_or_else(|| Fault::numbered(1465))
}
