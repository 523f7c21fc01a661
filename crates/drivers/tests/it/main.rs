//! Drivers against real processes of this machine. The test binary plays every part itself: [`role`] turns it into a
//! service, the proxy or a control plane that is killed.

mod check;
mod client;
mod command;
mod crash;
mod deploy;
mod fake;
mod part;
mod proxy;
mod world;

/// Not a test: the entry of this binary when it is started as one of the parts.
#[test]
fn role() {
    part::play();
}
