//! How an `ErrorReason` is written in `google.rpc.ErrorInfo`.

use crate::v1::ErrorReason;

/// `ErrorInfo.domain` of every error of this contract.
pub const ERROR_DOMAIN: &str = "social.v1";

const PREFIX: &str = "ERROR_REASON_";

impl ErrorReason {
    /// What stands in `ErrorInfo.reason`: the name without its prefix (`POST_NOT_FOUND`).
    #[must_use]
    pub fn as_reason(self) -> &'static str {
        let name = self.as_str_name();
        name.strip_prefix(PREFIX).unwrap_or(name)
    }

    /// The reason that stands in `ErrorInfo.reason`, or None for one that this version does not know.
    #[must_use]
    pub fn from_reason(reason: &str) -> Option<Self> {
        Self::from_str_name(&format!("{PREFIX}{reason}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_go_over_the_wire_and_back() {
        let reasons: Vec<_> = (0..=200)
            .filter_map(|number| ErrorReason::try_from(number).ok())
            .collect();
        assert!(reasons.len() > 30, "{} reasons", reasons.len());
        for reason in reasons {
            assert!(!reason.as_reason().starts_with(PREFIX));
            assert_eq!(ErrorReason::from_reason(reason.as_reason()), Some(reason));
        }
        assert_eq!(ErrorReason::PostNotFound.as_reason(), "POST_NOT_FOUND");
        assert_eq!(ErrorReason::from_reason("OF_A_LATER_VERSION"), None);
    }
}
