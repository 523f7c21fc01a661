//! The board: services × environments, and below it everything that waits, with why.

use greenroom_api::client::call;
use greenroom_api::views::{Board, BoardCell};
use greenroom_domain::deployment::placement::Health;
use greenroom_domain::id::Name;
use std::io::IsTerminal as _;
use std::time::Duration;
use tokio::time::sleep;

use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::output::{self, Cell, Page, Paint, cell, instant};
use crate::show;
use crate::wait::Changes;

/// A server that is away is asked again after this long.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "✔ runs, and its checks have passed · ● runs, not verified · ◐ on its way · ⏳ waits · ✖ unhealthy, down, failed or rolled back · ? nobody knows · – nothing runs"
)]
pub struct Status {
    /// Only this environment
    #[arg(long, value_name = "ENV")]
    env: Option<Name>,
    /// Stay, and show every change
    #[arg(long)]
    watch: bool,
}

impl Status {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let call = call::board().maybe("environment", self.env.as_ref());
        if !self.watch {
            return context.show(call, board).await;
        }
        let screen = std::io::stdout().is_terminal() && !context.global.json;
        let mut seen: Option<Board> = None;
        let mut changes: Option<Changes<'_>> = None;
        let mut away = false;
        while !output::ended() {
            let now = match context.client.send(&call).await.map_err(Failure::from) {
                Ok(now) => now,
                // once there, it is waited for: it comes back with all it knew
                Err(failure) if failure.exit == Exit::Unreachable && seen.is_some() => {
                    if !std::mem::replace(&mut away, true) {
                        gone(context, seen.as_ref().filter(|_| screen));
                    }
                    changes = None;
                    sleep(RETRY).await;
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            let changed = std::mem::take(&mut away) || seen.as_ref().is_none_or(|b| b.services != now.services || b.environments != now.environments);
            if changed && context.global.json {
                output::json_line(&now);
            } else if screen || changed {
                let mut page = context.page();
                board(&mut page, &now);
                page.blank();
                page.line(Paint::Dim, format!("{} at {}", context.server, instant(now.at)));
                if screen { page.redraw() } else { page.print() }
            }
            changes.get_or_insert_with(|| Changes::new(context, now.seq)).next().await;
            seen = Some(now);
        }
        Ok(())
    }
}

/// The server does not answer: said under what was seen last, or beside what is printed.
fn gone(context: &Context, last: Option<&Board>) {
    let away = format!("{} is away; this goes on when it is back", context.server);
    let Some(last) = last else { return output::note(&away) };
    let mut page = context.page();
    board(&mut page, last);
    page.blank();
    page.line(Paint::Warn, format!("{away} (seen at {})", instant(last.at)));
    page.redraw();
}

fn board(page: &mut Page, board: &Board) {
    let header: Vec<String> = std::iter::once("SERVICE".to_owned()).chain(board.environments.iter().map(|e| e.name.to_string().to_uppercase())).collect();
    let rows = board.services.iter().map(|row| {
        let cells = board.environments.iter().map(|e| row.cells.iter().find(|c| c.environment == e.name).map_or_else(|| cell("–"), one));
        std::iter::once(cell(&row.service).paint(Paint::Strong)).chain(cells).collect()
    });
    page.table(&header.iter().map(String::as_str).collect::<Vec<_>>(), rows.collect(), "no services yet: define some with `greenroom apply`");
    for row in &board.services {
        for cell in &row.cells {
            if !cell.ails.is_empty() {
                page.blank();
                let version = cell.version.as_ref().map(|v| format!(" {v}")).unwrap_or_default();
                page.pieces(&[
                    (Paint::Bad, "✖ "),
                    (Paint::Strong, &format!("{}{version}", row.service)),
                    (Paint::Plain, &format!(" in {} is {}", cell.environment, cell.health.unwrap_or(Health::Down))),
                ]);
                for line in &cell.ails {
                    page.pieces(&[(Paint::Warn, "  · "), (Paint::Plain, line)]);
                }
            }
            let Some(pending) = &cell.pending else { continue };
            let (mark, paint) = show::state(&pending.state);
            page.blank();
            page.pieces(&[
                (paint, &format!("{mark} ")),
                (Paint::Strong, &format!("{} {}", row.service, pending.version)),
                (Paint::Plain, &format!(" → {} is {}", cell.environment, pending.state.replace('_', " "))),
                (Paint::Dim, &format!(" (deployment #{})", pending.deployment)),
            ]);
            page.reasons(2, &show::about(&pending.reasons, pending.deployment));
        }
    }
}

/// `1.1.0 ✔ dark ⏳ 1.2.0`.
fn one(one: &BoardCell) -> Cell {
    let mut text = String::new();
    let mut paint = Paint::Plain;
    match &one.version {
        Some(version) => {
            let (mark, color) = match (one.health.unwrap_or(Health::Down), one.verified) {
                (Health::Healthy, true) => ("✔", Paint::Good),
                (Health::Healthy, false) => ("●", Paint::Plain),
                (Health::Progressing, _) => ("◐", Paint::Accent),
                (Health::Unhealthy, _) => ("✖", Paint::Bad),
                (Health::Down, _) => ("✖ down", Paint::Bad),
            };
            paint = color;
            text.push_str(&format!("{version} {mark}"));
        }
        None if one.ails.is_empty() => text.push('–'),
        None => {
            paint = Paint::Bad;
            text.push_str("✖ down");
        }
    }
    if let Some(exposure) = &one.exposure {
        text.push_str(&format!(" {exposure}"));
    }
    if let Some(pending) = &one.pending {
        let (mark, color) = show::state(&pending.state);
        text.push_str(&format!(" {mark} {}", pending.version));
        paint = color;
    }
    cell(text).paint(paint)
}
