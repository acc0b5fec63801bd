//! What a client is told about its call besides where it is.

use event_model::Warning;
use serde::Serialize;

/// What was taken differently from how it was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct ResponseWarning {
    code: &'static str,
    detail: &'static str,
}

impl ResponseWarning {
    /// The header names no key: the call was taken without one.
    pub(crate) const IDEMPOTENCY_KEY_IGNORED: Self = Self {
        code: "idempotency_key_ignored",
        detail: "the Idempotency-Key was not 16 to 64 visible ASCII characters; a retry will be a second call",
    };

    /// Nothing is known to be answered by this accept.
    pub(crate) const NO_LIVE_CALL: Self = Self {
        code: "no_live_call",
        detail: "no live call of the target house is known; the accept was taken all the same",
    };

    /// The body was read as JSON although the header says otherwise, or nothing.
    pub(crate) const CONTENT_TYPE: Self = Self {
        code: "content_type",
        detail: "the Content-Type was not application/json; the body was read as JSON all the same",
    };

    #[cfg(test)]
    pub(crate) const ALL: [Self; 3] = [
        Self::IDEMPOTENCY_KEY_IGNORED,
        Self::NO_LIVE_CALL,
        Self::CONTENT_TYPE,
    ];

    /// The warnings of an event as its caller reads them. Counts them.
    pub(crate) fn of_all(warnings: &[Warning]) -> Vec<Self> {
        let warnings = warnings.iter().copied().map(Self::from);
        warnings
            .inspect(|warning| {
                metrics::counter!("producer_api_warnings_total", "code" => warning.code)
                    .increment(1)
            })
            .collect()
    }

    #[cfg(test)]
    pub(crate) fn code(self) -> &'static str {
        self.code
    }
}

impl From<Warning> for ResponseWarning {
    fn from(warning: Warning) -> Self {
        Self {
            code: warning.code(),
            detail: warning.detail(),
        }
    }
}
