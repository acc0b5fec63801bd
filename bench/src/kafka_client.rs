//! A client of the log with nothing in it but a socket and the codec: no queue, no batching, no threads, so that what
//! is measured is the log. (librdkafka's own queue and its two threads would be measured with it.)

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use event_model::ExpectedTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    CreateTopicsRequest, ProduceRequest, ProduceResponse, RequestHeader, ResponseHeader,
};
use kafka_protocol::protocol::{
    Decodable, HeaderVersion, Request, StrBytes, encode_request_header_into_buffer,
};

pub(crate) const PRODUCE_VERSION: i16 = 9;
const CREATE_TOPICS_VERSION: i16 = 5;
/// No answer for so long is a failure of the run.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where the correlation id stands in a frame: after length, key and version.
const CORRELATION_AT: std::ops::Range<usize> = 8..12;

/// One connection.
#[derive(Debug)]
pub(crate) struct KafkaClient {
    stream: TcpStream,
    received: BytesMut,
}

impl KafkaClient {
    pub(crate) fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)
            .with_context(|| format!("connect to the log at {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            received: BytesMut::new(),
        })
    }

    /// The same connection, for another thread to send on.
    pub(crate) fn sender(&self) -> Result<TcpStream> {
        Ok(self.stream.try_clone()?)
    }

    pub(crate) fn send(&mut self, frame: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(frame)?)
    }

    pub(crate) fn create_topic(&mut self, topic: &ExpectedTopic) -> Result<()> {
        let config = |(name, value): &(&'static str, String)| {
            let value = StrBytes::from_string(value.clone());
            CreatableTopicConfig::default()
                .with_name(StrBytes::from_static_str(name))
                .with_value(Some(value))
        };
        let creatable = CreatableTopic::default()
            .with_name(StrBytes::from_static_str(topic.name).into())
            .with_num_partitions(i32::try_from(topic.partitions.get())?)
            .with_replication_factor(-1)
            .with_configs(topic.settings.iter().map(config).collect());
        let request = CreateTopicsRequest::default()
            .with_topics(vec![creatable])
            .with_timeout_ms(10_000);
        let response = self.ask(CREATE_TOPICS_VERSION, &request)?;
        let result = response
            .topics
            .first()
            .context("an answer without the topic")?;
        ensure!(
            result.error_code == 0,
            "create {}: error {} {:?}",
            topic.name,
            result.error_code,
            result.error_message
        );
        Ok(())
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn ask<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response> {
        self.send(&frame(version, 0, request)?)?;
        Ok(decode::<R>(version, self.answer()?)?.1)
    }

    /// Sends a batch with acks=all and waits until it is acknowledged.
    pub(crate) fn produce(
        &mut self,
        topic: &'static str,
        partition: u32,
        batch: Bytes,
    ) -> Result<()> {
        self.send(&produce_frame(topic, partition, batch)?)?;
        self.acknowledged().map(|_| ())
    }

    /// Waits for the next answer to a produce; its correlation id.
    pub(crate) fn acknowledged(&mut self) -> Result<i32> {
        acknowledgement(self.answer()?)
    }

    fn answer(&mut self) -> Result<Bytes> {
        loop {
            if let Some(frame) = self.buffered_answer() {
                return Ok(frame);
            }
            let mut chunk = [0; 16 * 1_024];
            let count = self
                .stream
                .read(&mut chunk)
                .context("wait for the log's answer")?;
            ensure!(0 < count, "the log closed the connection");
            self.received.extend_from_slice(&chunk[..count]);
        }
    }

    /// An answer that has arrived whole with earlier ones.
    pub(crate) fn buffered_answer(&mut self) -> Option<Bytes> {
        let length = self
            .received
            .first_chunk::<4>()
            .map(|length| u32::from_be_bytes(*length))?;
        let end = 4 + usize::try_from(length).ok()?;
        (end <= self.received.len()).then(|| self.received.split_to(end).freeze().slice(4..))
    }
}

/// A produce of one batch with acks=all, complete but for [`correlate`].
pub(crate) fn produce_frame(topic: &'static str, partition: u32, batch: Bytes) -> Result<Vec<u8>> {
    let request = produce_request(topic, partition, batch)?;
    frame(PRODUCE_VERSION, 0, &request)
}

/// A produce of one batch with acks=all.
pub(crate) fn produce_request(
    topic: &'static str,
    partition: u32,
    batch: Bytes,
) -> Result<ProduceRequest> {
    let data = PartitionProduceData::default()
        .with_index(i32::try_from(partition)?)
        .with_records(Some(batch));
    let topic = TopicProduceData::default()
        .with_name(StrBytes::from_static_str(topic).into())
        .with_partition_data(vec![data]);
    Ok(ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![topic]))
}

/// Gives a frame its number.
pub(crate) fn correlate(frame: &mut [u8], correlation_id: i32) {
    frame[CORRELATION_AT].copy_from_slice(&correlation_id.to_be_bytes());
}

/// Checks that an answer says that the batch is stored; its correlation id.
pub(crate) fn acknowledgement(answer: Bytes) -> Result<i32> {
    let (correlation_id, response): (i32, ProduceResponse) =
        decode::<ProduceRequest>(PRODUCE_VERSION, answer)?;
    let partitions = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partition_responses);
    for partition in partitions {
        if partition.error_code != 0 {
            bail!(
                "a produce was refused: error {} {:?}",
                partition.error_code,
                partition.error_message
            );
        }
    }
    Ok(correlation_id)
}

fn decode<R: Request>(version: i16, mut answer: Bytes) -> Result<(i32, R::Response)> {
    let header = ResponseHeader::decode(
        &mut answer,
        <R::Response as HeaderVersion>::header_version(version),
    );
    let header = header.map_err(|error| anyhow::anyhow!("an answer's header: {error}"))?;
    let response = R::Response::decode(&mut answer, version)
        .map_err(|error| anyhow::anyhow!("an answer: {error}"))?;
    Ok((header.correlation_id, response))
}

fn frame<R: Request>(version: i16, correlation_id: i32, request: &R) -> Result<Vec<u8>> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str("bench")));
    let mut body = BytesMut::new();
    encode_request_header_into_buffer(&mut body, &header)
        .map_err(|error| anyhow::anyhow!("a request's header: {error}"))?;
    request
        .encode(&mut body, version)
        .map_err(|error| anyhow::anyhow!("a request: {error}"))?;
    let mut frame = Vec::with_capacity(4 + body.len());
    frame.put_u32(u32::try_from(body.len())?);
    frame.extend_from_slice(&body);
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_says_its_length_and_carries_the_number_it_is_given() {
        let mut frame =
            produce_frame("an-alert", 1, Bytes::from_static(b"batch")).expect("encoded");
        correlate(&mut frame, 7);
        let length = u32::from_be_bytes(*frame.first_chunk().expect("a length"));
        assert_eq!(usize::try_from(length).expect("small"), frame.len() - 4);
        let mut body = Bytes::from(frame).slice(4..);
        let header =
            RequestHeader::decode(&mut body, ProduceRequest::header_version(PRODUCE_VERSION))
                .expect("a header");
        assert_eq!(
            (header.correlation_id, header.request_api_key),
            (7, ProduceRequest::KEY)
        );
        let request = ProduceRequest::decode(&mut body, PRODUCE_VERSION).expect("a request");
        assert_eq!(request.acks, -1);
        assert!(body.is_empty());
    }
}
