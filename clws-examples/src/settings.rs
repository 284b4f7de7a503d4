//! Settings of the examples: configuration files and flags.

use std::fs;
use std::path::Path;
use std::time::Duration;

use clws_server::Config;

/// Reads a configuration in TOML.
///
/// # Errors
///
/// The file cannot be read, or a setting is wrong. The text names the file, and the line of the
/// setting if it is known.
pub fn read_config(path: &Path) -> Result<Config, String> {
    let text = fs::read_to_string(path)
        .map_err(|error| format!("cannot read the configuration {}: {error}", path.display()))?;
    toml::from_str(&text)
        .map_err(|error| format!("the configuration {}: {}", path.display(), error.to_string().trim_end()))
}

/// Parses a time in seconds of a flag, such as `2` or `0.5`.
///
/// # Errors
///
/// The text is no number, or the time is negative or too long.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "write a number of seconds, such as 2 or 0.5".to_owned())?;
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| "a time is not negative, and at most 1e19 seconds".to_owned())
}

/// Parses a time in seconds that is longer than 0.
///
/// # Errors
///
/// The errors of [`seconds`], or the time is 0.
pub fn seconds_above_zero(text: &str) -> Result<Duration, String> {
    let time = seconds(text)?;
    if time.is_zero() { Err("the time must be longer than 0".to_owned()) } else { Ok(time) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_numbers_of_seconds() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(seconds("0"), Ok(Duration::ZERO));
        assert!(seconds_above_zero("2").is_ok() && seconds_above_zero("0").is_err());
        for wrong in ["-1", "nan", "1e30", "soon", "", "2s"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
