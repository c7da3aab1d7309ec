//! `--timeout`: a duration as people write it.

use std::time::Duration;

/// The longest time that can be asked for.
const MAX: Duration = Duration::from_secs(24 * 3600);

/// Reads `90`, `90s`, `500ms`, `2m`, `1h`.
///
/// # Errors
/// What is wrong with the text.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number
        .parse()
        .map_err(|_| "write a number and a unit, such as 90s or 2m".to_owned())?;
    let duration = match unit {
        "ms" => Some(Duration::from_millis(number)),
        "" | "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => return Err(format!("the unit {unit:?} is not one of ms, s, m, h")),
    };
    match duration {
        Some(Duration::ZERO) => Err("it must be longer than nothing".to_owned()),
        Some(duration) if duration <= MAX => Ok(duration),
        _ => Err("at most 24h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_write_them() {
        assert_eq!(parse("90"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        for bad in [
            "",
            "s",
            "0",
            "5d",
            "-1",
            "25h",
            "1.5s",
            "99999999999999999999",
            "18446744073709551615h",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
