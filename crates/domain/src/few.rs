//! Maps and sets of a few entries that are read often and seldom written: a sorted slice, no larger than what it holds.
//!
//! A node of the standard library's tree has room for eleven entries. Fifty thousand builds that name one artifact with
//! one digest each pay for it with three quarters of their memory.

use std::borrow::{Borrow, Cow};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A map; in text as any other.
#[derive(Clone, PartialEq, Eq)]
pub struct Few<K, V>(Box<[(K, V)]>);

impl<K: Ord, V> Few<K, V> {
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let place = self.0.binary_search_by(|(known, _)| known.borrow().cmp(key)).ok()?;
        self.0.get(place).map(|(_, value)| value)
    }

    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }
}

impl<K, V> Few<K, V> {
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In order of the keys; so are all that follow.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub fn keys(&self) -> impl ExactSizeIterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    pub fn values(&self) -> impl ExactSizeIterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = (&K, &mut V)> {
        self.0.iter_mut().map(|(key, value)| (&*key, value))
    }
}

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Self(Box::default())
    }
}

impl<K: Ord, V> From<BTreeMap<K, V>> for Few<K, V> {
    fn from(all: BTreeMap<K, V>) -> Self {
        Self(all.into_iter().collect())
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for Few<K, V> {
    fn from(all: [(K, V); N]) -> Self {
        BTreeMap::from(all).into()
    }
}

/// Of two entries with one key the later counts.
impl<K: Ord, V> FromIterator<(K, V)> for Few<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(all: I) -> Self {
        all.into_iter().collect::<BTreeMap<_, _>>().into()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Few<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Serialize, V: Serialize> Serialize for Few<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Deserialize<'de> for Few<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(Into::into)
    }
}

impl<K: JsonSchema, V: JsonSchema> JsonSchema for Few<K, V> {
    fn inline_schema() -> bool {
        <BTreeMap<K, V>>::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        <BTreeMap<K, V>>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        <BTreeMap<K, V>>::json_schema(generator)
    }
}

/// A set; in text a list, as any other.
#[derive(Clone, PartialEq, Eq)]
pub struct FewSet<T>(Box<[T]>);

impl<T: Ord> FewSet<T> {
    pub fn contains(&self, item: &T) -> bool {
        self.0.binary_search(item).is_ok()
    }

    #[must_use]
    pub fn is_disjoint(&self, other: &Self) -> bool {
        !self.iter().any(|item| other.contains(item))
    }
}

impl<T> FewSet<T> {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In order.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }
}

impl<T> Default for FewSet<T> {
    fn default() -> Self {
        Self(Box::default())
    }
}

impl<T: Ord> FromIterator<T> for FewSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(all: I) -> Self {
        Self(all.into_iter().collect::<BTreeSet<_>>().into_iter().collect())
    }
}

impl<'a, T> IntoIterator for &'a FewSet<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: fmt::Debug> fmt::Debug for FewSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl<T: Serialize> Serialize for FewSet<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de> + Ord> Deserialize<'de> for FewSet<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeSet::deserialize(deserializer).map(|all| Self(all.into_iter().collect()))
    }
}

impl<T: JsonSchema> JsonSchema for FewSet<T> {
    fn inline_schema() -> bool {
        <BTreeSet<T>>::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        <BTreeSet<T>>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        <BTreeSet<T>>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_sorted_and_the_later_of_two_counts() {
        let few = Few::from_iter([("b", 1), ("a", 2), ("b", 3)]);
        assert_eq!(few.iter().map(|(k, v)| (*k, *v)).collect::<Vec<_>>(), [("a", 2), ("b", 3)]);
        assert_eq!((few.get("b"), few.get("c"), few.len()), (Some(&3), None, 2));
        let set = FewSet::from_iter([3, 1, 3]);
        assert_eq!(set.iter().copied().collect::<Vec<_>>(), [1, 3]);
        assert!(set.contains(&3) && !set.contains(&2) && set.is_disjoint(&FewSet::from_iter([2])));
    }

    #[test]
    fn its_text_is_that_of_any_map_and_set() {
        let text = r#"{"a":[1,3],"b":[]}"#;
        let few: Few<String, FewSet<u8>> = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&few).unwrap(), text);
        assert_eq!(few, serde_json::from_str(r#"{"b":[],"a":[3,1,3]}"#).unwrap());
    }
}
