//! `--lun NUMBER=PATH[,size=SIZE][,ro][,block=BYTES][,wwid=WWID]`.

use longshore_target::LunConfig;

/// Reads the option.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(text: &str) -> Result<LunConfig, String> {
    let (number, rest) = text
        .split_once('=')
        .ok_or("write NUMBER=PATH[,size=SIZE][,ro][,block=BYTES][,wwid=WWID]")?;
    let number: u16 = number
        .parse()
        .map_err(|_| format!("{number:?} is not a LUN (a number from 0 to 16383)"))?;
    let mut parts = rest.split(',');
    let path = parts
        .next()
        .filter(|path| !path.is_empty())
        .ok_or("the path is missing")?;
    let mut lun = LunConfig::new(number, path);
    for part in parts {
        match part.split_once('=') {
            None if part == "ro" => lun.read_only = true,
            Some(("size", size)) => lun.size_bytes = Some(parse_size(size)?),
            Some(("block", bytes)) => {
                lun.block_size_bytes = bytes
                    .parse()
                    .map_err(|_| format!("{bytes:?} is not a block size (512 or 4096)"))?;
            }
            Some(("wwid", wwid)) => lun.wwid = Some(wwid.to_owned()),
            _ => {
                return Err(format!(
                    "{part:?} is not one of size=SIZE, ro, block=BYTES, wwid=WWID"
                ));
            }
        }
    }
    Ok(lun)
}

/// Reads `1073741824`, `1G`, `512M`, `64K`, `2T` (binary units, with or without `iB`).
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size; write bytes, or a number with K, M, G or T");
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let shift = match unit.strip_suffix("iB").unwrap_or(unit) {
        "" if unit.is_empty() => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(1 << shift)
        .filter(|bytes| *bytes > 0)
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lun_with_all_its_parts() {
        let lun = parse("3=/a=b.img,size=2G,ro,block=4096,wwid=naa.6abc").expect("valid");
        assert_eq!(
            (lun.number, lun.path.to_str(), lun.size_bytes),
            (3, Some("/a=b.img"), Some(2 << 30))
        );
        assert!(lun.read_only);
        assert_eq!(
            (lun.block_size_bytes, lun.wwid.as_deref()),
            (4096, Some("naa.6abc"))
        );
        assert_eq!(parse("0=x").expect("valid").size_bytes, None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("x", "NUMBER=PATH"),
            ("a=x", "\"a\" is not a LUN"),
            ("70000=x", "not a LUN"),
            ("0=", "path is missing"),
            ("0=x,rw", "\"rw\""),
            ("0=x,size=big", "\"big\" is not a size"),
            ("0=x,size=0", "not a size"),
            ("0=x,size=99999999999T", "not a size"),
            ("0=x,size=1iB", "not a size"),
            ("0=x,block=no", "not a block size"),
        ] {
            let problem = parse(text).expect_err(text);
            assert!(problem.contains(part), "{text}: {problem}");
        }
        assert_eq!(parse_size("64KiB"), Ok(64 << 10));
    }
}
