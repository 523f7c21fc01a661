//! Environments and their targets.

use greenroom_api::client::call;
use greenroom_api::views;

use crate::context::Context;
use crate::error::Failure;
use crate::output::{Paint, cell};
use crate::show::list;

#[derive(Debug, clap::Subcommand)]
pub enum Environment {
    /// List environments and their targets
    List,
}

impl Environment {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self::List = self;
        context
            .list(call::environments(), None, |page, items: &[views::Environment]| {
                let rows = items.iter().map(|e| {
                    let targets = list(e.targets.iter().map(|t| format!("{} ({} {})", t.name, t.driver, t.address)));
                    vec![cell(&e.name).paint(Paint::Strong), cell(e.purpose), cell(list(&e.after)), cell(list(&e.policies)), cell(targets)]
                });
                page.table(&["ENVIRONMENT", "PURPOSE", "AFTER", "POLICIES", "TARGETS"], rows.collect(), "no environments yet: define some with `greenroom apply`");
            })
            .await
    }
}
