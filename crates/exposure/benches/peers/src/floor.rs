//! The least that an answer can cost: one lookup of the key, and the compare. Nothing is explained, counted, killed,
//! blocked or changed here, and the only answers are yes and no.

use std::collections::HashMap as Names;

use greenroom_exposure::{Attribute, Pairs};
use hashbrown::{HashMap, HashSet};

use crate::definitions::{Asks, GOLD, PLANS, STAFF, countries, members};

pub enum Feature {
    On,
    /// The salt and what separates it from the value.
    Half(Vec<u8>),
    In(HashSet<Box<str>>),
    Plan(Box<str>, HashSet<Box<str>>),
    Rules(Box<str>, Vec<[Box<str>; 2]>),
    Needs(usize),
}

/// Cohorts are asked at most once a caller.
pub struct Cohorts {
    gold: (Box<str>, [Box<str>; 2]),
    staff: (Box<str>, Box<str>),
}

pub struct Floor {
    pub by_key: HashMap<Box<str>, usize>,
    pub features: Vec<Feature>,
    cohorts: Cohorts,
}

fn text<'a>(caller: &Pairs<'a>, name: &str) -> Option<&'a str> {
    caller.attributes.iter().find(|(other, _)| *other == name).and_then(|(_, value)| match value {
        Attribute::Text(text) => Some(*text),
        _ => None,
    })
}

impl Floor {
    pub fn new(all: &[(String, Asks)]) -> Self {
        let at: Names<&str, usize> = all.iter().enumerate().map(|(at, (key, _))| (key.as_str(), at)).collect();
        let boxed = |texts: &[&str]| texts.iter().map(|text| Box::from(*text)).collect();
        let feature = |key: &str, asks| match asks {
            Asks::Nothing => Feature::On,
            Asks::Half => Feature::Half([key.as_bytes(), &[0]].concat()),
            Asks::In(n) => Feature::In(members(n).into_iter().map(String::into_boxed_str).collect()),
            Asks::Plan => Feature::Plan("plan".into(), boxed(&PLANS)),
            Asks::Rules(of) => Feature::Rules("country".into(), (0..of).map(|at| countries(at, of).map(String::into_boxed_str)).collect()),
            Asks::Needs(other) => Feature::Needs(at[other]),
        };
        Self {
            by_key: all.iter().enumerate().map(|(at, (key, _))| (key.as_str().into(), at)).collect(),
            features: all.iter().map(|(key, asks)| feature(key, *asks)).collect(),
            cohorts: Cohorts { gold: ("plan".into(), GOLD.map(Box::from)), staff: ("email".into(), STAFF.into()) },
        }
    }

    #[inline]
    pub fn by_key(&self, key: &str, caller: &Pairs<'_>) -> Option<bool> {
        self.by_key.get(key).map(|at| self.ask(&self.features[*at], caller))
    }

    #[inline]
    pub fn by_handle(&self, handle: usize, caller: &Pairs<'_>) -> Option<bool> {
        self.features.get(handle).map(|feature| self.ask(feature, caller))
    }

    #[inline]
    fn ask(&self, feature: &Feature, caller: &Pairs<'_>) -> bool {
        match feature {
            Feature::On => true,
            Feature::Half(prefix) => caller.targeting_key.is_some_and(|key| murmur3(prefix, key.as_bytes()) < 1 << 31),
            Feature::In(list) => caller.targeting_key.is_some_and(|key| list.contains(key)),
            Feature::Plan(name, list) => text(caller, name).is_some_and(|plan| list.contains(plan)),
            Feature::Rules(name, rules) => {
                let (mut gold, mut staff) = (None, None);
                rules.iter().any(|countries| {
                    *gold.get_or_insert_with(|| text(caller, &self.cohorts.gold.0).is_some_and(|plan| self.cohorts.gold.1.iter().any(|gold| **gold == *plan)))
                        && *staff.get_or_insert_with(|| text(caller, &self.cohorts.staff.0).is_some_and(|email| email.ends_with(&*self.cohorts.staff.1)))
                        && text(caller, name).is_some_and(|given| countries.iter().any(|country| **country == *given))
                })
            }
            Feature::Needs(other) => self.ask(&self.features[*other], caller),
        }
    }
}

/// murmur3_x86_32 with seed 0 over both.
fn murmur3(salt: &[u8], value: &[u8]) -> u32 {
    let mut buffer = [0_u8; 64];
    let len = salt.len() + value.len();
    buffer[..salt.len()].copy_from_slice(salt);
    buffer[salt.len()..len].copy_from_slice(value);
    let (blocks, rest) = buffer[..len].as_chunks::<4>();
    let scramble = |block: u32| block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let mut state = blocks.iter().fold(0_u32, |state, block| (state ^ scramble(u32::from_le_bytes(*block))).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64));
    if !rest.is_empty() {
        state ^= scramble(rest.iter().rev().fold(0, |word, byte| (word << 8) | u32::from(*byte)));
    }
    state ^= len as u32;
    state = (state ^ (state >> 16)).wrapping_mul(0x85eb_ca6b);
    state = (state ^ (state >> 13)).wrapping_mul(0xc2b2_ae35);
    state ^ (state >> 16)
}
