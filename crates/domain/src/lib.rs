//! The rules of the house: pure values and transitions.
//!
//! A command on a [`state::State`] gives events or a refusal with every reason ([`decide::decide`]); events fold into
//! the state ([`state::State::apply`]). No I/O, no clock, no randomness: time, ids and salts come with the command.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic"))]

pub mod actor;
pub mod agenda;
mod apply;
mod checkpoint;
pub mod command;
pub mod decide;
pub mod decision;
pub mod deployment;
pub mod event;
pub mod exposure;
pub mod few;
pub mod hold;
pub mod id;
pub mod import;
pub mod judge;
pub mod link;
pub mod map;
pub mod reach;
pub mod recall;
pub mod refusal;
pub mod release;
pub mod role;
pub mod sealed;
pub mod state;
pub mod time;
pub mod value;
pub mod withdrawal;
