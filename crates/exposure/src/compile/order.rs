//! Prerequisites as a graph: nothing may lead back to itself. It may be as deep as one likes, but where features share what
//! they need over and over, asking one may not mean asking millions.

use std::collections::{BTreeMap, BTreeSet};

/// How many features one answer may ask for, counting a shared one each time.
const MOST: u32 = 1 << 16;

const CYCLE: &str = "its prerequisites form a cycle";
const TOO_MANY: &str = "its prerequisites ask more than 65,536 times for other features";

/// Features with prerequisites, and these.
pub(crate) type Edges<'a> = BTreeMap<&'a str, Vec<&'a str>>;

/// What is wrong with whom. A feature that merely depends on a faulty one is not at fault itself.
pub(crate) fn faults(edges: &Edges<'_>) -> BTreeMap<Box<str>, &'static str> {
    let cyclic = cyclic(edges);
    let mut faults: BTreeMap<Box<str>, &'static str> = cyclic.iter().map(|key| (Box::from(*key), CYCLE)).collect();
    let mut costs: BTreeMap<&str, u32> = BTreeMap::new();
    // Whoever is at fault answers at once, whatever it needs.
    for key in sorted(edges, &cyclic) {
        let needed = edges.get(key).into_iter().flatten();
        let cost = needed.fold(1_u32, |cost, needed| cost.saturating_add(costs.get(needed).copied().unwrap_or(1)));
        if cost > MOST {
            faults.insert(key.into(), TOO_MANY);
        }
        costs.insert(key, if cost > MOST { 1 } else { cost });
    }
    faults
}

/// Each after all that it needs, leaving out `without` and whoever cannot be reached in order (Kahn's algorithm).
pub(crate) fn sorted<'a>(edges: &Edges<'a>, without: &BTreeSet<&'a str>) -> Vec<&'a str> {
    let counts = |key: &str| edges.contains_key(key) && !without.contains(key);
    let mut open: BTreeMap<&str, usize> = BTreeMap::new();
    let mut dependents: BTreeMap<&str, Vec<&'a str>> = BTreeMap::new();
    for (key, needed) in edges.iter().filter(|(key, _)| counts(key)) {
        let needed = needed.iter().copied().filter(|needed| counts(needed));
        open.insert(key, needed.clone().count());
        needed.for_each(|needed| dependents.entry(needed).or_default().push(key));
    }
    let mut ready: Vec<&str> = edges.keys().copied().filter(|key| open.get(key) == Some(&0)).collect();
    let mut order = Vec::with_capacity(open.len());
    while let Some(key) = ready.pop() {
        order.push(key);
        for dependent in dependents.get(key).map_or(&[][..], Vec::as_slice) {
            if let Some(left) = open.get_mut(dependent) {
                *left -= 1;
                if *left == 0 {
                    ready.push(dependent);
                }
            }
        }
    }
    order
}

/// Whoever cannot be put in order even after all are set aside that nobody of the rest needs.
fn cyclic<'a>(edges: &Edges<'a>) -> BTreeSet<&'a str> {
    let placed: BTreeSet<&str> = sorted(edges, &BTreeSet::new()).into_iter().collect();
    let mut stuck: BTreeSet<&str> = edges.keys().copied().filter(|key| !placed.contains(key)).collect();
    let mut needed_by: BTreeMap<&str, usize> = BTreeMap::new();
    let needs = |key: &str| edges.get(key).into_iter().flatten().copied();
    for key in &stuck {
        needs(key).for_each(|needed| *needed_by.entry(needed).or_default() += 1);
    }
    let mut idle: Vec<&str> = stuck.iter().copied().filter(|key| !needed_by.contains_key(key)).collect();
    while let Some(key) = idle.pop() {
        stuck.remove(key);
        for needed in needs(key) {
            if let Some(left) = needed_by.get_mut(needed) {
                *left -= 1;
                if *left == 0
                    && let Some(key) = stuck.get(needed)
                {
                    idle.push(key);
                }
            }
        }
    }
    stuck
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_fault(graph: &[(&str, &[&str])]) -> Vec<String> {
        let edges = graph.iter().map(|(key, needs)| (*key, needs.to_vec())).collect();
        faults(&edges).into_keys().map(String::from).collect()
    }

    #[test]
    fn only_members_of_a_cycle_are_at_fault() {
        assert_eq!(at_fault(&[("a", &["b"]), ("b", &["c"])]), [""; 0]);
        assert_eq!(at_fault(&[("a", &["a"])]), ["a"]);
        // d depends on the cycle, c is depended on by it.
        assert_eq!(at_fault(&[("a", &["b", "c"]), ("b", &["a"]), ("c", &["plain"]), ("d", &["a"])]), ["a", "b"]);
    }

    /// Each asks twice for the one below.
    fn ladder(steps: usize) -> Vec<String> {
        let names: Vec<String> = (0..=steps).map(|n| format!("f{n:05}")).collect();
        let needed: Vec<Vec<&str>> = names.iter().map(|name| vec![name.as_str(); 2]).collect();
        let graph: Vec<(&str, &[&str])> = names.iter().skip(1).map(String::as_str).zip(needed.iter().map(Vec::as_slice)).collect();
        at_fault(&graph)
    }

    #[test]
    fn what_doubles_at_each_step_ends_where_it_takes_too_long() {
        assert_eq!(ladder(15), [""; 0]);
        assert_eq!(ladder(17), ["f00016"]);
    }

    #[test]
    fn a_chain_may_be_long() {
        let names: Vec<String> = (0..10_000).map(|n| format!("f{n:05}")).collect();
        let graph: Vec<(&str, Vec<&str>)> = names.windows(2).map(|pair| (pair[1].as_str(), vec![pair[0].as_str()])).collect();
        let graph: Vec<(&str, &[&str])> = graph.iter().map(|(key, needs)| (*key, needs.as_slice())).collect();
        assert_eq!(at_fault(&graph), [""; 0]);
    }
}
