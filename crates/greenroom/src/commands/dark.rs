//! What is deployed and not released.

use greenroom_api::client::call;
use greenroom_api::views::Dark;

use crate::context::Context;
use crate::error::Failure;
use crate::output::{Paint, ago};
use crate::show::list;

pub async fn run(context: &Context) -> Result<(), Failure> {
    context
        .list(call::dark(), None, |page, items: &[Dark]| {
            if items.is_empty() {
                page.line(Paint::Plain, "nothing is dark: everything in production is released");
            }
            for (i, dark) in items.iter().enumerate() {
                if i > 0 {
                    page.blank();
                }
                page.pieces(&[(Paint::Strong, &dark.name), (Paint::Dim, &format!("  {} in {}, dark since {}", dark.kind, dark.environment, ago(dark.since)))]);
                page.fields(&[
                    ("builds", list(&dark.builds)),
                    ("release", dark.release.as_ref().map_or_else(|| "none is planned".to_owned(), ToString::to_string)),
                    ("held by", list(&dark.held_by)),
                    ("waiting", format!("{:.1} weeks", dark.weeks)),
                    ("cost", dark.cost.clone().unwrap_or_else(|| "unknown: no release says what a week costs".to_owned())),
                ]);
                page.reasons(2, &dark.reasons);
            }
        })
        .await
}
