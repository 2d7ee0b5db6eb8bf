//! A list that mostly has one item, which takes no allocation.

use std::collections::VecDeque;

/// See the [module](self).
#[derive(Debug, Clone)]
pub(in crate::engine) struct ShortList<T> {
    /// `None`: there is none.
    first: Option<T>,
    rest: VecDeque<T>,
}

impl<T> Default for ShortList<T> {
    fn default() -> Self {
        ShortList { first: None, rest: VecDeque::new() }
    }
}

impl<T> From<T> for ShortList<T> {
    fn from(item: T) -> Self {
        ShortList { first: Some(item), rest: VecDeque::new() }
    }
}

impl<T> ShortList<T> {
    pub(in crate::engine) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(in crate::engine) fn first(&self) -> Option<&T> {
        self.first.as_ref()
    }

    /// Adds one at the end.
    pub(in crate::engine) fn push(&mut self, item: T) {
        if self.first.is_none() {
            self.first = Some(item);
        } else {
            self.rest.push_back(item);
        }
    }

    /// Takes the first one out.
    pub(in crate::engine) fn pop(&mut self) -> Option<T> {
        let first = self.first.take();
        self.first = self.rest.pop_front();
        first
    }

    pub(in crate::engine) fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(&self.rest)
    }

    pub(in crate::engine) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.first.iter_mut().chain(&mut self.rest)
    }

    /// Keeps only what is wanted, asked in order.
    pub(in crate::engine) fn retain(&mut self, mut wanted: impl FnMut(&T) -> bool) {
        let first = self.first.take_if(|first| !wanted(first));
        self.rest.retain(wanted);
        if first.is_some() {
            self.first = self.rest.pop_front();
        }
    }
}

impl<T> FromIterator<T> for ShortList<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut items = items.into_iter();
        ShortList { first: items.next(), rest: items.collect() }
    }
}

impl<T: PartialEq> ShortList<T> {
    pub(in crate::engine) fn contains(&self, item: &T) -> bool {
        self.iter().any(|other| other == item)
    }

    /// It has this item and no other.
    pub(in crate::engine) fn is_just(&self, item: &T) -> bool {
        self.rest.is_empty() && self.first.as_ref() == Some(item)
    }
}

impl<T> IntoIterator for ShortList<T> {
    type Item = T;
    type IntoIter =
        std::iter::Chain<std::option::IntoIter<T>, std::collections::vec_deque::IntoIter<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_like_any_list() {
        let (mut short, mut any) = (ShortList::default(), VecDeque::new());
        let rng = &mut fastrand::Rng::with_seed(7);
        for item in 0..5000 {
            match rng.u8(0..8) {
                0..3 => {
                    short.push(item);
                    any.push_back(item);
                }
                3..6 => assert_eq!(short.pop(), any.pop_front()),
                6 => {
                    let part = rng.u32(2..5);
                    short.retain(|item| item % part != 0);
                    any.retain(|item| item % part != 0);
                }
                _ => short.iter_mut().zip(&mut any).for_each(|(a, b)| {
                    *a += 1;
                    *b += 1;
                }),
            }
            assert!(short.iter().eq(&any));
            assert_eq!(
                (short.len(), short.is_empty(), short.first()),
                (any.len(), any.is_empty(), any.front())
            );
            let first = any.front().copied().unwrap_or(item);
            assert_eq!(
                (short.contains(&first), short.is_just(&first)),
                (any.contains(&first), any == [first])
            );
        }
        assert!(short.iter().copied().collect::<ShortList<_>>().into_iter().eq(any.clone()));
        assert!(short.into_iter().eq(any));
        assert!(ShortList::from(1).is_just(&1));
    }
}
