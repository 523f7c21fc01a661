//! Who the server takes us for.

use greenroom_api::client::call;

use crate::context::Context;
use crate::error::Failure;
use crate::output::{Paint, instant};
use crate::show;

pub async fn run(context: &Context) -> Result<(), Failure> {
    let who = call::whoami();
    context
        .show(who, |page, me| {
            let name = me.person.as_ref().and_then(|p| p.name.clone()).or_else(|| me.token.as_ref().map(|t| t.title.clone()));
            page.line(Paint::Strong, name.filter(|n| !n.is_empty()).unwrap_or_else(|| me.actor.clone()));
            page.fields(&[
                ("server", context.server.clone()),
                ("id", me.actor.clone()),
                ("roles", me.roles.iter().map(|r| r.as_str()).collect::<Vec<_>>().join(", ")),
                ("token", me.token.as_ref().map(|t| format!("{} until {}", show::word(&t.kind), instant(t.expires))).unwrap_or_default()),
                ("duties", if me.separation { String::new() } else { "separation of duties is off: every decision says so".to_owned() }),
            ]);
        })
        .await
}
