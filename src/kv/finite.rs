//! `Finite`: a value as it is written, but for floats that are no numbers. JSON has none of these, and
//! `null` in their place would be another value.

use std::fmt;

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// A value that is refused if a float in it is NaN or infinite.
pub(super) struct Finite<'v, T: ?Sized>(pub(super) &'v T);

impl<T: Serialize + ?Sized> Serialize for Finite<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(Through(serializer))
    }
}

/// Hands everything on to a serializer, or to one of its parts.
struct Through<S>(S);

/// Methods that hand on what they are given.
macro_rules! hands_on {
    ($($method:ident: $given:ty,)*) => {
        $(fn $method(self, given: $given) -> Result<S::Ok, S::Error> {
            self.0.$method(given)
        })*
    };
}

/// Methods that begin a part.
macro_rules! begins {
    ($($method:ident($($name:ident: $given:ty),*) -> $part:ident,)*) => {
        $(
            type $part = Through<S::$part>;

            fn $method(self, $($name: $given),*) -> Result<Self::$part, S::Error> {
                self.0.$method($($name),*).map(Through)
            }
        )*
    };
}

impl<S: Serializer> Serializer for Through<S> {
    type Ok = S::Ok;
    type Error = S::Error;

    hands_on! {
        serialize_bool: bool,
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_i128: i128,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_u128: u128,
        serialize_char: char,
        serialize_str: &str,
        serialize_bytes: &[u8],
        serialize_unit_struct: &'static str,
    }

    begins! {
        serialize_seq(len: Option<usize>) -> SerializeSeq,
        serialize_tuple(len: usize) -> SerializeTuple,
        serialize_tuple_struct(name: &'static str, len: usize) -> SerializeTupleStruct,
        serialize_tuple_variant(
            name: &'static str, index: u32, variant: &'static str, len: usize
        ) -> SerializeTupleVariant,
        serialize_map(len: Option<usize>) -> SerializeMap,
        serialize_struct(name: &'static str, len: usize) -> SerializeStruct,
        serialize_struct_variant(
            name: &'static str, index: u32, variant: &'static str, len: usize
        ) -> SerializeStructVariant,
    }

    fn serialize_f32(self, number: f32) -> Result<S::Ok, S::Error> {
        match number.is_finite() {
            true => self.0.serialize_f32(number),
            false => Err(refused(number)),
        }
    }

    fn serialize_f64(self, number: f64) -> Result<S::Ok, S::Error> {
        match number.is_finite() {
            true => self.0.serialize_f64(number),
            false => Err(refused(number)),
        }
    }

    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.0.serialize_none()
    }

    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.serialize_some(&Finite(value))
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit_variant(name, index, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_struct(name, &Finite(value))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let value = &Finite(value);
        self.0
            .serialize_newtype_variant(name, index, variant, value)
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

fn refused<E: serde::ser::Error>(number: impl fmt::Display) -> E {
    E::custom(format_args!("JSON has no number {number}"))
}

/// Parts of elements, one after the other.
macro_rules! elements {
    ($($part:ident::$method:ident,)*) => {
        $(impl<S: $part> $part for Through<S> {
            type Ok = S::Ok;
            type Error = S::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
                self.0.$method(&Finite(value))
            }

            fn end(self) -> Result<S::Ok, S::Error> {
                self.0.end()
            }
        })*
    };
}

elements! {
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field,
}

/// Parts of fields that have names.
macro_rules! fields {
    ($($part:ident,)*) => {
        $(impl<S: $part> $part for Through<S> {
            type Ok = S::Ok;
            type Error = S::Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), S::Error> {
                self.0.serialize_field(name, &Finite(value))
            }

            fn skip_field(&mut self, name: &'static str) -> Result<(), S::Error> {
                self.0.skip_field(name)
            }

            fn end(self) -> Result<S::Ok, S::Error> {
                self.0.end()
            }
        })*
    };
}

fields! {
    SerializeStruct,
    SerializeStructVariant,
}

impl<S: SerializeMap> SerializeMap for Through<S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), S::Error> {
        self.0.serialize_key(&Finite(key))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        self.0.serialize_value(&Finite(value))
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        self.0.end()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::value::RawValue;

    use serde::Serialize;

    use super::*;

    #[derive(Serialize)]
    enum Shape {
        Unit,
        One(f64),
        Two(f32, f64),
        Named { a: Option<f64> },
    }

    #[derive(Serialize)]
    struct Pair(f64, f64);

    #[derive(Serialize)]
    struct Alone(f64);

    /// A value of every kind that serde knows, with a float wherever one can be.
    #[derive(Serialize)]
    struct All {
        shapes: Vec<Shape>,
        tuple: (f64, u8),
        pair: Pair,
        alone: Alone,
        map: BTreeMap<String, f64>,
        raw: Box<RawValue>,
        text: (char, &'static str, (), i128, Option<bool>),
    }

    fn all(at: usize, odd: f64) -> All {
        let number = |place| if place == at { odd } else { 0.1 };
        All {
            shapes: vec![
                Shape::Unit,
                Shape::One(number(0)),
                Shape::Two(number(1) as f32, number(2)),
                Shape::Named { a: Some(number(3)) },
            ],
            tuple: (number(4), 1),
            pair: Pair(number(5), number(6)),
            alone: Alone(number(7)),
            map: BTreeMap::from([("k".to_owned(), number(8))]),
            raw: RawValue::from_string("[1e5]".to_owned()).unwrap(),
            text: ('c', "t", (), -1, None),
        }
    }

    #[test]
    fn floats_that_are_no_numbers_are_refused_wherever_they_are() {
        for at in 0..9 {
            for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let value = all(at, odd);
                assert!(serde_json::to_string(&Finite(&value)).is_err(), "{at}");
                assert!(serde_json::to_value(Finite(&value)).is_err(), "{at}");
            }
        }
    }

    #[test]
    fn everything_else_is_written_as_it_is_without_it() {
        let value = all(9, 0.0);
        let written = serde_json::to_string(&Finite(&value)).unwrap();
        assert_eq!(written, serde_json::to_string(&value).unwrap());
        assert!(written.contains("[1e5]"), "{written}");
    }
}
