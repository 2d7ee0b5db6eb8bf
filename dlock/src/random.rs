//! Bits that nobody can guess.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use blake2::{Blake2b512, Digest};

/// 128 bits that nobody else has.
pub(crate) fn random() -> [u8; 16] {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut hash = Blake2b512::new_with_prefix(seed());
    // A forked child has the seed and the count of its parent.
    hash.update(std::process::id().to_le_bytes());
    hash.update(nanos());
    hash.update(COUNT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    let mut random = [0; 16];
    random.iter_mut().zip(hash.finalize()).for_each(|(byte, hashed)| *byte = hashed);
    random
}

/// What this process does not share with any other.
fn seed() -> &'static [u8] {
    static SEED: OnceLock<[u8; 64]> = OnceLock::new();
    SEED.get_or_init(|| {
        let mut hash = Blake2b512::new_with_prefix(nanos());
        hash.update(std::process::id().to_le_bytes());
        // The standard library keys its maps from the system's random numbers: 128 bits, of which
        // each hash shows 64.
        for round in 0_u64..4 {
            hash.update(RandomState::new().hash_one(round).to_le_bytes());
        }
        hash.finalize().into()
    })
}

fn nanos() -> [u8; 16] {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    now.as_nanos().to_le_bytes()
}
