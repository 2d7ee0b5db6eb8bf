//! TNS packets, and what TTC messages are made of.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Kinds of packets.
pub(super) const CONNECT: u8 = 1;
pub(super) const ACCEPT: u8 = 2;
pub(super) const REFUSE: u8 = 4;
pub(super) const DATA: u8 = 6;
pub(super) const MARKER: u8 = 12;
/// How long a packet may be: also what `ACCEPT` says.
pub(super) const SDU: usize = 8192;
/// A flag of a packet of data: nothing follows any more.
pub(super) const EOF: u16 = 0x40;

/// One packet.
#[derive(Debug)]
pub(super) struct Packet {
    pub(super) kind: u8,
    /// Of data only.
    pub(super) flags: u16,
    pub(super) body: Vec<u8>,
}

/// How long the packet is whose head this is. Lengths have 16 bits until the connection is accepted, and
/// 32 then, of which the first 16 are zero.
pub(super) fn length(head: &[u8]) -> usize {
    let half = |at: usize| usize::from(head[at]) << 8 | usize::from(head[at + 1]);
    if half(0) > 0 { half(0) } else { half(2) }
}

/// Reads a packet.
pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Packet> {
    let mut head = [0; 8];
    from.read_exact(&mut head).await?;
    let length = length(&head);
    let mut body = vec![0; length.saturating_sub(8)];
    from.read_exact(&mut body).await?;
    let kind = head[4];
    let mut flags = 0;
    if kind == DATA && body.len() >= 2 {
        flags = u16::from_be_bytes([body[0], body[1]]);
        body.drain(..2);
    }
    Ok(Packet { kind, flags, body })
}

/// Packets of that kind with all of this in them.
pub(super) fn packets(kind: u8, body: &[u8], long: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + 16);
    let extra = if kind == DATA { 2 } else { 0 };
    for part in body.chunks(SDU - 8 - extra) {
        let length = part.len() + 8 + extra;
        match long {
            true => bytes.extend((length as u32).to_be_bytes()),
            false => bytes.extend([(length >> 8) as u8, length as u8, 0, 0]),
        }
        bytes.extend([kind, 0, 0, 0]);
        bytes.extend(vec![0; extra]);
        bytes.extend(part);
    }
    bytes
}

pub(super) async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

/// Reads what a message is made of; none: it ends too early.
#[derive(Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    pub(super) fn skip(&mut self, count: usize) -> Option<()> {
        self.bytes(count).map(|_| ())
    }

    /// A number with its length before it.
    pub(super) fn int(&mut self) -> Option<u64> {
        let length = self.u8()? & 0x7f;
        Some(self.bytes(length.into())?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    pub(super) fn ints(&mut self, count: usize) -> Option<()> {
        (0..count).try_for_each(|_| self.int().map(|_| ()))
    }

    /// Bytes with their length before them, or in parts, each with its own.
    pub(super) fn counted(&mut self) -> Option<Vec<u8>> {
        match self.u8()? {
            255 => Some(Vec::new()),
            254 => {
                let mut all = Vec::new();
                loop {
                    match self.int()? {
                        0 => return Some(all),
                        length => all.extend(self.bytes(usize::try_from(length).ok()?)?),
                    }
                }
            }
            length => self.bytes(length.into()).map(<[u8]>::to_vec),
        }
    }

    /// The same behind a number: zero, and there are none.
    pub(super) fn twice_counted(&mut self) -> Option<Vec<u8>> {
        if self.int()? == 0 { Some(Vec::new()) } else { self.counted() }
    }
}

/// Makes messages.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend(bytes);
        self
    }

    pub(super) fn int(&mut self, int: u64) -> &mut Self {
        let bytes = int.to_be_bytes();
        let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
        // The driver reads no lengths of 3, 5, 6 and 7 bytes everywhere.
        let zeros = match bytes.len() {
            3 => 1,
            5..=7 => 8 - bytes.len(),
            _ => 0,
        };
        self.0.push((bytes.len() + zeros) as u8);
        self.0.extend(vec![0; zeros]);
        self.raw(bytes)
    }

    /// So many zeros, which are numbers as well.
    pub(super) fn zeros(&mut self, count: usize) -> &mut Self {
        self.0.extend(vec![0; count]);
        self
    }

    pub(super) fn counted(&mut self, bytes: &[u8]) -> &mut Self {
        if bytes.len() <= 252 {
            self.0.push(bytes.len() as u8);
            return self.raw(bytes);
        }
        self.0.push(254);
        for part in bytes.chunks(32_767) {
            self.int(part.len() as u64).raw(part);
        }
        self.zeros(1)
    }

    pub(super) fn twice_counted(&mut self, bytes: &[u8]) -> &mut Self {
        self.int(bytes.len() as u64);
        if bytes.is_empty() { self } else { self.counted(bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Reader, Writer};

    #[test]
    fn read_as_written() {
        let mut writer = Writer::default();
        let long: Vec<u8> = (0..40_000).map(|n| n as u8).collect();
        writer.int(0).int(300).int(70_000).int(1 << 40).counted(b"a").counted(&long);
        writer.twice_counted(b"").twice_counted(b"b");
        let mut reader = Reader(&writer.0);
        let ints: Vec<_> = (0..4).map_while(|_| reader.int()).collect();
        assert_eq!(ints, [0, 300, 70_000, 1 << 40]);
        assert_eq!(reader.counted().unwrap(), b"a");
        assert_eq!(reader.counted().unwrap(), long);
        assert_eq!(reader.twice_counted().unwrap(), b"");
        assert_eq!(reader.twice_counted().unwrap(), b"b");
        assert_eq!(reader.u8(), None);
    }
}
