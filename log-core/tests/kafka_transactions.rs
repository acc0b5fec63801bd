//! Transactions as librdkafka does them, with a log and a worker that are killed on the way.

mod support;

use support::clients::python;

#[tokio::test]
async fn a_transaction_counts_whole_or_not_at_all_whoever_is_killed() {
    let said = python("transactions.py", &[env!("CARGO_BIN_EXE_log-core")]).await;
    assert!(said.expect_success("transactions").contains("exactly once"));
}
