//! Everything that people see. Nothing else in this crate writes to the terminal.
//!
//! A [`Page`] is filled first and printed at once, so that `--watch` does not flicker. Text that came from elsewhere is
//! made harmless: nothing in it moves the cursor or changes colours.

use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::sync::OnceLock;

use comfy_table::{Attribute, Cell as TableCell, Color, ColumnConstraint, ContentArrangement, Table, Width, presets};
use greenroom_domain::refusal::Reason;
use greenroom_domain::time::At;
use serde::Serialize;

use crate::error::{Exit, Failure};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum When {
    Auto,
    Always,
    Never,
}

impl When {
    fn on(self, terminal: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) && std::env::var_os("TERM").is_none_or(|t| t != "dumb"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    Plain,
    Strong,
    Dim,
    Good,
    Warn,
    Bad,
    Accent,
}

impl Paint {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Strong => "1",
            Self::Dim => "2",
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "31",
            Self::Accent => "36",
        }
    }
}

/// Blanks between columns.
const GAP: u16 = 2;

/// One cell of a table.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    paint: Paint,
}

pub fn cell(text: impl std::fmt::Display) -> Cell {
    Cell { text: clean(&text.to_string()), paint: Paint::Plain }
}

impl Cell {
    pub const fn paint(mut self, paint: Paint) -> Self {
        self.paint = paint;
        self
    }
}

/// What one command shows.
#[derive(Debug)]
pub struct Page {
    text: String,
    color: bool,
    /// Columns of the terminal; none elsewhere.
    width: Option<u16>,
}

impl Page {
    pub fn new(color: When) -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self { text: String::new(), color: color.on(terminal), width: if terminal { terminal_width() } else { None } }
    }

    pub fn painted(&self, paint: Paint, text: &str) -> String {
        let text = clean(text);
        if self.color && paint != Paint::Plain { format!("\u{1b}[{}m{text}\u{1b}[0m", paint.code()) } else { text }
    }

    pub fn line(&mut self, paint: Paint, text: impl AsRef<str>) {
        let line = self.painted(paint, text.as_ref());
        self.text.push_str(&line);
        self.text.push('\n');
    }

    /// A line of several pieces.
    pub fn pieces(&mut self, pieces: &[(Paint, &str)]) {
        for (paint, text) in pieces {
            let piece = self.painted(*paint, text);
            self.text.push_str(&piece);
        }
        self.text.push('\n');
    }

    pub fn blank(&mut self) {
        self.text.push('\n');
    }

    pub fn heading(&mut self, text: &str) {
        self.blank();
        self.line(Paint::Strong, text);
    }

    /// Names on the left, values beside them; empty values are left out.
    pub fn fields(&mut self, fields: &[(&str, String)]) {
        let shown: Vec<_> = fields.iter().filter(|(_, v)| !v.is_empty()).collect();
        let width = shown.iter().map(|(n, _)| n.chars().count()).max().unwrap_or(0);
        for (name, value) in shown {
            let name = self.painted(Paint::Dim, &format!("  {name:width$}  "));
            self.text.push_str(&name);
            let value = clean(value).replace('\n', &format!("\n{:1$}", "", width + 4));
            self.text.push_str(&value);
            self.text.push('\n');
        }
    }

    /// A table without borders; `none` is said when there are no rows.
    pub fn table(&mut self, header: &[&str], rows: Vec<Vec<Cell>>, none: &str) {
        if rows.is_empty() {
            self.line(Paint::Dim, none);
            return;
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        match self.width {
            Some(width) => table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic),
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        if self.color {
            table.enforce_styling();
        }
        let floors = self.width.map(|width| floors(header, &rows, width.into())).unwrap_or_default();
        let color = self.color;
        table.set_header(header.iter().map(|h| if color { TableCell::new(h).add_attribute(Attribute::Dim) } else { TableCell::new(h) }));
        for row in rows {
            table.add_row(row.into_iter().map(|c| style(&c, color)));
        }
        for (i, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, GAP));
            if let Some(floor) = floors.get(i).copied().flatten() {
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(floor + GAP)));
            }
        }
        for line in table.to_string().lines() {
            self.text.push_str(&trimmed(line));
            self.text.push('\n');
        }
    }

    /// Every reason, with what to do about it.
    pub fn reasons(&mut self, indent: usize, reasons: &[Reason]) {
        for reason in reasons {
            let until = reason.until.map(|at| format!(" (until {})", instant(at))).unwrap_or_default();
            self.pieces(&[(Paint::Plain, &" ".repeat(indent)), (Paint::Warn, "· "), (Paint::Plain, &format!("{}{until}", reason.message))]);
            if !reason.remedy.is_empty() {
                self.pieces(&[(Paint::Plain, &" ".repeat(indent + 2)), (Paint::Accent, "→ "), (Paint::Plain, &reason.remedy)]);
            }
        }
    }

    pub fn print(&self) {
        emit(&self.text);
    }

    /// Over the whole screen.
    pub fn redraw(&self) {
        emit(&format!("\u{1b}[2J\u{1b}[H{}", self.text));
    }
}

/// The width below which each column would break a word: ids and digests are there to be copied. Where all of it does not fit,
/// the columns that ask for most are left to break.
fn floors(header: &[&str], rows: &[Vec<Cell>], width: usize) -> Vec<Option<u16>> {
    let longest = |text: &str| text.split_whitespace().map(|word| word.chars().count()).max().unwrap_or(0);
    let cells = |i: usize| rows.iter().filter_map(move |row| row.get(i)).map(|cell| longest(&cell.text)).max().unwrap_or(0);
    let mut floors: Vec<Option<usize>> = header.iter().enumerate().map(|(i, name)| Some(longest(name).max(cells(i)))).collect();
    // a column that may break still needs some room
    let wanted = |floors: &[Option<usize>]| floors.iter().map(|floor| floor.unwrap_or(12) + usize::from(GAP)).sum::<usize>();
    while wanted(&floors) > width {
        let Some(greatest) = floors.iter_mut().filter(|floor| floor.is_some_and(|f| f > 12)).max() else { break };
        *greatest = None;
    }
    floors.into_iter().map(|floor| floor.and_then(|f| u16::try_from(f).ok())).collect()
}

/// Without the blanks at its end, also those before the last change of colour.
fn trimmed(line: &str) -> String {
    const RESET: &str = "\u{1b}[0m";
    match line.trim_end().strip_suffix(RESET) {
        Some(painted) => format!("{}{RESET}", painted.trim_end()),
        None => line.trim_end().to_owned(),
    }
}

fn style(cell: &Cell, color: bool) -> TableCell {
    let shown = TableCell::new(&cell.text);
    if !color {
        return shown;
    }
    match cell.paint {
        Paint::Plain => shown,
        Paint::Strong => shown.add_attribute(Attribute::Bold),
        Paint::Dim => shown.add_attribute(Attribute::Dim),
        Paint::Good => shown.fg(Color::DarkGreen),
        Paint::Warn => shown.fg(Color::DarkYellow),
        Paint::Bad => shown.fg(Color::DarkRed),
        Paint::Accent => shown.fg(Color::DarkCyan),
    }
}

fn terminal_width() -> Option<u16> {
    rustix::termios::tcgetwinsize(std::io::stdout()).ok().map(|size| size.ws_col).filter(|w| *w > 20)
}

/// Nothing that a terminal would obey, but line ends.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// The API's view, as it is.
pub fn json(value: &impl Serialize) {
    emit(&format!("{}\n", serde_json::to_string_pretty(value).unwrap_or_default()));
}

/// One line of JSON, for what never ends.
pub fn json_line(value: &impl Serialize) {
    emit(&format!("{}\n", serde_json::to_string(value).unwrap_or_default()));
}

pub fn raw(bytes: &[u8]) {
    write(bytes);
}

fn emit(text: &str) {
    write(text.as_bytes());
}

/// Why nothing more can be shown.
static LOST: OnceLock<std::io::Error> = OnceLock::new();

/// What cannot be shown does not end what was asked for: that has an exit code of its own.
fn write(bytes: &[u8]) {
    if ended() {
        return;
    }
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) {
        let _ = LOST.set(error);
    }
}

/// Nothing more can be shown: whoever does nothing else may end.
pub fn ended() -> bool {
    LOST.get().is_some()
}

/// Whether all was shown. A reader that has seen enough is no error.
pub fn shown() -> Result<(), Failure> {
    match LOST.get() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Failed, format!("the answer cannot be written: {error}")).hint("a command was carried out all the same: look before you repeat it"))
        }
        _ => Ok(()),
    }
}

/// A line beside the answer: progress, notes, questions.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", clean(text));
}

/// Asks on the terminal, without ending the line.
pub fn ask(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = write!(err, "{}", clean(text)).and_then(|()| err.flush());
}

/// What went wrong, where, every reason with its remedy, and what to do next.
pub fn failure(failure: &Failure, json: bool, color: When) {
    let mut err = std::io::stderr().lock();
    if json {
        let _ = writeln!(err, "{}", serde_json::to_string_pretty(&failure.document()).unwrap_or_default());
        return;
    }
    let mut page = Page { text: String::new(), color: color.on(std::io::stderr().is_terminal()), width: None };
    let error = if failure.exit == Exit::Waiting { (Paint::Warn, "waiting: ") } else { (Paint::Bad, "error: ") };
    page.pieces(&[error, (Paint::Strong, &failure.message)]);
    if let Some(excerpt) = &failure.more.excerpt {
        page.line(Paint::Plain, excerpt);
    } else if !failure.more.detail.is_empty() {
        page.line(Paint::Plain, format!("  {}", failure.more.detail));
    }
    if failure.sole().is_none() {
        page.reasons(2, &failure.more.reasons);
    }
    for hint in failure.hints() {
        page.pieces(&[(Paint::Accent, "  → "), (Paint::Plain, hint)]);
    }
    let _ = err.write_all(page.text.as_bytes());
}

/// `2026-12-01 14:00:03Z`.
pub fn instant(at: At) -> String {
    let text = at.to_string();
    match text.split_once('T') {
        Some((day, time)) => format!("{day} {}Z", time.split(['.', 'Z']).next().unwrap_or(time)),
        None => text,
    }
}

pub fn now() -> At {
    At(jiff::Timestamp::now().as_microsecond())
}

/// `3m ago`, `in 2h`: the two largest units.
pub fn ago(at: At) -> String {
    let now = now();
    if at > now { format!("in {}", length(at.since(now).0)) } else { format!("{} ago", length(now.since(at).0)) }
}

/// `2h5m`: how long it has been so.
pub fn age(since: At) -> String {
    length(now().since(since).0.max(0))
}

fn length(micros: i64) -> String {
    const UNITS: [(&str, i64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let secs = micros / 1_000_000;
    let Some(first) = UNITS.iter().position(|(_, size)| secs >= *size) else { return "0s".to_owned() };
    let mut left = secs;
    let mut text = String::new();
    for (unit, size) in UNITS.iter().skip(first).take(2) {
        if left >= *size {
            text.push_str(&format!("{}{unit}", left / size));
            left %= size;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        Page { text: String::new(), color: false, width: None }
    }

    #[test]
    fn foreign_text_obeys_nothing() {
        let mut page = page();
        page.fields(&[("title", "a\u{1b}[2Jb\nc".to_owned()), ("empty", String::new())]);
        assert_eq!(page.text, "  title  a\u{fffd}[2Jb\n         c\n");
    }

    #[test]
    fn tables_have_no_trailing_blanks() {
        let mut page = page();
        page.table(&["A", "BB"], vec![vec![cell("x"), cell("y")], vec![cell("longer"), cell("")]], "none");
        assert_eq!(page.text, "A       BB\nx       y\nlonger\n");
    }

    #[test]
    fn narrow_tables_break_sentences_and_no_words() {
        let mut page = Page { text: String::new(), color: false, width: Some(60) };
        let id = "tok_01jd0000000000000000000000";
        page.table(&["TOKEN", "ENVIRONMENT", "TITLE"], vec![vec![cell(id), cell("test"), cell("of the shop and what else there is to be said about it")]], "none");
        assert!(page.text.contains(id) && page.text.contains("ENVIRONMENT") && page.text.lines().all(|l| l.chars().count() <= 60), "{}", page.text);
        let digest = format!("sha256:{}", "a".repeat(64));
        page.text.clear();
        page.table(&["COMPONENT", "DIGEST"], vec![vec![cell("app"), cell(&digest)]], "none");
        assert!(page.text.contains("COMPONENT") && page.text.lines().all(|l| l.chars().count() <= 60), "{}", page.text);
    }

    #[test]
    fn painted_headers_have_no_trailing_blanks() {
        let mut page = Page { text: String::new(), color: true, width: None };
        page.table(&["A", "BB"], vec![vec![cell("x"), cell("much longer")]], "none");
        assert!(page.text.lines().all(|l| !l.trim_end_matches("\u{1b}[0m").ends_with(' ')), "{:?}", page.text);
    }

    #[test]
    fn lengths_are_short() {
        assert_eq!([500_000, 61_000_000, 7_200_000_000, 90_000_000_000, 3_660_000_000].map(length), ["0s", "1m1s", "2h", "1d1h", "1h1m"]);
        assert_eq!(instant("2026-12-01T14:00:03.5Z".parse().unwrap()), "2026-12-01 14:00:03Z");
    }
}
