//! The board: services × environments, and below it everything that waits, with why.

use greenroom_api::client::call;
use greenroom_api::views::{Board, BoardCell};
use greenroom_domain::deployment::placement::Health;
use greenroom_domain::id::Name;
use std::io::IsTerminal as _;

use crate::context::Context;
use crate::error::Failure;
use crate::output::{self, Cell, Page, Paint, cell, instant};
use crate::show;
use crate::wait::Changes;

#[derive(Debug, clap::Args)]
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
        loop {
            let now = context.client.send(&call).await?;
            let changed = seen.as_ref().is_none_or(|b| b.services != now.services || b.environments != now.environments);
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
    }
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
            let Some(pending) = &cell.pending else { continue };
            let (mark, paint) = show::state(&pending.state);
            page.blank();
            page.pieces(&[
                (paint, &format!("{mark} ")),
                (Paint::Strong, &format!("{} {}", row.service, pending.version)),
                (Paint::Plain, &format!(" → {} is {}", cell.environment, pending.state.replace('_', " "))),
                (Paint::Dim, &format!(" (deployment #{})", pending.deployment)),
            ]);
            page.reasons(2, &pending.reasons);
        }
    }
}

/// `1.1.0 ✔ dark ⏳ 1.2.0`.
fn one(one: &BoardCell) -> Cell {
    let mut text = String::new();
    let mut paint = Paint::Plain;
    match &one.version {
        Some(version) => {
            let (mark, color) = match (one.health, one.verified) {
                (Health::Healthy, true) => ("✔", Paint::Good),
                (Health::Healthy, false) => ("●", Paint::Plain),
                (Health::Progressing, _) => ("◐", Paint::Accent),
                (Health::Unhealthy, _) => ("✖", Paint::Bad),
                (Health::Down, _) => ("✖ down", Paint::Bad),
            };
            paint = color;
            text.push_str(&format!("{version} {mark}"));
        }
        None => text.push('–'),
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
