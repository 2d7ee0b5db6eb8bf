//! How a client gets in: accept, negotiation, and its name. Passwords are not looked at; unknown names get no session.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Notify;

use super::fault::Fault;
use super::time;
use super::wire::{SDU, Writer};
use super::world::{Session, World};

/// Who may log in: `scott` may do everything, `limited` sees no views, `powerless` may take no locks.
const USERS: [&str; 5] = ["SCOTT", "SYSTEM", "APP", "LIMITED", "POWERLESS"];

/// The body of ACCEPT: version 318, no login by one message, no mark at the end of an answer.
pub(super) fn accept() -> Vec<u8> {
    let mut body = 318_u16.to_be_bytes().to_vec();
    body.extend([0; 22]);
    body.extend((SDU as u32).to_be_bytes());
    body.extend([0; 9]);
    body
}

/// Why a listener does not let in whoever asks for a service that there is none of.
pub(super) fn refuse(connect: &str) -> Option<Vec<u8>> {
    let upper = connect.to_uppercase();
    let service = upper.split("SERVICE_NAME=").nth(1).and_then(|rest| rest.split(')').next());
    if service.is_some_and(|service| ["FREEPDB1", "FREE"].contains(&service.trim())) {
        return None;
    }
    let message = "(DESCRIPTION=(ERR=12514)(VSNNUM=0)(ERROR_STACK=(ERROR=(CODE=12514)(EMFI=4))))";
    let mut body = vec![1, 0];
    body.extend((message.len() as u16).to_be_bytes());
    body.extend(message.as_bytes());
    Some(body)
}

/// The server's character sets and what it can do: strings of 32,767 bytes.
pub(super) fn protocol() -> Vec<u8> {
    let mut writer = Writer::default();
    writer.raw(&[1, 6, 0]).raw(b"double of Oracle\0").raw(&873_u16.to_le_bytes()).zeros(3);
    writer.raw(&11_u16.to_be_bytes()).zeros(9).raw(&2000_u16.to_be_bytes());
    writer.zeros(1).counted(&[2, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    writer.0
}

/// What is verified of a password, if it were.
pub(super) fn challenge() -> Vec<u8> {
    let mut writer = Writer::default();
    writer.pairs(&[
        ("AUTH_SESSKEY", "5A".repeat(32)),
        ("AUTH_VFR_DATA", "A1".repeat(16)),
        ("AUTH_PBKDF2_CSK_SALT", "B2".repeat(16)),
        ("AUTH_PBKDF2_VGEN_COUNT", "8".into()),
        ("AUTH_PBKDF2_SDER_COUNT", "3".into()),
    ]);
    writer.0
}

pub(super) fn welcome(id: u16, serial: u32) -> Vec<u8> {
    let mut writer = Writer::default();
    let version = 23_u32 << 24 | 9 << 16;
    writer.pairs(&[
        ("AUTH_SESSION_ID", id.to_string()),
        ("AUTH_SERIAL_NUM", serial.to_string()),
        ("AUTH_VERSION_NO", version.to_string()),
        ("AUTH_MAX_OPEN_CURSORS", "300".into()),
        ("AUTH_MAX_IDEN_LENGTH", "128".into()),
        ("AUTH_SC_DBUNIQUE_NAME", "FREE".into()),
        ("AUTH_INSTANCENAME", "FREE".into()),
        ("AUTH_SC_SERVICE_NAME", "freepdb1".into()),
    ]);
    writer.0
}

/// Who has a session now.
#[derive(Debug)]
pub(super) struct Entered {
    pub(super) id: u16,
    pub(super) serial: u32,
    pub(super) user: String,
    pub(super) kill: Arc<Notify>,
}

/// Makes the session, if the user may have one.
pub(super) fn enter(
    world: &mut World,
    user: &str,
    client: HashMap<String, String>,
) -> Result<Entered, Fault> {
    let user = user.trim_matches('"').to_uppercase();
    if !USERS.contains(&user.as_str()) {
        return Err(Fault::numbered(1017));
    }
    let most = world.option(&format!("sessions_of_{}", user.to_lowercase()));
    let most = most.and_then(|most| most.parse().ok()).unwrap_or(usize::MAX);
    if world.sessions.values().filter(|session| session.user == user).count() >= most {
        return Err(Fault::new(2391, "exceeded simultaneous SESSIONS_PER_USER limit"));
    }
    let id = (11..u16::MAX).find(|id| !world.sessions.contains_key(id)).unwrap_or(u16::MAX);
    let (serial, kill, now) = (world.serial(), Arc::new(Notify::new()), time::now() / 1_000_000);
    let session = Session {
        serial,
        user: user.clone(),
        module: client.get("AUTH_PROGRAM_NM").cloned().unwrap_or_default(),
        client,
        since: now,
        asked: now,
        kill: Arc::clone(&kill),
        ..Session::default()
    };
    world.sessions.insert(id, session);
    Ok(Entered { id, serial, user, kill })
}
