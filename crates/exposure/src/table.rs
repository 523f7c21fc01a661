//! Numbers by hash: an open-addressing table of groups of eight, whose tags are compared at once, so that a lookup takes
//! about one step at any size, whether there is something to find or not.

use std::sync::Arc;

/// Tags are the high bits of hashes, with the highest set; zero where a place is free.
#[derive(Debug, Clone, Copy, Default)]
struct Group {
    tags: u64,
    numbers: [u32; 8],
}

/// More than so many per group on average make the table grow.
const PER_GROUP: usize = 4;

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The lowest bits of a hash choose a group; those in between are the user's. A clone shares everything until it is changed.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// A power of two of them.
    groups: Arc<[Group]>,
    len: usize,
}

impl Table {
    pub(crate) fn with_room(entries: usize) -> Self {
        Self { groups: vec![Group::default(); entries.div_ceil(PER_GROUP).next_power_of_two()].into(), len: 0 }
    }

    /// The numbers from 0 on, by their hashes.
    pub(crate) fn of(hashes: impl ExactSizeIterator<Item = u64>) -> Self {
        let mut table = Self { len: hashes.len(), ..Self::with_room(hashes.len()) };
        let groups = Arc::make_mut(&mut table.groups);
        hashes.zip(0..).for_each(|(hash, number)| place(groups, hash, number));
        table
    }

    /// The first thing that `known` makes of a number under this hash.
    #[inline(always)]
    pub(crate) fn find<T>(&self, hash: u64, known: impl Fn(u32) -> Option<T>) -> Option<T> {
        let mask = self.groups.len().wrapping_sub(1);
        let mut at = hash as usize & mask;
        loop {
            let group = self.groups.get(at)?;
            let differing = group.tags ^ spread(hash);
            // Bytes that do not differ, and now and then one beside them that does.
            let mut alike = differing.wrapping_sub(LOW) & !differing & HIGH;
            while alike != 0 {
                let number = group.numbers.get((alike.trailing_zeros() as usize / 8) & 7)?;
                if let Some(found) = known(*number) {
                    return Some(found);
                }
                alike &= alike - 1;
            }
            if !group.is_full() {
                return None;
            }
            at = (at + 1) & mask;
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Makes room for many more at once.
    pub(crate) fn reserve(&mut self, more: usize, hash_of: impl Fn(u32) -> u64) {
        if self.len + more > self.groups.len() * PER_GROUP {
            let mut table = Self::with_room(self.len + more);
            let groups = Arc::make_mut(&mut table.groups);
            self.numbers().for_each(|number| place(groups, hash_of(number), number));
            *self = Self { len: self.len, ..table };
        }
    }

    /// Adds a number that is not in it. `hash_of` tells the hashes of those which are.
    pub(crate) fn put(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        if self.len >= self.groups.len() * PER_GROUP {
            self.reserve(self.len.max(1), hash_of);
        }
        place(Arc::make_mut(&mut self.groups), hash, number);
        self.len += 1;
    }

    /// Takes out a number that is in it. `hash_of` tells the hashes of those which stay.
    pub(crate) fn take(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        let groups = Arc::make_mut(&mut self.groups);
        let mask = groups.len().wrapping_sub(1);
        let mut at = hash as usize & mask;
        let was_full = loop {
            let Some(group) = groups.get_mut(at) else { return };
            let full = group.is_full();
            if group.take(number) {
                self.len -= 1;
                break full;
            }
            if !full {
                return;
            }
            at = (at + 1) & mask;
        };
        // whatever went past this group may have a place in it now, and is not looked for behind a gap
        let mut goes_on = was_full;
        while goes_on {
            at = (at + 1) & mask;
            let Some(group) = groups.get_mut(at) else { return };
            goes_on = group.is_full();
            let strangers: Vec<(u64, u32)> = group.numbers().map(|number| (hash_of(number), number)).filter(|(hash, _)| *hash as usize & mask != at).collect();
            for (_, number) in &strangers {
                group.take(*number);
            }
            strangers.into_iter().for_each(|(hash, number)| place(groups, hash, number));
        }
    }

    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.groups.iter().flat_map(Group::numbers)
    }
}

impl Group {
    const fn is_full(&self) -> bool {
        self.tags & HIGH == HIGH
    }

    fn numbers(&self) -> impl Iterator<Item = u32> + use<> {
        self.numbers.into_iter().zip(self.tags.to_le_bytes()).filter(|(_, tag)| *tag != 0).map(|(number, _)| number)
    }

    fn take(&mut self, number: u32) -> bool {
        let place = self.numbers.iter().zip(self.tags.to_le_bytes()).position(|(other, tag)| tag != 0 && *other == number);
        if let Some(place) = place {
            self.tags &= !(0xff << (8 * place));
        }
        place.is_some()
    }
}

fn place(groups: &mut [Group], hash: u64, number: u32) {
    let mask = groups.len().wrapping_sub(1);
    let mut at = hash as usize & mask;
    while let Some(group) = groups.get_mut(at) {
        let place = (!group.tags & HIGH).trailing_zeros() as usize / 8;
        if let Some(slot) = group.numbers.get_mut(place) {
            *slot = number;
            group.tags |= (spread(hash) & 0xff) << (8 * place);
            return;
        }
        at = (at + 1) & mask;
    }
}

/// The tag of a hash, eight times.
#[inline]
const fn spread(hash: u64) -> u64 {
    ((hash >> 57) | 0x80).wrapping_mul(LOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_finds_what_was_put_and_nothing_else() {
        // Few distinct hashes: probing and dropping must survive collisions.
        let hash = |n: u32| u64::from(n % 7) << 60;
        let finds = |table: &Table, n: u32| table.find(hash(n), |number| (number == n).then_some(n)).is_some();
        let mut table = Table::with_room(0);
        (0..1_000).for_each(|n| table.put(hash(n), n, hash));
        let before = table.clone();
        for n in (0..1_000).step_by(3) {
            table.take(hash(n), n, hash);
            table.take(hash(n), n, hash);
        }
        for n in 0..1_000 {
            assert_eq!((finds(&before, n), finds(&table, n)), (true, n % 3 != 0));
        }
        assert_eq!((table.len(), table.numbers().count(), before.numbers().count()), (666, 666, 1_000));
        assert!(!finds(&Table::with_room(0), 3) && !finds(&table, 1_000));
        assert!(finds(&Table::of((0..20).map(hash)), 19));
    }

    /// Hashes that share groups and run over into the next, round the end too.
    #[test]
    fn putting_and_taking_in_any_order_keeps_all_others_found() {
        let mut random = 7_u64;
        let mut draw = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        for _ in 0..50 {
            let crowded = draw(6) + 1;
            let hash = |n: u32| ((u64::from(n) * 0x9e37_79b9_7f4a_7c15) & !0xff) | ((u64::from(n) % crowded).wrapping_sub(1) & 0xff);
            let (mut table, mut held) = (Table::with_room(0), std::collections::BTreeSet::new());
            for _ in 0..400 {
                let n = draw(60) as u32;
                if held.remove(&n) {
                    table.take(hash(n), n, hash);
                } else {
                    held.insert(n);
                    table.put(hash(n), n, hash);
                }
                assert_eq!(table.len(), held.len());
                for n in 0..60 {
                    assert_eq!(table.find(hash(n), |number| (number == n).then_some(())).is_some(), held.contains(&n), "{n} of {held:?}");
                }
            }
        }
    }
}
