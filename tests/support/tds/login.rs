//! The first words of a connection, by MS-TDS 2.2.6.4 and 2.2.6.5.

/// Whom a client says it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) host: String,
    pub(super) login: String,
    pub(super) password: String,
    pub(super) program: String,
    pub(super) database: String,
    pub(super) process: u32,
    pub(super) packet_size: usize,
}

/// The answer to a pre-login: who we are, and that we do not encrypt.
pub(super) fn pre_login() -> Vec<u8> {
    const VERSION: [u8; 6] = [16, 0, 0x03, 0xe8, 0, 0];
    const NOT_SUPPORTED: u8 = 2;
    // Options are listed first, each with where in the message it is and how long.
    let mut bytes = vec![0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff];
    bytes.extend(VERSION);
    bytes.push(NOT_SUPPORTED);
    bytes
}

/// What a login says; none: it is not one.
pub(super) fn read(body: &[u8]) -> Option<Login> {
    let number = |at: usize| Some(u32::from_le_bytes(body.get(at..at + 4)?.try_into().ok()?));
    let short =
        |at: usize| Some(usize::from(u16::from_le_bytes(body.get(at..at + 2)?.try_into().ok()?)));
    let field = |at: usize| {
        let (from, units) = (short(at)?, short(at + 2)?);
        body.get(from..from + 2 * units)
    };
    let text = |bytes: &[u8]| {
        let units = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        String::from_utf16_lossy(&units.collect::<Vec<_>>())
    };
    // It is not plain: each byte turned round by half, and flipped.
    let plain: Vec<u8> = field(44)?.iter().map(|byte| (byte ^ 0xa5).rotate_left(4)).collect();
    let packet_size = usize::try_from(number(8)?).ok()?;
    Some(Login {
        host: text(field(36)?),
        login: text(field(40)?),
        password: text(&plain),
        program: text(field(48)?),
        database: text(field(68)?),
        process: number(16)?,
        packet_size: if (512..=32_767).contains(&packet_size) { packet_size } else { 4096 },
    })
}
