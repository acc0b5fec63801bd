//! Whether a text is UTF-8, checked while it arrives in pieces that may cut a character.

/// The beginning of a character whose rest has not come yet.
#[derive(Debug, Default)]
pub(super) struct Utf8Check {
    cut: [u8; 4],
    cut_len: usize,
}

/// The text is not UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotUtf8;

impl Utf8Check {
    /// Checks the next piece.
    pub(super) fn push(&mut self, mut piece: &[u8]) -> Result<(), NotUtf8> {
        while self.cut_len != 0 {
            let Some((&byte, rest)) = piece.split_first() else {
                return Ok(());
            };
            self.complete(byte)?;
            piece = rest;
        }
        match std::str::from_utf8(piece) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(NotUtf8),
            Err(error) => {
                self.keep(&piece[error.valid_up_to()..]);
                Ok(())
            }
        }
    }

    /// Whether the text may end here.
    pub(super) fn finish(&self) -> Result<(), NotUtf8> {
        if self.cut_len == 0 {
            Ok(())
        } else {
            Err(NotUtf8)
        }
    }

    fn complete(&mut self, byte: u8) -> Result<(), NotUtf8> {
        self.cut[self.cut_len] = byte;
        self.cut_len += 1;
        match std::str::from_utf8(&self.cut[..self.cut_len]) {
            Ok(_) => self.cut_len = 0,
            Err(error) if error.error_len().is_some() => return Err(NotUtf8),
            Err(_) => {}
        }
        Ok(())
    }

    fn keep(&mut self, cut: &[u8]) {
        self.cut[..cut.len()].copy_from_slice(cut);
        self.cut_len = cut.len();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(bytes: &[u8], cuts: &[usize]) -> Result<(), NotUtf8> {
        let mut check = Utf8Check::default();
        let mut rest = bytes;
        for cut in cuts {
            let (piece, after) = rest.split_at(cut % (rest.len() + 1));
            check.push(piece)?;
            rest = after;
        }
        check.push(rest)?;
        check.finish()
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(bytes in any::<Vec<u8>>(), cuts in proptest::collection::vec(any::<usize>(), 0..8)) {
            prop_assert_eq!(check(&bytes, &cuts).is_ok(), std::str::from_utf8(&bytes).is_ok());
        }

        #[test]
        fn text_passes_however_it_is_cut(text in "\\PC*", cuts in proptest::collection::vec(any::<usize>(), 0..8)) {
            prop_assert_eq!(check(text.as_bytes(), &cuts), Ok(()));
        }
    }
}
