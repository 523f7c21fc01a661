//! Attributes of callers: what is declared, and who reads it.

use greenroom_api::client::call;
use greenroom_api::views;
use greenroom_domain::id::AttributeName;

use crate::context::Context;
use crate::error::Failure;
use crate::output::{Page, Paint, cell};
use crate::show::list;

#[derive(Debug, clap::Subcommand)]
pub enum Attribute {
    /// List declared attributes
    List,
    /// Show one declared attribute
    Show {
        /// Its name, as callers send it
        name: AttributeName,
    },
}

impl Attribute {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List => context.list(call::attributes(), None, rows).await,
            Self::Show { name } => context.show(call::attribute(&name), show).await,
        }
    }
}

fn rows(page: &mut Page, all: &[views::Attribute]) {
    let rows = all.iter().map(|a| vec![cell(&a.name).paint(Paint::Strong), cell(a.spec.r#type), cell(a.title.as_deref().unwrap_or_default()), cell(a.read_by.len())]);
    page.table(&["ATTRIBUTE", "TYPE", "TITLE", "READERS"], rows.collect(), "no attributes are declared: rules may read any, by any type");
}

fn show(page: &mut Page, attribute: &views::Attribute) {
    page.pieces(&[(Paint::Strong, attribute.name.as_str()), (Paint::Plain, &attribute.title.as_ref().map(|t| format!("  {t}")).unwrap_or_default())]);
    let readers = if attribute.read_by.is_empty() { "nobody".to_owned() } else { list(&attribute.read_by) };
    page.fields(&[("type", attribute.spec.r#type.to_string()), ("read by", readers)]);
}
