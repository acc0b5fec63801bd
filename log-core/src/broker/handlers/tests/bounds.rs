//! What is judged before it is promised, and what is not proposed in vain.

use std::sync::Arc;

use kafka_protocol::messages::ApiKey;

use super::puppet::{Puppet, create};
use super::requests::{code_of, produce};
use crate::broker::housekeeping::apply_retention;

#[tokio::test]
async fn retention_proposes_each_move_of_a_log_start_once() {
    let puppet = Puppet::leader().await;
    puppet.apply(create("brief", &[("retention.ms", "1")]));
    puppet.has_in_sync(&[1, 2, 3]);
    let answer = puppet
        .ask(ApiKey::Produce, 9, produce("brief", -1, 1_000))
        .await;
    assert_eq!(code_of(&answer), 0);
    let before = puppet.applied();

    apply_retention(Arc::clone(&puppet.service)).await;
    let moved = puppet.applied();
    assert!(before < moved, "the record is too old");

    apply_retention(Arc::clone(&puppet.service)).await;
    assert_eq!(puppet.applied(), moved, "there is nothing more to delete");
}
