//! Replies as bytes, by MS-TDS 2.2.7.

use super::error::Fault;
use super::reply::Reply;
use super::scope::Column;
use super::time;
use super::value::{Type, Value};

const MORE: u16 = 0x01;
const ERROR: u16 = 0x02;
const COUNT: u16 = 0x10;
const ATTENTION: u16 = 0x20;
/// SQL_Latin1_General_CP1_CI_AS
const COLLATION: [u8; 5] = [0x09, 0x04, 0xd0, 0x00, 0x34];

/// Where a reply's statements are: in a batch, or in a procedure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Batch,
    Procedure,
}

/// The beginning of a reply, up to its last row.
pub(super) fn rows(reply: &[Reply]) -> Vec<u8> {
    let mut bytes = Vec::new();
    parts(&mut bytes, reply, Style::Batch);
    bytes
}

/// The last row of such a beginning, once more.
pub(super) fn rows_again(reply: &[Reply]) -> Vec<u8> {
    let before = rows(&reply[..reply.len() - 1]).len();
    rows(reply).split_off(before)
}

/// A whole reply.
pub(super) fn encode(reply: &[Reply], style: Style) -> Vec<u8> {
    let mut bytes = Vec::new();
    let failed = parts(&mut bytes, reply, style);
    let token = if style == Style::Batch { 0xfd } else { 0xfe };
    done(&mut bytes, token, failed, 0);
    bytes
}

/// Its parts; whether there is an error among them.
fn parts(bytes: &mut Vec<u8>, reply: &[Reply], style: Style) -> u16 {
    let mut columns: &[Column] = &[];
    let mut failed = 0;
    for part in reply {
        match part {
            Reply::Columns(all) => {
                columns = all;
                metadata(bytes, columns);
            }
            Reply::Row(values) => {
                bytes.push(0xd1);
                for (value, column) in values.iter().zip(columns) {
                    put_value(bytes, value, column.of);
                }
            }
            Reply::Done(count) => {
                let token = if style == Style::Batch { 0xfd } else { 0xff };
                let counted = if count.is_some() { COUNT } else { 0 };
                done(bytes, token, MORE | counted, count.unwrap_or(0));
            }
            Reply::Error(fault) => {
                failed = ERROR;
                error(bytes, fault);
            }
            Reply::Database(from, to) => environment(bytes, 1, &short(to), &short(from)),
            Reply::Began(number) => environment(bytes, 8, &descriptor(*number), &[0]),
            Reply::Committed(number) => environment(bytes, 9, &[0], &descriptor(*number)),
            Reply::RolledBack(number) => environment(bytes, 10, &[0], &descriptor(*number)),
            Reply::Status(code) => {
                bytes.push(0x79);
                bytes.extend(i32::try_from(*code).unwrap_or(0).to_le_bytes());
            }
        }
    }
    failed
}

/// That a request has been cancelled.
pub(super) fn acknowledgement() -> Vec<u8> {
    let mut bytes = Vec::new();
    done(&mut bytes, 0xfd, ATTENTION, 0);
    bytes
}

/// What a login is answered.
pub(super) fn login_ack(database: &str, packet_size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    environment(&mut bytes, 1, &short(database), &short("master"));
    let mut collation = vec![5];
    collation.extend(COLLATION);
    environment(&mut bytes, 7, &collation, &[0]);
    let mut body = vec![1];
    body.extend(0x7400_0004_u32.to_be_bytes());
    body.extend(short("Microsoft SQL Server"));
    body.extend([16, 0, 0x03, 0xe8]);
    bytes.push(0xad);
    put_length(&mut bytes, body.len());
    bytes.extend(body);
    environment(&mut bytes, 4, &short(&packet_size.to_string()), &short("4096"));
    done(&mut bytes, 0xfd, 0, 0);
    bytes
}

fn done(bytes: &mut Vec<u8>, token: u8, status: u16, count: i64) {
    bytes.push(token);
    bytes.extend(status.to_le_bytes());
    // Of a SELECT.
    bytes.extend(0xc1_u16.to_le_bytes());
    bytes.extend(count.to_le_bytes());
}

fn environment(bytes: &mut Vec<u8>, of: u8, new: &[u8], old: &[u8]) {
    bytes.push(0xe3);
    put_length(bytes, 1 + new.len() + old.len());
    bytes.push(of);
    bytes.extend(new);
    bytes.extend(old);
}

fn descriptor(transaction: u64) -> Vec<u8> {
    let mut bytes = vec![8];
    bytes.extend(transaction.to_le_bytes());
    bytes
}

fn error(bytes: &mut Vec<u8>, fault: &Fault) {
    let mut body = Vec::new();
    body.extend(fault.number.to_le_bytes());
    body.extend([fault.state, fault.severity]);
    let message: Vec<u16> = fault.message.encode_utf16().collect();
    put_length(&mut body, message.len());
    body.extend(message.into_iter().flat_map(u16::to_le_bytes));
    body.extend(short("double"));
    body.extend(short(""));
    body.extend(1_u32.to_le_bytes());
    bytes.push(0xaa);
    put_length(bytes, body.len());
    bytes.extend(body);
}

fn metadata(bytes: &mut Vec<u8>, columns: &[Column]) {
    bytes.push(0x81);
    put_length(bytes, columns.len());
    for column in columns {
        bytes.extend(0_u32.to_le_bytes());
        // It may be NULL.
        bytes.extend(1_u16.to_le_bytes());
        put_type(bytes, column.of);
        bytes.extend(short(&column.name));
    }
}

/// The length of each value in bytes, where it is not too long to be said so.
fn limit(of: Type) -> Option<u16> {
    match of {
        Type::Text(Some(units)) if units <= 4000 => u16::try_from(2 * units.max(1)).ok(),
        Type::Bytes(Some(length)) if length <= 8000 => u16::try_from(length.max(1)).ok(),
        _ => None,
    }
}

fn put_type(bytes: &mut Vec<u8>, of: Type) {
    match of {
        Type::Bit => bytes.extend([0x68, 1]),
        Type::TinyInt => bytes.extend([0x26, 1]),
        Type::SmallInt => bytes.extend([0x26, 2]),
        Type::Int => bytes.extend([0x26, 4]),
        Type::BigInt => bytes.extend([0x26, 8]),
        Type::Float => bytes.extend([0x6d, 8]),
        Type::Time => bytes.extend([0x2a, 7]),
        Type::Text(_) => {
            bytes.push(0xe7);
            bytes.extend(limit(of).unwrap_or(u16::MAX).to_le_bytes());
            bytes.extend(COLLATION);
        }
        Type::Bytes(_) => {
            bytes.push(0xa5);
            bytes.extend(limit(of).unwrap_or(u16::MAX).to_le_bytes());
        }
    }
}

fn put_value(bytes: &mut Vec<u8>, value: &Value, of: Type) {
    match (value, of) {
        (Value::Null, Type::Text(_) | Type::Bytes(_)) => match limit(of) {
            Some(_) => bytes.extend(u16::MAX.to_le_bytes()),
            None => bytes.extend(u64::MAX.to_le_bytes()),
        },
        (Value::Int(int), Type::Bit | Type::TinyInt) => bytes.extend([1, int.to_le_bytes()[0]]),
        (Value::Int(int), Type::SmallInt) => put_short(bytes, &int.to_le_bytes()[..2]),
        (Value::Int(int), Type::Int) => put_short(bytes, &int.to_le_bytes()[..4]),
        (Value::Int(int), Type::BigInt) => put_short(bytes, &int.to_le_bytes()),
        (Value::Float(float), Type::Float) => put_short(bytes, &float.to_le_bytes()),
        (Value::Time(ticks), Type::Time) => {
            let (days, rest) = time::split(*ticks);
            put_short(bytes, &[&rest.to_le_bytes()[..5], &days.to_le_bytes()[..3]].concat());
        }
        (Value::Text(text), Type::Text(_)) => {
            let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            put_long(bytes, &units, limit(of));
        }
        (Value::Bytes(value), Type::Bytes(_)) => put_long(bytes, value, limit(of)),
        // NULL, and what is not of its column's type, which cannot be.
        _ => bytes.push(0),
    }
}

fn put_short(bytes: &mut Vec<u8>, value: &[u8]) {
    bytes.push(u8::try_from(value.len()).unwrap_or(0));
    bytes.extend(value);
}

fn put_long(bytes: &mut Vec<u8>, value: &[u8], limit: Option<u16>) {
    if limit.is_some() {
        put_length(bytes, value.len());
        bytes.extend(value);
        return;
    }
    bytes.extend((value.len() as u64).to_le_bytes());
    if !value.is_empty() {
        bytes.extend(u32::try_from(value.len()).unwrap_or(0).to_le_bytes());
        bytes.extend(value);
    }
    bytes.extend(0_u32.to_le_bytes());
}

fn put_length(bytes: &mut Vec<u8>, length: usize) {
    bytes.extend(u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
}

/// A text behind its length in one byte.
fn short(text: &str) -> Vec<u8> {
    let units: Vec<u16> = text.encode_utf16().take(255).collect();
    let mut bytes = vec![u8::try_from(units.len()).unwrap_or(255)];
    bytes.extend(units.into_iter().flat_map(u16::to_le_bytes));
    bytes
}
