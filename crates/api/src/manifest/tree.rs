//! A YAML document as a tree that knows where everything stands. Used only to find places; values come from serde.
//!
//! Aliases are not followed, so the tree is never larger than the text.

use serde_saphyr::granit_parser::{Event, Parser, ScanError, Span};

/// Deeper than any manifest; bounds the recursion.
const DEPTH: usize = 100;

/// A place in a text: line and column from 1, both counted in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub line: usize,
    pub column: usize,
    pub width: usize,
}

#[derive(Debug)]
pub(super) struct Node {
    pub mark: Mark,
    end: (usize, usize),
    pub kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Alias,
}

/// Why there is no tree.
#[derive(Debug)]
pub(super) struct Broken {
    pub mark: Mark,
    pub message: String,
}

impl From<ScanError> for Broken {
    fn from(error: ScanError) -> Self {
        let at = error.marker();
        Self { mark: Mark { line: at.line(), column: at.col() + 1, width: 1 }, message: error.info() }
    }
}

/// The tree of one document; `None` when it holds nothing but comments.
pub(super) fn read(text: &str) -> Result<Option<Node>, Broken> {
    let mut events = Parser::new_from_str(text);
    let mut root = None;
    while let Some(event) = events.next() {
        let (event, span) = event?;
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd | Event::Comment(..) => {}
            first => root = Some(node(first, span, &mut events, DEPTH)?),
        }
    }
    Ok(root.filter(|n| !matches!(&n.kind, Kind::Scalar(s) if s.is_empty() || s == "~" || s == "null")))
}

type Next<'a> = Result<(Event<'a>, Span), ScanError>;

fn node<'a>(event: Event<'a>, span: Span, events: &mut dyn Iterator<Item = Next<'a>>, depth: usize) -> Result<Node, Broken> {
    let mut mark = mark(span);
    let Some(depth) = depth.checked_sub(1) else { return Err(Broken { mark, message: format!("nested more than {DEPTH} levels deep") }) };
    let mut end = (span.end.line(), span.end.col() + 1);
    let mut next = |events: &mut dyn Iterator<Item = Next<'a>>| -> Result<Option<Node>, Broken> {
        while let Some(event) = events.next() {
            let (event, span) = event?;
            match event {
                Event::SequenceEnd | Event::MappingEnd => {
                    end = end.max((span.end.line(), span.end.col() + 1));
                    return Ok(None);
                }
                Event::Comment(..) | Event::Anchor(..) => {}
                event => {
                    let child = node(event, span, events, depth)?;
                    end = end.max(child.end);
                    return Ok(Some(child));
                }
            }
        }
        Ok(None)
    };
    let kind = match event {
        Event::SequenceStart(..) => {
            let mut items = Vec::new();
            while let Some(item) = next(events)? {
                items.push(item);
            }
            Kind::List(items)
        }
        Event::MappingStart(..) => {
            let mut entries = Vec::new();
            while let Some(key) = next(events)? {
                let Some(value) = next(events)? else { break };
                entries.push((key, value));
            }
            Kind::Map(entries)
        }
        Event::Scalar(text, ..) => Kind::Scalar(text.into_owned()),
        _ => Kind::Alias,
    };
    // what marks a collection is what it begins with
    match &kind {
        Kind::Map(entries) => mark = entries.first().map_or(mark, |(key, _)| key.mark),
        Kind::List(items) if span.is_empty() => mark = items.first().map_or(mark, |item| item.mark),
        Kind::List(_) | Kind::Scalar(_) | Kind::Alias => {}
    }
    Ok(Node { mark, end, kind })
}

fn mark(span: Span) -> Mark {
    let width = if span.start.line() == span.end.line() { span.end.col().saturating_sub(span.start.col()) } else { 1 };
    Mark { line: span.start.line(), column: span.start.col() + 1, width: width.max(1) }
}

impl Node {
    pub fn get(&self, key: &str) -> Option<(&Node, &Node)> {
        let Kind::Map(entries) = &self.kind else { return None };
        entries.iter().find(|(k, _)| matches!(&k.kind, Kind::Scalar(s) if s == key)).map(|(k, v)| (k, v))
    }

    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(text) => Some(text),
            Kind::List(_) | Kind::Map(_) | Kind::Alias => None,
        }
    }

    /// Whether the map at `path` holds `field`.
    pub fn has(&self, path: &str, field: &str) -> bool {
        self.walk(path).1.get(field).is_some()
    }

    /// Place of `path` (`spec.targets[1].address`), or of the nearest part of it that is written down.
    pub fn find(&self, path: &str) -> Mark {
        self.walk(path).0
    }

    /// Names may hold dots, so at each map the longest key that fits is taken.
    fn walk(&self, path: &str) -> (Mark, &Node) {
        let mut here = self;
        let mut mark = self.mark;
        let mut rest = path;
        while !rest.is_empty() {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            let step = match &here.kind {
                Kind::Map(entries) => {
                    let fits = |key: &str| rest.strip_prefix(key).is_some_and(|tail| tail.is_empty() || tail.starts_with(['.', '[']));
                    let found = entries.iter().filter_map(|(k, v)| k.text().filter(|key| fits(key)).map(|key| (key, k, v))).max_by_key(|(key, ..)| key.len());
                    found.map(|(key, k, v)| (k, v, rest.get(key.len()..).unwrap_or_default()))
                }
                Kind::List(items) => index(rest).and_then(|(i, tail)| items.get(i).map(|item| (item, item, tail))),
                Kind::Scalar(_) | Kind::Alias => None,
            };
            let Some((at, value, tail)) = step else { return (mark, here) };
            // a wrong value is shown itself, a whole map or list by its key
            mark = if matches!(value.kind, Kind::Scalar(_) | Kind::Alias) { value.mark } else { at.mark };
            here = value;
            rest = tail;
        }
        (mark, here)
    }

    /// The innermost thing at a place.
    pub fn at(&self, line: usize, column: usize) -> Option<Found> {
        let place = (line, column);
        let holds = |n: &Node| (n.mark.line, n.mark.column) <= place && place < n.end.max((n.mark.line, n.mark.column + 1));
        let mut found: Option<Found> = None;
        let mut here = self;
        loop {
            let parent = found.as_ref().map_or_else(String::new, |f| f.path.clone());
            match &here.kind {
                Kind::Map(entries) => {
                    let Some((key, value)) = entries.iter().find(|(k, v)| holds(k) || holds(v)) else { return found };
                    let name = key.text().unwrap_or("?");
                    let path = if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") };
                    if holds(key) {
                        return Some(Found { path, mark: key.mark, within: Some(parent) });
                    }
                    found = Some(Found { path, mark: value.mark, within: None });
                    here = value;
                }
                Kind::List(items) => {
                    let Some((i, item)) = items.iter().enumerate().find(|(_, n)| holds(n)) else { return found };
                    found = Some(Found { path: format!("{parent}[{i}]"), mark: item.mark, within: None });
                    here = item;
                }
                Kind::Scalar(_) | Kind::Alias => return found,
            }
        }
    }
}

/// What stands at a place.
pub(super) struct Found {
    pub path: String,
    pub mark: Mark,
    /// For a key: the path of the map it belongs to.
    pub within: Option<String>,
}

fn index(path: &str) -> Option<(usize, &str)> {
    let (number, tail) = path.strip_prefix('[')?.split_once(']')?;
    Some((number.parse().ok()?, tail))
}
