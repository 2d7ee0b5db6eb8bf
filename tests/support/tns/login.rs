//! How a client gets in: accept, negotiation, its name and its password.

use std::collections::HashMap;
use std::sync::Arc;

use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockModeDecrypt as _, KeyIvInit as _};
use sha2::{Digest as _, Sha512};
use tokio::sync::Notify;

use super::fault::Fault;
use super::time;
use super::value::{hex, unhex};
use super::wire::{SDU, Writer};
use super::world::{Container, Session, World};

/// Who may log in: `scott` may do everything, `limited` sees no views, `powerless` may take no locks.
const USERS: [&str; 5] = ["SCOTT", "SYSTEM", "APP", "LIMITED", "POWERLESS"];
/// The password of all of them.
const PASSWORD: &str = "Dlock_1234";
/// What the server says of the password: its half of a key, salts, and how often they are used.
const SESSION_KEY: [u8; 32] = [0x5a; 32];
const VERIFIER_SALT: [u8; 16] = [0xa1; 16];
const KEY_SALT: [u8; 16] = [0xb2; 16];
const VERIFIER_ROUNDS: u32 = 8;
const KEY_ROUNDS: u32 = 3;

/// The body of ACCEPT: version 318, no login by one message, no mark at the end of an answer.
pub(super) fn accept() -> Vec<u8> {
    let mut body = 318_u16.to_be_bytes().to_vec();
    body.extend([0; 22]);
    body.extend((SDU as u32).to_be_bytes());
    body.extend([0; 9]);
    body
}

/// Which database a client asks for; the listener's refusal if there is none of that service.
pub(super) fn container(connect: &str) -> Result<Container, Vec<u8>> {
    let upper = connect.to_uppercase();
    let service = upper.split("SERVICE_NAME=").nth(1).and_then(|rest| rest.split(')').next());
    if let Some(container) = service.and_then(|service| Container::of_service(service.trim())) {
        return Ok(container);
    }
    let message = "(DESCRIPTION=(ERR=12514)(VSNNUM=0)(ERROR_STACK=(ERROR=(CODE=12514)(EMFI=4))))";
    let mut body = vec![1, 0];
    body.extend((message.len() as u16).to_be_bytes());
    body.extend(message.as_bytes());
    Err(body)
}

/// The server's character sets and what it can do: strings of 32,767 bytes.
pub(super) fn protocol() -> Vec<u8> {
    let mut writer = Writer::default();
    writer.raw(&[1, 6, 0]).raw(b"double of Oracle\0").raw(&873_u16.to_le_bytes()).zeros(3);
    writer.raw(&11_u16.to_be_bytes()).zeros(9).raw(&2000_u16.to_be_bytes());
    writer.zeros(1).counted(&[2, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    writer.0
}

/// What a password is verified by.
pub(super) fn challenge() -> Vec<u8> {
    let mut writer = Writer::default();
    writer.pairs(&[
        ("AUTH_SESSKEY", hex(&SESSION_KEY)),
        ("AUTH_VFR_DATA", hex(&VERIFIER_SALT)),
        ("AUTH_PBKDF2_CSK_SALT", hex(&KEY_SALT)),
        ("AUTH_PBKDF2_VGEN_COUNT", VERIFIER_ROUNDS.to_string()),
        ("AUTH_PBKDF2_SDER_COUNT", KEY_ROUNDS.to_string()),
    ]);
    writer.0
}

/// Returns `true` if the client knows the password: both halves of the key go by it, and the key
/// encrypts it.
fn knows_password(client: &HashMap<String, String>) -> Option<bool> {
    let sent = |name: &str| unhex(client.get(name)?).ok();
    let (mut verifier, mut key) = ([0; 64], [0; 32]);
    let salt = [&VERIFIER_SALT[..], b"AUTH_PBKDF2_SPEEDY_KEY"].concat();
    let derive = pbkdf2::pbkdf2_hmac::<Sha512>;
    derive(PASSWORD.as_bytes(), &salt, VERIFIER_ROUNDS, &mut verifier);
    let hash = Sha512::new().chain_update(verifier).chain_update(VERIFIER_SALT).finalize();
    let hash: [u8; 32] = hash[..32].try_into().ok()?;
    let halves = [decrypt(&hash, &sent("AUTH_SESSKEY")?)?, decrypt(&hash, &SESSION_KEY)?];
    derive(hex(&halves.concat()).as_bytes(), &KEY_SALT, KEY_ROUNDS, &mut key);
    let password = decrypt(&key, &sent("AUTH_PASSWORD")?)?;
    // Behind a block of noise, and filled up with how much that is.
    let password = password.get(16..)?;
    let length = password.len().checked_sub(usize::from(*password.last()?))?;
    Some(password.get(..length)? == PASSWORD.as_bytes())
}

fn decrypt(key: &[u8; 32], text: &[u8]) -> Option<Vec<u8>> {
    let mut plain = vec![0; text.len()];
    let cipher = cbc::Decryptor::<aes::Aes256>::new(key.into(), &[0; 16].into());
    cipher.decrypt_padded_b2b::<NoPadding>(text, &mut plain).ok()?;
    Some(plain)
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
    (user, container): (&str, Container),
    client: HashMap<String, String>,
) -> Result<Entered, Fault> {
    let user = user.trim_matches('"').to_uppercase();
    let limit = format!("sessions_of_{}", user.to_lowercase());
    // Or of whom a test has said how many sessions he may have.
    let is_known = USERS.contains(&user.as_str()) || world.is_set(&limit);
    if !is_known || knows_password(&client) != Some(true) {
        return Err(Fault::numbered(1017));
    }
    let most = world.option(&limit);
    let most = most.and_then(|most| most.parse().ok()).unwrap_or(usize::MAX);
    if world.sessions.values().filter(|session| session.user == user).count() >= most {
        return Err(Fault::new(2391, "exceeded simultaneous SESSIONS_PER_USER limit"));
    }
    let id = (11..u16::MAX).find(|id| !world.sessions.contains_key(id)).unwrap_or(u16::MAX);
    let (serial, kill, now) = (world.serial(), Arc::new(Notify::new()), time::now() / 1_000_000);
    let session = Session {
        serial,
        user: user.clone(),
        container,
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
