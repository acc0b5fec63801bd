//! Record batches, version 2: header, checksum, validation. Bytes to values and back.
