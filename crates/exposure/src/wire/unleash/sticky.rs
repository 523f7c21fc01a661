//! What callers are divided by. Unleash falls back from one attribute to the next inside one strategy; our rules name one
//! attribute each, so such a strategy is several rules, told apart by what the caller lacks.

use crate::model::{Algorithm, Clause, Op, Outcome, Rule, Scalar, Share, Split, TARGETING_KEY, WHOLE};

/// The attribute that stands for Unleash's `random` stickiness: a text that the caller draws anew for every evaluation.
/// Who gives none is in no random share.
pub const NONCE: &str = "nonce";

const SESSION: &str = "sessionId";

/// By what a strategy or a set of variants divides callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stickiness {
    /// The user, else the session, else chance.
    Default,
    Random,
    /// One of our attributes.
    By(String),
}

impl Stickiness {
    pub(crate) fn read(text: Option<&str>) -> Self {
        match text.unwrap_or("default") {
            "default" | "" => Self::Default,
            "random" => Self::Random,
            other => Self::named(other),
        }
    }

    /// By one of our attributes, whatever stands for chance.
    pub(crate) fn of(attribute: &str) -> Self {
        if attribute == NONCE { Self::Random } else { Self::By(attribute.to_owned()) }
    }

    /// By what a context of Unleash's calls `name`.
    pub(crate) fn named(name: &str) -> Self {
        Self::By(if name == "userId" { TARGETING_KEY } else { name }.to_owned())
    }

    /// As strategies and variants name it.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Default => "default",
            Self::Random => "random",
            Self::By(attribute) if attribute == TARGETING_KEY => "userId",
            Self::By(attribute) => attribute,
        }
    }

    /// Each attribute to divide by, with those whose absence lets it come into play.
    fn branches(&self) -> Vec<(Vec<&str>, &str)> {
        match self {
            Self::Default => vec![(vec![], TARGETING_KEY), (vec![TARGETING_KEY], SESSION), (vec![TARGETING_KEY, SESSION], NONCE)],
            Self::Random => vec![(vec![], NONCE)],
            Self::By(attribute) => vec![(vec![], attribute)],
        }
    }
}

/// A share in whole percents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Roll {
    pub group: String,
    pub percent: u32,
    pub by: Stickiness,
}

/// How a variant is chosen among several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draw {
    pub group: String,
    pub by: Stickiness,
    pub weights: Vec<(String, u32)>,
}

impl Draw {
    /// A caller without the attribute draws by chance.
    fn branches(&self) -> Vec<(Vec<&str>, &str)> {
        let mut branches = self.by.branches();
        if let Stickiness::By(attribute) = &self.by {
            branches.push((vec![attribute], NONCE));
        }
        branches
    }
}

/// One branch of a strategy: what it asks beyond the strategy's own clauses, what it gives, and by which attribute.
pub(crate) type Branch = (Vec<Clause>, Outcome, Option<String>);

/// The rules that a share and a choice of variants make together. A choice is either one variant or a draw.
pub(crate) fn expand(roll: Option<&Roll>, choice: Result<&str, &Draw>) -> Vec<Branch> {
    let everyone = || vec![(vec![], None)];
    let named = |branches: Vec<(Vec<_>, _)>| branches.into_iter().map(|(absent, by)| (absent, Some(by))).collect();
    let rolls: Vec<(Vec<&str>, Option<&str>)> = roll.map_or_else(everyone, |roll| named(roll.by.branches()));
    let mut branches = Vec::new();
    for (lacking, rolled) in rolls {
        let draws = choice.map_or_else(|draw| named(draw.branches()), |_| everyone());
        for (more, drawn) in draws {
            let absent: Vec<&str> = lacking.iter().copied().chain(more.into_iter().filter(|name| !lacking.contains(name))).collect();
            if absent.iter().any(|name| rolled == Some(name) || drawn == Some(name)) {
                continue;
            }
            let mut when: Vec<Clause> = absent.iter().map(|name| Clause::test(*name, Op::Absent, Vec::<Scalar>::new())).collect();
            if let (Some(roll), Some(attribute)) = (roll, rolled) {
                when.push(Clause::Share(Share { salt: roll.group.clone(), share: roll.percent * (WHOLE / 100), algorithm: Algorithm::Unleash, attribute: attribute.to_owned() }));
            }
            let then = match choice {
                Ok(variant) => Outcome::Variant(variant.to_owned()),
                Err(draw) => Outcome::Split(Split {
                    salt: draw.group.clone(),
                    algorithm: Algorithm::UnleashVariant,
                    attribute: drawn.unwrap_or(TARGETING_KEY).to_owned(),
                    weights: draw.weights.clone(),
                }),
            };
            branches.push((when, then, drawn.or(rolled).map(str::to_owned)));
        }
    }
    branches
}

/// What the first of some rules say together, as one strategy: [`expand`] the other way.
pub(crate) struct Run<'r> {
    /// What all of them ask.
    pub when: &'r [Clause],
    pub roll: Option<Roll>,
    pub choice: Result<&'r str, Draw>,
    /// How many rules it takes.
    pub rules: usize,
}

/// The longest run that begins with the first rule; `None` if no strategy says what that one does.
pub(crate) fn collapse<'r>(rules: &[&'r Rule]) -> Option<Run<'r>> {
    let first = rules.first()?;
    let (when, share) = match first.when.split_last() {
        Some((Clause::Share(share), when)) if share.algorithm == Algorithm::Unleash => (when, Some(share)),
        _ => (first.when.as_slice(), None),
    };
    let rolls: Vec<Option<Roll>> = match share {
        None => vec![None],
        Some(share) => alike(&share.attribute).map(|by| Some(Roll { group: share.salt.clone(), percent: share.share / (WHOLE / 100), by })).collect(),
    };
    let choices: Vec<Result<&str, Draw>> = match &first.then {
        Outcome::Variant(name) => vec![Ok(name)],
        Outcome::Split(split) if split.algorithm == Algorithm::UnleashVariant => {
            alike(&split.attribute).map(|by| Err(Draw { group: split.salt.clone(), by, weights: split.weights.clone() })).collect()
        }
        Outcome::Split(_) => return None,
    };
    let mut longest: Option<Run<'_>> = None;
    for roll in &rolls {
        for choice in &choices {
            let branches = expand(roll.as_ref(), choice.as_ref().map(|name| *name));
            let known = longest.as_ref().map_or(0, |run| run.rules);
            if branches.len() > known && branches.len() <= rules.len() && rules.iter().zip(&branches).all(|(rule, branch)| says(rule, when, branch)) {
                longest = Some(Run { when, roll: roll.clone(), choice: choice.clone(), rules: branches.len() });
            }
        }
    }
    longest
}

/// All that divide by this attribute at first.
fn alike(attribute: &str) -> impl Iterator<Item = Stickiness> {
    // of two that say the same, the one without fallbacks: a share and a draw are then by the same
    let default = (attribute == TARGETING_KEY).then_some(Stickiness::Default);
    std::iter::once(Stickiness::of(attribute)).chain(default)
}

fn says(rule: &Rule, when: &[Clause], (clauses, then, _): &Branch) -> bool {
    rule.blocked.is_none() && rule.then == *then && rule.when.strip_prefix(when).is_some_and(|rest| rest == clauses.as_slice())
}
