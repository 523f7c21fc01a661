//! The server from outside, over HTTP, and its promises about its own shape.

mod adopt;
mod bad_input;
mod commands;
mod coverage;
mod features;
mod names;
mod openapi;
mod restart;
mod trouble;
mod withdrawal;
mod world;
