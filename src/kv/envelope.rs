//! The envelope of a value: what its bytes are, which version of its type they are of, and what they
//! cost to make. What does not open is foreign or damaged, and is no answer.
//!
//! One byte for the form, four for the schema version, four for the cost in microseconds (both
//! little-endian), and then the value.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::finite::Finite;
use crate::error::{Error, ErrorKind, Result};

const HEAD: usize = 9;
const JSON: u8 = 1;
const BYTES: u8 = 2;

/// A value in its envelope. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Envelope(Arc<[u8]>);

impl Envelope {
    /// A value as JSON.
    ///
    /// # Errors
    /// `InvalidInput` if it cannot be written so: a map whose keys are no texts, a float that is NaN or
    /// infinite.
    pub(super) fn json<T: Serialize + ?Sized>(
        value: &T,
        schema: u32,
        cost: Duration,
    ) -> Result<Self> {
        let mut bytes = head(JSON, schema, cost, 64);
        serde_json::to_writer(&mut bytes, &Finite(value)).map_err(|cause| {
            let message = format!(
                "a value of the type {} cannot be written as JSON",
                std::any::type_name::<T>()
            );
            Error::new(ErrorKind::InvalidInput, message).because(cause)
        })?;
        Ok(Envelope(bytes.into()))
    }

    /// Bytes as they are.
    pub(super) fn bytes(value: &[u8], schema: u32) -> Self {
        let mut bytes = head(BYTES, schema, Duration::ZERO, value.len());
        bytes.extend_from_slice(value);
        Envelope(bytes.into())
    }

    /// Opens what was found; `None` if it is no envelope of this schema version.
    pub(super) fn open(found: &Arc<[u8]>, schema: u32) -> Option<Self> {
        let is_ours = found.len() >= HEAD
            && matches!(found[0], JSON | BYTES)
            && found[1..5] == schema.to_le_bytes();
        is_ours.then(|| Envelope(Arc::clone(found)))
    }

    /// The value, if it can be read as one of this type.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Option<T> {
        match self.0[0] {
            JSON => serde_json::from_slice(self.payload()).ok(),
            _ => None,
        }
    }

    /// The value as it lies there: the JSON text, or the bytes.
    pub(super) fn payload(&self) -> &[u8] {
        &self.0[HEAD..]
    }

    /// How long it took to make it; 0 if that is not known, 71 minutes at most.
    pub(super) fn cost(&self) -> Duration {
        let [_, _, _, _, _, a, b, c, d, ..] = *self.0 else {
            return Duration::ZERO;
        };
        Duration::from_micros(u32::from_le_bytes([a, b, c, d]).into())
    }

    /// With its head, for a tier.
    pub(super) fn sealed(&self) -> Arc<[u8]> {
        Arc::clone(&self.0)
    }
}

fn head(form: u8, schema: u32, cost: Duration, room: usize) -> Vec<u8> {
    let cost = u32::try_from(cost.as_micros()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEAD + room);
    bytes.push(form);
    bytes.extend_from_slice(&schema.to_le_bytes());
    bytes.extend_from_slice(&cost.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_comes_out_as_it_went_in_with_its_cost() {
        let cost = Duration::from_millis(250);
        let made = Envelope::json(&Some("a"), 7, cost).unwrap();
        let opened = Envelope::open(&made.sealed(), 7).unwrap();
        assert_eq!(opened.read::<Option<String>>(), Some(Some("a".to_owned())));
        assert_eq!((opened.payload(), opened.cost()), (&b"\"a\""[..], cost));
        let bytes = Envelope::bytes(&[0, 255], 7);
        assert_eq!(bytes.payload(), [0, 255]);
        assert_eq!(bytes.read::<serde_json::Value>(), None);
        let slow = Envelope::json(&1, 7, Duration::from_secs(1 << 40)).unwrap();
        assert_eq!(slow.cost(), Duration::from_micros(u32::MAX.into()));
    }

    #[test]
    fn another_version_a_foreign_form_and_a_stump_do_not_open() {
        let made = Envelope::json(&1, 7, Duration::ZERO).unwrap().sealed();
        assert_eq!(Envelope::open(&made, 8), None);
        for length in 0..HEAD {
            assert_eq!(Envelope::open(&made[..length].into(), 7), None);
        }
        let mut foreign = made.to_vec();
        foreign[0] = 9;
        assert_eq!(Envelope::open(&foreign.into(), 7), None);
        let damaged = Envelope::open(&made[..HEAD].into(), 7).unwrap();
        assert_eq!(damaged.read::<u32>(), None, "nothing is no number");
    }
}
