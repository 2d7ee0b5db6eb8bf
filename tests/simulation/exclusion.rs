//! What it is all about: nobody holds what another one holds who does not go with it.

use super::claim::{Claim, KEYS, Key};
use super::process::Process;
use super::server::Server;

/// Of all guards for a key, those on sessions that live are of one writer or of readers, and their
/// sessions have the lock. The others' processes have been told, or will be.
pub(crate) fn exclusive(server: &Server, processes: &[Process]) {
    for key in 0..KEYS {
        let held = |shared| -> usize {
            let claim = Claim { key: key as Key, shared };
            processes.iter().map(|process| living(server, process, claim)).sum()
        };
        let (writers, readers) = (held(false), held(true));
        assert!(writers + readers.min(1) <= 1, "{writers} write {key}, {readers} read it");
    }
}

/// How many guards the process has on a session that lives.
fn living(server: &Server, process: &Process, claim: Claim) -> usize {
    let guards = process.ledger.pages[claim.index()].holders.len();
    match process.granted_on[claim.index()] {
        Some(session) if guards > 0 && server.lives(session) => {
            assert!(server.has(session, claim), "{claim:?} is held without the server");
            guards
        }
        _ => 0,
    }
}
