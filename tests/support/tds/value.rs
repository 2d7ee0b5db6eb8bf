//! Values and types of T-SQL, as far as they are needed.

use std::cmp::Ordering;

use super::error::Fault;
use super::time;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    /// bit, tinyint, smallint, int, bigint
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    /// datetime2(7): in units of 100 ns since the year 1.
    Time(i64),
}

/// A type; the length of text and bytes is in characters or bytes, `None` is `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Bit,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    Float,
    Text(Option<usize>),
    Bytes(Option<usize>),
    Time,
}

impl Type {
    /// Whole numbers in it, from and to.
    fn range(self) -> Option<(i64, i64)> {
        Some(match self {
            Type::Bit => (0, 1),
            Type::TinyInt => (0, 255),
            Type::SmallInt => (i16::MIN.into(), i16::MAX.into()),
            Type::Int => (i32::MIN.into(), i32::MAX.into()),
            Type::BigInt => (i64::MIN, i64::MAX),
            _ => return None,
        })
    }

    /// Which of two types an expression of both has.
    pub(super) fn wider(self, other: Type) -> Type {
        let rank = |of: Type| match of {
            Type::Bytes(_) => 0,
            Type::Text(_) => 1,
            Type::Bit => 2,
            Type::TinyInt => 3,
            Type::SmallInt => 4,
            Type::Int => 5,
            Type::BigInt => 6,
            Type::Float => 7,
            Type::Time => 8,
        };
        match (self, other) {
            (Type::Text(a), Type::Text(b)) => Type::Text(a.zip(b).map(|(a, b)| a.max(b))),
            (Type::Bytes(a), Type::Bytes(b)) => Type::Bytes(a.zip(b).map(|(a, b)| a.max(b))),
            _ if rank(self) >= rank(other) => self,
            _ => other,
        }
    }
}

impl Value {
    pub(super) fn is_null(&self) -> bool {
        *self == Value::Null
    }

    pub(super) fn bit(of: bool) -> Self {
        Value::Int(of.into())
    }

    pub(super) fn text(of: impl Into<String>) -> Self {
        Value::Text(of.into())
    }

    /// As a whole number; NULL is none.
    pub(super) fn int(&self) -> Result<Option<i64>, Fault> {
        match self.clone().into_type(Type::BigInt)? {
            Value::Int(int) => Ok(Some(int)),
            _ => Ok(None),
        }
    }

    /// As text; NULL is none.
    pub(super) fn into_text(self) -> Result<Option<String>, Fault> {
        match self.into_type(Type::Text(None))? {
            Value::Text(text) => Ok(Some(text)),
            _ => Ok(None),
        }
    }

    /// Converted, as by an assignment to a variable: text is cut without a word.
    pub(super) fn into_type(self, to: Type) -> Result<Value, Fault> {
        let no_number = |text: &str| {
            Fault::new(
                245,
                format!(
                    "Conversion failed when converting the nvarchar value '{text}' to data type int."
                ),
            )
        };
        let value = match (self, to) {
            (Value::Null, _) => return Ok(Value::Null),
            (Value::Text(text), Type::Text(length)) => Value::Text(cut(text, length)),
            (Value::Bytes(mut bytes), Type::Bytes(length)) => {
                bytes.truncate(length.unwrap_or(usize::MAX));
                Value::Bytes(bytes)
            }
            (Value::Int(int), Type::Text(_)) => Value::Text(int.to_string()),
            (Value::Float(float), Type::Text(_)) => Value::Text(float.to_string()),
            (Value::Time(ticks), Type::Text(_)) => Value::Text(time::to_text(ticks)),
            (Value::Bytes(bytes), Type::Text(length)) => {
                let units =
                    bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
                Value::Text(cut(String::from_utf16_lossy(&units.collect::<Vec<_>>()), length))
            }
            (Value::Text(text), Type::Bytes(_)) => {
                Value::Bytes(text.encode_utf16().flat_map(u16::to_le_bytes).collect())
            }
            (Value::Text(text), Type::Time) => Value::Time(time::parse(&text)?),
            (Value::Text(text), Type::Float) => {
                Value::Float(text.trim().parse().map_err(|_| no_number(&text))?)
            }
            (Value::Text(text), _) => {
                Value::Int(text.trim().parse().map_err(|_| no_number(&text))?)
            }
            (Value::Int(int), Type::Bit) => Value::bit(int != 0),
            (Value::Int(int), Type::Float) => Value::Float(int as f64),
            (Value::Int(int), Type::Bytes(length)) => {
                let bytes = int.to_be_bytes();
                Value::Bytes(bytes[8 - length.unwrap_or(4).min(8)..].to_vec())
            }
            (Value::Float(float), to) if to.range().is_some() => Value::Int(float as i64),
            (Value::Bytes(bytes), to) if to.range().is_some() => {
                Value::Int(bytes.iter().fold(0, |int, byte| int << 8 | i64::from(*byte)))
            }
            (value @ (Value::Int(_) | Value::Float(_) | Value::Time(_)), _) => value,
            (value, to) => {
                return Err(Fault::new(
                    206,
                    format!("Operand type clash: {value:?} is incompatible with {to:?}"),
                ));
            }
        };
        if let (Value::Int(int), Some((least, most))) = (&value, to.range())
            && (*int < least || *int > most)
        {
            return Err(Fault::new(
                8115,
                "Arithmetic overflow error converting expression to data type int.",
            ));
        }
        Ok(value)
    }

    /// Converted, as for a column: what does not fit is an error.
    pub(super) fn into_column(self, to: Type, column: &str) -> Result<Value, Fault> {
        let fits = match (&self, to) {
            (Value::Text(text), Type::Text(Some(length))) => units(text) <= length,
            (Value::Bytes(bytes), Type::Bytes(Some(length))) => bytes.len() <= length,
            _ => true,
        };
        if fits {
            self.into_type(to)
        } else {
            Err(Fault::new(
                2628,
                format!("String or binary data would be truncated in table, column '{column}'."),
            ))
        }
    }

    /// How two values compare; NULL with nothing.
    pub(super) fn compare(&self, other: &Value, binary: bool) -> Result<Option<Ordering>, Fault> {
        Ok(match (self, other) {
            (Value::Null, _) | (_, Value::Null) => None,
            (Value::Text(a), Value::Text(b)) => Some(folded(a, binary).cmp(&folded(b, binary))),
            (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
            (Value::Time(a), Value::Time(b)) | (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
            (Value::Time(_), other) => {
                self.compare(&other.clone().into_type(Type::Time)?, binary)?
            }
            (value, Value::Time(_)) => {
                value.clone().into_type(Type::Time)?.compare(other, binary)?
            }
            (a, b) => {
                let a = a.clone().into_type(Type::Float)?;
                match (a, b.clone().into_type(Type::Float)?) {
                    (Value::Float(a), Value::Float(b)) => a.partial_cmp(&b),
                    _ => None,
                }
            }
        })
    }

    /// The same for all values that are equal, to look them up by.
    pub(super) fn key(&self, binary: bool) -> String {
        match self {
            Value::Text(text) => folded(text, binary),
            other => format!("{other:?}"),
        }
    }
}

/// Blanks at the end count in no collation.
fn folded(text: &str, binary: bool) -> String {
    let text = text.trim_end_matches(' ');
    if binary { text.to_owned() } else { text.to_lowercase() }
}

/// Its length in UTF-16 units.
pub(super) fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

fn cut(text: String, length: Option<usize>) -> String {
    match length {
        Some(length) if units(&text) > length => {
            let units: Vec<u16> = text.encode_utf16().take(length).collect();
            String::from_utf16_lossy(&units)
        }
        _ => text,
    }
}
