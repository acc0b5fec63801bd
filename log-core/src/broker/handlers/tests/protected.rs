//! A topic of calls (`mayday.acks.min=all`) takes no transactions: an open one would hold every later call back
//! from readers of committed records, for up to 15 minutes.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::{AddPartitionsToTxnRequest, ApiKey, EndTxnRequest};

use super::puppet::{Puppet, TOPIC, create};
use super::requests::{code_of, produce_batch, text};
use crate::ids::{
    PartitionIndex, ProducerEpoch, ProducerId, Sequence, TopicName, TopicPartition, TransactionalId,
};
use crate::record::{Attributes, BatchBuilder, NewRecord, ProducerStamp};
use crate::state::{
    AddPartitionsToTransaction, AlterTopicConfigs, Command, ConfigAction, ConfigChange, ConfigOp,
    InitProducerId, TransactionalProducer,
};
use crate::wire::{RequestBody, ResponseBody};

const CALLS: &str = "calls";
const WRITER: &str = "writer";
const PRODUCER: ProducerId = ProducerId(0);

async fn with_a_transactional_producer() -> Puppet {
    let puppet = Puppet::leader().await;
    puppet.apply(Command::InitProducerId(InitProducerId {
        id: TransactionalId::new(WRITER),
        timeout_ms: 60_000,
        expected: None,
    }));
    puppet
}

fn adding(topics: &[&str]) -> RequestBody {
    let topic = |name: &&str| {
        AddPartitionsToTxnTopic::default()
            .with_name(text(name).into())
            .with_partitions(vec![0])
    };
    RequestBody::AddPartitionsToTxn(
        AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(text(WRITER).into())
            .with_v3_and_below_producer_id(0.into())
            .with_v3_and_below_topics(topics.iter().map(topic).collect()),
    )
}

fn transactional_batch(topic: &str) -> RequestBody {
    let record = NewRecord {
        timestamp: crate::ids::TimestampMs(1_000),
        key: None,
        value: Some("x".into()),
        headers: Vec::new(),
    };
    let stamp = ProducerStamp {
        id: PRODUCER,
        epoch: ProducerEpoch(0),
        base_sequence: Some(Sequence(0)),
    };
    let attributes = Attributes {
        transactional: true,
        ..Attributes::PLAIN
    };
    let mut batch = BatchBuilder::new(attributes).producer(stamp);
    batch.push(record);
    produce_batch(topic, -1, 1_000, batch.build())
}

async fn produced(puppet: &Puppet, topic: &str) -> Option<ResponseError> {
    let answer = puppet
        .ask(ApiKey::Produce, 9, transactional_batch(topic))
        .await;
    ResponseError::try_from_code(code_of(&answer))
}

fn is_stable(puppet: &Puppet, topic: &str) -> bool {
    let state = puppet.service.replica().state();
    let name = TopicName::parse(topic).expect("a name");
    let topic = state.topic(&name).expect("it is there");
    let partition = topic.partition(PartitionIndex(0)).expect("a partition");
    partition.last_stable_offset() == partition.high_watermark()
}

#[tokio::test]
async fn a_topic_of_calls_takes_no_part_in_a_transaction_and_nor_does_the_rest_of_that_request() {
    let puppet = with_a_transactional_producer().await;
    puppet.apply(create(CALLS, &[("mayday.acks.min", "all")]));

    let answer = puppet
        .ask(ApiKey::AddPartitionsToTxn, 3, adding(&[CALLS, TOPIC]))
        .await;

    let ResponseBody::AddPartitionsToTxn(answer) = answer else {
        panic!("AddPartitionsToTxn")
    };
    let codes = answer.results_by_topic_v3_and_below.iter().map(|topic| {
        ResponseError::try_from_code(topic.results_by_partition[0].partition_error_code)
    });
    assert_eq!(
        codes.collect::<Vec<_>>(),
        [
            Some(ResponseError::PolicyViolation),
            Some(ResponseError::OperationNotAttempted)
        ]
    );
    {
        let state = puppet.service.replica().state();
        let writer = state.transaction(&TransactionalId::new(WRITER));
        assert!(writer.expect("known").open().is_none(), "nothing was begun");
    }
    let plain = puppet
        .ask(ApiKey::AddPartitionsToTxn, 3, adding(&[TOPIC]))
        .await;
    assert_eq!(code_of(&plain), 0);
}

/// A journal of an earlier version may hold one; the topic may also become one of calls while it is open.
#[tokio::test]
async fn a_transaction_that_was_open_before_writes_nothing_more_to_a_topic_of_calls_and_can_end() {
    let puppet = with_a_transactional_producer().await;
    puppet.apply(create(CALLS, &[]));
    let place = TopicPartition::new(TopicName::parse(CALLS).expect("a name"), PartitionIndex(0));
    let by = TransactionalProducer {
        id: TransactionalId::new(WRITER),
        producer: PRODUCER,
        epoch: ProducerEpoch(0),
    };
    let partitions = vec![place.clone()];
    puppet.apply(Command::AddPartitionsToTransaction(
        AddPartitionsToTransaction { by, partitions },
    ));
    let topic_id = {
        let state = puppet.service.replica().state();
        state.topic(&place.topic).expect("it is there").id()
    };
    let op = ConfigOp {
        key: "mayday.acks.min".to_owned(),
        action: ConfigAction::Set("all".to_owned()),
    };
    let change = ConfigChange::Incremental(vec![op]);
    puppet.apply(Command::AlterTopicConfigs(AlterTopicConfigs {
        topic_id,
        change,
    }));

    assert_eq!(
        produced(&puppet, CALLS).await,
        Some(ResponseError::PolicyViolation)
    );
    assert!(is_stable(&puppet, CALLS), "nothing is held back");
    let end = EndTxnRequest::default()
        .with_transactional_id(text(WRITER).into())
        .with_producer_id(0.into())
        .with_committed(true);
    let ended = puppet
        .ask(ApiKey::EndTxn, 3, RequestBody::EndTxn(end))
        .await;
    assert_eq!(code_of(&ended), 0);
    assert!(is_stable(&puppet, CALLS));
}
