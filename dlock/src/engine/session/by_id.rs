//! Something for each session, by its number.
//!
//! There are few, and their numbers grow: a sorted list is smaller than a tree, in the program too.

use super::core::SessionId;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct ById<T>(Vec<(SessionId, T)>);

impl<T> Default for ById<T> {
    fn default() -> Self {
        ById(Vec::new())
    }
}

impl<T> ById<T> {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&T> {
        self.place(id).ok().and_then(|place| self.0.get(place)).map(|(_, item)| item)
    }

    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut T> {
        self.place(id).ok().and_then(|place| self.0.get_mut(place)).map(|(_, item)| item)
    }

    /// Adds what is of this session, in the place of what was.
    pub(super) fn insert(&mut self, id: SessionId, item: T) {
        drop(self.remove(id));
        let (Ok(place) | Err(place)) = self.place(id);
        self.0.insert(place, (id, item));
    }

    pub(super) fn remove(&mut self, id: SessionId) -> Option<T> {
        self.place(id).ok().map(|place| self.0.remove(place).1)
    }

    /// In the order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SessionId, &T)> + Clone {
        self.0.iter().map(|(id, item)| (*id, item))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (SessionId, &mut T)> {
        self.0.iter_mut().map(|(id, item)| (*id, item))
    }

    /// Where it is, or belongs.
    fn place(&self, id: SessionId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&id, |(id, _)| *id)
    }
}

impl<T> IntoIterator for ById<T> {
    type Item = (SessionId, T);
    type IntoIter = std::vec::IntoIter<(SessionId, T)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_sorted_whatever_comes_when() {
        let mut all = ById::default();
        for id in [3, 1, 2, 5] {
            all.insert(id, id * 10);
        }
        all.insert(2, 21);
        assert_eq!((all.get(2), all.get(4), all.len()), (Some(&21), None, 4));
        assert_eq!((all.remove(1), all.remove(1)), (Some(10), None));
        all.iter_mut().for_each(|(_, item)| *item += 1);
        assert!(all.iter().eq([(2, &22), (3, &31), (5, &51)]));
        assert_eq!(all.into_iter().map(|(id, _)| id).collect::<Vec<_>>(), [2, 3, 5]);
    }
}
