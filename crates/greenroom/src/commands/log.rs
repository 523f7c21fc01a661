//! What happened, and who did it.

use greenroom_api::client::{Filter, call};
use greenroom_api::views::Event;

use super::count;
use crate::context::Context;
use crate::error::Failure;
use crate::output::{self, Page, Paint, instant};

#[derive(Debug, clap::Args)]
pub struct Log {
    /// Only what is about this: `service/catalog`, `release/spring`, `deployment/…`
    #[arg(long, value_name = "KIND/NAME")]
    subject: Option<String>,
    /// Only what this person, token or part of the system did
    #[arg(long, value_name = "ID")]
    actor: Option<String>,
    /// Stay, and show what happens
    #[arg(long, short)]
    follow: bool,
    /// How many, counted from the end
    #[arg(short, value_name = "N", default_value = "30", value_parser = count::<usize>)]
    n: usize,
}

impl Log {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        // any answer says how long the ledger is
        context.client.send(&call::keys()).await?;
        let head = context.client.seen();
        let filtered = self.subject.is_some() || self.actor.is_some();
        let after = if filtered { 0 } else { head.saturating_sub(u64::try_from(self.n).unwrap_or(u64::MAX)) };
        let list = call::events().query("after", after).maybe("subject", self.subject.as_ref()).maybe("actor", self.actor.as_ref());
        let mut events: Vec<Event> = context.client.all(list).await?;
        events.drain(..events.len().saturating_sub(self.n));
        if !self.follow {
            if context.global.json {
                output::json(&serde_json::json!({ "items": events }));
            } else {
                let mut page = context.page();
                if events.is_empty() && self.n > 0 {
                    page.line(Paint::Dim, nothing(self.subject.as_deref(), self.actor.as_deref()));
                }
                events.iter().for_each(|e| line(&mut page, e));
                page.print();
            }
            return Ok(());
        }
        let last = events.last().map_or(after, |e| e.seq).max(if filtered { head } else { 0 });
        events.iter().for_each(|e| say(context, e));
        let mut more = context.client.events(Filter { subject: self.subject, actor: self.actor }, last);
        while !output::ended() {
            say(context, &more.next().await?);
        }
        Ok(())
    }
}

fn nothing(subject: Option<&str>, actor: Option<&str>) -> String {
    match (subject, actor) {
        (None, None) => "nothing happened yet".to_owned(),
        (Some(subject), None) => format!("nothing about `{subject}`: subjects are KIND/NAME, as `service/catalog` or `release/spring`"),
        (None, Some(actor)) => format!("nothing by `{actor}`: give a person's name, or an id as --json shows it"),
        (Some(subject), Some(actor)) => format!("nothing about `{subject}` by `{actor}`"),
    }
}

fn say(context: &Context, event: &Event) {
    if context.global.json {
        return output::json_line(event);
    }
    let mut page = context.page();
    line(&mut page, event);
    page.print();
}

fn line(page: &mut Page, event: &Event) {
    page.pieces(&[
        (Paint::Dim, &format!("{:>6}  {}  ", event.seq, instant(event.at))),
        (Paint::Strong, &format!("{:<10}", event.who)),
        (Paint::Plain, "  "),
        (Paint::Plain, &event.summary),
    ]);
}
