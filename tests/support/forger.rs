//! Makes a server say what no server says.

/// What becomes of the rows that a server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgery {
    /// PostgreSQL: the rows have no columns, whatever was said of them before.
    RowsWithoutColumns,
    /// The last row of an answer comes again and again, without end.
    RowsWithoutEnd,
}

/// What goes to the client.
pub(crate) enum Said {
    Once(Vec<u8>),
    /// The second part again and again.
    Endless(Vec<u8>, Vec<u8>),
}

/// One connection's way back to the client, from a moment on at which no answer is on its way.
pub(crate) struct Forger {
    forgery: Forgery,
    postgres: bool,
    /// The beginning of a message whose rest is still to come.
    rest: Vec<u8>,
    /// MySQL: the message that came last, which is a row if the next one ends the answer.
    last: Vec<u8>,
}

impl Forger {
    pub(crate) fn new(forgery: Forgery, postgres: bool) -> Self {
        Forger { forgery, postgres, rest: Vec::new(), last: Vec::new() }
    }

    /// What becomes of these bytes, which come after those that were given before.
    pub(crate) fn forge(&mut self, bytes: &[u8]) -> Said {
        self.rest.extend_from_slice(bytes);
        let mut said = Vec::new();
        while let Some(length) = self.length() {
            let message: Vec<u8> = self.rest.drain(..length).collect();
            let is_row = if self.postgres {
                message[0] == b'D'
            } else {
                // What ends an answer is short, and begins like this.
                message[4] == 0xfe && length < 64 && !self.last.is_empty()
            };
            match self.forgery {
                Forgery::RowsWithoutColumns if is_row => said.extend(b"D\0\0\0\x06\0\0"),
                Forgery::RowsWithoutEnd if is_row => {
                    let row = if self.postgres { message } else { std::mem::take(&mut self.last) };
                    return Said::Endless(said, row);
                }
                _ => {
                    said.extend(&message);
                    self.last = message;
                }
            }
        }
        Said::Once(said)
    }

    /// That of the first message, if it is there as a whole.
    fn length(&self) -> Option<usize> {
        let length = if self.postgres {
            let bytes = self.rest.get(1..5)?.try_into().ok()?;
            usize::try_from(u32::from_be_bytes(bytes)).ok()? + 1
        } else {
            let &[a, b, c, _, ..] = &self.rest[..] else { return None };
            usize::try_from(u32::from_le_bytes([a, b, c, 0])).ok()? + 4
        };
        (length <= self.rest.len()).then_some(length)
    }
}
