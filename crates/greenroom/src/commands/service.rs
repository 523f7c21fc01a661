//! Services.

use greenroom_api::client::call;
use greenroom_api::views;

use crate::context::Context;
use crate::error::Failure;
use crate::output::{Paint, cell};
use crate::show::list;

#[derive(Debug, clap::Subcommand)]
pub enum Service {
    /// List services
    List,
}

impl Service {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self::List = self;
        context
            .list(call::services(), None, |page, items: &[views::Service]| {
                let rows = items.iter().map(|s| {
                    vec![cell(&s.name).paint(Paint::Strong), cell(s.title.as_deref().unwrap_or_default()), cell(list(&s.components)), cell(list(&s.newest)), cell(s.builds)]
                });
                page.table(&["SERVICE", "TITLE", "COMPONENTS", "NEWEST", "BUILDS"], rows.collect(), "no services yet: define some with `greenroom apply`");
            })
            .await
    }
}
