//! Requests: what a client wants done, by MS-TDS 2.2.6.6, 2.2.6.7 and 2.2.6.9.

use super::time;
use super::value::Value;
use super::wire::{Kind, Message};

/// A request.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Request {
    Batch(String),
    Procedure { name: String, arguments: Vec<(Option<String>, Value)> },
    Begin,
    Commit,
    Rollback(Option<String>),
    Save(String),
}

impl Request {
    /// What a message asks for; none: it is not understood.
    pub(super) fn read(message: &Message) -> Option<Self> {
        let mut reader = Reader(&message.body);
        let headers = usize::try_from(reader.u32()?).ok()?;
        reader.take(headers.checked_sub(4)?)?;
        match message.kind {
            Kind::Batch => {
                let length = reader.0.len() / 2;
                reader.units(length).map(Request::Batch)
            }
            Kind::Rpc => reader.procedure(),
            Kind::Transaction => reader.transaction(),
            _ => None,
        }
    }

    /// All that it says, for what looks for words in it.
    pub(super) fn text(&self) -> String {
        match self {
            Request::Batch(sql) => sql.clone(),
            Request::Procedure { name, arguments } => {
                let texts = arguments.iter().map(|(_, value)| match value {
                    Value::Text(text) => text.clone(),
                    other => format!("{other:?}"),
                });
                format!("{name} {}", texts.collect::<Vec<_>>().join(" "))
            }
            other => format!("{other:?}"),
        }
    }
}

/// What is left of a message.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn units(&mut self, length: usize) -> Option<String> {
        let pairs = self.take(2 * length)?.chunks_exact(2);
        let units: Vec<u16> = pairs.map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        Some(String::from_utf16_lossy(&units))
    }

    fn short_text(&mut self) -> Option<String> {
        let length = usize::from(self.u8()?);
        self.units(length)
    }

    fn procedure(&mut self) -> Option<Request> {
        let length = self.u16()?;
        let name = match length {
            u16::MAX => match self.u16()? {
                10 => "sp_executesql".to_owned(),
                _ => return None,
            },
            length => self.units(usize::from(length))?,
        };
        let _options = self.u16()?;
        let mut arguments = Vec::new();
        while !self.0.is_empty() {
            let name = self.short_text()?;
            let _status = self.u8()?;
            let name = match name.as_str() {
                "" => None,
                name if name.starts_with('@') => Some(name.to_owned()),
                name => Some(format!("@{name}")),
            };
            arguments.push((name, self.value()?));
        }
        Some(Request::Procedure { name, arguments })
    }

    fn transaction(&mut self) -> Option<Request> {
        let named = |name: String| (!name.is_empty()).then_some(name);
        Some(match self.u16()? {
            5 => Request::Begin,
            7 => Request::Commit,
            8 => Request::Rollback(named(self.short_text()?)),
            9 => Request::Save(self.short_text()?),
            _ => return None,
        })
    }

    /// A value behind its type.
    fn value(&mut self) -> Option<Value> {
        let of = self.u8()?;
        Some(match of {
            0x1f => Value::Null,
            // Whole numbers.
            0x26 | 0x68 => {
                self.u8()?;
                let length = usize::from(self.u8()?);
                match self.take(length)? {
                    [] => Value::Null,
                    [byte] => Value::Int((*byte).into()),
                    bytes => {
                        let fill = if bytes[length - 1] >= 0x80 { 0xff } else { 0 };
                        let mut all = [fill; 8];
                        all[..length].copy_from_slice(bytes);
                        Value::Int(i64::from_le_bytes(all))
                    }
                }
            }
            0x6d => {
                self.u8()?;
                let length = usize::from(self.u8()?);
                let bytes = self.take(length)?;
                match length {
                    8 => Value::Float(f64::from_le_bytes(bytes.try_into().ok()?)),
                    4 => Value::Float(f32::from_le_bytes(bytes.try_into().ok()?).into()),
                    _ => Value::Null,
                }
            }
            0xe7 => {
                let limit = self.u16()?;
                self.take(5)?;
                match self.long(limit)? {
                    Some(bytes) => Value::Text(Reader(&bytes).units(bytes.len() / 2)?),
                    None => Value::Null,
                }
            }
            0xa5 => {
                let limit = self.u16()?;
                self.long(limit)?.map_or(Value::Null, Value::Bytes)
            }
            // datetime2 of 7 digits.
            0x2a => {
                self.u8()?;
                let length = usize::from(self.u8()?);
                let bytes = self.take(length)?;
                let number = |bytes: &[u8]| {
                    bytes.iter().rev().fold(0, |sum, byte| sum << 8 | i64::from(*byte))
                };
                if length < 8 {
                    Value::Null
                } else {
                    Value::Time(time::join(number(&bytes[5..]), number(&bytes[..5])))
                }
            }
            _ => return None,
        })
    }

    /// Bytes behind their length, or in parts when there may be more than so many.
    fn long(&mut self, limit: u16) -> Option<Option<Vec<u8>>> {
        if limit != u16::MAX {
            let length = self.u16()?;
            return match length {
                u16::MAX => Some(None),
                length => self.take(usize::from(length)).map(|bytes| Some(bytes.to_vec())),
            };
        }
        let all = u64::from_le_bytes(self.take(8)?.try_into().ok()?);
        if all == u64::MAX {
            return Some(None);
        }
        let mut bytes = Vec::new();
        // The driver leaves out the end of what is empty.
        while !self.0.is_empty() {
            let length = usize::try_from(self.u32()?).ok()?;
            if length == 0 {
                break;
            }
            bytes.extend(self.take(length)?);
        }
        Some(Some(bytes))
    }
}
