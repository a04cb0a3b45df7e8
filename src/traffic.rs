//! Shares of traffic, and the listener weights that express them.
//!
//! Invariant: a forward action that is edited here keeps every tuple that is not ours, in its place,
//! with its share of the traffic; and its weights are never all zero.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A part of the whole in steps of 0.1 %, from 0 to 100 %.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u16);

impl Share {
    pub const NONE: Share = Share(0);
    pub const ALL: Share = Share(1000);

    /// # Panics
    /// Above 1000, which is a mistake of the program.
    pub const fn from_permille(permille: u16) -> Self {
        assert!(permille <= 1000, "a share is at most 1000 permille");
        Share(permille)
    }

    pub const fn permille(self) -> u16 {
        self.0
    }

    pub fn percent(self) -> f64 {
        f64::from(self.0) / 10.0
    }

    /// From 0 to 1.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 1000.0
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 % 10 {
            0 => write!(f, "{}%", self.0 / 10),
            tenths => write!(f, "{}.{}%", self.0 / 10, tenths),
        }
    }
}

/// Why a text is no share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    #[error("not a percentage such as 10% or 0.5%")]
    Form,
    #[error("a percentage lies between 0% and 100%")]
    Range,
    #[error("the smallest step of a percentage is 0.1%")]
    Step,
}

impl std::str::FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, ShareError> {
        let number = text.trim().strip_suffix('%').ok_or(ShareError::Form)?.trim_end();
        let (whole, tenths) = number.split_once('.').unwrap_or((number, ""));
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(tenths) || (number.contains('.') && tenths.is_empty()) {
            return Err(ShareError::Form);
        }
        let tenths = tenths.trim_end_matches('0');
        if tenths.len() > 1 {
            return Err(ShareError::Step);
        }
        let whole: u32 = whole.parse().map_err(|_| ShareError::Range)?;
        let tenths: u32 = if tenths.is_empty() { 0 } else { tenths.parse().map_err(|_| ShareError::Form)? };
        let permille = whole.checked_mul(10).map(|w| w + tenths).filter(|p| *p <= 1000).ok_or(ShareError::Range)?;
        Ok(Share(u16::try_from(permille).map_err(|_| ShareError::Range)?))
    }
}

impl Serialize for Share {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Share {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Share".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A percentage from 0% to 100% in steps of 0.1%, such as 10% or 0.5%.",
            "pattern": r"^\s*\d+(\.\d0*)?\s*%\s*$"
        })
    }
}
