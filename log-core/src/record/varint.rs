//! Zig-zag variable-length integers, as Kafka packs them inside a record (protobuf's `sint32` and `sint64`).

use std::io::{self, Read};

/// Reads one number.
///
/// # Errors
/// `UnexpectedEof` where the bytes end inside it, `InvalidData` where it has more than 64 bits.
pub(super) fn read(source: &mut impl Read) -> io::Result<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        source.read_exact(&mut byte)?;
        let bits = u64::from(byte[0] & 0x7f);
        // The tenth byte has room for one bit only.
        if shift == 63 && 1 < bits {
            break;
        }
        value |= bits << shift;
        if byte[0] & 0x80 == 0 {
            return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        "number of more than 64 bits",
    ))
}

/// Appends one number.
pub(super) fn write(to: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    loop {
        let bits = rest.to_le_bytes()[0] & 0x7f;
        rest >>= 7;
        if rest == 0 {
            return to.push(bits);
        }
        to.push(bits | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_number_is_read_back_as_it_was_written(value: i64) {
            let mut bytes = Vec::new();
            write(&mut bytes, value);
            prop_assert_eq!(read(&mut bytes.as_slice()).unwrap(), value);
        }
    }

    #[test]
    fn a_number_longer_than_64_bits_is_refused() {
        assert!(read(&mut [0xff_u8; 11].as_slice()).is_err());
    }
}
