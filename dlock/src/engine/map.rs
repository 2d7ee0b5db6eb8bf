//! The map of the engine's hot path.

/// Every lock goes through some twenty look-ups, and std's SipHash is most of their cost. This one
/// is seeded at random too: who chooses the keys does not choose what collides.
pub(crate) type Map<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;

/// The same where one run is to be like another of the same seed: in what order its entries come
/// depends on the seed alone.
#[cfg(feature = "_database")]
pub(crate) type SeededMap<K, V> =
    std::collections::HashMap<K, V, foldhash::fast::SeedableRandomState>;

/// An empty map of this seed.
#[cfg(feature = "_database")]
pub(crate) fn seeded<K, V>(seed: u64) -> SeededMap<K, V> {
    let seeds = foldhash::SharedSeed::global_fixed();
    SeededMap::with_hasher(foldhash::fast::SeedableRandomState::with_seed(seed, seeds))
}
