//! Reads what clients say, as far as to count statements.

use crate::tns;

/// One connection's way to the server.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    protocol: Protocol,
    /// The beginning of a message whose rest is still to come.
    rest: Vec<u8>,
}

#[derive(Debug, Clone)]
enum Protocol {
    /// `begun`: from then on, a message begins with its kind.
    Postgres {
        begun: bool,
    },
    MySql,
    Tds,
    /// `continued`: the next packet is the rest of a message.
    Tns {
        continued: bool,
    },
}

impl Wire {
    /// Of a new connection to a URL of that scheme.
    pub(crate) fn of(scheme: &str) -> Self {
        let protocol = match scheme.strip_prefix("lease+").unwrap_or(scheme) {
            "mysql" | "mariadb" => Protocol::MySql,
            "mssql" | "sqlserver" => Protocol::Tds,
            "oracle" => Protocol::Tns { continued: false },
            _ => Protocol::Postgres { begun: false },
        };
        Wire { protocol, rest: Vec::new() }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.protocol, Protocol::Postgres { .. })
    }

    /// How many statements end in these bytes, which come after those that were given before.
    pub(crate) fn statements(&mut self, bytes: &[u8]) -> u64 {
        self.rest.extend_from_slice(bytes);
        let (mut count, mut at) = (0, 0);
        while let Some((length, is_statement)) = self.protocol.message(&self.rest[at..]) {
            at += length;
            count += u64::from(is_statement);
        }
        self.rest.drain(..at);
        count
    }
}

impl Protocol {
    /// The length of the first message, if it is there as a whole, and whether it runs a statement.
    fn message(&mut self, bytes: &[u8]) -> Option<(usize, bool)> {
        if let Protocol::Tns { continued } = self {
            let (length, begins) = tns::packet(bytes)?;
            let is_rest = std::mem::replace(continued, tns::is_continued(length));
            return Some((length, begins && !is_rest));
        }
        let number = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let size = |number: u32| usize::try_from(number).ok();
        let (length, is_statement) = match self {
            Protocol::Postgres { begun: false } => (size(number(0)?)?, false),
            // Query and Execute.
            Protocol::Postgres { begun: true } => {
                (size(number(1)?)? + 1, matches!(bytes[0], b'Q' | b'E'))
            }
            Protocol::MySql => {
                let &[a, b, c, sequence, command, ..] = bytes else { return None };
                let length = size(u32::from_le_bytes([a, b, c, 0]))?;
                // A command begins a sequence: COM_QUERY and COM_STMT_EXECUTE.
                (length + 4, sequence == 0 && matches!(command, 0x03 | 0x17))
            }
            Protocol::Tds => {
                let &[kind, status, a, b, ..] = bytes else { return None };
                let is_last = status & 1 != 0;
                // Batches and calls of procedures.
                (usize::from(u16::from_be_bytes([a, b])), is_last && matches!(kind, 1 | 3))
            }
            Protocol::Tns { .. } => return None,
        };
        if length == 0 || bytes.len() < length {
            return None;
        }
        if let Protocol::Postgres { begun } = self {
            // What begins a session is of the protocol's third version, what asks to encrypt is not.
            *begun |= number(4).is_some_and(|version| version >> 16 == 3);
        }
        Some((length, is_statement))
    }
}

#[cfg(test)]
mod tests {
    use super::Wire;

    /// Whatever it is cut into.
    fn counted(scheme: &str, said: &[&[u8]]) -> u64 {
        let said = said.concat();
        let whole = Wire::of(scheme).statements(&said);
        let mut wire = Wire::of(scheme);
        assert_eq!(said.iter().map(|byte| wire.statements(&[*byte])).sum::<u64>(), whole);
        whole
    }

    #[test]
    fn statements_of_postgres() {
        let encrypt: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];
        let begin: &[u8] = &[0, 0, 0, 9, 0, 3, 0, 0, 0];
        let (query, sync) = (b"Q\0\0\0\x06E\0", b"S\0\0\0\x04");
        let (bind, execute) = (b"B\0\0\0\x07EEE", b"E\0\0\0\x09\0\0\0\0\0");
        assert_eq!(counted("postgres", &[encrypt, begin]), 0);
        let said: &[&[u8]] = &[encrypt, begin, query, bind, execute, sync, bind, execute, sync];
        assert_eq!(counted("lease+postgres", said), 3);
    }

    #[test]
    fn statements_of_sql_server() {
        let login = &[16, 1, 0, 9, 0, 0, 1, 0, 7];
        let (first, last) = (&[3, 0, 0, 9, 0, 0, 1, 0, 7], &[3, 1, 0, 9, 0, 0, 2, 0, 7]);
        let (batch, attention) = (&[1, 1, 0, 8, 0, 0, 1, 0], &[6, 1, 0, 8, 0, 0, 1, 0]);
        assert_eq!(counted("mssql", &[login, first, last, batch, attention]), 2);
    }

    #[test]
    fn statements_of_oracle() {
        let connect: &[u8] = &[0, 10, 0, 0, 1, 0, 0, 0, 3, 1];
        let said = |body: &[u8]| {
            let mut packet = (body.len() as u32 + 10).to_be_bytes().to_vec();
            packet.extend([6, 0, 0, 0, 0, 0]);
            packet.extend(body);
            packet
        };
        let (execute, ping) = (said(&[3, 94, 0, 0, 1]), said(&[3, 147, 0, 0]));
        // Cursors are closed by the way.
        let again = said(&[17, 105, 0, 0, 1, 1, 2, 1, 7, 1, 9, 3, 78, 0, 0, 1, 7]);
        let mut long = said(&[3, 94, 0, 0, 1].repeat(1637)[..8182]);
        long.extend(said(&[3, 94, 0, 0]));
        assert_eq!(counted("lease+oracle", &[connect, &ping, &execute, &again, &long]), 3);
    }

    #[test]
    fn statements_of_mysql() {
        let answer: &[u8] = &[2, 0, 0, 1, 3, 3];
        let (query, ping) = (&[3, 0, 0, 0, 3, b'd', b'o'], &[1, 0, 0, 0, 14]);
        let (prepare, execute) = (&[2, 0, 0, 0, 22, 3], &[2, 0, 0, 0, 23, 3]);
        assert_eq!(counted("mysql", &[answer, query, ping, prepare, execute, execute]), 3);
    }
}
