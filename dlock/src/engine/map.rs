//! The map of the engine's hot path.

/// Every lock goes through some twenty look-ups, and std's SipHash is most of their cost. This one
/// is seeded at random too: who chooses the keys does not choose what collides.
pub(crate) type Map<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;
