//! Values in a configuration file. An error names the key and the allowed values.

use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::time::Duration;

use clws_handshake::ForwardedHeader;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Unexpected, Visitor};

use clws_proto::SlowPolicy;

use crate::config::address::Listen;
use crate::config::excess::Excess;
use crate::config::proxies::TrustedProxy;

/// The reason why a setting refuses a value.
pub(super) enum Fault {
    /// Values of this type are never allowed.
    Type,
    /// Only this value is not allowed.
    Value,
}

/// A type of settings that a file writes as one value.
pub(super) trait Setting: Sized {
    /// The allowed values, as in "expected `key` to be ...".
    const ALLOWED: &'static str;

    /// Asks the deserializer for a value of the expected type. Formats that only have texts need
    /// to know it.
    fn request<'de, D: Deserializer<'de>>(deserializer: D, value: Value<Self>) -> Result<Self, D::Error>;

    fn from_bool(_: bool) -> Result<Self, Fault> {
        Err(Fault::Type)
    }

    fn from_integer(_: i128) -> Result<Self, Fault> {
        Err(Fault::Type)
    }

    fn from_float(_: f64) -> Result<Self, Fault> {
        Err(Fault::Type)
    }

    fn from_text(_: &str) -> Result<Self, Fault> {
        Err(Fault::Type)
    }

    fn from_nothing() -> Result<Self, Fault> {
        Err(Fault::Type)
    }
}

/// Reads the value of a key.
pub(super) struct Value<T> {
    key: &'static str,
    allowed: &'static str,
    of: PhantomData<T>,
}

impl<T: Setting> Value<T> {
    pub(super) const fn of(key: &'static str) -> Self {
        Self::within(key, T::ALLOWED)
    }

    /// Describes the allowed values better than the type does.
    pub(super) const fn within(key: &'static str, allowed: &'static str) -> Self {
        Self { key, allowed, of: PhantomData }
    }

    fn or_error<E: Error>(self, result: Result<T, Fault>, found: Unexpected<'_>) -> Result<T, E> {
        result.map_err(|fault| match fault {
            Fault::Type => E::invalid_type(found, &self),
            Fault::Value => E::invalid_value(found, &self),
        })
    }
}

impl<'de, T: Setting> DeserializeSeed<'de> for Value<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::request(deserializer, self)
    }
}

impl<'de, T: Setting> Visitor<'de> for Value<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` to be {}", self.key, self.allowed)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<T, E> {
        self.or_error(T::from_bool(value), Unexpected::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
        self.or_error(T::from_integer(value.into()), Unexpected::Signed(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
        self.or_error(T::from_integer(value.into()), Unexpected::Unsigned(value))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<T, E> {
        self.or_error(T::from_integer(value), Unexpected::Other(&format!("integer `{value}`")))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<T, E> {
        self.or_error(T::from_float(value), Unexpected::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<T, E> {
        self.or_error(T::from_text(value), Unexpected::Str(value))
    }

    fn visit_none<E: Error>(self) -> Result<T, E> {
        self.or_error(T::from_nothing(), Unexpected::Option)
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        self.or_error(T::from_nothing(), Unexpected::Unit)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Setting for bool {
    const ALLOWED: &'static str = "true or false";

    fn request<'de, D: Deserializer<'de>>(deserializer: D, value: Value<Self>) -> Result<Self, D::Error> {
        deserializer.deserialize_bool(value)
    }

    fn from_bool(value: bool) -> Result<Self, Fault> {
        Ok(value)
    }
}

/// Defines how a type of whole numbers is read.
macro_rules! whole_numbers {
    ($($type:ty: $request:ident, $allowed:literal;)*) => {
        $(impl Setting for $type {
            const ALLOWED: &'static str = $allowed;

            fn request<'de, D: Deserializer<'de>>(
                deserializer: D,
                value: Value<Self>,
            ) -> Result<Self, D::Error> {
                deserializer.$request(value)
            }

            fn from_integer(value: i128) -> Result<Self, Fault> {
                Self::try_from(value).map_err(|_| Fault::Value)
            }
        })*
    };
}

whole_numbers! {
    u8: deserialize_u8, "a whole number from 0 to 255";
    u32: deserialize_u32, "a whole number from 0 to 4294967295";
    i32: deserialize_i32, "a whole number from 1 to 2147483647";
    usize: deserialize_u64, "a whole number that is neither negative nor too large";
}

/// A time in seconds, which may have a fraction.
impl Setting for Duration {
    const ALLOWED: &'static str = "a time in seconds, such as 5 or 0.5";

    fn request<'de, D: Deserializer<'de>>(deserializer: D, value: Value<Self>) -> Result<Self, D::Error> {
        deserializer.deserialize_f64(value)
    }

    fn from_integer(seconds: i128) -> Result<Self, Fault> {
        u64::try_from(seconds).map(Self::from_secs).map_err(|_| Fault::Value)
    }

    fn from_float(seconds: f64) -> Result<Self, Fault> {
        Self::try_from_secs_f64(seconds).map_err(|_| Fault::Value)
    }
}

/// A time in seconds; 0 means never.
impl Setting for Option<Duration> {
    const ALLOWED: &'static str = "a time in seconds, such as 60, or 0 for never";

    fn request<'de, D: Deserializer<'de>>(deserializer: D, value: Value<Self>) -> Result<Self, D::Error> {
        deserializer.deserialize_f64(value)
    }

    fn from_integer(seconds: i128) -> Result<Self, Fault> {
        Duration::from_integer(seconds).map(|time| Some(time).filter(|time| !time.is_zero()))
    }

    fn from_float(seconds: f64) -> Result<Self, Fault> {
        Duration::from_float(seconds).map(|time| Some(time).filter(|time| !time.is_zero()))
    }
}

/// A number; 0 leaves the choice to the server.
impl Setting for Option<NonZeroUsize> {
    const ALLOWED: &'static str = "a whole number, or 0 for one per processor";

    fn request<'de, D: Deserializer<'de>>(deserializer: D, value: Value<Self>) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(value)
    }

    fn from_integer(value: i128) -> Result<Self, Fault> {
        usize::from_integer(value).map(NonZeroUsize::new)
    }
}

/// A number of bytes; 0 leaves the choice to the system.
impl Setting for Option<usize> {
    const ALLOWED: &'static str = "a number of bytes, or 0 for the system's choice";

    fn request<'de, D: Deserializer<'de>>(deserializer: D, value: Value<Self>) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(value)
    }

    fn from_integer(value: i128) -> Result<Self, Fault> {
        usize::from_integer(value).map(|bytes| Some(bytes).filter(|bytes| *bytes > 0))
    }
}

impl Setting for Excess {
    const ALLOWED: &'static str = "\"wait\" or \"close\"";

    fn request<'de, D: Deserializer<'de>>(deserializer: D, value: Value<Self>) -> Result<Self, D::Error> {
        deserializer.deserialize_str(value)
    }

    fn from_text(value: &str) -> Result<Self, Fault> {
        match value {
            "wait" => Ok(Self::Wait),
            "close" => Ok(Self::Close),
            _ => Err(Fault::Value),
        }
    }
}

impl Setting for Option<SlowPolicy> {
    const ALLOWED: &'static str = "\"none\", \"refuse\", \"close\", \"drop_newest\" or \"drop_oldest\"";

    fn request<'de, D: Deserializer<'de>>(deserializer: D, value: Value<Self>) -> Result<Self, D::Error> {
        deserializer.deserialize_str(value)
    }

    fn from_text(value: &str) -> Result<Self, Fault> {
        match value {
            "none" => Ok(None),
            "refuse" => Ok(Some(SlowPolicy::refuse())),
            "close" => Ok(Some(SlowPolicy::close())),
            "drop_newest" => Ok(Some(SlowPolicy::drop_newest())),
            "drop_oldest" => Ok(Some(SlowPolicy::drop_oldest())),
            _ => Err(Fault::Value),
        }
    }
}

impl Setting for Option<String> {
    const ALLOWED: &'static str = "a text";

    fn request<'de, D: Deserializer<'de>>(deserializer: D, value: Value<Self>) -> Result<Self, D::Error> {
        deserializer.deserialize_option(value)
    }

    fn from_text(value: &str) -> Result<Self, Fault> {
        Ok(Some(value.to_owned()))
    }

    fn from_nothing() -> Result<Self, Fault> {
        Ok(None)
    }
}

impl Setting for Listen {
    const ALLOWED: &'static str = "a list of texts, such as [\"127.0.0.1:12345\"]";

    fn request<'de, D: Deserializer<'de>>(deserializer: D, value: Value<Self>) -> Result<Self, D::Error> {
        deserializer.deserialize_str(value)
    }

    fn from_text(value: &str) -> Result<Self, Fault> {
        Ok(Self::from(value))
    }
}

impl Setting for TrustedProxy {
    const ALLOWED: &'static str = "a list of texts, such as [\"127.0.0.1\", \"10.0.0.0/8\", \"unix\"]";

    fn request<'de, D: Deserializer<'de>>(deserializer: D, value: Value<Self>) -> Result<Self, D::Error> {
        deserializer.deserialize_str(value)
    }

    fn from_text(value: &str) -> Result<Self, Fault> {
        Ok(Self::from(value))
    }
}

impl Setting for ForwardedHeader {
    const ALLOWED: &'static str =
        "\"none\", \"forwarded\", \"x-forwarded-for\" or \"x-forwarded-for-and-proto\"";

    fn request<'de, D: Deserializer<'de>>(deserializer: D, value: Value<Self>) -> Result<Self, D::Error> {
        deserializer.deserialize_str(value)
    }

    fn from_text(value: &str) -> Result<Self, Fault> {
        match value {
            "none" => Ok(Self::None),
            "forwarded" => Ok(Self::Forwarded),
            "x-forwarded-for" => Ok(Self::XForwardedFor),
            "x-forwarded-for-and-proto" => Ok(Self::XForwardedForAndProto),
            _ => Err(Fault::Value),
        }
    }
}

/// Permission bits. TOML has octal numbers, and other formats have octal texts.
impl Setting for Option<u32> {
    const ALLOWED: &'static str = "permission bits, such as 0o660 or \"660\", or 0 for those of the umask";

    fn request<'de, D: Deserializer<'de>>(deserializer: D, value: Value<Self>) -> Result<Self, D::Error> {
        deserializer.deserialize_any(value)
    }

    fn from_integer(value: i128) -> Result<Self, Fault> {
        u32::from_integer(value).map(|mode| Some(mode).filter(|mode| *mode > 0))
    }

    fn from_text(value: &str) -> Result<Self, Fault> {
        let is_octal = value.bytes().all(|byte| byte.is_ascii_digit()); // `from_str_radix` accepts a sign
        let mode = u32::from_str_radix(value, 8).ok().filter(|_| is_octal);
        mode.map(|mode| Some(mode).filter(|mode| *mode > 0)).ok_or(Fault::Value)
    }
}

/// Reads a list of texts.
pub(super) struct Values<T> {
    key: &'static str,
    of: PhantomData<T>,
}

impl<T: Setting> Values<T> {
    pub(super) const fn of(key: &'static str) -> Self {
        Self { key, of: PhantomData }
    }
}

impl<'de, T: Setting> DeserializeSeed<'de> for Values<T> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Setting> Visitor<'de> for Values<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Value::<T>::of(self.key).expecting(f)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(Value::of(self.key))? {
            values.push(value);
        }
        Ok(values)
    }
}

/// Reads a key. An unknown key is an error, so that typing mistakes are found.
pub(super) struct Key(pub(super) &'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = &'static str;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<&'static str, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key {
    type Value = &'static str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a setting")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<&'static str, E> {
        self.0.iter().find(|known| **known == name).copied().ok_or_else(|| E::unknown_field(name, self.0))
    }
}
