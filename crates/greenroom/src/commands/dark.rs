//! What is deployed and not released.

use greenroom_api::client::call;
use greenroom_api::views::Dark;

use crate::context::Context;
use crate::error::Failure;
use crate::output::{Paint, age};
use crate::show::list;

pub async fn run(context: &Context) -> Result<(), Failure> {
    context
        .list(call::dark(), None, |page, items: &[Dark]| {
            if items.is_empty() {
                page.line(Paint::Plain, "nothing is dark: no build in production waits for its release, and each feature that one says it reads reaches some users");
            }
            for (i, dark) in items.iter().enumerate() {
                if i > 0 {
                    page.blank();
                }
                page.pieces(&[(Paint::Strong, &dark.name), (Paint::Dim, &format!("  {} in {}, dark for {}", dark.kind, dark.environment, age(dark.since)))]);
                page.fields(&[
                    ("builds", list(&dark.builds)),
                    ("release", dark.release.as_ref().map_or_else(|| "none is planned".to_owned(), ToString::to_string)),
                    ("held by", list(&dark.held_by)),
                    ("cost", dark.cost.as_ref().map_or_else(|| "unknown: no release says what a week of waiting costs".to_owned(), |cost| format!("{cost} so far"))),
                ]);
                page.reasons(2, &dark.reasons);
            }
        })
        .await
}
