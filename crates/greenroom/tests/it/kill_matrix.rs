//! The story's commands with the server killed at every point: `cargo xtask full` finds this test by the name of its module.

use crate::story::play;

#[test]
fn killed_at_every_point_nothing_is_lost_and_nobody_notices() {
    play("the kill matrix", "18000", &["--kill-matrix"]);
}
