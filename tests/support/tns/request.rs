//! What clients ask for.

use std::collections::HashMap;

use super::codec;
use super::value::Value;
use super::wire::Reader;

/// Functions that run a statement: a new one, and one that is known.
const EXECUTE: u8 = 94;
const REEXECUTE: u8 = 4;
const REEXECUTE_AND_FETCH: u8 = 78;

/// A message, after what is piggybacked on it.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) closes: Vec<u64>,
    pub(super) tags: Option<Tags>,
    pub(super) request: Request,
}

/// What a session says of itself; none: as it was.
#[derive(Debug, Default)]
pub(super) struct Tags {
    pub(super) identifier: Option<String>,
    pub(super) module: Option<String>,
    pub(super) action: Option<String>,
    pub(super) info: Option<String>,
}

#[derive(Debug)]
pub(super) enum Request {
    Protocol,
    DataTypes,
    /// The first half of a login and the second one.
    Login {
        user: String,
        pairs: HashMap<String, String>,
        is_second: bool,
    },
    Execute(Execute),
    /// A statement again: its cursor, how many rows, and what follows.
    Again {
        cursor: u64,
        count: u64,
        rest: Vec<u8>,
    },
    Fetch {
        cursor: u64,
        count: u64,
    },
    Commit,
    Rollback,
    Ping,
    Logoff,
}

#[derive(Debug)]
pub(super) struct Execute {
    /// None: that of the cursor.
    pub(super) sql: Option<String>,
    pub(super) cursor: u64,
    /// How many rows are fetched at once, and how often it is executed.
    pub(super) rows: u64,
    pub(super) times: u64,
    pub(super) executes: bool,
    /// Types of binds.
    pub(super) types: Vec<u8>,
    pub(super) rest: Vec<u8>,
}

/// What the rest of a message is.
enum Kind {
    Protocol,
    DataTypes,
    Function(u8),
}

impl Message {
    /// None: more is to come.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let mut reader = Reader(body);
        let (mut closes, mut tags) = (Vec::new(), None);
        let request = match head(&mut reader, &mut closes, &mut tags)? {
            Kind::Protocol => Request::Protocol,
            Kind::DataTypes => Request::DataTypes,
            Kind::Function(function) => function_of(function, &mut reader)?,
        };
        Some(Message { closes, tags, request })
    }
}

/// Returns `true` if the message that begins so has a statement run.
pub(super) fn is_statement(body: &[u8]) -> bool {
    let head = head(&mut Reader(body), &mut Vec::new(), &mut None);
    matches!(head, Some(Kind::Function(EXECUTE | REEXECUTE | REEXECUTE_AND_FETCH)))
}

/// Reads a message until its kind.
fn head(reader: &mut Reader<'_>, closes: &mut Vec<u64>, tags: &mut Option<Tags>) -> Option<Kind> {
    loop {
        match (reader.u8()?, reader.0.first().copied()) {
            (1, _) => return Some(Kind::Protocol),
            (2, _) => return Some(Kind::DataTypes),
            (kind, Some(function)) => {
                reader.skip(2)?;
                // Fields of version 23.4: a token.
                reader.int()?;
                match (kind, function) {
                    (17, 105) => {
                        reader.u8()?;
                        for _ in 0..reader.int()? {
                            closes.push(reader.int()?);
                        }
                    }
                    (17, 135) => *tags = Some(read_tags(reader)?),
                    (17, 176) => reader.ints(1)?,
                    _ => return Some(Kind::Function(function)),
                }
            }
            _ => return None,
        }
    }
}

fn function_of(function: u8, reader: &mut Reader<'_>) -> Option<Request> {
    Some(match function {
        118 | 115 => {
            reader.skip(1)?;
            reader.ints(2)?;
            reader.skip(1)?;
            let count = reader.int()?;
            reader.skip(2)?;
            let user = text(reader.counted()?);
            let mut pairs = HashMap::new();
            for _ in 0..count {
                let name = text(reader.twice_counted()?);
                pairs.insert(name, text(reader.twice_counted()?));
                reader.int()?;
            }
            Request::Login { user, pairs, is_second: function == 115 }
        }
        EXECUTE => Request::Execute(execute(reader)?),
        REEXECUTE | REEXECUTE_AND_FETCH => {
            let (cursor, count) = (reader.int()?, reader.int()?);
            reader.ints(2)?;
            Request::Again { cursor, count, rest: reader.0.to_vec() }
        }
        5 => Request::Fetch { cursor: reader.int()?, count: reader.int()? },
        14 => Request::Commit,
        15 => Request::Rollback,
        9 => Request::Logoff,
        // And whatever needs no more of an answer.
        _ => Request::Ping,
    })
}

fn execute(reader: &mut Reader<'_>) -> Option<Execute> {
    let options = reader.int()?;
    let cursor = reader.int()?;
    let has_sql = reader.u8()? == 1;
    reader.int()?;
    reader.skip(1)?;
    reader.int()?;
    reader.skip(2)?;
    reader.int()?;
    let rows = reader.int()?;
    reader.int()?;
    reader.skip(1)?;
    let binds = reader.int()?;
    reader.skip(6)?;
    let defines = reader.int()?;
    reader.int()?;
    reader.skip(3)?;
    reader.int()?;
    reader.skip(1)?;
    reader.ints(2)?;
    for _ in 0..2 {
        reader.skip(1)?;
        reader.int()?;
        reader.skip(1)?;
        // The signature's and the identifier's, which is one number longer.
    }
    reader.int()?;
    reader.skip(2)?;
    reader.int()?;
    let sql = if has_sql { Some(text(reader.counted()?)) } else { None };
    reader.int()?;
    let times = reader.int()?;
    reader.ints(11)?;
    let mut types = Vec::new();
    for _ in 0..binds.max(defines) {
        types.push(reader.u8()?);
        reader.skip(3)?;
        reader.ints(6)?;
        reader.skip(1)?;
        reader.ints(2)?;
    }
    Some(Execute {
        sql,
        cursor,
        rows,
        times,
        executes: options & 0x20 != 0,
        types,
        rest: reader.0.to_vec(),
    })
}

fn read_tags(reader: &mut Reader<'_>) -> Option<Tags> {
    reader.skip(2)?;
    let flags = reader.int()?;
    let mut has = || {
        reader.skip(1)?;
        reader.int().map(|length| length > 0)
    };
    let (identifier, module, action) = (has()?, has()?, has()?);
    has()?;
    has()?;
    let info = has()?;
    has()?;
    has()?;
    let operation = has()?;
    let mut value = |is_there: bool, flag: u64| {
        let text = if is_there { text(reader.counted()?) } else { String::new() };
        Some((flags & flag != 0).then_some(text))
    };
    let tags = Tags {
        identifier: value(identifier, 1)?,
        module: value(module, 8)?,
        action: value(action, 16)?,
        info: value(info, 0x100)?,
    };
    value(operation, 0x200)?;
    Some(tags)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Rows of values for these types; none: more is to come.
pub(super) fn values(rest: &[u8], types: &[u8], rows: u64) -> Option<Vec<Vec<Value>>> {
    let mut reader = Reader(rest);
    (0..rows)
        .map(|_| {
            if types.is_empty() {
                return Some(Vec::new());
            }
            reader.u8()?;
            types.iter().map(|of| Some(codec::decode(*of, &reader.counted()?))).collect()
        })
        .collect()
}
