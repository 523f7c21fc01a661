//! Views: the state as people and programs read it. Pure renderings; nothing is decided here.

pub mod attributes;
pub mod board;
pub mod dark;
pub mod deployment;
pub mod event;
pub mod explain;
pub mod feature;
pub mod people;
pub mod reach;
pub mod release;
pub mod usage;
