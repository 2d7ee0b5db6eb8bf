//! Packets and messages, by MS-TDS 2.2.3.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

const HEADER: usize = 8;
const LAST: u8 = 0x01;
const RESET: u8 = 0x08;
const REPLY: u8 = 0x04;
/// Nobody sends more at once.
const MOST: usize = 64 << 20;

/// What a message is, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Batch,
    Rpc,
    Attention,
    Transaction,
    Login,
    PreLogin,
}

/// What a client says.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) kind: Kind,
    /// The session is to be as new before.
    pub(super) resets: bool,
    pub(super) body: Vec<u8>,
}

/// The next message.
pub(super) async fn read(from: &mut OwnedReadHalf) -> io::Result<Message> {
    let mut body = Vec::new();
    let mut resets = false;
    loop {
        let mut header = [0; HEADER];
        from.read_exact(&mut header).await?;
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
        let kind = match header[0] {
            1 => Kind::Batch,
            3 => Kind::Rpc,
            6 => Kind::Attention,
            14 => Kind::Transaction,
            16 => Kind::Login,
            18 => Kind::PreLogin,
            _ => return Err(invalid("a packet of an unknown type")),
        };
        resets |= header[1] & RESET != 0;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let length =
            length.checked_sub(HEADER).ok_or_else(|| invalid("a packet that is too short"))?;
        let begin = body.len();
        if begin + length > MOST {
            return Err(invalid("a message that is too long"));
        }
        body.resize(begin + length, 0);
        from.read_exact(&mut body[begin..]).await?;
        if header[1] & LAST != 0 {
            return Ok(Message { kind, resets, body });
        }
    }
}

/// A part of a reply, behind which there is more.
pub(super) fn unfinished(body: &[u8], packet_size: usize, session: u16) -> Vec<u8> {
    in_packets(body, packet_size, session, 0)
}

/// A reply in packets.
pub(super) fn packets(body: &[u8], packet_size: usize, session: u16) -> Vec<u8> {
    in_packets(body, packet_size, session, LAST)
}

fn in_packets(body: &[u8], packet_size: usize, session: u16, last: u8) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + HEADER);
    let mut chunks = body.chunks(packet_size - HEADER).peekable();
    let mut number = 0_u8;
    while let Some(chunk) = chunks.next() {
        number = number.wrapping_add(1);
        bytes.push(REPLY);
        bytes.push(if chunks.peek().is_none() { last } else { 0 });
        bytes.extend(u16::try_from(chunk.len() + HEADER).unwrap_or(u16::MAX).to_be_bytes());
        bytes.extend(session.to_be_bytes());
        bytes.extend([number, 0]);
        bytes.extend(chunk);
    }
    bytes
}

/// Sends that.
pub(super) async fn write(to: &mut OwnedWriteHalf, packets: &[u8]) -> io::Result<()> {
    to.write_all(packets).await?;
    to.flush().await
}
