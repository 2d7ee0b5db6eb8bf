//! Sorting of lists that are not hot, in little code.
//!
//! For each type that it sorts, the standard library's sort is as much code as a file of ours, and is a large part of
//! what dlock costs to compile. Here it sorts numbers only: the places of the items.

use std::cmp::Ordering;

/// Sorts items by a key. The sort is stable, and allocates nothing if they are sorted already.
pub(crate) fn sort_by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    sort_by(items, |a, b| key(a).cmp(&key(b)));
}

/// Sorts items by a comparison. The sort is stable, and allocates nothing if they are sorted already.
pub(crate) fn sort_by<T>(items: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    if items.is_sorted_by(|a, b| compare(a, b).is_le()) {
        return;
    }
    let mut places: Vec<usize> = (0..items.len()).collect();
    sort_places(&mut places, &|a, b| compare(&items[a], &items[b]));
    // Each circle of the permutation once: every place gets its item from the next one of its circle.
    for start in 0..items.len() {
        let mut at = start;
        while places[at] != start {
            let from = std::mem::replace(&mut places[at], at);
            items.swap(at, from);
            at = from;
        }
        places[at] = at;
    }
}

fn sort_places(places: &mut [usize], compare: &dyn Fn(usize, usize) -> Ordering) {
    places.sort_by(|a, b| compare(*a, *b));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_as_the_standard_library_does() {
        let mut random = fastrand::Rng::with_seed(7);
        for len in [0, 1, 2, 3, 20, 21, 100, 1000] {
            for most in [1, 3, 1000] {
                let ours: Vec<(u32, usize)> = (0..len).map(|i| (random.u32(..most), i)).collect();
                let (mut ours, mut theirs) = (ours.clone(), ours);
                sort_by_key(&mut ours, |(key, _)| *key);
                theirs.sort_by_key(|(key, _)| *key);
                assert_eq!(ours, theirs);
            }
        }
    }
}
