//! Consumer groups, commits and administration as clients that others wrote live them.

mod support;

use std::time::Duration;

use log_core::Config;
use support::TestBroker;
use support::clients::python;

/// The real process, for tests that kill it.
const BINARY: &str = env!("CARGO_BIN_EXE_log-core");

/// Members that are missed after a second: tests wait for that.
fn with_short_sessions(config: &mut Config) {
    config.group.session_timeout_min = Duration::from_millis(500);
}

#[tokio::test]
async fn members_share_idle_leave_die_and_return() {
    let broker = TestBroker::start_with(with_short_sessions).await;
    let said = python("groups.py", &[&broker.address()]).await;
    assert!(said.expect_success("groups").contains("groups work"));
    broker.stop().await;
}

#[tokio::test]
async fn what_a_group_has_committed_survives_the_kill_of_the_log() {
    let said = python("offsets.py", &[BINARY]).await;
    assert!(said.expect_success("offsets").contains("offsets are kept"));
}

#[tokio::test]
async fn an_operators_tools_are_answered() {
    let broker = TestBroker::start_with(with_short_sessions).await;
    let said = python("admin.py", &[&broker.address()]).await;
    assert!(said.expect_success("admin").contains("operated"));
    broker.stop().await;
}
