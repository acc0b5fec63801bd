//! A buffer that lends the codec a limited number of reads.
//!
//! The codec takes memory for as many elements as an array claims, up to one per remaining byte, and an element in
//! memory is up to a few hundred times its smallest form on the wire: an honest length of 100 MiB could become 10 GiB
//! of values. Every element costs at least one read, so bounding the reads bounds the values. Byte strings cost one read
//! whatever their length and are not copied, so large record batches pass.

use std::ops::Range;

use bytes::{Buf, Bytes};
use kafka_protocol::protocol::buf::{ByteBuf, NotEnoughBytesError};

/// Enough for a Fetch of ten thousand partitions; at some 200 bytes an element it bounds one request to about 25 MiB.
pub(super) const READS_MAX: usize = 128 * 1024;

pub(super) struct Bounded {
    bytes: Bytes,
    reads_left: usize,
}

impl Bounded {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self {
            bytes,
            reads_left: READS_MAX,
        }
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.reads_left == 0
    }

    fn count_a_read(&mut self) {
        self.reads_left = self.reads_left.saturating_sub(1);
    }
}

impl Buf for Bounded {
    /// What the codec compares array lengths with: never more than the reads that are left.
    fn remaining(&self) -> usize {
        self.bytes.len().min(self.reads_left)
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes[..self.remaining()]
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.count_a_read();
    }
}

impl ByteBuf for Bounded {
    fn peek_bytes(&mut self, range: Range<usize>) -> Bytes {
        self.bytes.slice(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.count_a_read();
        self.bytes.split_to(size)
    }

    fn try_peek_bytes(&mut self, range: Range<usize>) -> Result<Bytes, NotEnoughBytesError> {
        if self.bytes.len() < range.end {
            return Err(NotEnoughBytesError);
        }
        Ok(self.peek_bytes(range))
    }

    fn try_get_bytes(&mut self, size: usize) -> Result<Bytes, NotEnoughBytesError> {
        if self.bytes.len() < size || self.is_exhausted() {
            return Err(NotEnoughBytesError);
        }
        Ok(self.get_bytes(size))
    }
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};
    use kafka_protocol::messages::{MetadataRequest, ProduceRequest};
    use kafka_protocol::protocol::Decodable;

    use super::*;

    /// A Metadata v12 body of `topics` topics, each in its smallest form, claiming `claimed`.
    fn metadata(topics: usize, claimed: u32) -> Bytes {
        let mut body = BytesMut::new();
        let mut length = claimed + 1;
        while 0x80 <= length {
            body.put_u8(u8::try_from(length & 0x7f).expect("seven bits") | 0x80);
            length >>= 7;
        }
        body.put_u8(u8::try_from(length).expect("seven bits"));
        for _ in 0..topics {
            body.put_slice(&[0; 16]);
            body.put_slice(&[0, 0]);
        }
        body.put_slice(&[0, 0, 0]);
        body.freeze()
    }

    #[test]
    fn an_array_that_claims_more_than_it_brings_is_refused() {
        let mut body = Bounded::new(metadata(0, 150_000_000));
        assert!(MetadataRequest::decode(&mut body, 12).is_err());
    }

    #[test]
    fn an_array_of_more_elements_than_reads_is_refused_though_its_bytes_are_there() {
        let topics = READS_MAX / 3 + 1;
        let claimed = u32::try_from(topics).expect("small");
        assert!(MetadataRequest::decode(&mut metadata(topics, claimed), 12).is_ok());

        let mut body = Bounded::new(metadata(topics, claimed));
        assert!(MetadataRequest::decode(&mut body, 12).is_err());
    }

    #[test]
    fn a_large_batch_costs_one_read() {
        let batch = vec![7; 3 * READS_MAX];
        let mut body = BytesMut::new();
        body.put_i16(-1);
        body.put_i16(-1);
        body.put_i32(1000);
        body.put_i32(1);
        body.put_i16(1);
        body.put_slice(b"t");
        body.put_i32(1);
        body.put_i32(0);
        body.put_i32(i32::try_from(batch.len()).expect("small"));
        body.put_slice(&batch);

        let request = ProduceRequest::decode(&mut Bounded::new(body.freeze()), 3).expect("decodes");

        assert_eq!(
            request.topic_data[0].partition_data[0].records.as_deref(),
            Some(batch.as_slice())
        );
    }
}
