//! People and their roles.

use greenroom_api::client::call;
use greenroom_api::requests::{AddPerson, SetPassword, SetRoles};
use greenroom_api::views;
use greenroom_domain::id::PersonId;
use greenroom_domain::role::Role;

use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::output::{Paint, cell, instant};
use crate::prompt;
use crate::show::list;

#[derive(Debug, clap::Subcommand)]
pub enum Person {
    /// Add a person
    Add {
        /// Their name
        name: String,
        /// Role: viewer, engineer, deployer, release-manager, product-owner, approver, on-call, auditor or admin; may be given several times
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<Role>,
        /// Give them a password: GREENROOM_NEW_PASSWORD, else asked for or read from standard input
        #[arg(long)]
        password: bool,
    },
    /// List people
    List,
    /// Set a person's roles, all of them
    Roles {
        /// Name or id
        person: String,
        /// Roles: viewer, engineer, deployer, release-manager, product-owner, approver, on-call, auditor, admin
        roles: Vec<Role>,
    },
    /// Remove a person and their tokens
    Remove {
        /// Name or id
        person: String,
    },
    /// Set a person's password: GREENROOM_NEW_PASSWORD, else asked for or read from standard input
    Password {
        /// Name or id
        person: String,
    },
}

impl Person {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Add { name, roles, password } => {
                let password = if password { Some(prompt::new_password(&format!("password for {name}"))?) } else { None };
                context.act(call::add_person(&AddPerson { name, roles, password }), |page, p| page.line(Paint::Plain, said(p))).await
            }
            Self::List => {
                context
                    .list(call::people(), None, |page, items: &[views::Person]| {
                        let rows = items.iter().map(|p| {
                            let left = p.left.map(|at| format!("left {}", instant(at))).unwrap_or_default();
                            vec![
                                cell(p.name.as_deref().unwrap_or("(erased)")).paint(if p.left.is_some() { Paint::Dim } else { Paint::Strong }),
                                cell(list(&p.roles)),
                                cell(instant(p.joined)),
                                cell(left),
                                cell(p.id).paint(Paint::Dim),
                            ]
                        });
                        page.table(&["PERSON", "ROLES", "JOINED", "", "ID"], rows.collect(), "nobody");
                    })
                    .await
            }
            Self::Roles { person, roles } => {
                let id = find(context, &person).await?;
                context.act(call::set_roles(id, &SetRoles { roles }), |page, p| page.line(Paint::Plain, said(p))).await
            }
            Self::Remove { person } => {
                let id = find(context, &person).await?;
                if !context.global.dry_run {
                    prompt::confirm(&format!("it removes {person} and all their tokens"), &format!("remove {person} and all their tokens?"), &context.global)?;
                }
                context.done(call::remove_person(id), format!("{person} is removed")).await
            }
            Self::Password { person } => {
                let id = find(context, &person).await?;
                let password = prompt::new_password(&format!("new password for {person}"))?;
                context.done(call::set_password(id, &SetPassword { password }), format!("{person} has a new password")).await
            }
        }
    }
}

fn said(person: &views::Person) -> String {
    let roles = if person.roles.is_empty() { "no role yet".to_owned() } else { list(&person.roles) };
    format!("{}: {roles}", person.name.as_deref().unwrap_or("(erased)"))
}

/// A person by name or id.
pub async fn find(context: &Context, who: &str) -> Result<PersonId, Failure> {
    if let Ok(id) = who.parse() {
        return Ok(id);
    }
    let people = context.client.all(call::people()).await?;
    let named: Vec<&views::Person> = people.iter().filter(|p| p.name.as_deref() == Some(who)).collect();
    // someone who left may share the name of someone who stays
    let staying: Vec<&views::Person> = named.iter().copied().filter(|p| p.left.is_none()).collect();
    match (staying.as_slice(), named.as_slice()) {
        ([one], _) | ([], [one]) => Ok(one.id),
        ([], []) => Err(Failure::new(Exit::NotFound, format!("there is no person `{who}`")).hint(format!("people: {}", list(people.iter().filter_map(|p| p.name.clone()))))),
        _ => Err(Failure::new(Exit::Conflict, format!("several people are called `{who}`")).hint(format!("use an id: {}", list(named.iter().map(|p| p.id))))),
    }
}
